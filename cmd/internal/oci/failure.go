package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Of connections, as http.DefaultTransport has them.
const (
	handshake = 10 * time.Second
	idle      = 90 * time.Second
	dial      = 30 * time.Second
)

// maxErrorBody is how much of the body of a refusal is read, in bytes.
const maxErrorBody = 8 << 10

// A credentialError is what went wrong before the registry was shown anything.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

func (r *registry) error(kind Kind, err error) *Error {
	return &Error{Kind: kind, Host: r.name.Host, Err: err}
}

// fail explains an error of a request that has no answer to look at.
func (r *registry) fail(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", r.name.Host, what, ctx.Err())
	}
	// Its text repeats the address, which may carry a token of the storage's.
	for ue := (*url.Error)(nil); errors.As(err, &ue); {
		err = ue.Err
	}
	var ce *credentialError
	if errors.As(err, &ce) {
		var e *Error
		if errors.As(ce.err, &e) {
			return &Error{Kind: e.Kind, Host: r.name.Host, Err: fmt.Errorf("%s: %w", what, e.Err), hint: e.hint}
		}
		return r.withHint(Unauthorized, fmt.Errorf("%s: %w", what, ce.err), "")
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		e := r.withHint(Unauthorized, fmt.Errorf("%s: the registry asks for a user name and a password, and there are none", what), r.login())
		e.Status = http.StatusUnauthorized
		return e
	}
	var refusal *errcode.ErrorResponse
	if errors.As(err, &refusal) {
		service := ""
		if r.byTokenService(refusal) {
			service = "token service " + refusal.URL.Host
		}
		return r.status(refused{what: what, service: service, status: refusal.StatusCode, errors: refusal.Errors})
	}
	if strings.Contains(err.Error(), "missing username or password") { // oras-go has no type for it
		return r.withHint(Unauthorized, fmt.Errorf("%s: the registry asks for a user name and a password, and there is but a token", what), r.login())
	}
	if text := err.Error(); strings.Contains(text, "bearer realm") { // oras-go has no type for it
		if inner := errors.Unwrap(err); inner != nil {
			text = inner.Error()
		}
		hint := "a token service must be spoken to by https, or by http where the registry is"
		if strings.Contains(text, "private") {
			hint = "a token service at a private address has to have the registry's host name, on any port (GitLab: give registry_external_url the host of external_url)"
		}
		return r.withHint(Unauthorized, fmt.Errorf("%s: the registry's token service is not asked: %s", what, cut(text)), hint)
	}
	hint, reason := r.unreachable(err)
	return r.withHint(Unavailable, fmt.Errorf("%s: %w", what, reason), hint)
}

// byTokenService tells whether a refusal comes from the token service. Its path
// may begin with /v2/, too; but it is never below the repository's, and it is
// never sent a PUT or a HEAD.
func (r *registry) byTokenService(e *errcode.ErrorResponse) bool {
	if e.URL == nil || e.Method != http.MethodGet && e.Method != http.MethodPost {
		return false
	}
	return e.URL.Host != r.ref.Host() || !strings.HasPrefix(e.URL.Path, "/v2/"+r.name.Repository+"/")
}

func (r *registry) withHint(kind Kind, err error, hint string) *Error {
	e := r.error(kind, err)
	e.hint = hint
	return e
}

func (r *registry) login() string {
	if r.shown.Load() {
		return fmt.Sprintf("the credentials were refused: run \"docker login %s\" again, or give --username and --password-stdin", r.name.Host)
	}
	return fmt.Sprintf("run \"docker login %s\", or give --username and --password-stdin", r.name.Host)
}

// unreachable explains why there was no answer, and what to do about it.
func (r *registry) unreachable(err error) (hint string, reason error) {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		dns      *net.DNSError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "if it has no TLS, add --insecure-registry", errors.New("the registry does not speak TLS on this port")
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		return "give its authority with --registry-ca, or add it to those of the system (SSL_CERT_FILE)", err
	case errors.Is(err, syscall.ECONNREFUSED):
		return "see that the registry is running, and that its port is right", errors.New("connection refused")
	case errors.As(err, &dns):
		if !strings.ContainsAny(r.name.Host, ".:") {
			hint = fmt.Sprintf("if it is on Docker Hub, write docker.io/%s", r.name.Name())
		}
		return hint, fmt.Errorf("no address for host %s", dns.Name)
	case errors.Is(err, io.EOF) && r.plain:
		return r.tlsHint(), errors.New("the registry closed the connection")
	}
	return "", err
}

