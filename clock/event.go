package clock

import "time"

// A MonitorEventKind says what happened. The set is closed.
type MonitorEventKind string

const (
	// EventMeasured: a reference answered (Measurement), or did not (Err).
	EventMeasured MonitorEventKind = "measured"

	// EventRound: a round of questions has ended. Offset and Bound are valid
	// unless Err, which says why the time is not known. Answered is how many
	// references answered in it.
	EventRound MonitorEventKind = "round"

	// EventStepped: this machine's wall clock was set or slewed quickly, by
	// Size; positive is forwards. A leap second that the kernel was told of is
	// such a step too. Adjustments of a second and more belong into
	// the record of issue (CA/B Forum, Code Signing Baseline Requirements,
	// 6.8).
	EventStepped MonitorEventKind = "stepped"

	// EventSuspended: this machine was suspended, for Size.
	EventSuspended MonitorEventKind = "suspended"

	// EventDisagrees: Reference, whose answer differs by Size from the time
	// that enough others agree on, is no longer one of those that agree.
	EventDisagrees MonitorEventKind = "disagrees"

	// EventAgrees: Reference is one of those that agree, and was not.
	EventAgrees MonitorEventKind = "agrees"

	// EventDrift: the oscillator was found to run wrong by more than Drift was
	// before. Size is the new Drift, per second.
	EventDrift MonitorEventKind = "drift"

	// EventDriftPassed: it does not any more, by many rounds. Size is Drift as
	// configured.
	EventDriftPassed MonitorEventKind = "drift passed"

	// EventJumped: enough references agreed and confirmed that true time is
	// Size later than expected, and it is believed.
	EventJumped MonitorEventKind = "jumped"

	// EventLost: the time is not known any more; Err says why. Offset and Bound
	// are the last that were known. (EN 319 421, TIS-7.7.2-05)
	EventLost MonitorEventKind = "lost"

	// EventSynchronised: the time is known, and was not. Offset and Bound are
	// how it compares.
	EventSynchronised MonitorEventKind = "synchronised"

	// EventLeapAnnounced: enough references announce Leap at LeapAt, or may
	// have: see Contested.
	EventLeapAnnounced MonitorEventKind = "leap announced"

	// EventLeapWithdrawn: they do so no longer.
	EventLeapWithdrawn MonitorEventKind = "leap withdrawn"

	// EventLeapPassed: Leap took place at LeapAt, which the record of issue
	// must say exactly (EN 319 421, TIS-7.7.2-09). Offset and Bound tell
	// whether this machine's clock followed. If it was Contested, it may not
	// have taken place.
	EventLeapPassed MonitorEventKind = "leap passed"
)

// A MonitorEvent is something that a [Monitor] noticed.
type MonitorEvent struct {
	Kind MonitorEventKind
	Time time.Time // by this machine's clock

	Reference   string
	Measurement Measurement
	Err         error

	// Offset is true time minus this machine's clock, and Bound the largest
	// possible error of this machine's clock; both zero if it is not known.
	Offset, Bound time.Duration

	// Size is how large what happened is; see the kinds.
	Size time.Duration

	// Need is how many references must agree, of Asked; Answered did answer
	// in this round, and Agree of all whose answers still count agree.
	Need, Asked, Answered, Agree int

	Leap   Leap
	LeapAt time.Time // the first moment of the next month

	// Contested: it may come, or have come, or not, by what the references say.
	Contested bool
}
