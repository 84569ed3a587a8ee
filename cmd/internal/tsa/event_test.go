package tsa

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// events collects what a TSA tells.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) take() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// TestEvents: each change of what signs is told once, with its certificate.
func TestEvents(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		told := new(events)
		u1, r1 := testUnit(t, "one")
		u2, _ := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1}, Event: told.add})
		a.run(t)
		want := func(what string, kinds ...EventKind) []Event {
			t.Helper()
			got := told.take()
			var have []EventKind
			for _, e := range got {
				have = append(have, e.Kind)
				if e.Name != "primary" || e.Certificate == nil || e.Until.IsZero() {
					t.Errorf("%s: %+v", what, e)
				}
			}
			if !slices.Equal(have, kinds) {
				t.Errorf("%s: told of %q, want %q", what, have, kinds)
			}
			return got
		}
		r1.fail(errAway)
		a.issuer(t)
		a.issuer(t)
		if e := want("a key that fails", EventFailed); len(e) == 1 && !errors.Is(e[0].Err, errAway) {
			t.Errorf("the failure is %v", e[0].Err)
		}
		r1.fail(nil)
		time.Sleep(maxPause)
		want("a key that is back", EventWorks)

		at := adopt(t, a, time.Hour, u2)
		if e := want("an announcement", EventAnnounced); len(e) == 1 && (!e[0].At.Equal(at) || !e[0].Certificate.Equal(u2.Authority.Chain()[0])) {
			t.Errorf("announced: %+v", e[0])
		}
		time.Sleep(time.Hour + time.Second)
		if e := want("a takeover", EventReplaced); len(e) == 1 && !e[0].Certificate.Equal(u2.Authority.Chain()[0]) {
			t.Errorf("replaced by %v", e[0].Certificate.Subject)
		}
	})
}
