// Package revocation finds out whether the certificates of a chain, a timestamp
// authority's or a signer's, are revoked, by asking where they say that one can
// ask: OCSP responders (RFC 6960) and revocation lists (RFC 5280, 4.2.1.13).
//
//	f := revocation.New(revocation.Config{Mode: revocation.Require, Cache: dir})
//	stamp, findings, err := f.Verify(ctx, policy, func(p verify.Policy) (*verify.Timestamp, error) {
//		return p.Token(token, imprint)
//	})
//	findings, err := f.Chain(ctx, chain, time.Now()) // of a chain that was verified
//
// It only transports. What a statement is worth, package verify decides, of one
// from the cache no less than of one just fetched, so neither the network nor
// the cache has to be trusted: who controls them can keep news back, for as
// long as the last statement says that it holds, and cannot make any.
//
// Nobody is asked before the token's signature has been verified and its chain
// leads to a root that the policy trusts: an address in a forged token is not
// visited. See [Fetcher] for what may be visited.
package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/verify"
)

// A Mode says what it means that nobody can tell whether a certificate is
// revoked. The words are those of the command line.
type Mode string

// The modes. In each, a certificate that is revoked is.
const (
	// Soft accepts a certificate of which nothing is known: whoever can cut the
	// network can hide a revocation.
	Soft Mode = "soft"
	// Require refuses it, with [verify.ReasonRevocationUnknown].
	Require Mode = "require"
	// Named refuses it if it names a responder or a list, and accepts one that
	// names none, about which nobody is meant to know. It is the rule of the
	// Notary Project.
	Named Mode = "named"
)

// DefaultTimeout is how long one fetch may take where [Config.Timeout] is zero.
const DefaultTimeout = 10 * time.Second

// Limits on what one verification makes us do.
const (
	// maxURLs bounds the addresses of one kind that are tried for one
	// certificate. Those of public authorities have one or two.
	maxURLs = 3
	// maxRounds bounds the chains that are asked about: cross-certified
	// authorities have two or three.
	maxRounds = 8
	// maxFetches bounds the certificates that one Fetcher asks about at the
	// same time.
	maxFetches = 8
)

// Config says how to ask. The zero value accepts what is not known and keeps
// nothing.
type Config struct {
	// Mode is Soft, Require or Named. Empty means Soft.
	Mode Mode
	// Given is evidence at hand, which counts besides what is fetched.
	Given verify.Evidence
	// AcceptListsAfterExpiry takes lists and answers that were made after a
	// certificate expired, and hold now, for proof that it was not revoked,
	// although they need not know it any more (RFC 5280, 3.3): a certificate
	// that was revoked in time may then pass for good. False asks for a
	// statement that had to know it. The Notary Project does not.
	AcceptListsAfterExpiry bool
	// Offline asks nobody: what is given and what the cache has is all there is.
	Offline bool
	// Cache is the directory that keeps what was fetched for the next process.
	// It is made when there is something to keep. Empty keeps nothing.
	Cache string
	// Timeout is how long one fetch may take, redirects included. Zero means
	// DefaultTimeout.
	Timeout time.Duration
	// UserAgent is that of the requests. Empty means that of net/http.
	UserAgent string
	// Proxy is that of an http.Transport. Nil means http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Warn is told, once, what went wrong without changing the answer: that
	// the cache cannot be written. Nil tells nobody.
	Warn func(error)
}

// A Fetcher asks, each responder and list once in its life. It is safe for
// concurrent use.
//
// It visits http and https addresses that a certificate of a trusted chain
// names, three of a kind at most, and follows up to three redirects. The address
// in the certificate may be inside the own network, as those of a company's CA
// are; a redirect from outside may not lead there. Link-local addresses, and
// others where clouds have their metadata, are never visited.
type Fetcher struct {
	cfg    Config
	cache  cache
	warn   sync.Once
	places chan struct{} // one for each certificate that is asked about

	mu      sync.Mutex
	answers map[string]*answer // by certificate and issuer
	lists   map[string]*list   // by address
}

// New returns a Fetcher.
func New(cfg Config) *Fetcher {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	if cfg.Warn == nil {
		cfg.Warn = func(error) {}
	}
	return &Fetcher{cfg: cfg, cache: cache{dir: cfg.Cache}, places: make(chan struct{}, maxFetches),
		answers: map[string]*answer{}, lists: map[string]*list{}}
}

