package timesrc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/beevik/ntp"

	"github.com/fencepost-tsa/fencepost/clock"
)

const (
	// DefaultTimeout is how long an answer is waited for. One that took longer
	// would have an error of half of that, which no limit worth having allows.
	DefaultTimeout = 5 * time.Second

	// DefaultMaxRootDistance is how far a server may be from the clocks that
	// everything hangs on: the value that ntpd has come to (RFC 5905 began with
	// 1 s, A.1.1, MAXDIST), and half as much again as the accuracy of one
	// second that tokens usually promise. A server beyond it says nothing that
	// could let a token be issued.
	DefaultMaxRootDistance = 1500 * time.Millisecond
)

// Limits of an exchange.
const (
	headerSize = 48 // RFC 5905, 7.3

	// maxReply is more than an answer with eight new cookies needs (RFC 8915,
	// 5.7), and less than what a fragmented datagram may carry.
	maxReply = 2048

	// maxIgnored is how many datagrams that answer no question of ours are
	// thrown away before the exchange is given up: someone floods the port.
	maxIgnored = 1000

	// maxWallStep is by how much the wall clock may run differently from the
	// elapsed one during an exchange. The fastest adjtime makes 2.5 ms of
	// five seconds; more is a clock that was set.
	maxWallStep = 10 * time.Millisecond

	// maxLate is how many timeouts an answer may have taken by the elapsed
	// clock. The timer stands still in a suspended machine, that clock does not.
	maxLate = 10

	// tightLook is how far apart the readings of the two clocks may be for one
	// look at them, and maxLooks how often it is tried: a look takes about a
	// microsecond unless the thread is interrupted in it.
	tightLook = 50 * time.Microsecond
	maxLooks  = 4

	// oscillatorTolerance is how wrongly a crystal may count while an answer
	// is waited for: seven times what RFC 5905 grants one (7.2, PHI).
	oscillatorTolerance = 100e-6

	// maxOffset is from where on the seconds of NTP could mean another era
	// (RFC 5905, 6).
	maxOffset = 68 * 365 * 24 * time.Hour
)

// An ExchangeConfig says whom [Exchange] asks, and how.
type ExchangeConfig struct {
	// Server is the name of the server, for errors. Empty: Addr.
	Server string

	// Addr is where the question goes, and the one address that an answer is
	// taken from. Required.
	Addr netip.AddrPort

	// Local reads the clocks of this machine. Required.
	Local clock.Local

	// Timeout ends the wait. Zero: [DefaultTimeout].
	Timeout time.Duration

	// MaxRootDistance is how far from true time the server may be by its own
	// account and by the way to it. Zero: [DefaultMaxRootDistance].
	MaxRootDistance time.Duration

	// Extensions complete the question and judge the answer. ProcessQuery has
	// the packet as it will be sent but for later extensions; ProcessResponse
	// the whole answer, exactly as it came, before anything in it is believed:
	// all that is known of it is that it came from Addr, is in server mode and
	// repeats the random number of the question. Their errors are returned
	// with [ReasonExtension].
	Extensions []ntp.Extension

	// Dial opens a socket that is connected to addr. Nil: UDP from a port of
	// the system's choice, for one exchange only (RFC 9109).
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// Exchange asks an NTP server once and compares its clock with this machine's.
// The error is an [*Error], and wraps a [*KissError] where the server asks to
// be left alone. The response is as package ntp parsed it, for those who need
// more of it than its time; its ClockOffset and RTT are not what the measurement
// rests on, because they take the wall clock for one that nobody sets.
func Exchange(ctx context.Context, cfg ExchangeConfig) (clock.Measurement, *ntp.Response, error) {
	x := &exchange{cfg: cfg}
	if cfg.Local == nil || !cfg.Addr.IsValid() {
		return clock.Measurement{}, nil, x.refuse(ReasonConfig, "no address, or no clock to compare with", nil)
	}
	x.cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	x.cfg.MaxRootDistance = cmp.Or(cfg.MaxRootDistance, DefaultMaxRootDistance)
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Timeout)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok { // the caller's may be sooner
		x.cfg.Timeout = max(time.Until(deadline), 1)
	}

	r, err := x.query(ctx)
	if err != nil {
		return clock.Measurement{}, nil, err
	}
	if err := x.judge(r); err != nil {
		return clock.Measurement{}, nil, err
	}
	m, err := x.measure(r)
	if err != nil {
		return clock.Measurement{}, nil, err
	}
	return m, r, nil
}

