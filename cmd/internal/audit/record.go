package audit

import "time"

// A Kind says what a record is about. It is a word in the file.
type Kind string

// The kinds of records.
const (
	KindSegment   Kind = "segment"   // a file begins
	KindSeal      Kind = "seal"      // a file ends
	KindToken     Kind = "token"     // a timestamp was issued
	KindStart     Kind = "start"     // the server began
	KindStop      Kind = "stop"      // the server ended in order
	KindConfig    Kind = "config"    // a configuration was loaded
	KindKey       Kind = "key"       // something about a signing key
	KindClock     Kind = "clock"     // something about the clock
	KindStamp     Kind = "stamp"     // a timestamp over this record itself
	KindRecovered Kind = "recovered" // something was mended
	KindRemoved   Kind = "removed"   // a file reached its age and was removed
)

// A Record is one of [Token], [Start], [Stop], [Loaded], [Key] and [Clock],
// which [Log.Append] takes, or [Segment], [Seal], [Stamp], [Recovered] and
// [Removed], which the log writes by itself. All are used as pointers.
//
// Times are UTC. A text longer than [MaxText] bytes is cut when it is written.
type Record interface {
	// Kind returns the word for it.
	Kind() Kind
	// fields writes or reads the members in their order.
	fields(c *coder)
}

// newRecord returns an empty record of a kind, nil if this version knows none.
func newRecord(k Kind) Record {
	switch k {
	case KindSegment:
		return new(Segment)
	case KindSeal:
		return new(Seal)
	case KindToken:
		return new(Token)
	case KindStart:
		return new(Start)
	case KindStop:
		return new(Stop)
	case KindConfig:
		return new(Loaded)
	case KindKey:
		return new(Key)
	case KindClock:
		return new(Clock)
	case KindStamp:
		return new(Stamp)
	case KindRecovered:
		return new(Recovered)
	case KindRemoved:
		return new(Removed)
	}
	return nil
}

// A Token is the record of a timestamp that was issued: enough to find it and
// to judge it when the clock or a key turns out to have been wrong (ETSI EN
// 319 421, OVR-7.13), without the token itself.
type Token struct {
	Serial      []byte        // of the token: the octets of the INTEGER
	GenTime     time.Time     // the time in the token
	Policy      string        // its policy, in dotted form
	Algorithm   string        // the hash of the imprint, "SHA-256" and the like
	Digest      []byte        // the imprint
	Accuracy    time.Duration // as declared in the token
	ClockState  string        // the state of the clock at that moment
	ClockBound  time.Duration // how wrong it can have been
	Certificate [32]byte      // SHA-256 of the DER of the signing certificate
	Key         string        // the name of the key in the configuration
	TokenSHA256 [32]byte      // of the DER of the token
	Client      string        // who asked, as far as that is known; "": left out
	Request     string        // the identifier of the request; "": left out
}

// Kind returns KindToken.
func (*Token) Kind() Kind { return KindToken }

func (r *Token) fields(c *coder) {
	c.octets("serial", &r.Serial)
	c.time("gen_time", &r.GenTime)
	c.text("policy", &r.Policy)
	c.text("algorithm", &r.Algorithm)
	c.octets("digest", &r.Digest)
	c.span("accuracy_ns", &r.Accuracy)
	c.text("clock_state", &r.ClockState)
	c.span("clock_bound_ns", &r.ClockBound)
	c.digest("cert", &r.Certificate)
	c.text("key", &r.Key)
	c.digest("token_sha256", &r.TokenSHA256)
	c.option("client", &r.Client)
	c.option("request", &r.Request)
}

// A Start is the record of a server that begins.
type Start struct {
	Program string // name and version
	PID     uint64 // the number of the process
	Detail  string // "": left out
}

// Kind returns KindStart.
func (*Start) Kind() Kind { return KindStart }

func (r *Start) fields(c *coder) {
	c.text("program", &r.Program)
	c.count("pid", &r.PID)
	c.option("detail", &r.Detail)
}