// A Finding is what was found out about one certificate.
type Finding struct {
	Certificate *x509.Certificate
	// Status is what is known, nil when nothing is.
	Status *verify.RevocationStatus
	// URL is where that was fetched, "" for evidence that was given. Cached
	// says that it was fetched on an earlier occasion.
	URL    string
	Cached bool
	// NoSource says that the certificate names neither a responder nor a list.
	NoSource bool
	// Failed are the sources that gave no answer, each with its address and
	// why. There can be some although Status is known.
	Failed []error
	// Err says why nothing is known, nil when something is.
	Err error
}

// An answer is what was found, with all evidence. Whoever has the turn finds it,
// and others wait for that. It is not changed after done.
type answer struct {
	turn   turn
	items  []item
	failed []error
	// What follows is guarded by Fetcher.mu.
	done    bool
	at      time.Time // when it was weighed last
	weighed Finding   // what came of it
}

// moment is how long evidence is not weighed again: statements count in whole
// seconds, and a search through a large list for each of a thousand signatures
// would take more time than all else.
const moment = time.Second

// A turn is a lock that is waited for no longer than a context lasts.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// An item is one statement, and where it came from.
type item struct {
	verify.RevocationEvidence
	url    string
	cached bool
}

// key is that of a question in memory.
func key(q verify.RevocationQuery) string {
	return string(q.Certificate.Raw) + string(q.Issuer.Raw)
}

// Verify decides by decide, which must verify one timestamp by the policy that
// it gets, and is called again after something was fetched. p.Revocation is
// not asked. The findings are about the certificates of the chain below the
// root, or, where there is no chain that holds, about all that were asked about.
//
// The error is that of decide, or that of ctx.
func (f *Fetcher) Verify(ctx context.Context, p verify.Policy, decide func(verify.Policy) (*verify.Timestamp, error)) (*verify.Timestamp, []Finding, error) {
	c := &checker{fetcher: f}
	p.Revocation = c
	var ts *verify.Timestamp
	var err error
	for round := range maxRounds + 1 {
		c.begin(round == maxRounds)
		ts, err = decide(p)
		missing := c.missing()
		if len(missing) == 0 {
			break
		}
		if err := f.ask(ctx, missing); err != nil {
			return nil, nil, err
		}
	}
	var findings []Finding
	for _, q := range c.asked {
		if ts == nil || inChain(ts.Chain, q) {
			findings = append(findings, f.find(q))
		}
	}
	return ts, findings, err
}

// inChain reports whether a question is about a certificate of the chain, by
// its issuer there.
func inChain(chain []*x509.Certificate, q verify.RevocationQuery) bool {
	i := slices.IndexFunc(chain, q.Certificate.Equal)
	return i >= 0 && i+1 < len(chain) && chain[i+1].Equal(q.Issuer)
}

// A checker answers from what was fetched, and notes what was not. It serves
// one verification.
type checker struct {
	fetcher *Fetcher
	last    bool // nothing more will be fetched
	asked   []verify.RevocationQuery
}

func (c *checker) begin(last bool) { c.asked, c.last = nil, last }

// missing returns the questions that nobody was asked yet.
func (c *checker) missing() []verify.RevocationQuery {
	if c.last {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.asked), func(q verify.RevocationQuery) bool { return c.fetcher.answer(q) != nil })
}

// CheckRevocation implements [verify.RevocationChecker]. A certificate that
// nobody was asked about yet passes for the time being; what then comes of the
// verification is thrown away.
func (c *checker) CheckRevocation(q verify.RevocationQuery) (*verify.Revocation, error) {
	if !slices.ContainsFunc(c.asked, func(old verify.RevocationQuery) bool { return key(old) == key(q) }) {
		c.asked = append(c.asked, q)
	}
	found := c.fetcher.find(q)
	switch {
	case found.Status != nil:
		return found.Status.Revocation, nil
	case !c.last && c.fetcher.answer(q) == nil:
		return nil, nil
	}
	return nil, c.fetcher.refuses(&found)
}

// refuses returns why a certificate of which nothing is known is refused, nil
// when it is not.
func (f *Fetcher) refuses(found *Finding) error {
	if f.cfg.Mode == Require || f.cfg.Mode == Named && !found.NoSource {
		return found.Err
	}
	return nil
}

// answer returns what was found, nil when nobody was asked yet.
func (f *Fetcher) answer(q verify.RevocationQuery) *answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.answers[key(q)]; a != nil && a.done {
		return a
	}
	return nil
}

// find weighs all evidence there is, unless that was done a moment ago.
func (f *Fetcher) find(q verify.RevocationQuery) Finding {
	a := f.answer(q)
	if a == nil {
		return f.weigh(q, &answer{failed: []error{errors.New("too many chains to ask about")}})
	}
	f.mu.Lock()
	found, age := a.weighed, q.Now.Sub(a.at)
	f.mu.Unlock()
	if found.Certificate != nil && age >= 0 && age < moment {
		return found
	}
	found = f.weigh(q, a)
	f.mu.Lock()
	defer f.mu.Unlock()
	a.weighed, a.at = found, q.Now
	return found
}