// exchange is one question and what came of it.
type exchange struct {
	cfg     ExchangeConfig
	looks   []look           // [0] before the question, [1] after the answer
	header  [headerSize]byte // of the answer
	replied bool             // header is one
	ignored int              // datagrams that answered nothing
	last    string           // what was wrong with the last of them
	foreign error            // of an extension
}

// A look is one reading of the wall clock between two of the elapsed one.
type look struct {
	wall          time.Time
	before, after time.Duration
}

func (l look) width() time.Duration { return l.after - l.before }

// lookAt reads the clocks so that the readings belong together. A thread that
// is interrupted between them tries again; if it always is, the look is wide
// and the error of the measurement with it.
func lookAt(local clock.Local) look {
	var best look
	for i := range maxLooks {
		var l look
		l.before = local.Elapsed()
		l.wall = local.Wall().Round(0)
		l.after = local.Elapsed()
		if i == 0 || l.width() < best.width() {
			best = l
		}
		if best.width() <= tightLook {
			break
		}
	}
	return best
}

// query has package ntp ask. The clock that it reads is ours: it reads it once
// before the question and once after the answer.
func (x *exchange) query(ctx context.Context) (*ntp.Response, error) {
	opts := ntp.QueryOptions{
		Version: 4,
		Timeout: x.cfg.Timeout,
		GetSystemTime: func() time.Time {
			l := lookAt(x.cfg.Local)
			x.looks = append(x.looks, l)
			return l.wall
		},
	}
	for _, e := range x.cfg.Extensions {
		opts.Extensions = append(opts.Extensions, watched{e, &x.foreign})
	}
	stop := func() bool { return true }
	opts.Dialer = func(string, string) (net.Conn, error) {
		dial := x.cfg.Dial
		if dial == nil {
			dial = dialUDP
		}
		conn, err := dial(ctx, x.cfg.Addr)
		if err != nil {
			return nil, err
		}
		stop = context.AfterFunc(ctx, func() { conn.Close() })
		return &socket{Conn: conn, exchange: x}, nil
	}
	r, err := ntp.QueryWithOptions(x.cfg.Addr.String(), opts)
	stop()
	switch {
	case err == nil && len(x.looks) != 2:
		return nil, x.refuse(ReasonConfig, fmt.Sprintf("internal error: %d looks at the clock", len(x.looks)), nil)
	case err == nil:
		return r, nil
	case x.foreign != nil:
		return nil, x.refuse(ReasonExtension, "", x.foreign)
	case x.replied:
		// The times of a kiss-o'-death mean nothing, so it may fail to parse.
		if kiss := x.kiss(); kiss != nil {
			return nil, kiss
		}
		return nil, x.refuse(ReasonInvalid, "", err)
	case ctx.Err() != nil || isTimeout(err):
		return nil, x.noAnswer(cmp.Or(ctx.Err(), err))
	}
	return nil, x.refuse(ReasonNetwork, "", err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func dialUDP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "udp", addr.String())
}

// watched remembers the error of an extension, which package ntp returns like
// any other.
type watched struct {
	ntp.Extension
	err *error
}

func (w watched) ProcessQuery(buf *bytes.Buffer) error {
	*w.err = w.Extension.ProcessQuery(buf)
	return *w.err
}

func (w watched) ProcessResponse(buf []byte) error {
	*w.err = w.Extension.ProcessResponse(buf)
	return *w.err
}

// A socket throws away what is no answer to its question: a datagram with
// another number than the random one that was sent (RFC 5905, 8, test 2)
// comes from somebody who has not seen the question, or answers an older one,
// and must not keep the answer from being waited for.
type socket struct {
	net.Conn
	exchange *exchange
	asked    [8]byte // transmit timestamp of the question
}

func (s *socket) Write(p []byte) (int, error) {
	copy(s.asked[:], p[40:headerSize])
	return s.Conn.Write(p)
}

func (s *socket) Read(p []byte) (int, error) {
	x := s.exchange
	for {
		n, err := s.Conn.Read(p)
		if err != nil {
			return 0, err
		}
		switch {
		case n < headerSize:
			x.last = fmt.Sprintf("%d octets are no answer", n)
		case n > maxReply:
			x.last = fmt.Sprintf("an answer of %d octets or more is too long", n)
		case p[0]&7 != 4: // RFC 5905, 7.3
			x.last = fmt.Sprintf("mode %d is not a server's", p[0]&7)
		case !bytes.Equal(p[24:32], s.asked[:]):
			x.last = "it answers another question"
		default:
			copy(x.header[:], p)
			x.replied = true
			if p[2] == 0x80 || p[3] == 0x80 {
				// Of its own, package ntp panics: it negates them in eight bits.
				return 0, errors.New("poll interval or precision of 2^-128 s")
			}
			return n, nil
		}
		if x.ignored++; x.ignored > maxIgnored {
			return 0, fmt.Errorf("%d datagrams and none that answers, the last of them: %s", x.ignored, x.last)
		}
	}
}

