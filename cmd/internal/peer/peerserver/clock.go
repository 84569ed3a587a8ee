package peerserver

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
)

// clockBound is the error declared for the system clock where nothing monitors
// it, and the accuracy that timestamps promise.
const clockBound = time.Second

// The namesake has no setting for how long an answer is believed: an hour, and
// eight rounds where they are that far apart.
const (
	believed       = time.Hour
	believedRounds = 8
	maxBelieved    = 24 * time.Hour
	// maxAttempts is what package config allows; a round has to end.
	maxAttempts = 10
)

// setClock gives the process the clock that the flags name.
func (o *options) setClock(ctx context.Context, cfg *serve.Config) error {
	var named *config.Clock // the system clock
	switch {
	case o.ntpFile != "" && o.disableNTP:
		return cli.Usagef("--ntp-monitoring and --disable-ntp-monitoring exclude each other")
	case o.ntpFile != "":
		var err error
		if named, err = o.monitored(); err != nil {
			return fmt.Errorf("--ntp-monitoring: %w", err)
		}
	case !o.disableNTP && !o.unmonitored:
		o.unmonitored = true // and said
		o.warn("nothing monitors the system clock, which is taken to be right to %v; --ntp-monitoring FILE names time servers, --disable-ntp-monitoring says that this is meant", clockBound)
	}
	clock, err := o.process.Clock(ctx, named)
	if err != nil {
		return err
	}
	cfg.Process = o.process
	cfg.UseClock(clock, clockBound)
	return nil
}

// monitored is the clock of a file of the namesake. What the file says can make
// the server stricter and never laxer: a majority of all servers must agree, not
// only of the num_servers that are asked in a round, and the clock may not be
// further off than the timestamps promise.
func (o *options) monitored() (*config.Clock, error) {
	data, err := os.ReadFile(o.ntpFile)
	if err != nil {
		return nil, err
	}
	file, err := timesrc.ReadPeerFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.ntpFile, err)
	}
	c := &config.Clock{
		Source:   config.ClockNTP,
		Ask:      file.NumServers,
		Agree:    file.ServerThreshold,
		Attempts: min(file.RequestAttempts, maxAttempts),
		Interval: config.Duration(file.Period),
		Timeout:  config.Duration(min(file.RequestTimeout, file.Period)),
		MaxAge:   config.Duration(min(max(believed, believedRounds*file.Period), maxBelieved)),
	}
	if c.Agree <= file.NumServers/2 {
		majority := len(file.Servers)/2 + 1
		o.warn("--ntp-monitoring: %s: server_threshold %d is taken for %d: fewer than half of the servers may be liars", o.ntpFile, c.Agree, majority)
		c.Agree = majority
	}
	if file.MaxTimeDelta < clockBound {
		c.Limit = config.Duration(file.MaxTimeDelta)
	}
	for _, address := range file.Servers {
		c.Servers = append(c.Servers, config.TimeServer{Address: address})
	}
	return c, nil
}
