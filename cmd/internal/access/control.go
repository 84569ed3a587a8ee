package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// An AnonymousPolicy says what becomes of clients that have no name.
type AnonymousPolicy int

const (
	// AnonymousAllowed admits them, as public timestamp authorities do.
	AnonymousAllowed AnonymousPolicy = iota
	// AnonymousRefused admits configured clients only.
	AnonymousRefused
)

// UnmarshalText reads allowed or refused.
func (p *AnonymousPolicy) UnmarshalText(text []byte) error {
	switch string(text) {
	case "allowed":
		*p = AnonymousAllowed
	case "refused":
		*p = AnonymousRefused
	default:
		return fmt.Errorf("%q is not allowed or refused", text)
	}
	return nil
}

// Config is what [New] makes a [Control] of. The zero Config admits everybody.
type Config struct {
	// TrustedProxies are whose Header is believed. Nil: nobody's. Who is listed
	// and lets clients write the header as they like lets them be anybody.
	TrustedProxies []Proxy
	// Header is the one that they write. Zero: X-Forwarded-For.
	Header ProxyHeader
	// Anonymous is what becomes of clients that have no name. Zero: they are
	// admitted.
	Anonymous AnonymousPolicy
	// Default is how much each address may ask that is not a named client. Zero:
	// any number.
	Default Limit
	// Clients are those with names. Where none of them has a token, the header
	// Authorization is not looked at: it may be for a proxy.
	Clients []ClientConfig
	// Now tells the time. The rates are kept on its monotonic reading, if it has
	// one, the quotas on its wall clock. Nil: time.Now.
	Now func() time.Time
	// MaxAddresses is how many addresses are remembered, at most
	// [MaxAddressesLimit]. Zero: [DefaultMaxAddresses].
	MaxAddresses int
}

// A ClientConfig is a client with a name.
type ClientConfig struct {
	// Name is what the client is called in logs and metrics: up to 64 letters,
	// digits and any of -._@/ . Required, and different for each.
	Name string
	// Tokens are the digests of its API tokens, any of which it may send: two
	// while one replaces the other.
	Tokens []Digest
	// Certificates say which client certificates are its own. A client needs a
	// token or one of these.
	Certificates []CertificateMatch
	// Limit is how much it may ask, from all addresses together. Zero: any
	// number.
	Limit Limit
}

// maxName is the longest name of a client, in bytes: it is in each line of the
// log.
const maxName = 64

// The pace of wrong credentials from one address: a client whose token was
// changed gets its 401, a program that tries tokens soon gets less. Requests
// with right credentials are not held up by it, since behind one address there
// may be many clients, and one of them with an old token must not shut out the
// others.
const (
	attemptsRate  = 0.2 // a second
	attemptsBurst = 20
)

// A Control decides about requests. It may be used by many goroutines at once.
type Control struct {
	proxies   proxies
	anonymous AnonymousPolicy
	address   meter // the default limit
	attempts  pace
	clients   []account
	tokens    tokens
	certs     certificates
	now       func() time.Time
	start     time.Time
	table     *table // nil where nothing is limited by address
}

// An account is a configured client.
type account struct {
	name  string
	meter meter
	spent *spent
}

// spent is the state of an account, which outlives a reload.
type spent struct {
	mu     sync.Mutex
	bucket bucket
}

// New returns a Control. The error names the field that is wrong.
func New(cfg Config) (*Control, error) {
	c := &Control{
		anonymous: cfg.Anonymous, attempts: newPace(attemptsRate, attemptsBurst),
		now: cfg.Now, tokens: tokens{},
	}
	var err error
	if c.proxies, err = newProxies(cfg.TrustedProxies, cfg.Header); err != nil {
		return nil, err
	}
	if c.address, err = newMeter(cfg.Default); err != nil {
		return nil, fmt.Errorf("access: Default: %w", err)
	}
	for i := range cfg.Clients {
		if err := c.add(&cfg.Clients[i]); err != nil {
			return nil, fmt.Errorf("access: Clients[%d] %q: %w", i, cfg.Clients[i].Name, err)
		}
	}
	if c.now == nil {
		c.now = time.Now
	}
	size := cfg.MaxAddresses
	if size == 0 {
		size = DefaultMaxAddresses
	}
	switch {
	case cfg.Anonymous != AnonymousAllowed && cfg.Anonymous != AnonymousRefused:
		return nil, fmt.Errorf("access: unknown Anonymous %d", cfg.Anonymous)
	case cfg.Anonymous == AnonymousRefused && len(cfg.Clients) == 0:
		return nil, errors.New("access: anonymous clients are refused, and there are no Clients: nobody could ask")
	case size < 0 || size > MaxAddressesLimit:
		return nil, fmt.Errorf("access: MaxAddresses is %d, not from 1 to %d", size, MaxAddressesLimit)
	}
	c.start = c.now()
	if !c.address.none() || len(c.tokens) > 0 {
		c.table = newTable(size)
	}
	return c, nil
}

