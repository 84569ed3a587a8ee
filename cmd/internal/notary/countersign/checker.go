package countersign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// Config says what a timestamp is checked by.
type Config struct {
	// Roots are trusted. Without any, nothing verifies. Each should pass
	// [CheckRoot]: a chain to one that does not is refused.
	Roots []*x509.Certificate
	// Revocation is asked about the authority's chain. Nil asks nobody. For the
	// verdict of Notation its mode is revocation.Named.
	Revocation *revocation.Fetcher
	// Now tells the local time. Nil means [time.Now].
	Now func() time.Time
	// Cache remembers chains. It never changes a verdict. Nil remembers nothing.
	Cache *Cache
}

// A Cache remembers the chains of authorities, so that each further token of
// one costs the verification of its signature. The zero value is ready for use,
// by any number of checkers and goroutines, whatever roots they trust.
type Cache struct {
	chains verify.ChainCache
	mu     sync.RWMutex
	fit    map[chainKey]struct{} // chains that have the profile
}

// A chainKey identifies a chain by the certificates that the ChainCache hands
// out again.
type chainKey [maxChain]*x509.Certificate

// maxCached bounds the chains that a Cache remembers: as many as a
// verify.ChainCache has signers.
const maxCached = 256

// A Checker decides whether timestamps can be trusted. Nobody may change it
// while it is used; then it is safe for concurrent use.
type Checker struct{ Config }

// A Timestamp is what a token proved about a signature.
type Timestamp struct {
	*verify.Timestamp
	// Lower and Upper are the first and the last moment at which the signature
	// can have been stamped: the time in the token, less and plus its accuracy.
	// That is one second for a token without one under the policy
	// 0.4.0.2023.1.1 (ETSI EN 319 421), and else zero.
	Lower, Upper time.Time
	// Revocation is what was found out about the chain below the root, nil when
	// nobody was asked.
	Revocation []revocation.Finding
	// Token is the token itself; its Raw goes into an envelope.
	Token *tsp.Token
	// URL is the authority that gave it, and Failed say why those that were
	// asked before did not. Both are empty after [Checker.Verify].
	URL    string
	Failed []error
}

// policy is what package verify checks of a token.
func (c *Checker) policy() verify.Policy {
	p := verify.Policy{Roots: c.Roots, Now: c.Now}
	if c.Cache != nil {
		p.Cache = &c.Cache.chains
	}
	return p
}

// Verify decides whether token is a timestamp on a signature value: the octets
// that a JWS has in base64url in its member signature, or a COSE_Sign1 in its
// last element. The hash is that of the signature algorithm: SHA-256, SHA-384
// or SHA-512.
//
// The error is an [*Error], or that of ctx.
func (c *Checker) Verify(ctx context.Context, token, signature []byte, h crypto.Hash) (*Timestamp, error) {
	imprint, err := imprintOf(signature, h)
	if err != nil {
		return nil, err
	}
	t, err := tsp.ParseToken(token)
	if err != nil {
		return nil, &Error{Reason: Reason(verify.ReasonMalformed), Detail: trim(err), Err: err}
	}
	if err := checkEncoding(token); err != nil {
		return nil, err
	}
	return c.check(ctx, t, imprint)
}

// imprintOf returns what is stamped of a signature.
func imprintOf(signature []byte, h crypto.Hash) (tsp.Imprint, error) {
	if !allowed(h) {
		return tsp.Imprint{}, fail(Reason(verify.ReasonWeakHash), "", "the hash is number %d, the Notary Project has SHA-256, SHA-384 and SHA-512", uint(h))
	}
	return tsp.ReadImprint(h, bytes.NewReader(signature))
}

// allowed reports whether a hash is one of those of the Notary Project.
func allowed(h crypto.Hash) bool {
	return h == crypto.SHA256 || h == crypto.SHA384 || h == crypto.SHA512
}

