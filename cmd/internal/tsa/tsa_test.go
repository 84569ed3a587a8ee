package tsa

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A remote is a key that behaves as if it were elsewhere.
type remote struct {
	signer.Signer
	fault  atomic.Pointer[error] // what Sign returns; nil: it signs
	hangs  atomic.Bool
	wrong  atomic.Bool
	calls  atomic.Int64
	closed atomic.Bool
}

func (r *remote) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.calls.Add(1)
	switch {
	case r.closed.Load():
		return nil, errors.New("the key is closed")
	case r.hangs.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	case r.fault.Load() != nil:
		return nil, *r.fault.Load()
	case r.wrong.Load():
		digest = append([]byte{digest[0] ^ 1}, digest[1:]...)
	}
	return r.Signer.Sign(ctx, digest, opts)
}

// fail has the key return err, or sign again if it is nil.
func (r *remote) fail(err error) {
	if err == nil {
		r.fault.Store(nil)
		return
	}
	r.fault.Store(&err)
}

// testUnit makes a unit on a chain of that name, whose key is elsewhere.
func testUnit(t *testing.T, name string) (Unit, *remote) {
	t.Helper()
	return chainUnit(t, pkitest.TSA(t, pkitest.Options{Name: name}))
}

func chainUnit(t *testing.T, chain *pkitest.Chain) (Unit, *remote) {
	t.Helper()
	key, err := signer.New(chain.LeafKey)
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{Signer: key}
	return Unit{
		Authority: testAuthority(t, r, chain.Certificates()),
		External:  true,
		Close:     func() error { r.closed.Store(true); return nil },
		Abandoned: func() int64 { return 0 },
	}, r
}

func testAuthority(t testing.TB, key authority.Signer, chain []*x509.Certificate) *authority.Authority {
	t.Helper()
	return configured(t, key, chain, func(*authority.Config) {})
}

func configured(t testing.TB, key authority.Signer, chain []*x509.Certificate, change func(*authority.Config)) *authority.Authority {
	t.Helper()
	policy, err := x509.ParseOID(tsptest.PolicyOID)
	if err != nil {
		t.Fatal(err)
	}
	cfg := authority.Config{Signer: key, Chain: chain, Clock: testClock(), Policy: policy}
	change(&cfg)
	a, err := authority.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// inBubble runs a test where time passes as nobody waits, from a time at which
// the test chains are valid.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(pkitest.NotBefore().AddDate(6, 0, 0)))
		f(t)
	})
}

type testTSA struct {
	*TSA
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newTSA(t *testing.T, cfg Config) testTSA {
	t.Helper()
	log := new(lockedBuffer)
	cfg.Clock, cfg.Log = clock.System(100*time.Millisecond), slog.New(slog.NewTextHandler(log, nil))
	if cfg.SignTimeout == 0 {
		cfg.SignTimeout = 10 * time.Second
	}
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return testTSA{a, log}
}

// run does what has its time until the test ends.
func (a testTSA) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// issuer asks for a token and returns who issued it, or the refusal.
func (a testTSA) issuer(t *testing.T) string {
	t.Helper()
	request := tsptest.Request()
	request.CertReq = true
	der, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	reply, out := a.Respond(t.Context(), der)
	if out.Rejection != nil {
		return out.Rejection.Info.String()
	}
	parsed, err := tsp.ParseResponse(reply)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range parsed.Token.Certificates {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !c.IsCA {
			return c.Subject.CommonName
		}
	}
	t.Fatal("no certificate in the token")
	return ""
}

// chains returns the status and the leaf of each chain as it is published.
func (a testTSA) chains(t *testing.T) []string {
	t.Helper()
	p, err := a.Published()
	if err != nil {
		t.Fatal(err)
	}
	var doc chainsJSON
	if err := json.Unmarshal(p.Chains, &doc); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range doc.Chains {
		_, name, _ := strings.Cut(c.Certificates[0].Subject, "CN=")
		name, _, _ = strings.Cut(name, ",")
		all = append(all, string(c.Status)+" "+name)
	}
	return all
}

func wantChains(t *testing.T, a testTSA, want ...string) {
	t.Helper()
	if got := a.chains(t); !slices.Equal(got, want) {
		t.Errorf("chains: %q, want %q", got, want)
	}
}

func wantIssuer(t *testing.T, a testTSA, want string) {
	t.Helper()
	if got := a.issuer(t); got != want {
		t.Errorf("issued by %q, want %q\n%s", got, want, a.log)
	}
}

var errAway = fault.New(fault.Unreachable, "sign", "connection refused").WithHint("start the service")

func TestFailover(t *testing.T) {
	for _, test := range []struct {
		name         string
		breaks, mend func(*remote)
		kind         string
	}{
		{"error", func(r *remote) { r.fail(errAway) }, func(r *remote) { r.fail(nil) }, "unreachable"},
		{"hangs", func(r *remote) { r.hangs.Store(true) }, func(r *remote) { r.hangs.Store(false) }, "timeout"},
		{"signs wrongly", func(r *remote) { r.wrong.Store(true) }, func(r *remote) { r.wrong.Store(false) }, "wrong-signature"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				u1, r1 := testUnit(t, "one")
				u2, r2 := testUnit(t, "two")
				a := newTSA(t, Config{Units: []Unit{u1, u2}})
				a.run(t)
				one, two := u1.Authority.Chain()[0].Subject.CommonName, u2.Authority.Chain()[0].Subject.CommonName
				wantIssuer(t, a, one)
				wantChains(t, a, "current "+one, "standby "+two)

				test.breaks(r1)
				start := time.Now()
				wantIssuer(t, a, two)
				if d := time.Since(start); d >= 10*time.Second {
					t.Errorf("the standby took over after %v, not within the time of the request", d)
				}
				if err := a.Ready(t.Context()); err != nil {
					t.Errorf("not ready although the standby signs: %v", err)
				}
				s := a.State()
				if k := s.Keys[0]; k.Err == nil || string(k.Kind) != test.kind || k.Issues || !s.Keys[1].Issues || k.Failures == 0 {
					t.Errorf("state %+v", s)
				}
				if p, err := a.Published(); err != nil || !bytes.HasPrefix(p.Chain, firstPEM(t, u2)) {
					t.Error("the chain of the standby is not published as the one in use")
				}
				before := r1.calls.Load()
				wantIssuer(t, a, two)
				if after := r1.calls.Load(); after != before {
					t.Error("a key that failed is asked by each request")
				}

				if got := a.State().WrongTokens; got > 1 || (got == 1) != (test.kind == "wrong-signature") {
					t.Errorf("%d wrong tokens", got)
				}

				test.breaks(r2)
				if got := a.issuer(t); got != "systemFailure" {
					t.Errorf("with all keys broken: %s", got)
				}
				if err := a.Ready(t.Context()); !errors.Is(err, tsp.SystemFailure) {
					t.Errorf("ready with all keys broken: %v", err)
				}

				// Trials while it lasts find the same.
				time.Sleep(maxPause)
				if k := a.State().Keys[0]; string(k.Kind) != test.kind {
					t.Errorf("after a trial the kind is %q: %v", k.Kind, k.Err)
				}

				test.mend(r1)
				test.mend(r2)
				time.Sleep(maxPause + 10*time.Second)
				if err := a.Ready(t.Context()); err != nil {
					t.Errorf("not ready after the keys came back: %v\n%s", err, a.log)
				}
				wantIssuer(t, a, one)
				for _, want := range []string{"key failed", "key works again", "key=primary", "key=standby-1", "kind=" + test.kind} {
					if !strings.Contains(a.log.String(), want) {
						t.Errorf("the log does not say %q:\n%s", want, a.log)
					}
				}
			})
		})
	}
}

