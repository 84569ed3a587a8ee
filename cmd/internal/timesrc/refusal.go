package timesrc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/beevik/ntp"
)

// A Reason says why a time server gave no measurement. The set is closed; the
// words appear in metrics and logs.
type Reason string

const (
	ReasonConfig         Reason = "config"         // asked in a way that cannot work
	ReasonName           Reason = "name"           // its name has no address
	ReasonNetwork        Reason = "network"        // no way to it, or it refused
	ReasonNoAnswer       Reason = "no-answer"      // nothing came in time
	ReasonInvalid        Reason = "invalid"        // what came is not what the protocol allows
	ReasonKiss           Reason = "kiss"           // it wants to be asked less, or not at all
	ReasonUnsynchronised Reason = "unsynchronised" // it does not know the time itself
	ReasonDistance       Reason = "distance"       // it knows, but not well enough
	ReasonImpossible     Reason = "impossible"     // its times contradict one another
	ReasonStepped        Reason = "stepped"        // this machine's clock was set meanwhile
	ReasonExtension      Reason = "extension"      // an extension refused it; see Err
)

// An Error says why a time server gave no measurement.
type Error struct {
	Server string         // as configured
	Addr   netip.AddrPort // that was asked; the zero AddrPort if none was
	Reason Reason
	Detail string // may be empty
	Err    error  // may be nil
}

// Error names the server, what was wrong and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "time server %s", e.Server)
	if e.Addr.IsValid() && e.Addr.String() != e.Server {
		fmt.Fprintf(&b, " (%s)", e.Addr)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	if e.Err != nil && e.Reason != ReasonNoAnswer {
		err := e.Err
		// The addresses in it are ours, and the one that is named already.
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
			err = op.Err
		}
		fmt.Fprintf(&b, ": %v", err)
	}
	if cure := e.cure(); cure != "" {
		fmt.Fprintf(&b, "; %s", cure)
	}
	return b.String()
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) cure() string {
	switch e.Reason {
	case ReasonName:
		return "check the name and this machine's resolver"
	case ReasonNetwork:
		return "check the address, the port and the route to it"
	case ReasonNoAnswer:
		return "check that it serves NTP and that firewalls let UDP to its port through, and the answers back"
	case ReasonInvalid, ReasonImpossible:
		return "it is broken or somebody answers in its place: use another"
	case ReasonUnsynchronised:
		return "look at its own sources, or use another"
	case ReasonDistance:
		return "use one that is nearer"
	case ReasonStepped:
		return "see who sets the clock"
	}
	return ""
}

// refuse makes the error of an exchange.
func (x *exchange) refuse(reason Reason, detail string, err error) *Error {
	e := &Error{Server: x.cfg.Server, Addr: x.cfg.Addr, Reason: reason, Detail: detail, Err: err}
	if e.Server == "" {
		e.Server = x.cfg.Addr.String()
	}
	return e
}

func (x *exchange) noAnswer(err error) *Error {
	detail := fmt.Sprintf("no answer within %v", x.cfg.Timeout.Round(time.Millisecond))
	if errors.Is(err, context.Canceled) {
		detail = "no answer before the question was given up"
	}
	if x.ignored > 0 {
		detail = fmt.Sprintf("%s; datagrams that came and were ignored: %d, the last because %s", detail, x.ignored, x.last)
	}
	return x.refuse(ReasonNoAnswer, detail, err)
}

