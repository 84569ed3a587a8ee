package tsa

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func nameOf(u Unit) string { return u.Authority.Chain()[0].Subject.CommonName }

// The announcement of the first stamping key may take as long as each is used,
// and that key must then still be of use.
func TestAdoptDelegate(t *testing.T) {
	for _, test := range []struct {
		name  string
		first func(t *testing.T) Config
	}{
		{"after another key", func(t *testing.T) Config {
			u, _ := testUnit(t, "one")
			return Config{Units: []Unit{u}}
		}},
		{"after another CA", func(t *testing.T) Config {
			d, _ := testDelegate(t, "other")
			d.Rotate = 10 * rotate
			return Config{Delegate: d, Announce: rotate}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				a := newTSA(t, test.first(t))
				a.run(t)
				d, ca := testDelegate(t, "ca")
				at, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: d, Announce: rotate}).TSA)
				if err != nil || !at.Equal(time.Now().Add(rotate)) {
					t.Fatalf("takes over at %v, %v", at, err)
				}
				// A reload meanwhile does not begin the day anew.
				time.Sleep(rotate / 2)
				same, _ := testDelegate(t, "ca")
				again, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: same, Announce: rotate}).TSA)
				if err != nil || !again.Equal(at) {
					t.Errorf("after a reload it takes over at %v, %v, want %v", again, err, at)
				}
				announced := a.State().Next
				time.Sleep(time.Until(at) + time.Second)
				for range 4 {
					if got := a.issuer(t); got != "unit" {
						t.Fatalf("%v after the change: %s\n%s", time.Since(at), got, a.log)
					}
					time.Sleep(rotate / 4)
				}
				if announced == nil || !announced.Until.After(at.Add(rotate-time.Minute)) {
					t.Errorf("announced %+v, of use for %v", announced, rotate)
				}
				if n := ca.calls.Load(); n > 4 {
					t.Errorf("the key that certifies was used %d times", n)
				}
			})
		})
	}
}

// In the last days of a CA stamping keys are made that end with it, and no more
// than are of use.
func TestDelegateEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, ca := testDelegate(t, "ca")
		ends := time.Now().Add(60 * time.Hour).Truncate(time.Second)
		chain := pkitest.TSA(t, pkitest.Options{Name: "ca", NotAfter: ends})
		d.Chain = chain.Certificates()[1:]
		last := d.ends()
		if last.After(ends) { // the option is that of the leaf
			time.Sleep(time.Until(last) - 60*time.Hour)
		}
		a := newTSA(t, Config{Delegate: d, Announce: rotate})
		a.run(t)
		for time.Now().Before(last.Add(-time.Minute)) {
			wantIssuer(t, a, "unit")
			time.Sleep(30 * time.Minute)
			if t.Failed() {
				return
			}
		}
		time.Sleep(time.Until(last) + time.Hour)
		if n := ca.calls.Load(); n > 6 {
			t.Errorf("the key that certifies was used %d times in three days", n)
		}
	})
}

// A chain that the configuration has announced for long enough is used at once.
func TestAdoptAnnounced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		u2, _ := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1}, Announced: [][]*x509.Certificate{u2.Authority.Chain()}})
		a.run(t)
		time.Sleep(25 * time.Hour)
		if at := adopt(t, a, 24*time.Hour, u2); at.After(time.Now()) {
			t.Errorf("takes over at %v, although it was announced for a day", at)
		}
		wantIssuer(t, a, nameOf(u2))
	})
}

// The same key with other standbys is not a new key.
func TestAdoptStandby(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		stolen, _ := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1, stolen}})
		a.run(t)
		time.Sleep(time.Hour)
		same, _ := testUnit(t, "one")
		three, _ := testUnit(t, "three")
		if at := adopt(t, a, 24*time.Hour, same, three); at.After(time.Now()) {
			t.Errorf("the standbys change at %v", at)
		}
		wantChains(t, a, "current "+nameOf(u1), "standby "+nameOf(three), "past "+nameOf(stolen))
	})
}

// What was announced is withdrawn with its standbys.
func TestWithdrawStandby(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		u2, _ := testUnit(t, "two")
		u3, _ := testUnit(t, "three")
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		adopt(t, a, time.Hour, u2, u3)
		same, _ := testUnit(t, "one")
		adopt(t, a, time.Hour, same)
		wantChains(t, a, "current "+nameOf(u1))
	})
}

