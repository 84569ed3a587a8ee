package tsp

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// An Info is what an authority signs: that it saw an imprint at a time.
//
//	TSTInfo ::= SEQUENCE {
//	  version         INTEGER { v1(1) },
//	  policy          TSAPolicyId,
//	  messageImprint  MessageImprint,
//	  serialNumber    INTEGER,
//	  genTime         GeneralizedTime,
//	  accuracy        Accuracy OPTIONAL,
//	  ordering        BOOLEAN DEFAULT FALSE,
//	  nonce           INTEGER OPTIONAL,
//	  tsa             [0] GeneralName OPTIONAL,
//	  extensions      [1] IMPLICIT Extensions OPTIONAL }
type Info struct {
	// Raw is the DER that was parsed. Nil in an Info made by hand.
	Raw []byte
	// Version is 1. Zero is taken for 1 when marshalling.
	Version int
	Policy  x509.OID
	Imprint Imprint
	Serial  Integer
	// GenTime is in UTC.
	GenTime time.Time
	// Accuracy is how far the true time may be from GenTime, either way, if
	// HasAccuracy is set. Without it, only the policy can tell.
	Accuracy    time.Duration
	HasAccuracy bool
	// Ordering says that the tokens of this authority can be ordered by their
	// GenTime whatever the accuracy.
	Ordering bool
	Nonce    Integer
	// TSA is the DER of the authority's GeneralName, nil when absent.
	TSA        []byte
	Extensions []pkix.Extension

	// Encodings that mean the same and that DER or custom would have other.
	explicitSeconds  bool // accuracy with seconds 0 written out
	explicitUnsorted bool // ordering FALSE written out
}

// ParseInfo parses a TSTInfo of version 1, which RFC 3161, 2.4.2 wants in DER.
// Its error wraps [ErrMalformed].
func ParseInfo(in []byte) (*Info, error) {
	if len(in) > MaxMessage {
		return nil, fmt.Errorf("tsp: %w TSTInfo: %d bytes long, at most %d are read", ErrMalformed, len(in), MaxMessage)
	}
	i, err := parseInfo(bytes.Clone(in))
	if err != nil {
		return nil, fmt.Errorf("tsp: %w TSTInfo: %w", ErrMalformed, err)
	}
	return i, nil
}

// parseInfo parses DER that nobody else writes to.
func parseInfo(raw []byte) (*Info, error) {
	i := &Info{Raw: raw}
	s := cryptobyte.String(raw)
	var body cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) {
		return nil, errors.New("not a DER SEQUENCE")
	}
	if !s.Empty() {
		return nil, fmt.Errorf("%d bytes after the end", len(s))
	}
	var version int64
	if !der.SmallInteger(&body, &version) {
		return nil, errors.New("malformed version")
	}
	if version != 1 {
		return nil, fmt.Errorf("version is %d, only 1 is known", version)
	}
	i.Version = 1
	var policy []byte
	if !der.OID(&body, &policy) {
		return nil, errors.New("malformed policy")
	}
	i.Policy, _ = oid.Public(policy)
	if err := readImprint(&body, &i.Imprint); err != nil {
		return nil, err
	}
	var serial []byte
	if !der.Integer(&body, &serial) {
		return nil, errors.New("malformed serialNumber")
	}
	if len(serial) > MaxInteger {
		return nil, fmt.Errorf("serialNumber has %d octets, at most %d are read", len(serial), MaxInteger)
	}
	i.Serial = serial
	var genTime cryptobyte.String
	if !body.ReadASN1(&genTime, asn1.GeneralizedTime) {
		return nil, errors.New("malformed genTime")
	}
	var err error
	if i.GenTime, err = der.ParseGeneralizedTime(genTime); err != nil {
		return nil, fmt.Errorf("genTime: %w", err)
	}
	if err := i.readOptions(&body); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Info) readOptions(body *cryptobyte.String) error {
	if body.PeekASN1Tag(asn1.SEQUENCE) {
		var accuracy cryptobyte.String
		if !body.ReadASN1(&accuracy, asn1.SEQUENCE) {
			return errors.New("malformed accuracy")
		}
		if err := i.readAccuracy(accuracy); err != nil {
			return fmt.Errorf("accuracy: %w", err)
		}
	}
	if body.PeekASN1Tag(asn1.BOOLEAN) {
		if !der.Boolean(body, &i.Ordering) {
			return errors.New("malformed ordering")
		}
		i.explicitUnsorted = !i.Ordering
	}
	if body.PeekASN1Tag(asn1.INTEGER) {
		var nonce []byte
		if !der.Integer(body, &nonce) {
			return errors.New("malformed nonce")
		}
		if len(nonce) > MaxInteger {
			return fmt.Errorf("nonce has %d octets, at most %d are read", len(nonce), MaxInteger)
		}
		i.Nonce = nonce
	}
	// GeneralName is a CHOICE, so the tag is EXPLICIT (X.680, 31.2.7).
	if tag := asn1.Tag(0).ContextSpecific().Constructed(); body.PeekASN1Tag(tag) {
		var wrapper cryptobyte.String
		if !body.ReadASN1(&wrapper, tag) || !der.Element(&wrapper, &i.TSA) || !wrapper.Empty() ||
			i.TSA[0]&0xc0 != 0x80 {
			return errors.New("tsa is not one GeneralName")
		}
	}
	if tag := asn1.Tag(1).ContextSpecific().Constructed(); body.PeekASN1Tag(tag) {
		var err error
		if i.Extensions, err = readExtensions(body, tag); err != nil {
			return fmt.Errorf("extensions: %w", err)
		}
	}
	if !body.Empty() {
		return fmt.Errorf("unexpected element with tag %#02x after the last field", (*body)[0])
	}
	return nil
}

