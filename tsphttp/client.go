package tsphttp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// DefaultPath is where the Sigstore servers, and Fencepost's, have their
// timestamp authority. It completes a URL without any path.
const DefaultPath = "/api/v1/timestamp"

// Defaults of a [ClientConfig].
const (
	DefaultTimeout = 30 * time.Second
	// DefaultMaxReply holds a token with a few large revocation lists inside.
	DefaultMaxReply      = 4 << 20
	DefaultRetries       = 2
	DefaultMaxRetryAfter = 30 * time.Second
	DefaultMaxSkew       = 5 * time.Minute
)

// ClientConfig is what [NewClient] makes a [Client] of.
type ClientConfig struct {
	// URLs are the timestamp authorities, the preferred one first; at least
	// one. The scheme is http or https. The path is kept as it is; without any,
	// not even a slash, it is [DefaultPath]. A user and password in a URL are
	// sent to that authority only.
	URLs []string
	// Trust verifies each answer. Nil: the caller does, and until then anybody
	// may have given it, however well it fits the request.
	Trust *verify.Policy

	// TLS is how connections are secured: RootCAs, Certificates. Nil is the
	// default of [crypto/tls]. It is copied.
	TLS *tls.Config
	// Transport carries the requests, instead of one made here, which goes
	// through the proxy that the environment names, does not decompress, and
	// uses TLS as given above. Not together with TLS.
	Transport http.RoundTripper
	// Header is sent with each request to each of the URLs: an API key.
	Header http.Header
	// User is sent as basic authentication to each of the URLs that has no user
	// of its own. Nil sends none.
	User *url.Userinfo
	// UserAgent is the User-Agent header. Empty stands for "fencepost".
	UserAgent string

	// Timeout ends one try, redirects included. Zero stands for
	// [DefaultTimeout].
	Timeout time.Duration
	// MaxReply is the longest reply that is read, in octets. Zero stands for
	// [DefaultMaxReply].
	MaxReply int64
	// Retries is how often the same URL is asked again after a connection that
	// failed and after HTTP status 429 or 503. Zero stands for
	// [DefaultRetries], a negative number for none. The waits grow from about
	// 250 ms.
	Retries int
	// MaxRetryAfter is the longest wait that a server may ask for with
	// Retry-After. One that asks for more is not asked again. Zero stands for
	// [DefaultMaxRetryAfter].
	MaxRetryAfter time.Duration

	// Now tells the local time. Nil stands for [time.Now].
	Now func() time.Time
	// MaxSkew is how far the time in an answer may be from Now, besides the
	// accuracy it declares (RFC 3161, 2.2). Zero stands for [DefaultMaxSkew], a
	// negative number for as far as it likes, where the nonce shows that the
	// answer is fresh and the local clock is known to be wrong.
	MaxSkew time.Duration
}

// A Client asks timestamp authorities for timestamps, and checks the answers
// against the request. It may be used by many goroutines at once.
type Client struct {
	servers       []server
	transport     http.RoundTripper
	trust         *verify.Policy
	header        http.Header
	certificates  bool // TLS client certificates may be sent
	timeout       time.Duration
	maxReply      int64
	retries       int
	maxRetryAfter time.Duration
	now           func() time.Time
	maxSkew       time.Duration
}

// A server is one authority to ask.
type server struct {
	url           *url.URL
	name          string // the URL as it may be shown: without user and query
	authorization string // value of the header, "" for none
	defaulted     bool   // the path is DefaultPath because there was none
}

// NewClient returns a Client. It fails when there is no URL, one is not http
// or https, or a value has no meaning.
func NewClient(cfg ClientConfig) (*Client, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("tsphttp: client without a URL")
	}
	if cfg.TLS != nil && cfg.Transport != nil {
		return nil, errors.New("tsphttp: TLS and Transport are both set")
	}
	if cfg.Timeout < 0 || cfg.MaxReply < 0 || cfg.MaxRetryAfter < 0 {
		return nil, errors.New("tsphttp: Timeout, MaxReply or MaxRetryAfter is negative")
	}
	c := &Client{
		timeout:       orDefault(cfg.Timeout, DefaultTimeout),
		maxReply:      min(orDefault(cfg.MaxReply, DefaultMaxReply), tsp.MaxMessage),
		retries:       max(orDefault(cfg.Retries, DefaultRetries), 0),
		maxRetryAfter: orDefault(cfg.MaxRetryAfter, DefaultMaxRetryAfter),
		maxSkew:       orDefault(cfg.MaxSkew, DefaultMaxSkew),
		now:           cfg.Now,
	}
	if c.now == nil {
		c.now = time.Now
	}
	if cfg.Trust != nil {
		trust := *cfg.Trust
		c.trust = &trust
	}
	for _, text := range cfg.URLs {
		s, err := newServer(text, cfg.User)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, s)
	}
	if err := c.setHeader(cfg); err != nil {
		return nil, err
	}
	c.transport = cfg.Transport
	if cfg.Transport == nil {
		c.transport = newTransport(cfg.TLS)
	}
	if t, ok := c.transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		c.certificates = len(t.TLSClientConfig.Certificates) > 0 || t.TLSClientConfig.GetClientCertificate != nil
	}
	return c, nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

