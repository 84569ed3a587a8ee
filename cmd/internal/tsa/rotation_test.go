package tsa

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// adopt has a replace its units by u, after announce.
func adopt(t *testing.T, a testTSA, announce time.Duration, u ...Unit) time.Time {
	t.Helper()
	at, err := a.Adopt(t.Context(), newTSA(t, Config{Units: u, Announce: announce}).TSA)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAdopt(t *testing.T) {
	const day = 24 * time.Hour
	names := func(u Unit) string { return u.Authority.Chain()[0].Subject.CommonName }
	inBubble(t, func(t *testing.T) {
		u1, r1 := testUnit(t, "one")
		u2, r2 := testUnit(t, "two")
		one, two := names(u1), names(u2)
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		start := time.Now()

		if at := adopt(t, a, day, u2); !at.Equal(start.Add(day)) {
			t.Errorf("takes over at %v, want a day from %v", at, start)
		}
		wantIssuer(t, a, one)
		wantChains(t, a, "announced "+two, "current "+one)
		if s := a.State(); s.Next == nil || !s.Next.At.Equal(start.Add(day)) {
			t.Errorf("state %+v", s.Next)
		}

		// The same again does not begin the day anew, and gives the keys that
		// were opened before back.
		time.Sleep(day / 2)
		again, rAgain := testUnit(t, "two")
		if at := adopt(t, a, day, again); !at.Equal(start.Add(day)) {
			t.Errorf("after a second reload it takes over at %v, want %v", at, start.Add(day))
		}
		time.Sleep(day/2 - time.Second)
		wantIssuer(t, a, one)
		if !r2.closed.Load() {
			t.Error("the key that was replaced before it was used is still open")
		}
		time.Sleep(2 * time.Second)
		wantIssuer(t, a, two)
		wantChains(t, a, "current "+two, "past "+one)
		if r1.closed.Load() {
			t.Error("the key before was closed while requests may be under way")
		}
		time.Sleep(time.Minute)
		if !r1.closed.Load() || rAgain.closed.Load() {
			t.Errorf("closed: the key before %v, the one in use %v", r1.closed.Load(), rAgain.closed.Load())
		}
		for _, want := range []string{"chain announced", "key replaced"} {
			if !strings.Contains(a.log.String(), want) {
				t.Errorf("the log does not say %q", want)
			}
		}

		// Back to the one before, which clients know for a day and more: at once.
		back, _ := testUnit(t, "one")
		if at := adopt(t, a, day, back); at.After(time.Now()) {
			t.Errorf("a chain that is known waits until %v", at)
		}
		wantIssuer(t, a, one)
		wantChains(t, a, "current "+one, "past "+two)
	})
}

// A reload that takes an announced chain back leaves the one in use.
func TestAdoptWithdrawn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u1, _ := testUnit(t, "one")
		u2, r2 := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		adopt(t, a, time.Hour, u2)
		same, _ := testUnit(t, "one")
		adopt(t, a, time.Hour, same)
		time.Sleep(2 * time.Hour)
		one := u1.Authority.Chain()[0].Subject.CommonName
		wantIssuer(t, a, one)
		wantChains(t, a, "current "+one)
		if !r2.closed.Load() {
			t.Error("the key that was taken back is still open")
		}

		// What the configuration announces and no longer does is gone too.
		two := pkitest.TSA(t, pkitest.Options{Name: "two"}).Certificates()
		for _, test := range []struct {
			announced [][]*x509.Certificate
			want      []string
		}{{[][]*x509.Certificate{two}, []string{"announced " + two[0].Subject.CommonName, "current " + one}}, {nil, []string{"current " + one}}} {
			u, _ := testUnit(t, "one")
			if _, err := a.Adopt(t.Context(), newTSA(t, Config{Units: []Unit{u}, Announced: test.announced}).TSA); err != nil {
				t.Fatal(err)
			}
			wantChains(t, a, test.want...)
		}
	})
}

// Nobody waits for the announcement of a chain where the one before ends, or
// its key is dead.
func TestAdoptAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ends := time.Now().Add(time.Hour).Truncate(time.Second)
		u1, _ := chainUnit(t, pkitest.TSA(t, pkitest.Options{Name: "one", NotAfter: ends}))
		u2, _ := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1}})
		a.run(t)
		if at := adopt(t, a, 24*time.Hour, u2); !at.Equal(ends.Add(-handOver)) {
			t.Errorf("takes over at %v, want a minute before the chain before ends, %v", at, ends)
		}
		time.Sleep(time.Until(ends) + time.Millisecond)
		wantIssuer(t, a, u2.Authority.Chain()[0].Subject.CommonName)

		u3, _ := testUnit(t, "three")
		r := mustRemote(t, a)
		r.fail(errAway)
		a.issuer(t)
		if at := adopt(t, a, 24*time.Hour, u3); at.After(time.Now()) {
			t.Errorf("a dead key is kept until %v", at)
		}
		wantIssuer(t, a, u3.Authority.Chain()[0].Subject.CommonName)
	})
}

// mustRemote puts a key that can fail behind the unit in use.
func mustRemote(t *testing.T, a testTSA) *remote {
	t.Helper()
	u, r := testUnit(t, "two")
	adopt(t, a, 0, u)
	return r
}

// No request is lost while keys are replaced at full speed.
func TestAdoptUnderLoad(t *testing.T) {
	u1, _ := testUnit(t, "one")
	a := newTSA(t, Config{Units: []Unit{u1}})
	a.run(t)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var granted atomic.Int64
	for range 8 {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, out := a.Respond(context.Background(), tsptest.RequestDER()); out.Rejection != nil {
					t.Errorf("refused: %v", out.Rejection)
					return
				}
				granted.Add(1)
			}
		})
	}
	for _, name := range []string{"two", "three", "one", "two", "three", "one", "two", "three"} {
		u, _ := testUnit(t, name)
		adopt(t, a, 0, u)
		before := granted.Load()
		for granted.Load() < before+50 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	group.Wait()
}

func TestHistory(t *testing.T) {
	const day = 24 * time.Hour
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		open := func(announce time.Duration, u ...Unit) testTSA {
			h, err := OpenHistory(dir)
			if err != nil {
				t.Fatal(err)
			}
			return newTSA(t, Config{Units: u, History: h, Announce: announce})
		}
		u1, _ := testUnit(t, "one")
		u2, _ := testUnit(t, "two")
		u3, _ := testUnit(t, "three")
		name := func(u Unit) string { return u.Authority.Chain()[0].Subject.CommonName }
		a := open(0, u1)
		a.run(t)
		wantChains(t, a, "current "+name(u1))
		if _, err := a.Adopt(t.Context(), open(day, u2).TSA); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day + time.Second)
		wantChains(t, a, "current "+name(u2), "past "+name(u1))
		// Its last request may have taken ten seconds.
		replaced := time.Now().Add(-time.Second + 10*time.Second + 2*time.Second).Truncate(time.Second)

		// The process ends; the next has a third.
		time.Sleep(time.Hour)
		b := open(day, u3)
		wantChains(t, b, "current "+name(u3), "past "+name(u2), "past "+name(u1))
		p, err := b.Published()
		if err != nil {
			t.Fatal(err)
		}
		var doc chainsJSON
		if err := json.Unmarshal(p.Chains, &doc); err != nil {
			t.Fatal(err)
		}
		if got := doc.Chains[2].Until; !got.Equal(replaced) {
			t.Errorf("the first was in use until %v, want %v", got, replaced)
		}
		if got := doc.Chains[0].From; !got.Equal(pkitest.NotBefore()) {
			t.Errorf("the current one can be used from %v", got)
		}
	})
}
