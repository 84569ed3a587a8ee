package authority

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Signer signs with one private key. Sign ends when ctx does, may be called
// from several goroutines at once, and neither changes nor keeps digest. For
// an Ed25519 key, digest is the whole message and opts.HashFunc() is 0.
//
// A Signer that has a method InProcess() bool which returns true signs in the
// memory of this process; then only a sample of its signatures is checked.
type Signer interface {
	Public() crypto.PublicKey
	Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Include says which certificates go into a token whose requester asks for
// them (certReq).
type Include int

const (
	// IncludeChain includes the leaf and the intermediates, but no root: what
	// a verifier that has the root needs.
	IncludeChain Include = iota
	// IncludeLeaf includes the leaf only.
	IncludeLeaf
	// IncludeRoot includes the root as well, which the chain must then have.
	IncludeRoot
)

// Limits and defaults of a [Config].
const (
	// DefaultAccuracy is what a token promises unless configured otherwise:
	// what EN 319 421, TIS-7.7.2-03 allows at most.
	DefaultAccuracy = time.Second

	// DefaultCheckEvery is how many signatures of a key in memory there are
	// for each one that is checked. Checking P-256 costs twice what signing
	// does; one in 1024 is a fault of seconds under load, found for 0.2 %.
	DefaultCheckEvery = 1024

	// maxAccuracy is the greatest accuracy that can be meant. More is a
	// mistake in the unit.
	maxAccuracy = 24 * time.Hour

	// maxChain is the longest chain. Each certificate may go into each token.
	maxChain = 10

	// selfTest is how long New waits for the signature that proves that the
	// signer works. Key services answer in well under a second.
	selfTest = 30 * time.Second
)

// Config says what an [Authority] is made of.
type Config struct {
	// Signer holds the private key. Required.
	Signer Signer

	// Chain is the certificate of the key, then its issuer and so on; the root
	// at the end may be left out. Required. The leaf must be what RFC 3161,
	// 2.3 demands: no CA, with the extended key usage timeStamping, that one
	// alone and critical.
	Chain []*x509.Certificate

	// Clock tells the time. Required. A [clock.Guard] is put before it. One
	// Guard handed to several Authorities, one after the other or at once,
	// remembers for all of them what time it has been.
	Clock clock.Source

	// Policy is the TSA policy of tokens whose requester names none. Required.
	Policy x509.OID

	// AcceptedPolicies are further policies that a requester may name. Policy
	// is always accepted.
	AcceptedPolicies []x509.OID

	// Hashes are the algorithms that an imprint may be made with: SHA-2 and
	// SHA-3 with 256 bits or more. Nil: SHA-256, SHA-384 and SHA-512.
	Hashes []crypto.Hash

	// Accuracy is what each token promises, rounded up to microseconds. No
	// token is issued while the clock's error bound is greater. Zero: 1 s.
	Accuracy time.Duration

	// Precision is the step of genTime: a second, a millisecond or a
	// microsecond. Zero: a millisecond. It must be below Accuracy. While the
	// clock's error bound is a millisecond or more the step is no finer than
	// that, and while it is a measured second or more no finer than a second:
	// a token says no more than its clock knows.
	//
	// The time is cut, not rounded, so that a token is never ahead of its
	// clock. With a millisecond, genTime has three digits after the point or
	// none: where DER would strip a final zero, the millisecond before is
	// written, for verifiers that know no other form (sigstore-js). What is
	// cut counts as error of the clock, except beside a bound that is only
	// declared (clock.StateUnmonitored), which no one means to the millisecond.
	Precision time.Duration

	// Include says which certificates come along for those who ask. The zero
	// value is IncludeChain.
	Include Include

	// TSAName puts the subject of the leaf into the tsa field of each token.
	// Without it the field is absent: the certificate says the same.
	TSAName bool

	// Digest is the hash of the token itself: SHA-256, SHA-384 or SHA-512.
	// Zero: SHA-256 for RSA and P-256, SHA-384 for P-384, SHA-512 for P-521
	// and Ed25519. With Ed25519 there is no other (RFC 8419, 3.1).
	Digest crypto.Hash

	// CheckEvery is how many signatures there are for each one that is
	// checked; the first always is. Zero: 1024. All are checked, whatever this
	// says, of a key outside the process, of an RSA key, where one faulty
	// signature can betray the key, and after one check has failed.
	CheckEvery int

	// Rand is where serial numbers come from, from several goroutines at once.
	// Nil: crypto/rand.
	Rand io.Reader

	// Record is called with each token before it is released, from several
	// goroutines at once, and its error keeps the token back (systemFailure).
	// Nil: nothing is recorded.
	Record func(context.Context, tsp.Outcome) error

	// Observe is called with each outcome, granted or not, for counting, from
	// several goroutines at once. Nil: nobody is told.
	Observe func(tsp.Outcome)
}

// New checks cfg and makes an Authority of it. It makes the signer sign a test
// message, which is not a token, and waits up to half a minute for that. It
// does not ask the clock: an Authority may be made ahead of its certificates;
// see [Authority.Ready].
func New(cfg Config) (*Authority, error) {
	a, err := newAuthority(cfg)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return a, nil
}

func newAuthority(cfg Config) (*Authority, error) {
	switch {
	case cfg.Signer == nil:
		return nil, errors.New("no signer")
	case len(cfg.Chain) == 0:
		return nil, errors.New("no certificate chain")
	case cfg.Clock == nil:
		return nil, errors.New("no clock")
	case oid.IsZero(cfg.Policy):
		return nil, errors.New("no policy")
	case cfg.CheckEvery < 0:
		return nil, fmt.Errorf("CheckEvery is %d, below zero", cfg.CheckEvery)
	}
	a := &Authority{
		signer:  cfg.Signer,
		chain:   slices.Clone(cfg.Chain),
		rand:    cfg.Rand,
		record:  cfg.Record,
		observe: cfg.Observe,
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	if err := checkChain(a.chain); err != nil {
		return nil, err
	}
	var err error
	if a.window, err = newWindow(a.chain); err != nil {
		return nil, err
	}
	if err := verifyChain(a.chain, a.window.notBefore); err != nil {
		return nil, err
	}
	if a.scheme, err = newScheme(a.chain[0].PublicKey, cfg.Digest); err != nil {
		return nil, err
	}
	if err := a.setTime(cfg); err != nil {
		return nil, err
	}
	if err := a.setOffer(cfg); err != nil {
		return nil, err
	}
	certs, err := included(a.chain, cfg.Include)
	if err != nil {
		return nil, err
	}
	a.template = newTemplate(a.chain[0], a.scheme, certs)
	a.template.setOptions(a.accuracy, cfg.TSAName)
	a.checker = newChecker(cfg.Signer, a.chain, a.policies, cfg.CheckEvery)
	ctx, cancel := context.WithTimeout(context.Background(), selfTest)
	defer cancel()
	if err := a.scheme.prove(ctx, a.signer); err != nil {
		return nil, err
	}
	return a, nil
}

// setTime sets what has to do with genTime.
func (a *Authority) setTime(cfg Config) error {
	a.accuracy, a.precision = cfg.Accuracy, cfg.Precision
	if a.accuracy == 0 {
		a.accuracy = DefaultAccuracy
	}
	if a.precision == 0 {
		a.precision = time.Millisecond
	}
	if a.accuracy < 0 || a.accuracy > maxAccuracy {
		return fmt.Errorf("accuracy is %v, not between 0 and %v", a.accuracy, maxAccuracy)
	}
	// RFC 3161, 2.4.2 has no finer unit.
	a.accuracy = (a.accuracy + time.Microsecond - 1).Truncate(time.Microsecond)
	switch a.precision {
	case time.Second, time.Millisecond, time.Microsecond:
	default:
		return fmt.Errorf("precision is %v, not a second, a millisecond or a microsecond", a.precision)
	}
	if a.precision >= a.accuracy {
		return fmt.Errorf("precision %v is not below the accuracy %v, which cutting genTime to it would use up", a.precision, a.accuracy)
	}
	limit := a.accuracy
	if a.precision == time.Second {
		limit -= a.precision
	}
	var err error
	a.clock, err = clock.NewGuard(clock.GuardConfig{Source: cfg.Clock, Limit: limit})
	return err
}

// setOffer sets what a requester may ask for.
func (a *Authority) setOffer(cfg Config) error {
	for _, id := range append([]x509.OID{cfg.Policy}, cfg.AcceptedPolicies...) {
		if oid.IsZero(id) {
			return errors.New("an accepted policy is empty")
		}
		if len(oid.Content(id)) > oid.MaxLen {
			return fmt.Errorf("a policy has more than %d octets", oid.MaxLen)
		}
		a.policies = append(a.policies, newPolicy(id))
	}
	a.hashes = slices.Clone(cfg.Hashes)
	if cfg.Hashes == nil {
		a.hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
	}
	if len(a.hashes) == 0 {
		return errors.New("no hash is accepted")
	}
	var names []string
	for _, h := range a.hashes {
		if !oid.Strong(h) {
			return fmt.Errorf("hash %s is not one to stamp: SHA-2 or SHA-3 with 256 bits or more is", oid.HashName(h))
		}
		names = append(names, h.String())
	}
	a.hashNames = strings.Join(names, ", ")
	return nil
}