func (f *Fetcher) weigh(q verify.RevocationQuery, a *answer) Finding {
	q.AcceptListsAfterExpiry = f.cfg.AcceptListsAfterExpiry
	found := Finding{Certificate: q.Certificate, NoSource: len(q.Certificate.OCSPServer)+len(q.Certificate.CRLDistributionPoints) == 0}
	all := slices.Clone(f.cfg.Given)
	for _, it := range a.items {
		all = append(all, it)
	}
	found.Failed = a.failed
	status, err := all.RevocationStatus(q)
	if err != nil {
		found.Err = f.why(q, &found, a, err)
		return found
	}
	found.Status = &status
	for _, it := range a.items {
		// Two statements that say the same are the same list from two places.
		if s, err := it.RevocationStatus(q); err == nil && says(s, status) {
			found.URL, found.Cached = it.url, it.cached
			break
		}
	}
	return found
}

func says(a, b verify.RevocationStatus) bool {
	if (a.Revocation == nil) != (b.Revocation == nil) || a.Revocation != nil && *a.Revocation != *b.Revocation {
		return false
	}
	return a.Source == b.Source && a.ThisUpdate.Equal(b.ThisUpdate) && a.NextUpdate.Equal(b.NextUpdate)
}

// why says in one line why nothing is known. It never returns nil: unknown is
// what evidence says of itself, if nothing explains it better.
func (f *Fetcher) why(q verify.RevocationQuery, found *Finding, a *answer, unknown error) error {
	var err error
	add := func(e error) {
		if err == nil {
			err = e
		} else {
			err = fmt.Errorf("%w; %w", err, e)
		}
	}
	for _, e := range a.failed {
		add(e)
	}
	for _, it := range a.items { // it was good when it was fetched
		if _, e := it.RevocationStatus(q); e != nil {
			add(fmt.Errorf("of what %s said: %w", shown(it.url), e))
		}
	}
	if found.NoSource {
		add(errors.New("it names neither an OCSP responder nor a revocation list"))
	}
	if len(f.cfg.Given) > 0 {
		if _, e := f.cfg.Given.RevocationStatus(q); e != nil {
			add(fmt.Errorf("of the lists given: %w", e))
		}
	}
	if err == nil {
		return unknown
	}
	return err
}

// ask fetches what there is about each certificate, and remembers it.
func (f *Fetcher) ask(ctx context.Context, questions []verify.RevocationQuery) error {
	var group sync.WaitGroup
	for _, q := range questions {
		q.AcceptListsAfterExpiry = f.cfg.AcceptListsAfterExpiry
		group.Go(func() { f.askOnce(ctx, q) })
	}
	group.Wait()
	return ctx.Err()
}

// askOnce fetches what there is about one certificate, unless somebody does or
// did so already. What was cut short by ctx says nothing about the servers, and
// is left for the next who asks.
func (f *Fetcher) askOnce(ctx context.Context, q verify.RevocationQuery) {
	f.mu.Lock()
	a := f.answers[key(q)]
	if a == nil {
		a = &answer{turn: newTurn()}
		f.answers[key(q)] = a
	}
	f.mu.Unlock()
	if a.turn.take(ctx) != nil {
		return
	}
	defer a.turn.give()
	if f.answer(q) != nil {
		return
	}
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	case <-ctx.Done():
		return
	}
	items, failed := f.gather(ctx, q)
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a.items, a.failed, a.done = items, failed, true
}

// gather asks the responders of one certificate until one knows it, then looks
// at the lists until one does: a responder's answer is newer and smaller.
func (f *Fetcher) gather(ctx context.Context, q verify.RevocationQuery) (items []item, failed []error) {
	for _, kind := range []struct {
		urls []string
		get  func(ctx context.Context, q verify.RevocationQuery, address string) ([]item, error)
	}{
		{q.Certificate.OCSPServer, f.ocsp},
		{q.Certificate.CRLDistributionPoints, f.crl},
	} {
		for i, address := range kind.urls {
			if i == maxURLs {
				failed = append(failed, fmt.Errorf("%d more addresses are not tried", len(kind.urls)-maxURLs))
				break
			}
			got, err := kind.get(ctx, q, address)
			items = append(items, got...)
			if err == nil {
				return items, failed
			}
			failed = append(failed, err)
		}
	}
	return items, failed
}