// judge refuses what must not be measured by (RFC 5905, 8 and A.5.1.1).
func (x *exchange) judge(r *ntp.Response) error {
	if err := x.kiss(); err != nil {
		return err
	}
	if r.Version != 3 && r.Version != 4 {
		return x.refuse(ReasonInvalid, fmt.Sprintf("the answer is of version %d, the question was of 4", r.Version), nil)
	}
	err := r.Validate()
	switch {
	case err == nil:
	case errors.Is(err, ntp.ErrInvalidLeapSecond):
		return x.refuse(ReasonUnsynchronised, "its clock is not synchronised (leap indicator 3)", err)
	case errors.Is(err, ntp.ErrInvalidStratum):
		return x.refuse(ReasonUnsynchronised, fmt.Sprintf("its clock is not synchronised (stratum %d)", r.Stratum), err)
	case errors.Is(err, ntp.ErrServerClockFreshness):
		return x.refuse(ReasonUnsynchronised, fmt.Sprintf("its clock was last synchronised %v ago", r.Time.Sub(r.ReferenceTime).Round(time.Minute)), err)
	case errors.Is(err, ntp.ErrInvalidTime):
		return x.refuse(ReasonUnsynchronised, "its clock was never synchronised, or went back since", err)
	case errors.Is(err, ntp.ErrInvalidDispersion):
		return x.refuse(ReasonDistance, fmt.Sprintf("its own account of its error is %v", r.RootDelay/2+r.RootDispersion), err)
	default:
		return x.refuse(ReasonInvalid, "", err)
	}
	// Package ntp checks these as well; what the clock hangs on is checked here.
	if r.Stratum < 1 || r.Stratum > maxStratum || r.Leap == ntp.LeapNotInSync {
		return x.refuse(ReasonUnsynchronised, fmt.Sprintf("stratum %d, leap indicator %d", r.Stratum, r.Leap), nil)
	}
	return nil
}

// maxStratum is the greatest stratum of a synchronised clock (RFC 5905, 7.3).
const maxStratum = 15

// Patience with servers that send a kiss-o'-death (RFC 5905, 7.4; RFC 8633,
// 5.3).
const (
	// ratePatience is the least that a server is left alone for that says
	// RATE, and maxRatePatience the most: what it asks for itself lies between.
	ratePatience    = 2 * time.Minute
	maxRatePatience = 36 * time.Hour

	// denyPatience is how long a server is left alone that says DENY or RSTR.
	// The clients of RFC 5905 never come back; one that runs for years asks
	// again the next day.
	denyPatience = 24 * time.Hour
)

// A KissError is a server's wish not to be asked, or not so often: a
// kiss-o'-death packet (RFC 5905, 7.4). It is the answer to our question, by
// its random number, but is not authenticated unless an extension has done so.
type KissError struct {
	// Code is the reason in four letters or fewer: RATE, DENY, RSTR; others
	// only say that the server has no time to give.
	Code string

	after time.Duration
}

// Error names the code and what it means.
func (e *KissError) Error() string {
	switch e.Code {
	case "RATE":
		return fmt.Sprintf("it wants to be asked less often (kiss-o'-death RATE); the next question in %v", e.after)
	case "DENY", "RSTR":
		return fmt.Sprintf("it does not serve this machine (kiss-o'-death %s): ask its operator, or use another; the next question in %v", e.Code, e.after)
	}
	return fmt.Sprintf("it has no time to give (kiss-o'-death %q)", e.Code)
}

// RetryAfter is how long to leave the server alone; zero if it did not ask to be.
func (e *KissError) RetryAfter() time.Duration { return e.after }

// NewKissError is the error for a kiss code and the poll exponent of the
// packet, which says in RATE how often the server would like to be asked.
func NewKissError(code string, poll int8) *KissError {
	e := &KissError{Code: code}
	switch code {
	case "RATE":
		e.after = maxRatePatience
		if poll < 17 { // 2^17 s are 36 hours: RFC 5905, 7.2, MAXPOLL
			e.after = max(ratePatience, time.Second<<max(poll, 0))
		}
	case "DENY", "RSTR":
		e.after = denyPatience
	}
	return e
}

// kiss returns the error of the answer if it is a kiss-o'-death.
func (x *exchange) kiss() error {
	if x.header[1] != 0 { // stratum
		return nil
	}
	code := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, string(x.header[12:16]))
	return x.refuse(ReasonKiss, "", NewKissError(code, int8(x.header[2])))
}
