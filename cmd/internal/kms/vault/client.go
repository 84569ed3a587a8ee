package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

const (
	// idleConnections is how many connections to the server are kept for the
	// next signature: as many as there are signatures under way by default.
	idleConnections = 64

	// maxAnswer bounds an answer about one signature or token, in bytes. An
	// RSA signature of 8192 bits takes 1.4 kB.
	maxAnswer = 64 << 10

	// maxKeyAnswer bounds the description of a key, in bytes, which has all
	// its versions: 1 kB each for the longest, and a key that is rotated every
	// hour has 8760 after a year.
	maxKeyAnswer = 16 << 20

	// pingAfter and pingTimeout end an HTTP/2 connection on which nothing
	// comes back any more. One such connection carries all signatures, and the
	// end of a request does not close it.
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// A client speaks HTTP to one server. What to dial, the TLS and the headers
// are configured by Vault's library. The requests are our own, because the
// library reads answers without a bound, has them wrapped when VAULT_WRAP_TTL
// is set, closes every idle connection when one call fails, has one token for
// all calls under way, and loses the body of a raw request on a redirection.
type client struct {
	http   *http.Client
	base   url.URL
	header http.Header
	shown  string // the address as it is shown: without user information
	addrIn string // the variable that the address is from
}

// An environment reads variables that have a twin.
type environment func(string) (string, bool)

// get returns the value of VAULT_name, or of BAO_name, and which it was. An
// empty variable is as good as none.
func (env environment) get(name string) (value, variable string) {
	if env == nil {
		return "", ""
	}
	for _, prefix := range []string{"VAULT_", "BAO_"} {
		if v, _ := env(prefix + name); v != "" {
			return v, prefix + name
		}
	}
	return "", ""
}

const opConnect = "connect"

// newClient dials nothing yet.
func newClient(env environment, dial dialFunc) (*client, error) {
	addr, variable := env.get("ADDR")
	if addr == "" {
		return nil, fault.New(fault.Malformed, opConnect, "VAULT_ADDR or BAO_ADDR is not set").
			WithHint("set VAULT_ADDR to the address of the server, such as https://vault.example:8200")
	}
	if err := checkAddress(addr); err != nil {
		return nil, fault.New(fault.Malformed, opConnect, "%s: %w", variable, err).
			WithHint("write it as https://vault.example:8200")
	}
	conf := api.DefaultConfig()
	if conf.Error != nil {
		return nil, badEnvironment(conf.Error)
	}
	// An agent that is to be used is named by VAULT_ADDR, as with the peer.
	conf.Address, conf.AgentAddress = addr, ""
	if err := configureTLS(conf, env); err != nil {
		return nil, err
	}
	transport, ok := conf.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, fault.New(fault.Unsupported, opConnect, "Vault's library has a transport of type %T", conf.HttpClient.Transport)
	}
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = idleConnections, idleConnections
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	c, err := api.NewClient(conf)
	if err != nil {
		return nil, badEnvironment(err)
	}
	if dial != nil {
		transport.DialContext = dial
	}
	if namespace, _ := env.get("NAMESPACE"); namespace != "" {
		c.SetNamespace(namespace)
	}
	base, err := url.Parse(c.Address())
	if err != nil {
		return nil, badEnvironment(err)
	}
	conf.HttpClient.CheckRedirect = checkRedirect
	header := c.Headers()
	header.Set("Content-Type", "application/json")
	shown := base.Scheme + "://" + base.Host
	if strings.HasPrefix(addr, "unix://") {
		shown = addr
	}
	return &client{http: conf.HttpClient, base: *base, header: header, shown: shown, addrIn: variable}, nil
}

func badEnvironment(err error) error {
	// It would quote the address, which may hold a password.
	if _, ok := errors.AsType[*url.Error](err); ok {
		err = errors.New("VAULT_PROXY_ADDR is not a URL")
	}
	return fault.New(fault.Malformed, opConnect, "Vault's environment variables: %w", flatError{err}).
		WithHint("mend or unset the VAULT_ variable that the error speaks of")
}

