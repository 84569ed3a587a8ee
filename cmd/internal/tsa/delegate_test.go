package tsa

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
)

const rotate = 24 * time.Hour

// testDelegate makes stamping keys below a test chain, with a key elsewhere.
func testDelegate(t testing.TB, name string) (*Delegate, *remote) {
	t.Helper()
	chain := pkitest.TSA(t, pkitest.Options{Name: name})
	key, err := signer.New(chain.IntermediateKey)
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{Signer: key}
	return &Delegate{
		CA: r, Chain: chain.Certificates()[1:], Subject: pkix.Name{CommonName: "unit"},
		Rotate: rotate, Validity: 365 * 24 * time.Hour,
		New: func(key *signer.Key, chain []*x509.Certificate) (*authority.Authority, error) {
			return testAuthority(t, key, chain), nil
		},
		Close: func() error { r.closed.Store(true); return nil },
	}, r
}

func serialNow(a testTSA) string { return serialOf(a.Authority().Chain()[0]) }

func TestDelegate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, ca := testDelegate(t, "ca")
		h, err := OpenHistory(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a := newTSA(t, Config{Delegate: d, Announce: rotate, History: h})
		a.run(t)
		first := serialNow(a)
		leaf := a.Authority().Chain()[0]
		_, end, ok, err := pki.PrivateKeyUsagePeriod(leaf)
		if err != nil || !ok || !end.Equal(start.Add(rotate).Truncate(time.Second)) {
			t.Errorf("the use of the key ends %v, %v, %v; want a day from %v", end, ok, err, start)
		}
		if want := leaf.NotBefore.Add(d.Validity); !leaf.NotAfter.Equal(want) {
			t.Errorf("the certificate ends %v, want %v", leaf.NotAfter, want)
		}
		time.Sleep(time.Minute) // the next one is made and announced
		wantChains(t, a, "announced unit", "current unit")
		if got := a.issuer(t); got != "unit" || serialNow(a) != first {
			t.Errorf("issued by %s", got)
		}
		if n := ca.calls.Load(); n != 2 {
			t.Errorf("the key that certifies was used %d times, want 2", n)
		}
		for range 100 {
			wantIssuer(t, a, "unit")
		}
		if n := ca.calls.Load(); n != 2 {
			t.Errorf("the key that certifies was used %d times for 100 tokens", n)
		}

		// A month: a key a day, no request refused, all chains there.
		for range 30 {
			time.Sleep(rotate)
			wantIssuer(t, a, "unit")
		}
		if n := ca.calls.Load(); n < 30 || n > 34 {
			t.Errorf("%d keys in 30 days", n)
		}
		p, err := a.Published()
		if err != nil {
			t.Fatal(err)
		}
		var doc chainsJSON
		if err := json.Unmarshal(p.Chains, &doc); err != nil || len(doc.Chains) < 31 {
			t.Errorf("%d chains, %v", len(doc.Chains), err)
		}
		seen := map[string]bool{}
		for _, c := range doc.Chains {
			if seen[c.Certificates[0].SHA256] {
				t.Error("a chain is there twice")
			}
			seen[c.Certificates[0].SHA256] = true
		}
		if s := a.State(); s.Keys[1].Name != CAKeyName || s.Made != ca.calls.Load() || s.Failed != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// While the key that certifies is away the stamping key goes on, to the end of
// its use and no further; when it is back all is well by itself.
func TestDelegateAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, ca := testDelegate(t, "ca")
		a := newTSA(t, Config{Delegate: d, Announce: time.Hour})
		a.run(t)
		_, until := a.Window()
		ca.fail(errAway)
		time.Sleep(time.Until(until) - time.Second)
		wantIssuer(t, a, "unit")
		if k := a.State().Keys[1]; k.Kind != "unreachable" || k.Err == nil || k.Failures < 10 || k.Failures > 60 {
			t.Errorf("the key that certifies: %+v", k)
		}
		time.Sleep(3 * time.Second)
		if got := a.issuer(t); got != "systemFailure" {
			t.Errorf("after the end of the use of the key: %s", got)
		}
		if err := a.Ready(t.Context()); !errors.Is(err, tsp.SystemFailure) {
			t.Errorf("ready: %v", err)
		}
		ca.fail(nil)
		time.Sleep(maxMintPause + time.Second)
		wantIssuer(t, a, "unit")
		if k := a.State().Keys[1]; k.Err != nil {
			t.Errorf("the key that certifies: %+v", k)
		}
	})
}