// A Stop is the record of a server that ends in order. One that is killed
// leaves none: two starts follow each other.
type Stop struct {
	Reason string
}

// Kind returns KindStop.
func (*Stop) Kind() Kind { return KindStop }

func (r *Stop) fields(c *coder) { c.text("reason", &r.Reason) }

// A Loaded is the record of a configuration, at the start or later.
type Loaded struct {
	Event   ConfigEvent
	Digest  [32]byte // SHA-256 of the configuration's bytes
	Files   string   // their names
	Changed string   // what is different now, or why it was refused; "": left out
}

// A ConfigEvent says what became of a configuration.
type ConfigEvent string

// What became of a configuration.
const (
	ConfigLoaded   ConfigEvent = "loaded"   // at the start
	ConfigReloaded ConfigEvent = "reloaded" // it replaced the one before
	ConfigRefused  ConfigEvent = "refused"  // the one before stays
)

// Kind returns KindConfig.
func (*Loaded) Kind() Kind { return KindConfig }

func (r *Loaded) fields(c *coder) {
	c.text("event", (*string)(&r.Event))
	c.digest("digest", &r.Digest)
	c.text("files", &r.Files)
	c.option("changed", &r.Changed)
}

// A Key is the record of something that happened to a signing key (ETSI EN 319
// 421, OVR-7.12).
type Key struct {
	Event       KeyEvent
	Key         string    // its name in the configuration
	URI         string    // where it is, without secrets; "": left out
	Certificate [32]byte  // SHA-256 of the DER of its certificate, zero if there is none
	NotAfter    time.Time // when it may be used no longer; zero: left out
	Detail      string    // "": left out
}

// A KeyEvent says what happened to a key.
type KeyEvent string

// What happens to keys.
const (
	KeyOpened     KeyEvent = "opened"      // it was found and fits its certificate
	KeyFailed     KeyEvent = "failed"      // it does not sign any more
	KeyWorksAgain KeyEvent = "works-again" // it does again
	KeyAnnounced  KeyEvent = "announced"   // its chain is published for later use
	KeyAdopted    KeyEvent = "adopted"     // it is in use from now on
)

// Kind returns KindKey.
func (*Key) Kind() Kind { return KindKey }

func (r *Key) fields(c *coder) {
	c.text("event", (*string)(&r.Event))
	c.text("key", &r.Key)
	c.option("uri", &r.URI)
	c.digest("cert", &r.Certificate)
	c.optionalTime("not_after", &r.NotAfter)
	c.option("detail", &r.Detail)
}

// A Clock is the record of something that happened to the clock (ETSI EN 319
// 421, TIS-7.7.2 and OVR-7.12; CA/Browser Forum code signing requirements 6.8:
// each adjustment of a second or more is one).
type Clock struct {
	Event  ClockEvent
	State  string        // the state from now on
	Offset time.Duration // what the clock was found to be wrong by, true minus shown
	Bound  time.Duration // how wrong it can be
	Detail string        // "": left out
}

// A ClockEvent says what happened to the clock.
type ClockEvent string

// What happens to clocks.
const (
	ClockLost          ClockEvent = "lost"           // nothing is issued from now on
	ClockRecovered     ClockEvent = "recovered"      // tokens are issued again
	ClockStepped       ClockEvent = "stepped"        // somebody set it
	ClockSuspended     ClockEvent = "suspended"      // the machine slept
	ClockDrift         ClockEvent = "drift"          // it runs faster or slower than was declared
	ClockDisagree      ClockEvent = "disagree"       // the time servers do not agree
	ClockLeapAnnounced ClockEvent = "leap-announced" // a leap second is ahead
	ClockLeapPassed    ClockEvent = "leap-passed"    // it is over
)

// Kind returns KindClock.
func (*Clock) Kind() Kind { return KindClock }

func (r *Clock) fields(c *coder) {
	c.text("event", (*string)(&r.Event))
	c.text("state", &r.State)
	c.span("offset_ns", &r.Offset)
	c.span("bound_ns", &r.Bound)
	c.option("detail", &r.Detail)
}
