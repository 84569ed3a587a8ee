package nts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// A Reason says why a server gave no authenticated time. The set is closed; the
// words appear in metrics and logs.
type Reason string

const (
	ReasonUnreachable Reason = "unreachable"     // no connection for the key exchange
	ReasonNotNTS      Reason = "not-nts"         // something else answers there
	ReasonCertificate Reason = "certificate"     // its certificate is not valid for it, here and now
	ReasonRefused     Reason = "refused"         // it answers with an error or a warning
	ReasonUnsupported Reason = "unsupported"     // it does not do what every server must
	ReasonMalformed   Reason = "malformed"       // its answer breaks RFC 8915
	ReasonUnauthentic Reason = "unauthenticated" // answers came, and none was its own
	ReasonCookies     Reason = "cookies"         // it has forgotten its keys; new ones are agreed on next
	ReasonWaiting     Reason = "waiting"         // the next key exchange is not due yet; Err is why the last one failed
)

// An Error says why a server gave no authenticated time. What is not about NTS
// is a *timesrc.Error.
type Error struct {
	Server string // as configured, with its port
	Reason Reason
	Err    error

	retry time.Duration
}

// Error names the server, what was wrong and what to do about it.
func (e *Error) Error() string {
	return "time server nts://" + e.Server + ": " + e.text()
}

func (e *Error) text() string {
	var last *Error
	switch {
	case e.Reason == ReasonWaiting && errors.As(e.Err, &last):
		return fmt.Sprintf("no keys, and the next key exchange is due in %v; the last one: %s", e.retry.Round(time.Second), last.text())
	case e.Reason == ReasonWaiting:
		return fmt.Sprintf("no keys, and the next key exchange is due in %v; the last one: %v", e.retry.Round(time.Second), e.Err)
	}
	text := e.Err.Error()
	if e.Reason == ReasonMalformed {
		text = "malformed answer: " + text
	}
	if cure := e.cure(); cure != "" {
		text += "; " + cure
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter is how long it makes no sense to ask again; zero if that is not
// known.
func (e *Error) RetryAfter() time.Duration { return e.retry }

func (e *Error) cure() string {
	switch e.Reason {
	case ReasonUnreachable:
		return "check the address, that it serves NTS (TCP port 4460), and that firewalls let it through"
	case ReasonNotNTS:
		return "check the address and the port: NTS has TCP port 4460"
	case ReasonUnsupported, ReasonMalformed:
		return "use another server"
	case ReasonUnauthentic:
		return "somebody answers in its place, or changes its answers on the way"
	case ReasonCertificate:
		return certificateCure(e.Err)
	}
	return ""
}

func certificateCure(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
	)
	switch {
	case errors.As(err, &unknown):
		return "if the server has a CA of its own, tsa.clock.ca names its roots"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// RFC 8915, 8.5: the clock that is to be checked is the one that
		// certificates are checked by.
		return "either the server must renew it, or the clock of this machine is far off and must be set by hand first"
	case errors.As(err, &name):
		return "name the server as its certificate does"
	}
	return ""
}

// explain sorts what can go wrong until the server's answer is read.
func explain(err error) *Error {
	var (
		known  *Error
		verify *tls.CertificateVerificationError
		header tls.RecordHeaderError
		op     *net.OpError
		isNet  net.Error
		out    = &Error{Reason: ReasonUnreachable, Err: err}
		text   = err.Error() // alerts have no type of their own in crypto/tls
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		out.Err = fmt.Errorf("no answer in time: %w", err)
	case errors.As(err, &verify):
		out.Reason = ReasonCertificate
	case errors.As(err, &header):
		out.Reason, out.Err = ReasonNotNTS, fmt.Errorf("it does not speak TLS: %w", err)
	case strings.Contains(text, "protocol version"):
		out.Reason, out.Err = ReasonNotNTS, fmt.Errorf("it does not speak TLS 1.3: %w", err) // RFC 8915, 3
	case strings.Contains(text, "no application protocol"), strings.Contains(text, "unadvertised ALPN"):
		out.Reason, out.Err = ReasonNotNTS, fmt.Errorf("it speaks TLS, but not NTS (%s): %w", alpn, err)
	case errors.As(err, &op) && op.Op == "remote error":
		out.Reason = ReasonRefused
	case errors.Is(err, syscall.ECONNREFUSED):
		out.Err = fmt.Errorf("nothing listens there: %w", err)
	case errors.As(err, &isNet):
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		out.Reason, out.Err = ReasonNotNTS, fmt.Errorf("it hangs up during the handshake: %w", err)
	case strings.HasPrefix(text, "tls: "):
		out.Reason = ReasonNotNTS
	}
	return out
}
