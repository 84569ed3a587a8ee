package envelope

import (
	"fmt"
	"strconv"
	"time"
)

// The names of attributes, the same in both formats (JWS and COSE envelope
// specifications).
const (
	nameScheme        = "io.cncf.notary.signingScheme"
	nameSigningTime   = "io.cncf.notary.signingTime"
	nameAuthenticTime = "io.cncf.notary.authenticSigningTime"
	nameExpiry        = "io.cncf.notary.expiry"

	nameTimestamp = "io.cncf.notary.timestampSignature"
	nameAgent     = "io.cncf.notary.signingAgent"
)

// A label names an attribute: with text, or in COSE with a number also.
type label struct {
	text   string
	number int64
	isText bool
}

func text(s string) label { return label{text: s, isText: true} }

func (l label) String() string {
	if l.isText {
		return l.text
	}
	return strconv.FormatInt(l.number, 10)
}

// A header is the signed attributes of an envelope of either format.
type header struct {
	algorithm   Algorithm
	contentType string
	scheme      Scheme
	// A nil time is not there.
	signingTime, authenticTime, expiry *time.Time
	critical                           []label
	extended                           []label
	values                             []any // of extended
}

// check holds the attributes to what they must be to one another.
func (h *header) check(f Format) error {
	var required, absent *time.Time
	var requiredName, absentName string
	switch h.scheme {
	case SchemeX509:
		required, requiredName, absent, absentName = h.signingTime, nameSigningTime, h.authenticTime, nameAuthenticTime
	case SchemeSigningAuthority:
		required, requiredName, absent, absentName = h.authenticTime, nameAuthenticTime, h.signingTime, nameSigningTime
	case "":
		return fail(ReasonScheme, "%s is missing", nameScheme)
	default:
		return fail(ReasonScheme, "%s is %.60q; want %s or %s", nameScheme, h.scheme, SchemeX509, SchemeSigningAuthority)
	}
	if absent != nil {
		return fail(ReasonScheme, "%s does not belong to the signing scheme %s", absentName, h.scheme)
	}
	if required == nil {
		return fail(ReasonTime, "%s is missing, which the signing scheme %s has", requiredName, h.scheme)
	}
	if err := h.checkCritical(f); err != nil {
		return err
	}
	if h.expiry != nil && !h.expiry.After(*required) {
		return fail(ReasonTime, "%s is %s, which is not after %s, %s", nameExpiry, rfc3339(*h.expiry), requiredName, rfc3339(*required))
	}
	return nil
}

// checkCritical holds crit to RFC 7515, 4.1.11 and RFC 9052, 3.1, and to the
// list of what the Notary Project makes critical.
func (h *header) checkCritical(f Format) error {
	if len(h.critical) == 0 {
		return fail(ReasonCritical, "crit is missing; it has to list %s", nameScheme)
	}
	present := map[label]bool{text(nameScheme): h.scheme != ""}
	present[text(nameExpiry)] = h.expiry != nil
	present[text(nameAuthenticTime)] = h.authenticTime != nil
	if f == COSE { // notation-core-go lets it pass there
		present[text(nameSigningTime)] = h.signingTime != nil
	}
	for _, l := range h.extended {
		present[l] = true
	}
	listed := make(map[label]bool, len(h.critical))
	for _, l := range h.critical {
		switch {
		case listed[l]:
			return fail(ReasonCritical, "crit names %q twice", l)
		case !present[l]:
			return fail(ReasonCritical, "crit names %.100q, which is not there or not one to be listed", l)
		}
		listed[l] = true
	}
	for _, name := range []string{nameScheme, nameAuthenticTime, nameExpiry} {
		if present[text(name)] && !listed[text(name)] {
			return fail(ReasonCritical, "crit lacks %s", name)
		}
	}
	return nil
}

// content returns the attributes as they are for others to see.
func (h *header) content() Content {
	c := Content{PayloadType: h.contentType, Scheme: h.scheme, Algorithm: h.algorithm}
	for _, t := range []struct{ to, from *time.Time }{{&c.SigningTime, h.signingTime}, {&c.AuthenticSigningTime, h.authenticTime}, {&c.Expiry, h.expiry}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	for i, l := range h.extended {
		a := Attribute{Key: l.String(), Value: h.values[i]}
		for _, critical := range h.critical {
			a.Critical = a.Critical || critical == l
		}
		c.Extended = append(c.Extended, a)
	}
	return c
}

// firstTime and lastTime are the bounds of RFC 3339, less the first second,
// which is Go's zero time and means that there is none.
func firstTime() time.Time { return time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) }
func lastTime() time.Time  { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }

func checkTime(t time.Time) (*time.Time, error) {
	t = t.UTC()
	if t.Before(firstTime()) || t.After(lastTime()) {
		return nil, fail(ReasonTime, "the time is outside the years 1 to 9999")
	}
	return &t, nil
}

// printable returns s if it can stand in a message as it is, quoted if not.
func printable(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}

var _ fmt.Stringer = label{}
