package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// TSAConfig is what [NewTSA] makes a [TSA] of.
type TSAConfig struct {
	// Authority issues the tokens. Required.
	Authority *authority.Authority
	// Clock is the clock of the authority, for metrics and readiness. Required.
	Clock clock.Source
	// Policies are all those under which tokens are issued.
	Policies []x509.OID
	// SignTimeout bounds each request, for keys outside this process. Zero:
	// there is no bound but the client's patience.
	SignTimeout time.Duration
}

// A TSA is the timestamp authority of a server: the one that issues now, which
// can be replaced while requests are answered, and its certificates.
type TSA struct {
	clock      clock.Source
	policies   []x509.OID
	policyText []string // of policies
	timeout    time.Duration
	current    atomic.Pointer[identity]
}

// identity is an authority and its certificates as they are published.
type identity struct {
	authority *authority.Authority
	chain     document // PEM, leaf first
	chains    document // JSON
}

// NewTSA returns a TSA.
func NewTSA(cfg TSAConfig) (*TSA, error) {
	if cfg.Authority == nil || cfg.Clock == nil {
		return nil, errors.New("serve: a TSA needs an authority and a clock")
	}
	t := &TSA{clock: cfg.Clock, policies: cfg.Policies, timeout: cfg.SignTimeout}
	for _, p := range cfg.Policies {
		t.policyText = append(t.policyText, p.String())
	}
	return t, t.Replace(cfg.Authority)
}

// Replace makes another authority issue from now on. Requests that are under
// way are answered by the one before.
func (t *TSA) Replace(a *authority.Authority) error {
	id := &identity{authority: a, chain: newDocument("application/pem-certificate-chain", pki.EncodeChain(a.Chain()))}
	id.chain.maxAge = chainMaxAge
	chains, err := describeChains(a)
	if err != nil {
		return err
	}
	id.chains = newDocument("application/json", chains)
	id.chains.maxAge = chainMaxAge
	t.current.Store(id)
	return nil
}

// Respond answers a request; see authority.Authority.
func (t *TSA) Respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome) {
	if t.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	return t.current.Load().authority.Respond(ctx, request)
}

// Authority returns the one that issues now.
func (t *TSA) Authority() *authority.Authority { return t.current.Load().authority }

// Window is when the authority that issues now may do so.
func (t *TSA) Window() (notBefore, notAfter time.Time) { return t.Authority().Window() }

// chainMaxAge is how long a client may use a chain without asking again. After
// a rotation, tokens of a new certificate meet clients that know the old one
// for so long.
const chainMaxAge = 5 * time.Minute

// chainStatus says when tokens of a chain are issued.
type chainStatus string

// The states of a chain.
const (
	chainPast      chainStatus = "past"      // tokens were issued under it
	chainCurrent   chainStatus = "current"   // tokens are issued under it
	chainAnnounced chainStatus = "announced" // tokens will be issued under it
)

// chainsJSON is the answer of /api/v1/timestamp/certchains: every chain under
// which this authority has issued, issues or will issue, newest first.
type chainsJSON struct {
	Chains []chainJSON `json:"chains"`
}

type chainJSON struct {
	Status chainStatus `json:"status"`
	// From and Until are when tokens are issued under the chain: the dates of
	// its certificates and of the private key, RFC 3339, UTC.
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

func describeChains(current *authority.Authority) ([]byte, error) {
	c := describeChain(current)
	c.Status = chainCurrent
	return marshal(chainsJSON{Chains: []chainJSON{c}})
}

func describeChain(a *authority.Authority) chainJSON {
	from, until := a.Window()
	c := chainJSON{From: from.UTC(), Until: until.UTC(), PEM: string(pki.EncodeChain(a.Chain()))}
	for _, cert := range a.Chain() {
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

// marshal writes indented JSON without escaping what only HTML would need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// etag is the entity tag of a body.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
