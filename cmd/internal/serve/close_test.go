package serve

import (
	"errors"
	"net"
	"testing"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
)

// TestRunCloses: a server that cannot listen, or cannot be made, gives its keys
// back.
func TestRunCloses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		name   string
		change func(*Config)
	}{
		{"no listener", func(cfg *Config) { cfg.Listeners = nil }},
		{"address taken", func(cfg *Config) { cfg.Listeners[0].Address = taken.Addr().String() }},
		{"administrative address taken", func(cfg *Config) {
			cfg.Admin = &Listener{Address: taken.Addr().String()}
		}},
	} {
		s, b := newServer(t, nil)
		a, err := authority.New(b.authority)
		if err != nil {
			t.Fatal(err)
		}
		closed := false
		cfg := s.cfg
		cfg.TSA, err = tsa.New(t.Context(), tsa.Config{Clock: b.clock, Units: []tsa.Unit{{Authority: a,
			Close: func() error { closed = true; return errors.New("too late") }}}})
		if err != nil {
			t.Fatal(err)
		}
		test.change(&cfg)
		if err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", test.name)
		}
		if !closed {
			t.Errorf("%s: the key is still open", test.name)
		}
	}
}
