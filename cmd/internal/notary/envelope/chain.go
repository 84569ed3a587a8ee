package envelope

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"

	nx509 "github.com/notaryproject/notation-core-go/x509"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// Limits on chains, which are not signed and may be anybody's.
const (
	// maxCertificates in a chain. Those in use have two to four; each costs two
	// verifications of a signature.
	maxCertificates = 10
	// maxCertificate is the size of one certificate, in bytes. Those in use
	// have one or two KiB.
	maxCertificate = 64 << 10
	// maxName is the size of one name in a certificate, in bytes. Those in use
	// have some hundred. Package pkix writes a name, as messages need it, in
	// time that grows with its square.
	maxName = 8 << 10
)

// Limits of a Cache.
const (
	// maxChains that are remembered: an artifact has some signers, a registry
	// some dozens.
	maxChains = 256
	// maxCachedChain is the size of a chain that is remembered, in bytes of
	// DER; longer ones are hostile, and are read again each time.
	maxCachedChain = 32 << 10
)

// A chain is the certificates of an envelope, parsed once and checked once.
type chain struct {
	certs []*x509.Certificate // leaf first

	once sync.Once
	err  error
}

// profile holds the chain to the profile of code signing, whatever the time.
func (c *chain) profile() error {
	c.once.Do(func() { c.err = checkProfile(c.certs) })
	return c.err
}

// A Cache remembers certificate chains by their bytes, so that the next
// envelope with the same chain costs the verification of its own signature. The
// zero value is ready for use, by any number of goroutines. It remembers up to
// 256 chains of at most 32 KiB.
//
// What is remembered is what the certificates say, and whether they have the
// profile that an envelope demands. Trust, time and revocation are for others
// and are not remembered.
type Cache struct {
	mu     sync.RWMutex
	chains map[string]*chain
}

// chain returns the chain of these certificates. A nil cache remembers none.
func (c *Cache) chain(ders [][]byte) (*chain, error) {
	switch n := len(ders); {
	case n == 0:
		return nil, fail(ReasonChain, "there is no certificate")
	case n > maxCertificates:
		return nil, fail(ReasonChain, "%d certificates; at most %d are read", n, maxCertificates)
	}
	var key []byte
	for i, der := range ders {
		if len(der) > maxCertificate {
			return nil, fail(ReasonChain, "certificate %d of %d has %d bytes; at most %d are read", i+1, len(ders), len(der), maxCertificate)
		}
		key = binary.BigEndian.AppendUint32(key, uint32(len(der)))
		key = append(key, der...)
	}
	if known := c.known(key); known != nil {
		return known, nil
	}
	fresh := &chain{certs: make([]*x509.Certificate, len(ders))}
	for i, der := range ders {
		var err error
		// A copy, because a certificate keeps the bytes that it was parsed from,
		// and the cache is not to keep an envelope of megabytes with it.
		if fresh.certs[i], err = x509.ParseCertificate(bytes.Clone(der)); err != nil {
			return nil, failed(ReasonChain, err, "certificate %d of %d", i+1, len(ders))
		}
		if n := max(len(fresh.certs[i].RawSubject), len(fresh.certs[i].RawIssuer)); n > maxName {
			return nil, fail(ReasonChain, "certificate %d of %d has a name of %d bytes; at most %d are read", i+1, len(ders), n, maxName)
		}
	}
	return c.add(key, fresh), nil
}

func (c *Cache) known(key []byte) *chain {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chains[string(key)]
}

// add returns the chain that is remembered under key, which is fresh unless
// another goroutine came first.
func (c *Cache) add(key []byte, fresh *chain) *chain {
	if c == nil || len(key) > maxCachedChain {
		return fresh
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.chains[string(key)]; known != nil {
		return known
	}
	for old := range c.chains { // any one will do
		if len(c.chains) < maxChains {
			break
		}
		delete(c.chains, old)
	}
	if c.chains == nil {
		c.chains = make(map[string]*chain)
	}
	c.chains[string(key)] = fresh
	return fresh
}

// CheckChain checks that a chain, leaf first and root last, can sign artifacts:
// that it has the profile of the Notary Project ("Certificate requirements")
// with a key that has an algorithm, and that each certificate is valid at the
// given time. The zero time asks for no validity. An error is an *Error with
// [ReasonChain], [ReasonAlgorithm] or [ReasonValidity].
func CheckChain(certs []*x509.Certificate, at time.Time) error {
	if err := checkProfile(certs); err != nil {
		return err
	}
	if at.IsZero() {
		return nil
	}
	for i, cert := range certs {
		switch {
		case at.Before(cert.NotBefore):
			return fail(ReasonValidity, "certificate %d of %d, %q, is not valid before %s; the time is %s",
				i+1, len(certs), cert.Subject, rfc3339(cert.NotBefore), rfc3339(at))
		case at.After(cert.NotAfter):
			return fail(ReasonValidity, "certificate %d of %d, %q, expired on %s; the time is %s",
				i+1, len(certs), cert.Subject, rfc3339(cert.NotAfter), rfc3339(at))
		}
	}
	return nil
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func checkProfile(certs []*x509.Certificate) error {
	if n := len(certs); n > maxCertificates {
		return fail(ReasonChain, "%d certificates; at most %d are accepted", n, maxCertificates)
	}
	for i, cert := range certs {
		if cert == nil || len(cert.Raw) == 0 {
			return fail(ReasonChain, "certificate %d of %d was never parsed", i+1, len(certs))
		}
		// Its cost grows with the square of the length, and a certificate has
		// room for half a million bits.
		if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > pubkey.MaxRSABits {
			return fail(ReasonChain, "certificate %d of %d, %q: the key is RSA with %d bits; at most %d are accepted",
				i+1, len(certs), cert.Subject, k.N.BitLen(), pubkey.MaxRSABits)
		}
	}
	if len(certs) > 0 {
		if _, err := algorithmFor(certs[0].PublicKey); err != nil {
			return within("the certificate of the signer", err)
		}
	}
	if err := nx509.ValidateCodeSigningCertChain(certs, nil); err != nil {
		return &Error{Reason: ReasonChain, Detail: err.Error(), Err: err}
	}
	return nil
}
