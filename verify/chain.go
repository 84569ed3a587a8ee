package verify

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// maxIntermediates bounds the certificates of a token that are parsed to build
// a chain. Only those are that the name of an issuer leads to; cross-signed
// authorities have up to four. Each costs time and memory, and each pair of
// them with matching names a signature (crypto/x509 ends at 100).
const maxIntermediates = 16

// maxChains bounds the chains to one signer that are looked at.
const maxChains = 16

// A chooser finds a chain from the signer to a root that passes everything
// asked of it. There can be several, by way of cross-certificates.
type chooser struct {
	policy  *Policy
	token   *tsp.Token
	attrs   *signedAttributes
	leaf    *signer
	genTime time.Time
	now     time.Time
	work    *work
}

func (c *chooser) choose() ([]*x509.Certificate, error) {
	if c.genTime.IsZero() {
		// To crypto/x509 that means now. A sloppy CA, or a forger, can well make
		// a certificate that begins with the year 1.
		return nil, fail(ReasonValidity, "the token's time %s is none that a chain can be valid at", stamp(c.genTime))
	}
	for _, chain := range c.policy.Cache.chains(c.leaf.sum) {
		if c.available(chain) && c.validAt(chain) && c.accept(chain) == nil {
			return chain, nil
		}
	}
	chains, err := c.build()
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 { // whatever build says: without a chain there is no trust
		return nil, fail(ReasonUntrusted, "no chain from %s to a root of the policy", subject(c.leaf.cert))
	}
	if c.policy.Cache != nil {
		c.policy.Cache.add(c.leaf, slices.DeleteFunc(slices.Clone(chains), c.altered))
	}
	var first error
	for _, chain := range chains {
		err := c.accept(chain)
		if err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// build returns the chains to roots of the policy that are valid at the
// token's time for timestamping (RFC 3161, appendix B; RFC 5280, 6).
func (c *chooser) build() ([][]*x509.Certificate, error) {
	roots, intermediates := c.pools()
	pools := [2]*x509.CertPool{x509.NewCertPool(), x509.NewCertPool()}
	for i, list := range [2][]*x509.Certificate{roots, intermediates} {
		for _, cert := range list {
			pools[i].AddCert(cert)
		}
	}
	chains, err := c.leaf.cert.Verify(x509.VerifyOptions{
		Roots:         pools[0],
		Intermediates: pools[1],
		// At the token's time, neither now nor at the signingTime attribute.
		CurrentTime: c.genTime,
		// Also asked of every CA that names its purposes.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return nil, c.explain(err, roots, intermediates)
	}
	chains = chains[:min(len(chains), maxChains)]
	fit := slices.DeleteFunc(slices.Clone(chains), func(chain []*x509.Certificate) bool { return unfit(chain) != "" })
	if len(fit) == 0 {
		return nil, fail(ReasonUntrusted, "the only chain has %s", unfit(chains[0]))
	}
	return fit, nil
}

// pools returns the certificates that the names of issuers lead to, from the
// signer up: roots from the policy only, intermediates from policy and token.
func (c *chooser) pools() (roots, intermediates []*x509.Certificate) {
	p := c.policy
	names := make([]certNames, len(c.token.Certificates))
	for i, der := range c.token.Certificates {
		if len(der) <= maxCertificate {
			names[i], _ = skim(der)
		}
	}
	for _, root := range p.Roots {
		if root.Equal(c.leaf.cert) {
			roots = append(roots, root)
		}
	}
	parsed := 0
	wanted := [][]byte{c.leaf.cert.RawIssuer}
	for i := 0; i < len(wanted); i++ {
		want := wanted[i]
		found := func(cert *x509.Certificate) {
			// No key is used before its length is known.
			if key, ok := cert.PublicKey.(*rsa.PublicKey); cert.Equal(c.leaf.cert) || ok && key.N.BitLen() > pubkey.MaxRSABits {
				return
			}
			intermediates = append(intermediates, cert)
			if !slices.ContainsFunc(wanted, func(w []byte) bool { return bytes.Equal(w, cert.RawIssuer) }) {
				wanted = append(wanted, cert.RawIssuer)
			}
		}
		for _, root := range p.Roots {
			if bytes.Equal(root.RawSubject, want) {
				roots = append(roots, root)
			}
		}
		for _, cert := range p.Intermediates {
			if bytes.Equal(cert.RawSubject, want) {
				found(cert)
			}
		}
		for j, der := range c.token.Certificates {
			if parsed == maxIntermediates || names[j].subject == nil || !bytes.Equal(names[j].subject, want) {
				continue
			}
			parsed++
			c.work.parsed++
			if cert, err := parseCopy(der); err == nil {
				found(cert)
			}
		}
	}
	return roots, intermediates
}

// explain gives the error of crypto/x509 its reason. It never returns nil.
func (c *chooser) explain(err error, roots, intermediates []*x509.Certificate) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if err := checkWindow(invalid.Cert, c.genTime); err != nil {
			return err
		}
		return failed(ReasonValidity, err, "no acceptable chain to a root")
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return failed(ReasonUntrusted, err, "no acceptable chain to a root")
	}
	if len(roots) == 0 {
		return failed(ReasonUntrusted, err, "no chain from %s to a root of the policy", subject(c.leaf.cert))
	}
	// The names lead to a root, so something on the way did not hold.
	for _, cert := range slices.Concat(intermediates, roots) {
		if err := checkWindow(cert, c.genTime); err != nil {
			return err
		}
	}
	return failed(ReasonUntrusted, err, "no chain from %s to a root of the policy", subject(c.leaf.cert))
}

// unfit says what in a chain crypto/x509 lets pass and is not let pass here, ""
// if nothing is.
func unfit(chain []*x509.Certificate) string {
	for i, cert := range chain {
		if fault := pubkey.Fault(cert.PublicKey); fault != "" {
			return "a key that is " + fault
		}
		// RFC 5280, 6.1.4 (n). To crypto/x509 a key usage without any bit is
		// one that is absent.
		if i > 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 && extension(cert, 2, 5, 29, 15) >= 0 {
			return fmt.Sprintf("a CA, %s, whose key usage does not allow to sign certificates", subject(cert))
		}
	}
	if constrained(chain) {
		return "a CA that may not issue certificates with the names of those below it"
	}
	return ""
}

// available reports whether the chain could be built from what this policy
// trusts and this token brings, so that a cache gives the verdict that there
// would be without it.
func (c *chooser) available(chain []*x509.Certificate) bool {
	last := len(chain) - 1
	if root := find(c.policy.Roots, chain[last]); root == nil || !same(root, chain[last]) {
		return false
	}
	for i := 1; i < last; i++ {
		if own := find(c.policy.Intermediates, chain[i]); own != nil {
			if !same(own, chain[i]) {
				return false
			}
			continue
		}
		if !slices.ContainsFunc(c.token.Certificates, func(der []byte) bool { return bytes.Equal(der, chain[i].Raw) }) {
			return false
		}
	}
	return true
}

// find returns the certificate of list that has the bytes of cert, nil when
// there is none. Of several, it is the one that crypto/x509 takes.
func find(list []*x509.Certificate, cert *x509.Certificate) *x509.Certificate {
	if i := slices.IndexFunc(list, cert.Equal); i >= 0 {
		return list[i]
	}
	return nil
}

// same reports whether two certificates with the same bytes say the same.
// Those of a policy need not: callers take out of UnhandledCriticalExtensions
// what they handle, as crypto/x509 has it, or bound the NotAfter of a root.
func same(a, b *x509.Certificate) bool { return a == b || reflect.DeepEqual(a, b) }

// altered reports whether a certificate of the policy in chain is not what its
// bytes say. Such a chain holds for this policy only.
func (c *chooser) altered(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(chain[1:], func(cert *x509.Certificate) bool {
		if !slices.Contains(c.policy.Roots, cert) && !slices.Contains(c.policy.Intermediates, cert) {
			return false // parsed here
		}
		parsed, err := x509.ParseCertificate(cert.Raw)
		return err != nil || !same(parsed, cert)
	})
}

func (c *chooser) validAt(chain []*x509.Certificate) bool {
	return !slices.ContainsFunc(chain, func(cert *x509.Certificate) bool { return !inWindow(cert, c.genTime) })
}

// accept checks what a chain has to pass besides being valid.
func (c *chooser) accept(chain []*x509.Certificate) error {
	for _, ids := range [][]cms.ESSCertID{c.attrs.v2, c.attrs.v1} {
		for i := 1; i < len(ids); i++ {
			// RFC 5035, 5.4.1: certificates after the first limit those that
			// validation uses. As in OpenSSL, each must be in the chain.
			if !slices.ContainsFunc(chain[1:], func(cert *x509.Certificate) bool { return named(&ids[i], cert) }) {
				return fail(ReasonSigningCertificate, "certificate %d of the signed attribute is not in the chain", i+1)
			}
		}
	}
	for i, cert := range chain[:len(chain)-1] {
		if err := c.checkRevocation(cert, chain[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// named reports whether an identifier in a signed attribute is that of cert.
func named(id *cms.ESSCertID, cert *x509.Certificate) bool {
	if !oid.Strong(id.Hash) && id.Hash != crypto.SHA1 || !bytes.Equal(hashSum(id.Hash, cert.Raw), id.Digest) {
		return false
	}
	names, ok := skim(cert.Raw)
	return ok && names.matches(id)
}