// check decides about a token that was parsed.
func (c *Checker) check(ctx context.Context, t *tsp.Token, imprint tsp.Imprint) (*Timestamp, error) {
	stamp, err := c.policy().Token(t, imprint)
	if err != nil {
		e := refused(err)
		c.explain(e, t)
		return nil, e
	}
	out := &Timestamp{Timestamp: stamp, Token: t}
	if err := checkToken(out); err != nil {
		return nil, err
	}
	if err := c.checkChain(stamp.Chain); err != nil {
		return nil, err
	}
	if err := checkSigningTime(out); err != nil {
		return nil, err
	}
	accuracy := Accuracy(stamp.Info)
	out.Lower, out.Upper = stamp.Time.Add(-accuracy), stamp.Time.Add(accuracy)
	if c.Revocation == nil {
		return out, nil
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	// Nobody is asked before all else is in order: an address in a forged token
	// is not visited.
	out.Revocation, err = c.Revocation.Chain(ctx, stamp.Chain, now())
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, err
	}
	e := refused(err)
	e.Revocation = out.Revocation
	return nil, e
}

// checkChain holds a chain against the profile, unless that was done before.
func (c *Checker) checkChain(chain []*x509.Certificate) error {
	if c.Cache == nil || len(chain) > maxChain {
		return checkChain(chain)
	}
	var key chainKey
	copy(key[:], chain)
	c.Cache.mu.RLock()
	_, known := c.Cache.fit[key]
	c.Cache.mu.RUnlock()
	if known {
		return nil
	}
	if err := checkChain(chain); err != nil {
		return err
	}
	c.Cache.mu.Lock()
	defer c.Cache.mu.Unlock()
	if c.Cache.fit == nil {
		c.Cache.fit = map[chainKey]struct{}{}
	}
	for old := range c.Cache.fit { // any one will do
		if len(c.Cache.fit) < maxCached {
			break
		}
		delete(c.Cache.fit, old)
	}
	c.Cache.fit[key] = struct{}{}
	return nil
}

// maxExplained bounds the certificates of a token that are parsed to explain
// why it is not trusted.
const maxExplained = 16

// explain says what leads to no root: an authority that sent its own
// certificate alone, or one below another root. Both are the everyday mistakes
// (notation#1352), and the answer to each is another one.
func (c *Checker) explain(e *Error, t *tsp.Token) {
	if e.Reason != Reason(verify.ReasonUntrusted) {
		return
	}
	var certs []*x509.Certificate
	for _, der := range t.Certificates[:min(len(t.Certificates), maxExplained)] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			certs = append(certs, cert)
		}
	}
	if len(certs) == 0 {
		return
	}
	// From the signer up, as far as the names lead.
	at := slices.IndexFunc(certs, func(cert *x509.Certificate) bool { return !cert.IsCA })
	top := certs[max(at, 0)]
	for range certs {
		next := slices.IndexFunc(certs, func(cert *x509.Certificate) bool {
			return cert != top && bytes.Equal(cert.RawSubject, top.RawIssuer)
		})
		if next < 0 {
			break
		}
		top = certs[next]
	}
	if slices.ContainsFunc(c.Roots, func(cert *x509.Certificate) bool { return bytes.Equal(cert.RawSubject, top.RawIssuer) }) {
		return // the names lead to a root, so something else is wrong
	}
	if len(t.Certificates)+t.OtherCertificates == 1 && !bytes.Equal(top.RawSubject, top.RawIssuer) {
		e.Detail = fmt.Sprintf("the token carries only the leaf, %s, whose issuer %s is no root given", name(top.Subject), name(top.Issuer))
		e.Cure = "ask the authority for its chain; sigstore's timestamp-server needs --include-chain-in-response"
		return
	}
	e.Cure = fmt.Sprintf("the certificates of the authority lead to %s: if that is the right authority, give the root certificate of that name", name(top.Issuer))
}

// trim takes the name of the package off the text of one of its errors.
func trim(err error) string {
	text := strings.TrimPrefix(err.Error(), "tsphttp: ")
	return strings.TrimPrefix(strings.TrimPrefix(text, "tsp: "), "malformed token: ")
}
