package serve

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/pki"
)

// chainStatus says when tokens of a chain are issued.
type chainStatus string

// The states of a chain.
const (
	chainPast      chainStatus = "past"      // tokens were issued under it
	chainCurrent   chainStatus = "current"   // tokens are issued under it
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
	// the chain: the dates of its certificates and of the private key, and of
	// one that was replaced while this process ran, that moment. RFC 3339, UTC.
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

// maxReplaced is how many chains that were replaced while this process ran are
// kept: a rotation a day for a quarter of a year. Those that must stay known
// for longer are configured.
const maxReplaced = 100

// otherChains are those that are published besides the current one.
type otherChains struct {
	past, announced []chainJSON // as configured
	before          []chainJSON // replaced while this process ran, newest first
}

func (o *otherChains) configure(past, announced [][]*x509.Certificate) error {
	for _, list := range []struct {
		chains [][]*x509.Certificate
		status chainStatus
		into   *[]chainJSON
	}{{past, chainPast, &o.past}, {announced, chainAnnounced, &o.announced}} {
		for _, chain := range list.chains {
			from, until, err := chainWindow(chain)
			if err != nil {
				return err
			}
			*list.into = append(*list.into, describeChain(list.status, chain, from, until))
		}
	}
	return nil
}

// replaced keeps the chain of an authority that issues no more.
func (o *otherChains) replaced(a *authority.Authority, now time.Time) {
	from, until := a.Window()
	if now = now.UTC().Truncate(time.Second); now.Before(until) && now.After(from) {
		until = now
	}
	o.before = append([]chainJSON{describeChain(chainPast, a.Chain(), from, until)}, o.before...)
	o.before = o.before[:min(len(o.before), maxReplaced)]
}

// describe returns the document with all chains. Each leaf is in it once: what
// is current is neither past nor announced any more.
func (o *otherChains) describe(current *authority.Authority) ([]byte, error) {
	from, until := current.Window()
	now := describeChain(chainCurrent, current.Chain(), from, until)
	var all []chainJSON
	add := func(chains ...chainJSON) {
		for _, c := range chains {
			isSame := func(have chainJSON) bool { return have.leaf() == c.leaf() }
			if (c.Status == chainCurrent || !isSame(now)) && !slices.ContainsFunc(all, isSame) {
				all = append(all, c)
			}
		}
	}
	add(o.announced...)
	add(now)
	add(o.before...)
	add(o.past...)
	return marshal(chainsJSON{Chains: all})
}

func (c *chainJSON) leaf() string { return c.Certificates[0].SHA256 }

func describeChain(status chainStatus, chain []*x509.Certificate, from, until time.Time) chainJSON {
	c := chainJSON{Status: status, From: from.UTC(), Until: until.UTC(), PEM: string(pki.EncodeChain(chain))}
	for _, cert := range chain {
		sum := sha256.Sum256(cert.Raw)
		c.Certificates = append(c.Certificates, certificateJSON{
			Subject: cert.Subject.String(), Issuer: cert.Issuer.String(),
			Serial:    hex.EncodeToString(cert.SerialNumber.Bytes()),
			NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
			SHA256: hex.EncodeToString(sum[:]),
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

// marshal writes indented JSON without escaping what only HTML would need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}
