package tsa

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
)

// chainStatus says when tokens of a chain are issued.
type chainStatus string

// The states of a chain.
const (
	chainPast      chainStatus = "past"      // tokens were issued under it
	chainCurrent   chainStatus = "current"   // tokens are issued under it
	chainStandby   chainStatus = "standby"   // tokens are issued under it while the key of the current one does not sign
	chainAnnounced chainStatus = "announced" // tokens will be issued under it
)

// chainsJSON is the answer of /api/v1/timestamp/certchains: every chain under
// which this authority will issue, issues and has issued, in this order.
type chainsJSON struct {
	Chains []chainJSON `json:"chains"`
}

type chainJSON struct {
	Status chainStatus `json:"status"`
	// From and Until are when tokens can have been, are or can be issued under
	// the chain: the dates of its certificates and of the private key, when it
	// takes over if it is announced, and when it was replaced if it was. RFC
	// 3339, UTC.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Certificates are leaf first.
	Certificates []certificateJSON `json:"certificates"`
	// PEM is the same, as /api/v1/timestamp/certchain gives it.
	PEM string `json:"pem"`
}

type certificateJSON struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"` // hexadecimal
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	SHA256    string    `json:"sha256"` // of the DER, hexadecimal
}

// maxPast is how many past chains are published: a new stamping key a day for
// more than ten years. Beyond that the document of some ten megabytes would
// hurt more than it helps; a history keeps all of them.
const maxPast = 4000

// An entry is a chain and what is known of its use.
type entry struct {
	chain     []*x509.Certificate
	published time.Time // since when clients can know it
	from      time.Time // when it was put to use, zero if it was not yet
	until     time.Time // when its last token can have been issued, zero if it was not replaced
}

// A chainList knows all chains.
type chainList struct {
	past, announced [][]*x509.Certificate // as configured
	history         *History
	known           map[string]entry // by fingerprint of the leaf
	unwritten       map[string]bool  // entries that the history does not have as they are
	changed         time.Time        // the history, when it was last read
}

func (l *chainList) load(cfg Config) error {
	l.past, l.announced, l.history = cfg.Past, cfg.Announced, cfg.History
	l.known, l.unwritten = make(map[string]entry), make(map[string]bool)
	for _, chain := range slices.Concat(cfg.Past, cfg.Announced) {
		if _, _, err := chainWindow(chain); err != nil {
			return err
		}
	}
	if l.history == nil {
		return nil
	}
	var err error
	l.changed = l.history.changed()
	l.known, err = l.history.read()
	return err
}

// refresh takes over what other processes have put into the history, and
// reports whether there was anything. What cannot be read now is read when the
// history changes again.
func (l *chainList) refresh() (news bool) {
	if l.history == nil {
		return false
	}
	at := l.history.changed()
	if at.Equal(l.changed) {
		return false
	}
	l.changed = at
	found, err := l.history.read()
	if err != nil {
		return false
	}
	for id, e := range found {
		if have, ok := l.known[id]; !l.unwritten[id] && (!ok || !have.same(e)) {
			l.known[id], news = e, true
		}
	}
	return news
}

func (e *entry) same(other entry) bool {
	return e.published.Equal(other.published) && e.from.Equal(other.from) && e.until.Equal(other.until)
}

// withdraw forgets a chain that was announced and never used, unless the
// configuration announces it.
func (l *chainList) withdraw(leaf *x509.Certificate) {
	id := fingerprint(leaf)
	listed := slices.ContainsFunc(l.announced, func(c []*x509.Certificate) bool { return c[0].Equal(leaf) })
	if e, ok := l.known[id]; ok && e.from.IsZero() && !listed {
		delete(l.known, id)
		delete(l.unwritten, id)
		if l.history != nil {
			l.history.remove(id)
		}
	}
}

// configure takes over the configuration of other, and what it read. A chain
// that was announced by the configuration and is now that of a unit was known
// all the time.
func (l *chainList) configure(other *chainList, issues *generation) {
	before := l.announced
	l.past, l.announced = other.past, other.announced
	for _, chain := range before {
		if !issues.has(chain[0]) {
			l.withdraw(chain[0])
		}
	}
	for id, e := range other.known {
		if _, ok := l.known[id]; !ok {
			l.known[id] = e
		}
	}
	if other.history != nil && (l.history == nil || *l.history != *other.history) {
		for id := range l.known {
			l.unwritten[id] = true
		}
	}
	l.history = other.history
}

// note changes an entry, made first if need be.
func (l *chainList) note(chain []*x509.Certificate, now time.Time, change func(*entry)) {
	id := fingerprint(chain[0])
	before, ok := l.known[id]
	e := before
	if !ok {
		e = entry{published: now.Round(0)}
	}
	// An intermediate may have been certified anew.
	renewed := !slices.EqualFunc(before.chain, chain, (*x509.Certificate).Equal)
	e.chain = chain
	change(&e)
	if renewed || !e.from.Equal(before.from) || !e.until.Equal(before.until) {
		l.known[id] = e
		l.unwritten[id] = true
	}
}

// firstPublished is since when clients can know a leaf: now if they cannot.
func (l *chainList) firstPublished(leaf *x509.Certificate, now time.Time) time.Time {
	if e, ok := l.known[fingerprint(leaf)]; ok {
		return e.published
	}
	return now
}

// replaced notes that an authority issues no more after last, at which a request
// that was under way may still have got its time. Until is a full second, and
// not before that: who takes it for the end of the trust in the chain must not
// refuse its last tokens.
func (l *chainList) replaced(a *authority.Authority, last time.Time) {
	l.note(a.Chain(), last, func(e *entry) { e.until = last.Add(2 * time.Second).Truncate(time.Second) })
}

