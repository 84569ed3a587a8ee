package serve

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"sync"
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
	// Past and Announced are chains that are published besides that of the
	// authority: under which tokens were issued, and under which they will be.
	// Each is leaf first.
	Past, Announced [][]*x509.Certificate
}

// A TSA is the timestamp authority of a server: the one that issues now, which
// can be replaced while requests are answered, and its certificates.
type TSA struct {
	clock      clock.Source
	policies   []x509.OID
	policyText []string // of policies
	timeout    time.Duration
	current    atomic.Pointer[identity]

	mu     sync.Mutex // held while the identity is replaced
	others otherChains
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
	if err := t.others.configure(cfg.Past, cfg.Announced); err != nil {
		return nil, err
	}
	return t, t.replace(cfg.Authority)
}

// Adopt makes the authority of another TSA issue from now on, and publishes
// the chains of its configuration. Requests that are under way are answered by
// the authority before, whose chain stays published as a past one.
func (t *TSA) Adopt(next *TSA) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others.past, t.others.announced = next.others.past, next.others.announced
	if before := t.Authority(); !before.Chain()[0].Equal(next.Authority().Chain()[0]) {
		t.others.replaced(before, time.Now())
	}
	return t.replace(next.Authority())
}

func (t *TSA) replace(a *authority.Authority) error {
	id := &identity{authority: a, chain: newDocument("application/pem-certificate-chain", pki.EncodeChain(a.Chain()))}
	id.chain.maxAge = chainMaxAge
	chains, err := t.others.describe(a)
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

// etag is the entity tag of a body.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