// precision is the precision that the answer states, rounded up, or false if
// it is none: worse than a second, it could not be a clock's.
func (x *exchange) precision() (time.Duration, bool) {
	exponent := int8(x.header[3])
	if exponent > 0 {
		return 0, false
	}
	if exponent < -30 {
		return 1, true
	}
	return time.Second>>-exponent + 1, true
}

// measure makes a measurement of the four times. For T1 and T4, true time at
// that moment is known to lie
//
//	at T1: between T3 - elapsed and T2
//	at T4: between T3 and T2 + elapsed
//
// where elapsed is the time between them by a clock that nobody sets. The
// offset is relative to the wall clock in the middle of both, and its error
// covers both intervals; if the wall clock was adjusted meanwhile, half of the
// adjustment is in it.
func (x *exchange) measure(r *ntp.Response) (clock.Measurement, error) {
	sent, received := x.looks[0], x.looks[1]
	precision, ok := x.precision()
	if !ok {
		return clock.Measurement{}, x.refuse(ReasonInvalid, fmt.Sprintf("the precision of its clock is 2^%d s", int8(x.header[3])), nil)
	}
	least, most := received.before-sent.after, received.after-sent.before
	if sent.width() < 0 || received.width() < 0 || least < 0 || most > maxLate*x.cfg.Timeout {
		return clock.Measurement{}, x.refuse(ReasonStepped,
			fmt.Sprintf("between the question and the answer this machine's clock counted from %v to %v: was it suspended?", least, most), nil)
	}
	most += time.Duration(math.Ceil(float64(most) * oscillatorTolerance))

	wall := received.wall.Sub(sent.wall)
	if step := max(wall-most, least-wall); step > maxWallStep {
		return clock.Measurement{}, x.refuse(ReasonStepped,
			fmt.Sprintf("the clock of this machine was set by about %v while the answer was waited for", step), nil)
	}
	adjusted := max((wall - least).Abs(), (wall - most).Abs())

	t2, t3 := r.Timestamps.ServerRecv, r.Timestamps.ServerXmit
	hold := t3.Sub(t2)
	room := most - hold + 2*precision
	if hold < 0 || room < 0 {
		return clock.Measurement{}, x.refuse(ReasonImpossible,
			fmt.Sprintf("it says that it had the question for %v, of %v that the whole took", hold, most), nil)
	}
	out, back := t2.Sub(sent.wall), t3.Sub(received.wall)
	if out.Abs() > maxOffset || back.Abs() > maxOffset {
		return clock.Measurement{}, x.refuse(ReasonImpossible,
			fmt.Sprintf("it says %v: one of the two clocks is in another era", t3.Format(time.RFC3339)), nil)
	}
	m := clock.Measurement{
		Start:   clock.Instant{Wall: sent.wall, Elapsed: sent.before},
		End:     clock.Instant{Wall: received.wall, Elapsed: received.after},
		Offset:  (out + back) / 2,
		Delay:   room,
		Leap:    leap(r.Leap),
		Stratum: int(r.Stratum),
		Server:  serverAt(x.cfg.Addr),
	}
	root := (r.RootDelay+1)/2 + r.RootDispersion + precision
	if distance := root + room/2; distance > x.cfg.MaxRootDistance {
		return clock.Measurement{}, x.refuse(ReasonDistance, fmt.Sprintf("its time may be wrong by %v, of %v allowed "+
			"(%v to its own source and back, %v of dispersion, %v to us and back)",
			distance, x.cfg.MaxRootDistance, r.RootDelay, r.RootDispersion, room), nil)
	}
	// The readings of Start and End are as far apart as the looks are wide.
	m.Error = root + (room+1)/2 + (adjusted+1)/2 + max(sent.width(), received.width()) + 1
	return m, nil
}

// serverAt names the server at an address. Whoever has the address can answer
// at all of its ports, but on this machine, where each port can be the way to
// another server.
func serverAt(addr netip.AddrPort) string {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if addr.Addr().IsLoopback() {
		return addr.String()
	}
	return addr.Addr().String()
}

func leap(l ntp.LeapIndicator) clock.Leap {
	switch l {
	case ntp.LeapAddSecond:
		return clock.LeapInsert
	case ntp.LeapDelSecond:
		return clock.LeapDelete
	}
	return clock.LeapNone
}
