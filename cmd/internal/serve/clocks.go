package serve

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
)

// A Clock is the clock that a configuration names, with the guard that
// remembers what time it has been.
type Clock struct {
	guard   *clock.Guard
	monitor *clock.Monitor // nil: it is not compared with others

	declared time.Duration // the bound, where it is that

	started bool
	cancel  context.CancelFunc // of what runs for it, nil if nothing does
}

// end ends what runs for the clock.
func (c *Clock) end() {
	if c.cancel != nil {
		c.cancel()
	}
}

const (
	// developmentClockBound is the error declared for the system clock where
	// keys are in memory and no clock is named.
	developmentClockBound = time.Second

	// anyBound lets every reading pass that an authority may accept: each has a
	// limit of its own.
	anyBound = 24 * time.Hour

	// firstRound is how long a start or a reload waits for the time servers. A
	// server that does not know the time yet starts all the same: it may in the
	// next moment.
	firstRound = 5 * time.Second
)

// nameOf tells clocks apart, also by the CAs that are in their file. That of a
// key in memory is nil.
func nameOf(c *config.Clock) string {
	if c == nil {
		return ""
	}
	name := fmt.Sprintf("%+v", *c)
	if c.CA != "" {
		name += fmt.Sprintf(" %x", digestOf([]string{string(c.CA)}))
	}
	return name
}