// A chain that would end before it takes over is refused.
func TestAdoptEnding(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		u2, r2 := chainUnit(t, pkitest.TSA(t, pkitest.Options{Name: "two", NotAfter: time.Now().Add(time.Hour).Truncate(time.Second)}))
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		other := newTSA(t, Config{Units: []Unit{u2}, Announce: rotate})
		if at, err := a.Adopt(t.Context(), other.TSA); err == nil {
			t.Errorf("takes over at %v", at)
		}
		wantChains(t, a, "current "+nameOf(u1))
		time.Sleep(2 * time.Minute)
		if r2.closed.Load() {
			t.Error("what was not adopted was closed")
		}
	})
}

// The last tokens of a chain are within the time that is published for it.
func TestUntil(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		time.Sleep(700 * time.Millisecond)
		_, out := a.Respond(t.Context(), tsptest.RequestDER())
		if out.Rejection != nil {
			t.Fatal(out.Rejection)
		}
		u2, _ := testUnit(t, "two")
		adopt(t, a, 0, u2)
		p, err := a.Published()
		if err != nil {
			t.Fatal(err)
		}
		var doc chainsJSON
		if err := json.Unmarshal(p.Chains, &doc); err != nil {
			t.Fatal(err)
		}
		if past := doc.Chains[1]; past.Status != chainPast || past.Until.Before(out.GenTime) {
			t.Errorf("%s until %v, with a token of %v", past.Status, past.Until, out.GenTime)
		}
	})
}

// What is announced does not take over while its key does not sign.
func TestNextKeyFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		u2, r2 := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		adopt(t, a, time.Hour, u2)
		r2.fail(errAway)
		time.Sleep(2 * time.Hour)
		wantIssuer(t, a, nameOf(u1))
		if !strings.Contains(a.log.String(), "key not replaced") {
			t.Errorf("the log does not say so:\n%s", a.log)
		}
		r2.fail(nil)
		time.Sleep(maxPause + time.Second)
		wantIssuer(t, a, nameOf(u2))
	})
}

// A mended CA is not reported as broken until the next stamping key.
func TestAdoptMendedCA(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, ca := testDelegate(t, "ca")
		a := newTSA(t, Config{Delegate: d, Announce: time.Hour})
		a.run(t)
		_, until := a.Window()
		ca.fail(errAway)
		time.Sleep(time.Until(until) + time.Second)
		if a.State().Keys[1].Err == nil {
			t.Fatal("the key that certifies is not said to fail")
		}
		mended, _ := testDelegate(t, "ca")
		if _, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: mended, Announce: time.Hour}).TSA); err != nil {
			t.Fatal(err)
		}
		wantIssuer(t, a, "unit")
		if s := a.State(); s.Keys[1].Err != nil || s.Made != 2 {
			t.Errorf("state %+v", s)
		}
	})
}

// What could not be written is written later, without another occasion.
func TestHistoryGone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "chains")
		h, err := OpenHistory(dir)
		if err != nil {
			t.Fatal(err)
		}
		u1, _ := testUnit(t, "one")
		a := newTSA(t, Config{Units: []Unit{u1}, History: h})
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		a.run(t)
		time.Sleep(time.Second)
		if !strings.Contains(a.log.String(), "history not written") {
			t.Errorf("the log does not say so:\n%s", a.log)
		}
		if err := os.Rename(dir+".gone", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * maxStep)
		if all, err := h.read(); err != nil || len(all) != 1 {
			t.Errorf("%d entries, %v", len(all), err)
		}
		// A history in another folder has all of them too.
		moved, err := OpenHistory(dir + ".moved")
		if err != nil {
			t.Fatal(err)
		}
		u2, _ := testUnit(t, "two")
		if _, err := a.Adopt(t.Context(), newTSA(t, Config{Units: []Unit{u2}, History: moved}).TSA); err != nil {
			t.Fatal(err)
		}
		if all, err := moved.read(); err != nil || len(all) != 2 {
			t.Errorf("%d entries, %v", len(all), err)
		}
	})
}