// maxAccuracySeconds is the greatest accuracy read: some 31 years. Beyond it
// lies no honest clock, and the arithmetic of durations ends at 292 years.
const maxAccuracySeconds = 1_000_000_000

// readAccuracy parses the content of an Accuracy.
//
//	Accuracy ::= SEQUENCE {
//	  seconds  INTEGER OPTIONAL,
//	  millis   [0] INTEGER (1..999) OPTIONAL,
//	  micros   [1] INTEGER (1..999) OPTIONAL }
func (i *Info) readAccuracy(s cryptobyte.String) error {
	i.HasAccuracy = true
	if s.PeekASN1Tag(asn1.INTEGER) {
		var seconds int64
		if !der.SmallInteger(&s, &seconds) {
			return errors.New("malformed seconds")
		}
		if seconds < 0 || seconds > maxAccuracySeconds {
			return fmt.Errorf("seconds are %d, not in 0 to %d", seconds, maxAccuracySeconds)
		}
		i.Accuracy = time.Duration(seconds) * time.Second
		i.explicitSeconds = seconds == 0
	}
	for n, unit := range []struct {
		name string
		time.Duration
	}{{"millis", time.Millisecond}, {"micros", time.Microsecond}} {
		tag := asn1.Tag(n).ContextSpecific()
		if !s.PeekASN1Tag(tag) {
			continue
		}
		var content cryptobyte.String
		if !s.ReadASN1(&content, tag) || !der.MinimalInteger(content) || len(content) > 8 {
			return fmt.Errorf("malformed %s", unit.name)
		}
		v := der.Int64(content)
		if v < 1 || v > 999 {
			return fmt.Errorf("%s are %d, not in 1 to 999", unit.name, v)
		}
		i.Accuracy += time.Duration(v) * unit.Duration
	}
	if !s.Empty() {
		return errors.New("bytes after the last field")
	}
	return nil
}

// Marshal returns the DER of i. Marshalling a parsed Info gives the bytes that
// were parsed. An accuracy is rounded up to microseconds.
func (i *Info) Marshal() ([]byte, error) {
	b, err := i.marshal()
	if err != nil {
		return nil, fmt.Errorf("tsp: TSTInfo: %w", err)
	}
	return b, nil
}

func (i *Info) marshal() ([]byte, error) {
	if i.Version != 0 && i.Version != 1 {
		return nil, fmt.Errorf("version %d cannot be encoded, only 1 can", i.Version)
	}
	imprint, err := i.Imprint.marshal()
	if err != nil {
		return nil, err
	}
	if oid.IsZero(i.Policy) {
		return nil, errors.New("no policy")
	}
	if err := i.Serial.check(); err != nil {
		return nil, fmt.Errorf("serialNumber: %w", err)
	}
	genTime, ok := der.AppendGeneralizedTime(nil, i.GenTime)
	if !ok {
		return nil, errors.New("genTime: the year is not in 1 to 9999")
	}
	b := der.AppendInt(nil, 1)
	b = der.Append(b, der.TagOID, oid.Content(i.Policy))
	b = append(b, imprint...)
	b = der.Append(b, der.TagInteger, i.Serial)
	b = der.Append(b, der.TagGeneralizedTime, genTime)
	if i.HasAccuracy {
		if i.Accuracy < 0 || i.Accuracy > (maxAccuracySeconds+1)*time.Second-time.Microsecond {
			return nil, fmt.Errorf("accuracy: %v is out of range", i.Accuracy)
		}
		if i.explicitSeconds && i.Accuracy <= 999_999*time.Microsecond {
			b = der.Append(b, der.TagSequence, der.AppendInt(nil, 0), der.AccuracyFractions(i.Accuracy))
		} else {
			b = der.AppendAccuracy(b, i.Accuracy)
		}
	}
	switch {
	case i.Ordering:
		b = append(b, der.TagBoolean, 1, 0xff)
	case i.explicitUnsorted:
		b = append(b, der.TagBoolean, 1, 0x00)
	}
	if i.Nonce != nil {
		if err := i.Nonce.check(); err != nil {
			return nil, fmt.Errorf("nonce: %w", err)
		}
		b = der.Append(b, der.TagInteger, i.Nonce)
	}
	if i.TSA != nil {
		b = der.Append(b, der.Context(0), i.TSA)
	}
	if len(i.Extensions) > 0 {
		if b, err = appendExtensions(b, der.Context(1), i.Extensions); err != nil {
			return nil, err
		}
	}
	return der.Make(der.TagSequence, b), nil
}