// A reload with the same CA does not change the stamping key; one with another
// does, after the announcement.
func TestDelegateReload(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, r := testDelegate(t, "ca")
		a := newTSA(t, Config{Delegate: d, Announce: rotate})
		a.run(t)
		first := serialNow(a)
		same, rSame := testDelegate(t, "ca")
		if _, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: same, Announce: rotate}).TSA); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if serialNow(a) != first {
			t.Error("the stamping key was replaced without need")
		}
		if !r.closed.Load() || rSame.closed.Load() {
			t.Errorf("closed: the handle before %v, the fresh one %v", r.closed.Load(), rSame.closed.Load())
		}
		other, _ := testDelegate(t, "other")
		at, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: other, Announce: 6 * time.Hour}).TSA)
		if err != nil || !at.Equal(time.Now().Add(6*time.Hour)) {
			t.Errorf("takes over at %v, %v", at, err)
		}
		time.Sleep(6*time.Hour + time.Second)
		if got := a.Authority().Chain()[1]; !got.Equal(other.Chain[0]) {
			t.Errorf("issued below %s", got.Subject)
		}
		wantIssuer(t, a, "unit")
		for range 3 {
			time.Sleep(rotate)
			wantIssuer(t, a, "unit")
		}
	})
}

// A reload that changes what tokens promise does so at once, and leaves the
// stamping keys, that which comes next too.
func TestDelegateReconfigured(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, _ := testDelegate(t, "ca")
		a := newTSA(t, Config{Delegate: d, Announce: rotate})
		a.run(t)
		time.Sleep(time.Minute)
		first, next := serialNow(a), a.State().Next
		if next == nil {
			t.Fatal("nothing is announced")
		}
		changed, _ := testDelegate(t, "ca")
		changed.New = func(key *signer.Key, chain []*x509.Certificate) (*authority.Authority, error) {
			return configured(t, key, chain, func(cfg *authority.Config) { cfg.Accuracy = 5 * time.Second }), nil
		}
		if _, err := a.Adopt(t.Context(), newTSA(t, Config{Delegate: changed, Announce: rotate}).TSA); err != nil {
			t.Fatal(err)
		}
		wantChains(t, a, "announced unit", "current unit")
		if got := a.Authority().Accuracy(); got != 5*time.Second || serialNow(a) != first {
			t.Errorf("accuracy %v, key %s, want 5s and %s", got, serialNow(a), first)
		}
		if got := a.State().Next; got == nil || *got != *next {
			t.Errorf("next is %v, want %v", got, next)
		}
		time.Sleep(rotate)
		if got := a.Authority().Accuracy(); got != 5*time.Second || serialNow(a) == first {
			t.Errorf("after the rotation: accuracy %v, key %s", got, serialNow(a))
		}
	})
}

// Two processes with one folder publish each other's chains.
func TestSharedHistory(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		start := func(name string) testTSA {
			h, err := OpenHistory(dir)
			if err != nil {
				t.Fatal(err)
			}
			d, _ := testDelegate(t, "ca")
			d.Subject.CommonName = name
			a := newTSA(t, Config{Delegate: d, Announce: rotate, History: h})
			a.run(t)
			return a
		}
		a := start("a")
		time.Sleep(time.Hour)
		b := start("b")
		time.Sleep(2 * maxStep)
		for _, test := range []struct {
			tsa  testTSA
			mine string
		}{{a, "a"}, {b, "b"}} {
			count := map[string]int{}
			for _, c := range test.tsa.chains(t) {
				count[c]++
			}
			if count["announced a"] != 1 || count["announced b"] != 1 || count["current "+test.mine] != 1 || len(count) != 4 {
				t.Errorf("%s publishes %v", test.mine, count)
			}
		}
	})
}

func TestDelegateRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, ca := testDelegate(t, "ca")
		ca.fail(errAway)
		if _, err := New(t.Context(), Config{Delegate: d, Clock: testClock()}); !errors.Is(err, errAway) {
			t.Errorf("the key is away: %v", err)
		}
		ca.fail(nil)
		ca.wrong.Store(true)
		if _, err := New(t.Context(), Config{Delegate: d, Clock: testClock()}); err == nil {
			t.Error("a certificate with a wrong signature was taken")
		}
		d, _ = testDelegate(t, "ca")
		d.Chain = pkitest.TSA(t, pkitest.Options{Name: "other"}).Certificates()[1:]
		if _, err := New(t.Context(), Config{Delegate: d, Clock: testClock()}); err == nil {
			t.Error("the chain of another key was taken")
		}
	})
}
