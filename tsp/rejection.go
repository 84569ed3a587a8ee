package tsp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// A FailureInfo says why no token was issued. It is the number of a bit in
// PKIFailureInfo (RFC 3161, 2.4.2), and an error, so that
// errors.Is(err, tsp.BadAlg) works on whatever wraps it.
//
//	PKIFailureInfo ::= BIT STRING {
//	  badAlg(0), badRequest(2), badDataFormat(5), timeNotAvailable(14),
//	  unacceptedPolicy(15), unacceptedExtension(16),
//	  addInfoNotAvailable(17), systemFailure(25) }
type FailureInfo int

// The failure informations of RFC 3161, 2.4.2.
const (
	BadAlg              FailureInfo = 0
	BadRequest          FailureInfo = 2
	BadDataFormat       FailureInfo = 5
	TimeNotAvailable    FailureInfo = 14
	UnacceptedPolicy    FailureInfo = 15
	UnacceptedExtension FailureInfo = 16
	AddInfoNotAvailable FailureInfo = 17
	SystemFailure       FailureInfo = 25

	// NoFailureInfo stands for a refusal that names none.
	NoFailureInfo FailureInfo = -1
)

// FailureInfos returns every value that may occur on the wire, in the order
// of their bits.
func FailureInfos() []FailureInfo {
	return []FailureInfo{BadAlg, BadRequest, BadDataFormat, TimeNotAvailable, UnacceptedPolicy,
		UnacceptedExtension, AddInfoNotAvailable, SystemFailure}
}

// String returns the name of the bit: "badAlg".
func (f FailureInfo) String() string {
	switch f {
	case BadAlg:
		return "badAlg"
	case BadRequest:
		return "badRequest"
	case BadDataFormat:
		return "badDataFormat"
	case TimeNotAvailable:
		return "timeNotAvailable"
	case UnacceptedPolicy:
		return "unacceptedPolicy"
	case UnacceptedExtension:
		return "unacceptedExtension"
	case AddInfoNotAvailable:
		return "addInfoNotAvailable"
	case SystemFailure:
		return "systemFailure"
	case NoFailureInfo:
		return "none"
	}
	return "bit " + strconv.Itoa(int(f))
}

// Error returns what the failure means, in words.
func (f FailureInfo) Error() string {
	switch f {
	case BadAlg:
		return "hash algorithm is unknown or not accepted (badAlg)"
	case BadRequest:
		return "request is not permitted or supported (badRequest)"
	case BadDataFormat:
		return "request has the wrong format (badDataFormat)"
	case TimeNotAvailable:
		return "time source is not available (timeNotAvailable)"
	case UnacceptedPolicy:
		return "requested policy is not supported (unacceptedPolicy)"
	case UnacceptedExtension:
		return "requested extension is not supported (unacceptedExtension)"
	case AddInfoNotAvailable:
		return "additional information is not available (addInfoNotAvailable)"
	case SystemFailure:
		return "request cannot be handled because of a system failure (systemFailure)"
	case NoFailureInfo:
		return "no reason given"
	}
	return "unknown failure (" + f.String() + ")"
}

// systemFailureText is all that the world is told of an internal fault.
const systemFailureText = "the timestamp authority cannot answer because of an internal failure"

// maxText is the longest statusString sent, in octets. The texts here are
// shorter; one that quotes a giant identifier ends there.
const maxText = 400

// A Rejection is a refusal to issue a token: an error inside the program, and
// the answer on the wire. A parsed refusal is a Rejection as well.
type Rejection struct {
	// Status is the status sent. Zero stands for [StatusRejection].
	Status Status
	// Info is the reason. Its zero value is badAlg; a parsed refusal without
	// one has [NoFailureInfo].
	Info FailureInfo
	// Text says what was wrong and may be shown to anyone. That of a parsed
	// refusal is the statusString with blanks for what does not print, cut
	// after 400 octets.
	Text string
	// Err is the cause, for the log only.
	Err error
}

// Reject returns a Rejection whose public text is formatted from args.
func Reject(info FailureInfo, format string, args ...any) *Rejection {
	return &Rejection{Info: info, Text: fmt.Sprintf(format, args...)}
}

// AsRejection returns the Rejection in err's tree, and for any other error a
// systemFailure with a fixed text that keeps err for the log. It returns nil
// for nil.
func AsRejection(err error) *Rejection {
	if err == nil {
		return nil
	}
	var r *Rejection
	if errors.As(err, &r) && r != nil {
		return r
	}
	return &Rejection{Info: SystemFailure, Text: systemFailureText, Err: err}
}

// Error returns the reason, the public text and the cause.
func (r *Rejection) Error() string {
	var b strings.Builder
	b.WriteString("tsp: ")
	if s := r.status(); s != StatusRejection {
		b.WriteString(s.String() + ": ")
	}
	if r.Text != "" {
		fmt.Fprintf(&b, "%s (%s)", r.Text, r.Info.String())
	} else {
		b.WriteString(r.Info.Error())
	}
	if r.Err != nil {
		b.WriteString(": " + r.Err.Error())
	}
	return b.String()
}

// Unwrap returns the failure information and the cause.
func (r *Rejection) Unwrap() []error {
	if r.Err == nil {
		return []error{r.Info}
	}
	return []error{r.Info, r.Err}
}

func (r *Rejection) status() Status {
	if r.Status == 0 {
		return StatusRejection
	}
	return r.Status
}

// Marshal returns the DER of a TimeStampResp that carries the refusal. Only
// the public text goes into it. It always has an answer.
func (r *Rejection) Marshal() []byte {
	info := der.AppendInt(nil, int64(r.status()))
	if text := cutText(r.Text); text != "" {
		info = der.Append(info, der.TagSequence, der.Make(der.TagUTF8String, []byte(text)))
	}
	if r.Info >= 0 && r.Info < 32 {
		info = der.Append(info, der.TagBitString, r.Info.bits())
	}
	return der.Make(der.TagSequence, der.Make(der.TagSequence, info))
}

// bits returns the content of the BIT STRING with the one bit set, trailing
// zero bits removed as DER has it for named bits (X.690, 11.2.2).
func (f FailureInfo) bits() []byte {
	n := int(f)
	b := make([]byte, 2+n/8)
	b[0] = byte(7 - n%8)
	b[1+n/8] = 0x80 >> (n % 8)
	return b
}

// cutText makes text fit for a UTF8String of at most maxText octets.
func cutText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	n := maxText
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