func (r *registry) tlsHint() string {
	if r.cfg.PlainHTTP == nil || plainHTTP(r.name.Host) {
		return "if it speaks TLS, name the host otherwise: localhost is spoken to without"
	}
	return "if it speaks TLS, leave out --insecure-registry"
}

// unwanted explains an answer that is not the one that was asked for.
func (r *registry) unwanted(what string, resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var doc struct {
		Errors errcode.Errors `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil {
		doc.Errors = nil
	}
	if resp.StatusCode == http.StatusBadRequest && r.plain && strings.Contains(string(body), "HTTPS") {
		// What Go's server and nginx say to plain HTTP on a port for TLS.
		e := r.withHint(Unavailable, fmt.Errorf("%s: the registry speaks TLS on this port", what), r.tlsHint())
		e.Status = resp.StatusCode
		return e
	}
	service := ""
	if resp.Request != nil && !strings.HasPrefix(resp.Request.URL.Path, "/v2/") {
		service = "storage " + resp.Request.URL.Host
	}
	return r.status(refused{what, service, resp.StatusCode, doc.Errors, resp.Header})
}

// A refused is a request that was not answered as it was to be.
type refused struct {
	what    string // was asked for
	service string // who answered; "" for the registry itself
	status  int    // of HTTP
	errors  errcode.Errors
	header  http.Header // nil: not known
}

// status explains a status of HTTP with the codes of the body (distribution-spec,
// "Error Codes").
func (r *registry) status(q refused) *Error {
	var said []string
	has := func(code string) bool {
		for _, e := range q.errors {
			if e.Code == code {
				return true
			}
		}
		return false
	}
	for _, e := range q.errors {
		text := strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
		if e.Message != "" && !strings.EqualFold(e.Message, text) {
			text = strings.TrimPrefix(text+": ", ": ") + e.Message
		}
		if len(said) < 3 {
			said = append(said, cut(text))
		}
	}
	kind, reason, hint := Malformed, "", ""
	switch {
	case q.status == http.StatusUnauthorized:
		kind, reason, hint = Unauthorized, "not without credentials", r.login()
		if r.shown.Load() {
			reason = "the credentials are not accepted"
		}
	case q.status == http.StatusForbidden || has(errcode.ErrorCodeDenied):
		kind, reason = Forbidden, "not allowed"
		hint = fmt.Sprintf("ask for the right to do this, or use other credentials: run \"docker login %s\", or give --username", r.name.Host)
	case q.service != "" && (q.status == http.StatusNotFound || q.status == http.StatusMethodNotAllowed || q.status == http.StatusNotImplemented):
		// Nothing that the registry says: it may well have what was asked for.
		kind, reason = Unavailable, "not to be had where the registry points to"
	case has(errcode.ErrorCodeNameUnknown):
		kind, reason = NotFound, fmt.Sprintf("there is no repository %s", r.name.Repository)
		if r.name.Host == "docker.io" && !strings.Contains(r.name.Repository, "/") {
			hint = fmt.Sprintf("Docker's own images are at docker.io/library/%s", r.name.Repository)
		}
	case q.status == http.StatusNotFound:
		kind, reason = NotFound, "not found"
	case q.status == http.StatusTooManyRequests:
		kind, reason = TooManyRequests, "too many requests"
		if wait, ok := retryAfter(q.header, time.Now()); ok {
			reason += fmt.Sprintf(", to be tried again in %v", wait.Round(time.Second))
		}
		hint = "try again later; some registries allow more to users who have logged in"
	case q.status == http.StatusMethodNotAllowed || q.status == http.StatusNotImplemented || has(errcode.ErrorCodeUnsupported):
		kind, reason = Unsupported, "the registry does not do this"
	case q.status == http.StatusRequestEntityTooLarge:
		kind, reason = TooLarge, "too large for the registry"
	case q.status == http.StatusPreconditionFailed || q.status == http.StatusConflict:
		kind, reason = Conflict, "changed by others meanwhile"
	case has(errcode.ErrorCodeDigestInvalid):
		kind, reason = Digest, "the registry computes another digest"
	case q.status >= 500 || q.status == http.StatusRequestTimeout:
		kind, reason = Unavailable, "out of order"
	default:
		reason = "refused"
	}
	text := fmt.Sprintf("%s: %s (HTTP status %d", q.what, reason, q.status)
	if q.service != "" {
		text += " of " + q.service
	}
	if len(said) > 0 {
		text += "; " + strings.Join(said, "; ")
	}
	return &Error{Kind: kind, Host: r.name.Host, Status: q.status, Err: errors.New(text + ")"), hint: hint,
		noRepository: kind == NotFound && has(errcode.ErrorCodeNameUnknown)}
}

// cut shortens a foreign text.
func cut(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}