// checkAddress does not quote the address, which may hold a password.
func checkAddress(addr string) error {
	u, err := url.Parse(addr)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme == "unix" && u.Path != "":
		return nil
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("neither https:// nor http:// nor unix://")
	case u.Host == "":
		return errors.New("no host")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("a query or a fragment")
	}
	return nil
}

// configureTLS sets what the environment says, of which the library has read
// the variables that begin with VAULT_ already.
func configureTLS(conf *api.Config, env environment) error {
	var t api.TLSConfig
	var pem string
	for name, field := range map[string]*string{
		"CACERT": &t.CACert, "CAPATH": &t.CAPath, "CACERT_BYTES": &pem, "TLS_SERVER_NAME": &t.TLSServerName,
		"CLIENT_CERT": &t.ClientCert, "CLIENT_KEY": &t.ClientKey,
	} {
		*field, _ = env.get(name)
	}
	t.CACertBytes = []byte(pem)
	if skip, variable := env.get("SKIP_VERIFY"); skip != "" {
		var err error
		if t.Insecure, err = strconv.ParseBool(skip); err != nil {
			return fault.New(fault.Malformed, opConnect, "%s: neither true nor false", variable).
				WithHint("unset %s", variable)
		}
	}
	if err := conf.ConfigureTLS(&t); err != nil {
		return fault.New(fault.Malformed, opConnect, "TLS: %w", flatError{err}).
			WithHint("check VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY")
	}
	return nil
}

// checkRedirect allows one step, and none that gives up TLS: the token goes
// with the request. A standby node keeps the method, with a 307; what answers
// otherwise is something else, such as a portal that wants a login, and that
// answer is the last one.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch req.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return http.ErrUseLastResponse
	}
	if len(via) > 1 {
		return errors.New("more than one redirection")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirection from https to http")
	}
	return nil
}

// A request is one call of the API.
type request struct {
	op     string // for errors
	method string
	path   string // below /v1, not escaped
	body   []byte
	limit  int64 // of the answer, in bytes; 0: maxAnswer
}

// do returns the body of an answer with the status 200 or 204. Any other
// status is an error that wraps a *statusError.
func (c *client) do(ctx context.Context, token string, r request) ([]byte, error) {
	u := c.base
	u.Path = path.Join("/", u.Path, "v1", r.path)
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, fault.New(fault.Malformed, r.op, "%w", err)
	}
	maps.Copy(req.Header, c.header)
	if token != "" {
		req.Header[api.AuthHeaderName] = []string{token}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(ctx, r.op, err)
	}
	defer resp.Body.Close()
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, c.noAnswer(ctx, r.op, err)
	}
	if int64(len(body)) > limit {
		return nil, c.malformed(r.op, fmt.Errorf("an answer of more than %d bytes", limit))
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return body, nil
	}
	return nil, c.classify(r.op, newStatusError(resp.StatusCode, body))
}

// noAnswer says why there is none.
func (c *client) noAnswer(ctx context.Context, op string, err error) error {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(ended, context.Canceled) {
			return fmt.Errorf("%s: %w", op, ended)
		}
		return fault.New(fault.Unreachable, op, "%s did not answer in time: %w", c.shown, ended).
			WithHint("see whether the server is overloaded, and whether a firewall is in between")
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // which repeats neither the method nor the address
	}
	e := fault.New(fault.Unreachable, op, "%s: %w", c.shown, err)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.WithHint("name the certificate of the CA that the server's certificate is from, in VAULT_CACERT")
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return e.WithHint("the server speaks plain HTTP: write %s with http://", c.addrIn)
	}
	return e.WithHint("see whether the server runs, and whether %s names it", c.addrIn)
}

func (c *client) malformed(op string, err error) *fault.Error {
	return fault.New(fault.Malformed, op, "%s: %w", c.shown, err).
		WithHint("see whether %s names a Vault or OpenBao server, and what stands in between", c.addrIn)
}

func (c *client) close() { c.http.CloseIdleConnections() }