func newServer(text string, user *url.Userinfo) (server, error) {
	u, err := url.Parse(text)
	if err != nil {
		// The error quotes the text, which may hold a password.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return server{}, fmt.Errorf("tsphttp: malformed URL of an authority: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return server{}, fmt.Errorf("tsphttp: URL of an authority has scheme %q and host %q: it needs http or https and a host", u.Scheme, u.Host)
	}
	if u.User != nil {
		user = u.User
	}
	u.User, u.Fragment = nil, ""
	s := server{url: u}
	if u.Path == "" {
		u.Path, s.defaulted = DefaultPath, true
	}
	s.name = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if user != nil {
		password, _ := user.Password()
		s.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	return s, nil
}

// setHeader makes the header that goes with each request.
func (c *Client) setHeader(cfg ClientConfig) error {
	c.header = http.Header{"User-Agent": {orDefault(cfg.UserAgent, "fencepost")}}
	for name, values := range cfg.Header {
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Accept", "Host", "Connection":
			return fmt.Errorf("tsphttp: header %s cannot be chosen", name)
		}
		c.header[name] = slices.Clone(values)
	}
	for name, values := range c.header {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
			return fmt.Errorf("tsphttp: malformed name %q of a header", name)
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return fmt.Errorf("tsphttp: control character in header %s", name)
			}
		}
	}
	return nil
}

func newTransport(cfg *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     cfg.Clone(),
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 16,
		// A token does not compress, and a compressed body could be any size.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// CloseIdleConnections closes connections that are kept open for reuse.
func (c *Client) CloseIdleConnections() {
	(&http.Client{Transport: c.transport}).CloseIdleConnections()
}

// A Reply is an answer that passed every check, and where it came from.
type Reply struct {
	Response *tsp.Response
	// Timestamp is what the answer is worth, nil where the Client has no Trust.
	Timestamp *verify.Timestamp
	// URL is the authority that gave it, without user and query.
	URL string
	// Failed are the authorities before it that did not.
	Failed []*AttemptError
}

// Stamp asks for a timestamp and returns the answer, which has a token that
// fits the request. Its error is that of [Client.Ask].
func (c *Client) Stamp(ctx context.Context, req *tsp.Request) (*tsp.Response, error) {
	reply, err := c.Ask(ctx, req)
	if err != nil {
		return nil, err
	}
	return reply.Response, nil
}

// Ask asks one authority after the other until one gives an answer that passes
// every check: granted, for this imprint, nonce and policy, with certificates
// if they were asked for, of about the present time, and verified if the
// Client has Trust. Certificates that were not asked for (RFC 3161, 2.4.1)
// are let pass; a nonce that was not is not.
//
// A refusal ends the search, because the next authority would have the same
// request, except systemFailure, timeNotAvailable and one without a reason.
//
// Where an authority was asked, the error is a [*Failures] with one
// [*AttemptError] each. Under these, for [errors.As], is what went wrong:
//
//   - [*ConnectionError] no connection, or one that broke off
//   - [*TimeoutError] no answer within [ClientConfig.Timeout]
//   - [*StatusError] an HTTP status other than 200 and 201
//   - [*RedirectError] a redirect that is not followed
//   - [*MediaTypeError] something other than a timestamp reply
//   - [*SizeError] more than [ClientConfig.MaxReply]
//   - [tsp.ErrMalformed] (for [errors.Is]) not a TimeStampResp
//   - [*tsp.Rejection] the authority refused
//   - [*verify.Error] an answer to something else, or not trusted; its Reason tells
//   - [*TimeError] a time too far from the local clock's
//   - the error of ctx
func (c *Client) Ask(ctx context.Context, req *tsp.Request) (*Reply, error) {
	body, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	var failed []*AttemptError
	for i, s := range c.servers {
		a := attempt{client: c, server: s, req: req, body: body, last: i == len(c.servers)-1}
		reply, err := a.run(ctx)
		if err == nil {
			reply.Failed = failed
			return reply, nil
		}
		failed = append(failed, &AttemptError{URL: s.name, Tries: a.tries, Err: err})
		if ctx.Err() != nil || definite(err) {
			break
		}
	}
	return nil, &Failures{failed}
}

// definite reports whether an error is a refusal that any authority would give.
func definite(err error) bool {
	var r *tsp.Rejection
	if !errors.As(err, &r) || r.Status != 0 && r.Status != tsp.StatusRejection {
		return false
	}
	switch r.Info {
	case tsp.SystemFailure, tsp.TimeNotAvailable, tsp.NoFailureInfo:
		return false
	}
	return true
}
