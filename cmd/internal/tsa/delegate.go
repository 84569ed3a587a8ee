package tsa

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A Delegate makes stamping keys: P-256 keys in memory, each with a certificate
// by a key elsewhere, which signs nothing else and is used once in a while.
//
// What that costs in trust: the certificate of a stamping key is valid for
// longer than the key is used, so that its tokens can be verified for long. Only
// the privateKeyUsagePeriod (EN 319 422, 6.4) says when the use ends. Package
// verify holds to it; Notation and Sigstore do not look at it, and to them
// whoever steals a stamping key out of this process can stamp any time until
// the certificate ends.
type Delegate struct {
	// CA is the key that certifies.
	CA signer.Signer
	// Key and External are as those of Unit, for the key that certifies.
	Key      string
	External bool
	// Chain is its chain, its own certificate first.
	Chain []*x509.Certificate
	// Subject is the name of the stamping keys.
	Subject pkix.Name
	// Rotate is how long each is used.
	Rotate time.Duration
	// Validity is how long each certificate is valid. It is longer than Rotate,
	// and its certificate ends with that of the CA at the latest.
	Validity time.Duration
	// Timeout bounds one certification. Zero: probeTimeout.
	Timeout time.Duration
	// New makes an authority of a stamping key and its chain.
	New func(*signer.Key, []*x509.Certificate) (*authority.Authority, error)
	// Close gives the key that certifies back. Nil: there is nothing to give
	// back.
	Close func() error
	// Abandoned is that of Unit, for the key that certifies.
	Abandoned func() int64
}

// mint makes a stamping key that is used from start on.
func (d *Delegate) mint(ctx context.Context, start time.Time) (Unit, error) {
	fail := func(err error) (Unit, error) { return Unit{}, fmt.Errorf("tsa: making a stamping key: %w", err) }
	if d.CA == nil || len(d.Chain) == 0 {
		return fail(errNoCA)
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = probeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key, err := signer.Generate(signer.P256)
	if err != nil {
		return fail(err)
	}
	ca := d.Chain[0]
	notBefore := time.Now().Add(-pki.Backdate)
	if notBefore.Before(ca.NotBefore) {
		notBefore = ca.NotBefore
	}
	notAfter := notBefore.Add(d.Validity)
	if ends := d.ends(); notAfter.After(ends) {
		notAfter = ends
	}
	// EN 319 421, TIS-7.6.7: the use ends before the certificate.
	useEnds := start.Add(d.Rotate)
	if last := notAfter.Add(-time.Second); useEnds.After(last) {
		useEnds = last
	}
	if !useEnds.After(start) {
		return fail(fmt.Errorf("its certificate would end on %s, before it is used on %s: the CA ends on %s",
			notAfter.UTC().Format(time.RFC3339), start.UTC().Format(time.RFC3339), d.ends().UTC().Format(time.RFC3339)))
	}
	leaf, err := pki.CreateLeaf(pki.Config{
		Role: pki.RoleTSA, Subject: d.Subject, PublicKey: key.Public(),
		Issuer: ca, IssuerKey: signer.Crypto(ctx, d.CA),
		NotBefore: notBefore, NotAfter: notAfter, PrivateKeyNotAfter: useEnds,
	})
	if err != nil {
		return fail(err)
	}
	chain := append([]*x509.Certificate{leaf}, d.Chain...)
	if err := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: key.Public()}).Err(); err != nil {
		return fail(err)
	}
	a, err := d.New(key, chain)
	if err != nil {
		return fail(err)
	}
	return Unit{Authority: a, stamping: key}, nil
}

// ends is when the first certificate of the chain does.
func (d *Delegate) ends() time.Time {
	end := d.Chain[0].NotAfter
	for _, c := range d.Chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// same says that other would make the same keys. No delegate is like none.
func (d *Delegate) same(other *Delegate) bool {
	return d != nil && other != nil && d.Rotate == other.Rotate && d.Validity == other.Validity &&
		d.Subject.String() == other.Subject.String() && slices.EqualFunc(d.Chain, other.Chain, (*x509.Certificate).Equal)
}

// renewed returns a generation of the same stamping keys, as the configuration
// of d has them.
func (g *generation) renewed(t *TSA, d *Delegate) (*generation, error) {
	var units []Unit
	for _, u := range g.units {
		a, err := d.New(u.stamping, u.Authority.Chain())
		if err != nil {
			return nil, err
		}
		units = append(units, Unit{Authority: a, stamping: u.stamping})
	}
	next := newGeneration(units, t)
	next.delegated = true
	return next, nil
}

// mintState is what is known of the making of the next stamping key.
type mintState struct {
	busy  bool
	err   error // of the last try, nil if it went well
	since time.Time
	retry time.Time
	pause time.Duration
	made  int64
	fails int64
}

// Tries to make a stamping key, when the key that certifies does not.
const (
	firstMintPause = 5 * time.Second
	maxMintPause   = 2 * time.Minute
)

// delegation makes the next stamping key when it is time, and returns when it
// has to be looked at again, zero for never. t.mu is held.
func (t *TSA) delegation(ctx context.Context, group *errgroup.Group, now time.Time) time.Time {
	d := t.cfg.Delegate
	if d == nil || t.next != nil || t.mint.busy {
		return time.Time{}
	}
	_, end := t.Window()
	at := end.Add(-handOver) // it takes over
	begin := at.Add(-t.cfg.Announce)
	if !end.Before(d.ends().Add(-handOver)) {
		return time.Time{} // another key could not be used for longer
	}
	if begin.Before(t.mint.retry) {
		begin = t.mint.retry
	}
	if begin.After(now) {
		return begin
	}
	if at.Before(now) {
		at = now // it is late: the key that certifies was away
	}
	t.mint.busy = true
	group.Go(func() error {
		u, err := d.mint(ctx, at)
		t.minted(ctx, d, u, err, at)
		return nil
	})
	return time.Time{}
}

// minted takes the result of mint.
func (t *TSA) minted(ctx context.Context, d *Delegate, u Unit, err error, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.poke()
	t.mint.busy = false
	now := time.Now()
	if d != t.cfg.Delegate || ctx.Err() != nil {
		return // the configuration has changed meanwhile
	}
	if err != nil {
		t.mint.fails++
		if t.mint.err == nil {
			t.mint.since = now
		}
		t.mint.pause = max(firstMintPause, min(2*t.mint.pause, maxMintPause))
		t.mint.err, t.mint.retry = err, now.Add(t.mint.pause)
		t.log.LogAttrs(ctx, slog.LevelError, "stamping key not made",
			slog.String("kind", string(kindOf(err))), slog.String("detail", err.Error()), slog.Time("retry", t.mint.retry))
		t.event(Event{Kind: EventNotMade, Name: CAKeyName, Key: d.Key, Certificate: d.Chain[0], Err: err})
		return
	}
	// Whatever is wrong with the times, the key that certifies is not used again
	// and again.
	t.mint = mintState{made: t.mint.made + 1, fails: t.mint.fails, retry: now.Add(firstMintPause)}
	g := newGeneration([]Unit{u}, t)
	g.delegated = true
	t.next = &succession{generation: g, at: at.Round(0)}
	t.announced(at)
	t.republish(now)
}