// A standby takes over when the certificate of the first has ended, too.
func TestStandbyAfterTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ends := time.Now().Add(time.Hour).Truncate(time.Second)
		u1, _ := chainUnit(t, pkitest.TSA(t, pkitest.Options{Name: "one", NotAfter: ends}))
		u2, _ := testUnit(t, "two")
		a := newTSA(t, Config{Units: []Unit{u1, u2}})
		a.run(t)
		time.Sleep(2 * time.Hour)
		wantIssuer(t, a, u2.Authority.Chain()[0].Subject.CommonName)
		if err := a.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
		if !a.State().Keys[1].Issues || !a.Authority().Chain()[0].Equal(u2.Authority.Chain()[0]) {
			t.Error("the standby is not said to issue")
		}
	})
}

// A client that hangs up is not the fault of the key.
func TestClientGone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u, r := testUnit(t, "one")
		a := newTSA(t, Config{Units: []Unit{u}})
		r.hangs.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, out := a.Respond(ctx, tsptest.RequestDER()); out.Rejection == nil {
			t.Fatal("a token for a client that has gone")
		}
		if s := a.State(); s.Keys[0].Err != nil {
			t.Errorf("the key is said to have failed: %v", s.Keys[0].Err)
		}
	})
}

// A key that nobody asks for a signature is tried, and its failure makes the
// server not ready before a client finds out.
func TestIdleProbe(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u, r := testUnit(t, "one")
		a := newTSA(t, Config{Units: []Unit{u}})
		a.run(t)
		r.fail(errAway)
		time.Sleep(idleProbe + time.Second)
		if err := a.Ready(t.Context()); !errors.Is(err, tsp.SystemFailure) {
			t.Errorf("ready with a dead key: %v", err)
		}
		calls := r.calls.Load()
		time.Sleep(10 * time.Minute)
		if n := r.calls.Load() - calls; n < 15 || n > 60 {
			t.Errorf("%d trials in ten minutes", n)
		}
		r.fail(nil)
		time.Sleep(maxPause + time.Second)
		if err := a.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
	})
}

func firstPEM(t *testing.T, u Unit) []byte {
	t.Helper()
	return pki.EncodeChain(u.Authority.Chain()[:1])
}

func testClock() clock.Source { return clock.System(100 * time.Millisecond) }

func TestNewRefused(t *testing.T) {
	u, _ := testUnit(t, "one")
	for _, test := range []struct {
		name string
		cfg  Config
	}{
		{"nothing", Config{}},
		{"no clock", Config{Units: []Unit{u}}},
		{"no units", Config{Clock: testClock()}},
		{"no authority", Config{Clock: testClock(), Units: []Unit{{}}}},
		{"units and a delegate", Config{Clock: testClock(), Units: []Unit{u}, Delegate: &Delegate{}}},
		{"delegate without a key", Config{Clock: testClock(), Delegate: &Delegate{}}},
	} {
		if _, err := New(t.Context(), test.cfg); err == nil {
			t.Errorf("%s: no error", test.name)
		}
	}
}
