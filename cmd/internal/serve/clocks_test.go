package serve

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// TestClocks: a clock that was set back is not believed after a reload.
func TestClocks(t *testing.T) {
	conf, err := config.Parse("f", []byte("tsa: {key: 'memory:p256', policy: 1.2.3, clock: {source: system, bound: 100ms}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	ready := func(clocks *Clocks) error {
		cfg, err := Load(t.Context(), conf, Options{Clocks: clocks})
		if err != nil {
			t.Fatal(err)
		}
		defer cfg.TSA.Close()
		return cfg.TSA.Ready(t.Context())
	}
	clocks := new(Clocks)
	if err := ready(clocks); err != nil {
		t.Fatal(err)
	}
	// Before it was set back it showed a time that is now to come.
	ahead, err := clock.NewGuard(clock.GuardConfig{Source: clock.System(100 * time.Millisecond), Limit: time.Second, NotBefore: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	clocks.guards[nameOf(conf.TSA.Clock)] = ahead
	if err := ready(clocks); !errors.Is(err, tsp.TimeNotAvailable) || !strings.Contains(err.Error(), ": clock: set back: ") || strings.Contains(err.Error(), "no time from") {
		t.Errorf("after a reload with a clock that was set back: %v", err)
	}
	conf.TSA.Clock.Bound *= 2
	if err := ready(clocks); err != nil {
		t.Errorf("with another clock: %v", err)
	}
}
