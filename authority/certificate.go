package authority

import (
	"bytes"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/pkup"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
	"github.com/fencepost-tsa/fencepost/verify"
)

// checkChain checks that no key is weak and that each further certificate
// issued the one before it.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) > maxChain {
		return fmt.Errorf("chain has %d certificates, at most %d are used", len(chain), maxChain)
	}
	for i, c := range chain {
		if c == nil || len(c.Raw) == 0 {
			return fmt.Errorf("certificate %d of the chain is empty", i+1)
		}
		if fault := pubkey.Fault(c.PublicKey); fault != "" {
			return fmt.Errorf("certificate %d of the chain (%q): the key is %s", i+1, c.Subject, fault)
		}
	}
	for i, c := range chain[:len(chain)-1] {
		issuer := chain[i+1]
		if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
			return fmt.Errorf("chain: certificate %d (%q) was issued by %q, not by certificate %d (%q): it must begin with the leaf",
				i+1, c.Subject, c.Issuer, i+2, issuer.Subject)
		}
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("chain: certificate %d (%q) was not issued by certificate %d: %w", i+1, c.Subject, i+2, err)
		}
	}
	return nil
}

// verifyChain asks whether tokens under the chain could verify, at a time when
// all of it is valid (EN 319 421, TIS-7.6.4-05): the leaf as RFC 3161, 2.3 has
// it, path lengths, name constraints, nested extended key usages. An authority
// that the verifier refuses would keep back every token.
func verifyChain(chain []*x509.Certificate, at time.Time) error {
	last := len(chain) - 1
	policy := verify.Policy{Roots: chain[last:], Intermediates: chain[:last]}
	if _, err := policy.Signer(chain[0], at); err != nil {
		return fmt.Errorf("chain: %w", err)
	}
	return nil
}

// selfSigned reports whether c is a root. That proves nothing, and old roots are
// signed with SHA-1, on which crypto/x509 panics with fips140=only.
func selfSigned(c *x509.Certificate) (is bool) {
	fips140.WithoutEnforcement(func() {
		is = bytes.Equal(c.RawSubject, c.RawIssuer) &&
			c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
	})
	return is
}

// included returns the certificates that go into a token.
func included(chain []*x509.Certificate, include Include) ([]*x509.Certificate, error) {
	last := chain[len(chain)-1]
	switch include {
	case IncludeLeaf:
		return chain[:1], nil
	case IncludeChain:
		if len(chain) > 1 && selfSigned(last) {
			chain = chain[:len(chain)-1]
		}
		return chain, nil
	case IncludeRoot:
		if !selfSigned(last) {
			return nil, errors.New("the root is to be included, but the chain does not end in one")
		}
		return chain, nil
	}
	return nil, fmt.Errorf("unknown Include value %d", include)
}

// A window is the span in which tokens may be issued, both ends included.
type window struct {
	notBefore, notAfter time.Time
	// What begins and ends it, for the log.
	begins, ends string
}

// newWindow returns the span in which every certificate of the chain is valid,
// since a verifier looks at them all at genTime, and the private key may be
// used (EN 319 421, TIS-7.6.7 and TIS-7.7.1-09).
func newWindow(chain []*x509.Certificate) (window, error) {
	leaf := chain[0]
	name := func(c *x509.Certificate) string { return fmt.Sprintf("the certificate %q", c.Subject) }
	w := window{leaf.NotBefore.UTC(), leaf.NotAfter.UTC(), name(leaf), name(leaf)}
	narrow := func(notBefore, notAfter time.Time, what string) {
		if notBefore.After(w.notBefore) {
			w.notBefore, w.begins = notBefore.UTC(), what
		}
		if !notAfter.IsZero() && notAfter.Before(w.notAfter) {
			w.notAfter, w.ends = notAfter.UTC(), what
		}
	}
	for _, c := range chain[1:] {
		narrow(c.NotBefore, c.NotAfter, name(c))
	}
	notBefore, notAfter, ok, err := pkup.Parse(leaf)
	if err != nil {
		return window{}, fmt.Errorf("%s: %w", name(leaf), err)
	}
	if ok {
		narrow(notBefore, notAfter, "the private key usage period of "+name(leaf))
	}
	if w.notAfter.Before(w.notBefore) {
		return window{}, fmt.Errorf("there is no time at which the whole chain is valid: %s begins on %s, %s ends on %s",
			w.begins, w.notBefore.Format(time.RFC3339), w.ends, w.notAfter.Format(time.RFC3339))
	}
	return w, nil
}

// check reports why no token may say t.
func (w *window) check(t time.Time) error {
	switch {
	case t.Before(w.notBefore):
		return fmt.Errorf("%s begins on %s, after genTime %s", w.begins, w.notBefore.Format(time.RFC3339), t.Format(time.RFC3339Nano))
	case t.After(w.notAfter):
		return fmt.Errorf("%s ended on %s, before genTime %s", w.ends, w.notAfter.Format(time.RFC3339), t.Format(time.RFC3339Nano))
	}
	return nil
}
