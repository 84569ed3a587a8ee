package timesrc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// NTPPort is where NTP servers listen.
const NTPPort = 123

// NTPConfig configures [NTP].
type NTPConfig struct {
	// Address is the server's name or address, with a port or without:
	// ntp.example, 192.0.2.1:1123, [2001:db8::1]:123. Required.
	Address string

	// Local reads the clocks of this machine. Nil: [SystemLocal].
	Local clock.Local

	// Timeout and MaxRootDistance are those of [ExchangeConfig].
	Timeout, MaxRootDistance time.Duration

	// Resolver finds the addresses of the name. Nil: the system's.
	Resolver Resolver

	// Dial opens sockets. Nil: UDP.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// NTP returns the clock of an NTP server. Its answers are not authenticated:
// whoever is on the way can make them say anything, within what a majority of
// other servers allows. The errors of Measure are of type [*Error].
func NTP(cfg NTPConfig) (clock.Reference, error) {
	host, err := NewHost(cfg.Address, NTPPort, cfg.Resolver)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 || cfg.MaxRootDistance < 0 {
		return nil, errors.New("time server " + cfg.Address + ": a negative timeout or root distance")
	}
	if cfg.Local == nil {
		cfg.Local = SystemLocal()
	}
	return &ntpReference{cfg, host}, nil
}

type ntpReference struct {
	cfg  NTPConfig
	host *Host
}

func (n *ntpReference) Name() string { return n.cfg.Address }

// Measure asks the server once.
func (n *ntpReference) Measure(ctx context.Context) (clock.Measurement, error) {
	addr, err := n.host.Addr(ctx)
	if err != nil {
		return clock.Measurement{}, err
	}
	m, _, err := Exchange(ctx, ExchangeConfig{
		Server:          n.cfg.Address,
		Addr:            addr,
		Local:           n.cfg.Local,
		Timeout:         n.cfg.Timeout,
		MaxRootDistance: n.cfg.MaxRootDistance,
		Dial:            n.cfg.Dial,
	})
	if err != nil && serverFailed(err) && !errors.Is(err, context.Canceled) {
		n.host.Failed(addr)
	}
	return m, err
}

// serverFailed reports whether another address of the same name might do
// better.
func serverFailed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason != ReasonStepped && e.Reason != ReasonConfig
}
