package clock

import (
	"fmt"
	"strings"
	"time"
)

// A MonitorReason says why a [Monitor] does not know the time. The set is
// closed; the words appear in metrics and logs.
type MonitorReason string

const (
	// MonitorStarting: no round of questions has ended yet.
	MonitorStarting MonitorReason = "starting"

	// MonitorFew: too few references have answered.
	MonitorFew MonitorReason = "few"

	// MonitorDisagree: enough answered, and too few of them agree.
	MonitorDisagree MonitorReason = "disagree"

	// MonitorStale: enough agreed, too long ago.
	MonitorStale MonitorReason = "stale"

	// MonitorJump: enough agree, on a time that the elapsed clock cannot have
	// come to. It is believed once it is confirmed.
	MonitorJump MonitorReason = "jump"

	// MonitorLeap: a leap second is near, and what time it is ambiguous.
	MonitorLeap MonitorReason = "leap"

	// MonitorWall: this machine's clock shows a time outside the years 1970 to
	// 2261.
	MonitorWall MonitorReason = "wall"
)

// A MonitorError is the error of [Monitor.Now] and [Monitor.Poll]. It wraps
// [ErrUnknown] and the last errors of the references, which may be those of
// contexts: that one of them timed out does not mean that the caller did.
type MonitorError struct {
	Reason MonitorReason

	// Need is how many references must agree, of Asked. Answered have given
	// an answer that still counts, and Agree of these agree.
	Need, Asked, Answered, Agree int

	// Jump, for MonitorJump: how much later true time is than expected.
	Jump time.Duration

	// Age, for MonitorStale: the time since enough references agreed.
	Age, MaxAge time.Duration

	// Leap and LeapAt, for MonitorLeap: what comes, and the end of the month
	// at which it does.
	Leap   Leap
	LeapAt time.Time

	// Wall, for MonitorWall: what this machine's clock shows.
	Wall time.Time

	// References is what is known of each reference. It may be shared and must
	// not be changed.
	References []ReferenceStatus
}

// maxNamed is how many references a message tells about.
const maxNamed = 8

// Error returns the reason with the figures that it hangs on, and what each of
// the first eight references says.
func (e *MonitorError) Error() string {
	var b strings.Builder
	b.WriteString("clock: ")
	switch e.Reason {
	case MonitorStarting:
		fmt.Fprintf(&b, "no time yet: %d of %d time servers must agree, and they are being asked", e.Need, e.Asked)
		return b.String()
	case MonitorLeap:
		w := leapPlan{leap: e.Leap, at: e.LeapAt.UnixNano()}.window()
		fmt.Fprintf(&b, "leap second (%v) at %s: no time is given from %s to %s", e.Leap,
			e.LeapAt.Format(time.RFC3339), time.Unix(0, w.lo).UTC().Format(time.TimeOnly), time.Unix(0, w.hi).UTC().Format(time.TimeOnly))
		return b.String()
	case MonitorWall:
		fmt.Fprintf(&b, "this machine's clock shows %v: set it", e.Wall)
		return b.String()
	case MonitorFew:
		fmt.Fprintf(&b, "%d of %d time servers must agree and only %d answered", e.Need, e.Asked, e.Answered)
		if e.Answered == 0 {
			b.Reset()
			fmt.Fprintf(&b, "clock: %d of %d time servers must agree and none answered", e.Need, e.Asked)
		}
	case MonitorDisagree:
		fmt.Fprintf(&b, "%d of %d time servers must agree and ", e.Need, e.Asked)
		if e.Agree > 1 {
			fmt.Fprintf(&b, "only %d do", e.Agree)
		} else {
			b.WriteString("no two do")
		}
	case MonitorStale:
		fmt.Fprintf(&b, "%d of %d time servers must agree and last did %v ago, which counts for %v",
			e.Need, e.Asked, e.Age.Round(time.Second), e.MaxAge)
	case MonitorJump:
		fmt.Fprintf(&b, "%d of %d time servers agree, on a time that is %s from where this machine's oscillator should be; waiting for %d rounds to confirm it",
			e.Agree, e.Asked, seconds(e.Jump), confirm)
	default:
		b.WriteString("time unknown: " + string(e.Reason))
	}
	for i, r := range e.References {
		if i == maxNamed {
			fmt.Fprintf(&b, ", and %d more", len(e.References)-i)
			break
		}
		b.WriteString([]string{": ", ", "}[min(i, 1)])
		b.WriteString(r.brief())
	}
	return b.String()
}

// Is reports whether target is [ErrUnknown].
func (e *MonitorError) Is(target error) bool { return target == ErrUnknown }

// Unwrap returns the last errors of the references.
func (e *MonitorError) Unwrap() []error {
	var errs []error
	for _, r := range e.References {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}

// seconds writes a difference of clocks as an operator compares them.
func seconds(d time.Duration) string { return fmt.Sprintf("%+.3f s", d.Seconds()) }

// brief is one reference in a message, with the first line of its error.
func (r ReferenceStatus) brief() string {
	var wrong string
	if r.Err != nil {
		wrong, _, _ = strings.Cut(r.Err.Error(), "\n")
	}
	switch {
	case r.Err != nil && r.Measured:
		return fmt.Sprintf("%s %s (%v ago, then: %s)", r.Name, seconds(r.Offset), r.Age.Round(time.Second), wrong)
	case r.Err != nil && strings.Contains(wrong, r.Name):
		return wrong
	case r.Err != nil:
		return r.Name + ": " + wrong
	case r.Measured:
		return r.Name + " " + seconds(r.Offset)
	}
	return r.Name + ": no answer that still counts"
}