// add adds a configured client.
func (c *Control) add(cfg *ClientConfig) error {
	if err := checkName(cfg.Name); err != nil {
		return err
	}
	for i := range c.clients {
		if c.clients[i].name == cfg.Name {
			return errors.New("another client has this name")
		}
	}
	if len(cfg.Tokens) == 0 && len(cfg.Certificates) == 0 {
		return errors.New("neither a token nor a certificate is known: nobody could be this client")
	}
	n := len(c.clients)
	for i, d := range cfg.Tokens {
		if d == (Digest{}) {
			return fmt.Errorf("tokens[%d] is empty", i)
		}
		if other, ok := c.tokens[d]; ok && other != n {
			return fmt.Errorf("tokens[%d] belongs to client %q as well", i, c.clients[other].name)
		}
		c.tokens[d] = n
	}
	for i, m := range cfg.Certificates {
		if err := c.certs.add(m, n); err != nil {
			return fmt.Errorf("certificates[%d]: %w", i, err)
		}
	}
	m, err := newMeter(cfg.Limit)
	if err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	c.clients = append(c.clients, account{name: cfg.Name, meter: m, spent: &spent{bucket: bucket{fullAt: full}}})
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("name has %d characters, not 1 to %d", len(name), maxName)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c == '-' || c == '.' || c == '_' || c == '@' || c == '/':
		default:
			return fmt.Errorf("name has %q: letters, digits and -._@/ are allowed", c)
		}
	}
	return nil
}

// Trusts says whether a socket's address is that of a trusted proxy.
func (c *Control) Trusts(a netip.Addr) bool { return c.proxies.trust(plain(a)) }

// Adopt goes on where old is, so that a reload gives nobody a new quota: with
// the accounts of the clients that have kept their names, and with all addresses,
// of which it remembers the most recent if it may remember fewer. Limits that
// have changed hold from now on. It is called before c is used; old may go on
// answering requests, and they count, unless MaxAddresses has changed.
func (c *Control) Adopt(old *Control) {
	c.start = old.start
	byName := map[string]*spent{}
	for i := range old.clients {
		byName[old.clients[i].name] = old.clients[i].spent
	}
	for i := range c.clients {
		if s := byName[c.clients[i].name]; s != nil {
			c.clients[i].spent = s
		}
	}
	switch {
	case c.table == nil || old.table == nil:
	case c.table.size == old.table.size:
		c.table = old.table
	default:
		c.table.copyFrom(old.table)
	}
}

// Addresses returns how many addresses are remembered, and how many were
// forgotten for want of room since the process began or MaxAddresses changed.
func (c *Control) Addresses() (remembered int, forgotten uint64) {
	if c.table == nil {
		return 0, 0
	}
	return c.table.count()
}

// Admit says who asks and counts the request, or refuses it. The Client is what
// is known of it in either case. Nothing but the header of the request, its TLS
// state and its socket's addresses are looked at.
func (c *Control) Admit(r *http.Request) (Client, *Refusal) {
	var client Client
	client.Address, client.Via = c.proxies.address(r)
	if len(c.tokens) > 0 {
		switch i, found := c.tokens.find(r.Header); found {
		case credentialKnown:
			client.Kind = KindToken
			refusal := c.charge(&client, i)
			return client, refusal
		case credentialWrong:
			return client, c.attempt(&client)
		}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(c.clients) > 0 {
		if i, refusal, ok := c.certified(r.TLS.VerifiedChains[0][0]); ok {
			if refusal == nil {
				client.Kind = KindCertificate
				refusal = c.charge(&client, i)
			}
			return client, refusal
		}
	}
	switch {
	case c.anonymous == AnonymousAllowed:
	case len(c.tokens) > 0:
		return client, unauthenticated("this server only serves clients that it knows: send an API token, as a bearer token or as the password of basic authentication", challenge)
	default:
		return client, forbidden("this server only serves clients that it knows: connect with a client certificate")
	}
	if c.address.none() {
		return client, nil
	}
	s, e := c.table.lock(keyOf(client.Address))
	wait, reason := c.address.take(&e.bucket, newInstant(c.now(), c.start))
	s.mu.Unlock()
	if wait > 0 {
		return client, tooMany(&client, reason, wait)
	}
	return client, nil
}

// certified decides about a certificate that the handshake has verified. It is
// not ok where it makes the request neither a client's nor refused.
func (c *Control) certified(cert *x509.Certificate) (client int, refusal *Refusal, ok bool) {
	client, ok = c.certs.find(cert)
	switch {
	case !ok && c.anonymous == AnonymousRefused:
		return 0, forbidden("this client certificate belongs to no client of this server"), true
	case ok && c.now().After(cert.NotAfter):
		// The handshake was long ago.
		return 0, forbidden("the client certificate has expired: connect again with a new one"), true
	}
	return client, nil, ok
}

// charge counts a request of a configured client.
func (c *Control) charge(client *Client, i int) *Refusal {
	a := &c.clients[i]
	client.Name = a.name
	if a.meter.none() {
		return nil
	}
	now := newInstant(c.now(), c.start)
	a.spent.mu.Lock()
	wait, reason := a.meter.take(&a.spent.bucket, now)
	a.spent.mu.Unlock()
	if wait > 0 {
		return tooMany(client, reason, wait)
	}
	return nil
}

// attempt counts and refuses a request with a wrong credential.
func (c *Control) attempt(client *Client) *Refusal {
	now := newInstant(c.now(), c.start)
	s, e := c.table.lock(keyOf(client.Address))
	wait := c.attempts.look(&e.attempts, now.elapsed)
	if wait <= 0 {
		c.attempts.take(&e.attempts)
	}
	s.mu.Unlock()
	if wait > 0 {
		return tooMany(client, ReasonAttempts, time.Duration(wait))
	}
	return unauthenticated("this API token is not known: send the right one, as a bearer token or as the password of basic authentication", challengeAgain)
}