// keep writes what the history does not have yet.
func (l *chainList) keep() error {
	if l.history == nil {
		clear(l.unwritten)
		return nil
	}
	for id := range l.unwritten {
		if err := l.history.write(l.known[id]); err != nil {
			return err
		}
		delete(l.unwritten, id)
	}
	return nil
}

// publish makes the documents anew. t.mu is held. A history that cannot be
// written does not keep the chains from the clients.
func (t *TSA) publish(now time.Time) error {
	g := t.current.Load()
	active := g.active()
	g.shown.Store(active)
	l := &t.chains
	for _, u := range g.units {
		l.note(u.Authority.Chain(), now, func(e *entry) {
			if e.until = (time.Time{}); e.from.IsZero() {
				e.from = now.Truncate(time.Second)
			}
		})
	}
	if t.next != nil {
		for _, u := range t.next.generation.units {
			l.note(u.Authority.Chain(), now, func(*entry) {})
		}
	}
	for _, chain := range l.announced {
		l.note(chain, now, func(*entry) {})
	}
	if err := l.keep(); err != nil {
		t.log.LogAttrs(context.Background(), slog.LevelError, "history not written", slog.String("detail", err.Error()))
	}
	doc, err := t.describe()
	if err != nil {
		return err
	}
	t.published.Store(&Published{Chain: pki.EncodeChain(active.Authority.Chain()), Chains: doc})
	return nil
}

// describe returns the document with all chains. Each leaf is in it once, under
// the first status that it has of announced, current, standby and past; what is
// in use is not announced any more.
func (t *TSA) describe() ([]byte, error) {
	g, l := t.current.Load(), &t.chains
	inUse := make(map[string]bool)
	for _, u := range g.units {
		inUse[fingerprint(u.Authority.Chain()[0])] = true
	}
	var all []chainJSON
	seen := make(map[string]bool)
	add := func(status chainStatus, chain []*x509.Certificate, from, until time.Time) error {
		id := fingerprint(chain[0])
		if seen[id] || inUse[id] && status != chainCurrent && status != chainStandby {
			return nil
		}
		seen[id] = true
		notBefore, notAfter, err := chainWindow(chain)
		if err != nil {
			return err
		}
		if from.Before(notBefore) {
			from = notBefore
		}
		if until.IsZero() || until.After(notAfter) {
			until = notAfter
		}
		all = append(all, describeChain(status, chain, from, until))
		return nil
	}
	if t.next != nil {
		for _, u := range t.next.generation.units {
			if err := add(chainAnnounced, u.Authority.Chain(), t.next.at, time.Time{}); err != nil {
				return nil, err
			}
		}
	}
	// Other processes with the same history announce theirs there.
	for _, id := range slices.Sorted(maps.Keys(l.known)) {
		e := l.known[id]
		if _, until, err := chainWindow(e.chain); err == nil && e.from.IsZero() && until.After(time.Now()) {
			if err := add(chainAnnounced, e.chain, time.Time{}, time.Time{}); err != nil {
				return nil, err
			}
		}
	}
	for _, chain := range l.announced {
		if err := add(chainAnnounced, chain, time.Time{}, time.Time{}); err != nil {
			return nil, err
		}
	}
	for i, u := range g.units {
		status := chainStandby
		if i == 0 {
			status = chainCurrent
		}
		if err := add(status, u.Authority.Chain(), time.Time{}, time.Time{}); err != nil {
			return nil, err
		}
	}
	sorted := slices.SortedFunc(maps.Values(l.known), func(a, b entry) int {
		if c := b.from.Compare(a.from); c != 0 { // newest first
			return c
		}
		return cmp.Compare(fingerprint(a.chain[0]), fingerprint(b.chain[0]))
	})
	var past []entry
	for _, e := range sorted {
		if !e.from.IsZero() {
			past = append(past, e)
		}
	}
	for _, e := range past[:min(len(past), maxPast)] {
		if err := add(chainPast, e.chain, time.Time{}, e.until); err != nil {
			return nil, err
		}
	}
	for _, chain := range l.past {
		if err := add(chainPast, chain, time.Time{}, time.Time{}); err != nil {
			return nil, err
		}
	}
	return cli.MarshalJSON(chainsJSON{Chains: all})
}

func describeChain(status chainStatus, chain []*x509.Certificate, from, until time.Time) chainJSON {
	c := chainJSON{Status: status, From: from.UTC(), Until: until.UTC(), PEM: string(pki.EncodeChain(chain))}
	for _, cert := range chain {
		c.Certificates = append(c.Certificates, certificateJSON{
			Subject: cert.Subject.String(), Issuer: cert.Issuer.String(),
			Serial:    hex.EncodeToString(cert.SerialNumber.Bytes()),
			NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
			SHA256: fingerprint(cert),
		})
	}
	return c
}

// chainWindow is when tokens can be issued under a chain, by its certificates
// and the private key usage period of its leaf.
func chainWindow(chain []*x509.Certificate) (from, until time.Time, err error) {
	from, until = chain[0].NotBefore, chain[0].NotAfter
	narrow := func(notBefore, notAfter time.Time) {
		if notBefore.After(from) {
			from = notBefore
		}
		if !notAfter.IsZero() && notAfter.Before(until) {
			until = notAfter
		}
	}
	for _, cert := range chain[1:] {
		narrow(cert.NotBefore, cert.NotAfter)
	}
	notBefore, notAfter, ok, err := pki.PrivateKeyUsagePeriod(chain[0])
	if err != nil {
		return from, until, fmt.Errorf("%s: %w", chain[0].Subject, err)
	}
	if ok {
		narrow(notBefore, notAfter)
	}
	return from, until, nil
}