// Clock returns the clock that is configured, the same one each time, and has
// asked its time servers when it returns. It is not in use yet. Nil is the
// clock of a key in memory.
func (p *Process) Clock(ctx context.Context, configured *config.Clock) (*Clock, error) {
	name := nameOf(configured)
	p.mu.Lock()
	known := p.clocks[name]
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	c, err := p.newClock(configured)
	if err != nil {
		return nil, err
	}
	if c.monitor != nil {
		ctx, cancel := context.WithTimeout(ctx, firstRound)
		defer cancel()
		_ = c.monitor.Poll(ctx) // who asks for the time will hear of it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clocks[name] = c
	if p.group != nil {
		p.start(c)
	}
	return c, nil
}

func (p *Process) newClock(configured *config.Clock) (*Clock, error) {
	c := new(Clock)
	limit := anyBound
	if configured != nil && configured.Limit > 0 {
		limit = time.Duration(configured.Limit)
	}
	var source clock.Source
	var err error
	switch {
	case configured == nil:
		c.declared = developmentClockBound
		source = clock.System(c.declared)
	case configured.Source == config.ClockSystem:
		c.declared = time.Duration(configured.Bound)
		source = clock.System(c.declared)
	case configured.Source == config.ClockKernel:
		if source, err = timesrc.Kernel(timesrc.KernelConfig{Floor: time.Duration(configured.Bound)}); err != nil {
			return nil, fmt.Errorf("tsa.clock.source: %w", err)
		}
	case configured.Source == config.ClockNTP:
		if c.monitor, err = p.newMonitor(configured); err != nil {
			return nil, fmt.Errorf("tsa.clock: %w", err)
		}
		source = c.monitor
	default:
		return nil, fmt.Errorf("tsa.clock.source: %q is not built in", configured.Source)
	}
	if c.guard, err = clock.NewGuard(clock.GuardConfig{Source: source, Limit: limit}); err != nil {
		return nil, fmt.Errorf("tsa.clock: %w", err)
	}
	return c, nil
}

// maxCA is the longest file of CAs, in bytes: that of a whole system has some
// 200 kB.
const maxCA = 1 << 20

// newMonitor makes what compares the system clock with time servers.
func (p *Process) newMonitor(configured *config.Clock) (*clock.Monitor, error) {
	local := timesrc.SystemLocal()
	var roots *x509.CertPool
	if configured.CA != "" {
		data, err := new(cli.Env).ReadFile(string(configured.CA), maxCA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("ca: %s holds no certificate", configured.CA)
		}
	}
	cfg := clock.MonitorConfig{
		Local: local, Pick: configured.Ask, Agree: configured.Agree, Attempts: configured.Attempts,
		Interval: time.Duration(configured.Interval), Timeout: time.Duration(configured.Timeout), MaxAge: time.Duration(configured.MaxAge),
		Drift:   time.Duration(configured.Drift * float64(time.Microsecond)),
		Observe: p.observeClock,
	}
	var seen []*timesrc.Host
	for _, s := range configured.Servers {
		host, err := timesrc.NewHost(s.Address, timesrc.NTPPort, nil)
		if err != nil {
			return nil, fmt.Errorf("servers: %w", err)
		}
		if slices.ContainsFunc(seen, host.Same) {
			return nil, fmt.Errorf("servers: %s is there twice, and has one vote", s)
		}
		seen = append(seen, host)
		var r clock.Reference
		if s.NTS {
			if err := fips.CheckNTS(); err != nil {
				return nil, fmt.Errorf("servers: %s: %w", s, err)
			}
			r, err = nts.New(nts.Config{Address: s.Address, Roots: roots, Local: local, Timeout: cfg.Timeout})
		} else {
			r, err = timesrc.NTP(timesrc.NTPConfig{Address: s.Address, Local: local, Timeout: cfg.Timeout})
		}
		if err != nil {
			return nil, fmt.Errorf("servers: %s: %w", s, err)
		}
		cfg.References = append(cfg.References, r)
	}
	return clock.NewMonitor(cfg)
}

// auditableStep is from when on a change of the clock is kept in the record of
// issue (CA/Browser Forum, Code Signing Baseline Requirements, 6.8).
const auditableStep = time.Second

// observeClock counts, logs and records what a monitor notices.
func (p *Process) observeClock(e clock.MonitorEvent) {
	ctx := context.Background()
	size := slog.Float64("by_s", e.Size.Seconds())
	rec := &audit.Clock{State: clock.StateSynchronised.String(), Offset: e.Offset, Bound: e.Bound}
	if e.Bound == 0 { // no clock is that good
		rec.State = clock.StateUnknown.String()
	}
	switch e.Kind {
	case clock.EventMeasured:
		p.measured(e)
		return
	case clock.EventRound:
		p.ended(e)
		return
	case clock.EventStepped:
		p.events.ClockStepped()
		p.log.LogAttrs(ctx, slog.LevelWarn, "clock was set", size)
		if e.Size.Abs() < auditableStep {
			return
		}
		rec.Event, rec.Detail = audit.ClockStepped, "by "+e.Size.String()
	case clock.EventSuspended:
		p.log.LogAttrs(ctx, slog.LevelWarn, "machine was suspended", size)
		rec.Event, rec.Detail = audit.ClockSuspended, "for "+e.Size.String()
	case clock.EventDisagrees:
		p.log.LogAttrs(ctx, slog.LevelWarn, "time server disagrees", slog.String("server", e.Reference), size)
		rec.Event, rec.Detail = audit.ClockDisagree, e.Reference+" by "+e.Size.String()
	case clock.EventAgrees:
		p.log.LogAttrs(ctx, slog.LevelInfo, "time server agrees", slog.String("server", e.Reference))
		return
	case clock.EventDrift:
		p.log.LogAttrs(ctx, slog.LevelWarn, "clock drifts more than was assumed", slog.Float64("ppm", e.Size.Seconds()*1e6))
		rec.Event, rec.Detail = audit.ClockDrift, "by "+e.Size.String()+" in a second"
	case clock.EventDriftPassed:
		p.log.LogAttrs(ctx, slog.LevelInfo, "clock drifts no more than was assumed", slog.Float64("ppm", e.Size.Seconds()*1e6))
		rec.Event, rec.Detail = audit.ClockDrift, "no more than "+e.Size.String()+" in a second again"
	case clock.EventJumped:
		p.log.LogAttrs(ctx, slog.LevelWarn, "time servers agree on another time, which is believed", size)
		rec.Event, rec.Detail = audit.ClockStepped, "the time servers' by "+e.Size.String()
	case clock.EventLeapAnnounced, clock.EventLeapWithdrawn, clock.EventLeapPassed:
		attrs := []slog.Attr{slog.String("leap", e.Leap.String()), slog.Time("leap_at", e.LeapAt)}
		rec.Detail = e.Leap.String() + " at " + e.LeapAt.Format(time.RFC3339)
		if e.Contested {
			rec.Detail = "perhaps, the time servers do not agree: " + rec.Detail
		}
		attrs = append(attrs, slog.Bool("contested", e.Contested))
		switch e.Kind {
		case clock.EventLeapAnnounced:
			p.log.LogAttrs(ctx, slog.LevelWarn, "leap second announced", attrs...)
			rec.Event = audit.ClockLeapAnnounced
		case clock.EventLeapWithdrawn:
			p.log.LogAttrs(ctx, slog.LevelWarn, "leap second withdrawn", attrs...)
			rec.Event, rec.Detail = audit.ClockLeapAnnounced, "withdrawn: "+rec.Detail
		default:
			p.log.LogAttrs(ctx, slog.LevelWarn, "leap second passed", attrs...)
			rec.Event = audit.ClockLeapPassed
		}
	default: // lost and found are noted where tokens are: see Process.Now
		return
	}
	p.note(rec)
}

// measured notes whether a time server answers.
func (p *Process) measured(e clock.MonitorEvent) {
	p.events.TimeServerAsked(e.Reference, e.Measurement.End.Elapsed-e.Measurement.Start.Elapsed, e.Err)
	p.mu.Lock()
	silent := p.silent[e.Reference]
	if e.Err != nil {
		p.silent[e.Reference] = true
	} else {
		delete(p.silent, e.Reference)
	}
	p.mu.Unlock()
	switch {
	case e.Err != nil && !silent:
		p.log.LogAttrs(context.Background(), slog.LevelWarn, "time server failed", slog.String("server", e.Reference), slog.String("detail", e.Err.Error()))
	case e.Err == nil && silent:
		p.log.LogAttrs(context.Background(), slog.LevelInfo, "time server works again", slog.String("server", e.Reference))
	}
}

// ended counts rounds that gave no time, and remembers what the others did.
func (p *Process) ended(e clock.MonitorEvent) {
	switch {
	case e.Err == nil:
		p.offset.Store(int64(e.Offset))
	case e.Answered < e.Need:
		p.events.TooFewAnswered()
	default:
		p.events.TooFewAgreed()
	}
}

// monitorStatus is how the monitor sees the clock, nil if there is none.
func (p *Process) monitorStatus() *clock.MonitorStatus {
	c := p.clock.Load()
	if c == nil || c.monitor == nil {
		return nil
	}
	s := c.monitor.Status()
	return &s
}

// clockStatus is the monitor for the metrics, nil if there is none.
func (p *Process) clockStatus() *metrics.Clock {
	s := p.monitorStatus()
	if s == nil {
		return nil
	}
	m := &metrics.Clock{Known: s.State == clock.StateSynchronised, Offset: s.Offset, Drift: s.Drift.Seconds(), DriftError: s.DriftError.Seconds()}
	for _, r := range s.References {
		m.Servers = append(m.Servers, metrics.TimeServer{Name: r.Name, Up: r.Reachable, Agrees: r.Agrees, Measured: r.Measured,
			Offset: r.Offset, Error: r.Error, Age: r.Age})
	}
	return m
}
