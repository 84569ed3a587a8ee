package revocation

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/fencepost-tsa/fencepost/verify"
)

// Limits on what is fetched. What is longer is refused and not cut off.
const (
	// MaxCRL is the longest revocation list, in bytes. The longest of public
	// authorities have some 10 MiB.
	MaxCRL = 20 << 20
	// MaxOCSP is the longest OCSP response, in bytes: 30 times a usual one with
	// its certificate.
	MaxOCSP = 64 << 10
)

// nonceLen is the length of the nonce in a request, in octets (RFC 9654, 2.1).
const nonceLen = 32

// A list is a revocation list that was fetched once for all that need it.
type list struct {
	turn turn
	done bool // this and the rest is for who has the turn
	data []byte
	crls *verify.CRLs
	err  error
}

// ocsp asks one responder, or finds its answer in the cache. The items are
// evidence even if there is an error.
func (f *Fetcher) ocsp(ctx context.Context, q verify.RevocationQuery, address string) ([]item, error) {
	items, err := f.ocspItems(ctx, q, address)
	if err != nil {
		return items, fmt.Errorf("OCSP responder %s: %w", shown(address), err)
	}
	return items, nil
}

func (f *Fetcher) ocspItems(ctx context.Context, q verify.RevocationQuery, address string) ([]item, error) {
	plain, err := verify.OCSPRequest(q, nil)
	if err != nil {
		return nil, err
	}
	parse := func(data []byte) (verify.RevocationEvidence, error) { return verify.NewOCSPResponses(data) }
	slot := f.cache.slot("ocsp", address, plain)
	old, fresh := slot.recall(q, MaxOCSP, parse)
	if fresh {
		return []item{{old, address, true}}, nil
	}
	// Always with a nonce, and therefore by POST: what can be cached by others
	// on the way is no newer than our own cache. Responders that prepare their
	// answers leave the nonce out, and are believed for as long as they say.
	nonce := make([]byte, nonceLen)
	rand.Read(nonce)
	request, err := verify.OCSPRequest(q, nonce)
	if err != nil {
		return stale(old, address), err
	}
	data, err := f.fetch(ctx, fetch{
		method: http.MethodPost, url: address, body: request, mediaType: "application/ocsp-request",
		accept: "application/ocsp-response", limit: MaxOCSP,
	})
	if err != nil {
		return stale(old, address), err
	}
	if err := verify.OCSPAnswers(data, nonce); err != nil {
		return stale(old, address), err
	}
	got, err := parse(data)
	if err != nil {
		return stale(old, address), err
	}
	return f.keep(q, item{got, address, false}, slot, data, old)
}

// crl fetches one list, or finds it in the cache. The items are evidence even
// if there is an error.
func (f *Fetcher) crl(ctx context.Context, q verify.RevocationQuery, address string) ([]item, error) {
	items, err := f.crlItems(ctx, q, address)
	if err != nil {
		return items, fmt.Errorf("revocation list %s: %w", shown(address), err)
	}
	return items, nil
}

func (f *Fetcher) crlItems(ctx context.Context, q verify.RevocationQuery, address string) ([]item, error) {
	parse := func(data []byte) (verify.RevocationEvidence, error) { return verify.NewCRLs(data) }
	slot := f.cache.slot("crl", address, nil)
	old, fresh := slot.recall(q, MaxCRL, parse)
	if fresh {
		return []item{{old, address, true}}, nil
	}
	f.mu.Lock()
	l := f.lists[address]
	if l == nil {
		l = &list{turn: newTurn()}
		f.lists[address] = l
	}
	f.mu.Unlock()
	if err := l.get(ctx, f, address); err != nil {
		return stale(old, address), err
	}
	return f.keep(q, item{l.crls, address, false}, slot, l.data, old)
}

// get fetches the list, unless that was done. It is not done when the caller
// did not wait for it.
func (l *list) get(ctx context.Context, f *Fetcher, address string) error {
	if err := l.turn.take(ctx); err != nil {
		return err
	}
	defer l.turn.give()
	if l.done {
		return l.err
	}
	if l.data, l.err = f.fetch(ctx, fetch{method: http.MethodGet, url: address, accept: "application/pkix-crl", limit: MaxCRL}); l.err == nil {
		l.crls, l.err = verify.NewCRLs(l.data)
	}
	l.done = ctx.Err() == nil
	return l.err
}

// keep puts into the cache what was fetched, if it is good evidence: what is
// there may be older and still prove more, of a certificate that has expired.
// Both count, and what is there stays if it is what decides: an answer from
// before a revocation may still be current, and whoever controls the network
// can send it again.
func (f *Fetcher) keep(q verify.RevocationQuery, got item, s slot, data []byte, old verify.RevocationEvidence) ([]item, error) {
	status, err := got.RevocationStatus(q)
	if err != nil {
		return stale(old, got.url), err
	}
	items := append([]item{got}, stale(old, got.url)...)
	var weighed verify.Evidence
	for _, it := range items {
		weighed = append(weighed, it)
	}
	if all, err := weighed.RevocationStatus(q); err == nil && says(all, status) && status.NextUpdate.After(q.Now) && !provesMore(old, got, q) {
		if err := s.write(data); err != nil {
			f.warn.Do(func() { f.cfg.Warn(fmt.Errorf("the revocation cache: %w", err)) })
		}
	}
	return items, nil
}

// provesMore reports whether what is in the cache serves those who do not
// accept lists after expiry, and what was fetched does not: they have the same
// cache, and nobody can fetch the old statement again.
func provesMore(old, got verify.RevocationEvidence, q verify.RevocationQuery) bool {
	if old == nil || !q.AcceptListsAfterExpiry {
		return false
	}
	q.AcceptListsAfterExpiry = false
	_, before := old.RevocationStatus(q)
	_, after := got.RevocationStatus(q)
	return before == nil && after != nil
}

// stale is evidence from the cache that is not fresh, if any, for package
// verify to weigh when there is nothing newer.
func stale(old verify.RevocationEvidence, address string) []item {
	if old == nil {
		return nil
	}
	return []item{{old, address, true}}
}

// maxAge is how long the cache is believed without asking again, whatever a
// statement says of itself: lists of roots hold for up to a year (CSBR 4.9.7),
// and one asks in order to hear of what was not foreseen.
const maxAge = 24 * time.Hour

// recall returns the evidence in the cache, nil if there is none that proves
// anything, and whether it is new enough not to ask again.
func (s slot) recall(q verify.RevocationQuery, limit int64, parse func([]byte) (verify.RevocationEvidence, error)) (verify.RevocationEvidence, bool) {
	data, written := s.read(limit)
	if data == nil {
		return nil, false
	}
	evidence, err := parse(data)
	if err != nil {
		return nil, false
	}
	status, err := evidence.RevocationStatus(q)
	if err != nil {
		return nil, false
	}
	return evidence, status.NextUpdate.After(q.Now) && q.Now.Sub(written).Abs() < maxAge
}
