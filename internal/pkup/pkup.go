// Package pkup reads and writes the privateKeyUsagePeriod extension of a
// certificate (2.5.29.16): the span in which the private key may be used, which
// ends before the certificate does, so that signatures can be verified long
// after the key was destroyed.
//
// The extension left the Internet profile with RFC 5280 and stayed in use for
// time-stamping units: EN 319 421 (TIS-7.6.7) asks for a private key that
// expires before its certificate, and EN 319 422, 6.4 names this extension for
// it. [Parse] is for whoever checks or verifies a certificate, [Extension] for
// whoever makes one. Nothing here looks at a clock.
package pkup

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidPrivateKeyUsagePeriod is id-ce-privateKeyUsagePeriod.
var oidPrivateKeyUsagePeriod = asn1.ObjectIdentifier{2, 5, 29, 16}

// RFC 3280, 4.2.1.4 with X.509:
//
//	PrivateKeyUsagePeriod ::= SEQUENCE {
//	     notBefore       [0]     GeneralizedTime OPTIONAL,
//	     notAfter        [1]     GeneralizedTime OPTIONAL }
//
// The module has implicit tags.
var (
	tagNotBefore = cbasn1.Tag(0).ContextSpecific()
	tagNotAfter  = cbasn1.Tag(1).ContextSpecific()
)

// layout is the only form of GeneralizedTime that RFC 3280, 4.2.1.4 allows:
// Greenwich Mean Time with seconds and without fractions.
const layout = "20060102150405Z"

// Parse returns the private key usage period of cert. ok is false when the
// extension is absent. A bound that the extension leaves out is the zero time.
// Both bounds are inclusive and in UTC. An extension that is malformed, appears
// twice, is empty or ends before it begins is an error.
func Parse(cert *x509.Certificate) (notBefore, notAfter time.Time, ok bool, err error) {
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidPrivateKeyUsagePeriod) {
			continue
		}
		if ok {
			return time.Time{}, time.Time{}, false, errors.New("privateKeyUsagePeriod: appears twice")
		}
		if notBefore, notAfter, err = parse(ext.Value); err != nil {
			return time.Time{}, time.Time{}, false, fmt.Errorf("privateKeyUsagePeriod: %w", err)
		}
		ok = true
	}
	return notBefore, notAfter, ok, nil
}

func parse(der cryptobyte.String) (notBefore, notAfter time.Time, err error) {
	var none time.Time
	var seq cryptobyte.String
	if !der.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return none, none, errors.New("not a SEQUENCE in DER")
	}
	if !der.Empty() {
		return none, none, errors.New("trailing bytes")
	}
	if notBefore, err = readTime(&seq, tagNotBefore); err != nil {
		return none, none, fmt.Errorf("notBefore: %w", err)
	}
	if notAfter, err = readTime(&seq, tagNotAfter); err != nil {
		return none, none, fmt.Errorf("notAfter: %w", err)
	}
	switch {
	case !seq.Empty():
		return none, none, errors.New("unknown trailing element")
	case notBefore.IsZero() && notAfter.IsZero():
		// RFC 3280, 4.2.1.4: at least one of the two must be present.
		return none, none, errors.New("neither notBefore nor notAfter")
	case !notAfter.IsZero() && notAfter.Before(notBefore):
		return none, none, errors.New("ends before it begins")
	}
	return notBefore, notAfter, nil
}

// readTime reads an optional GeneralizedTime under an implicit tag; the zero
// time when it is absent.
func readTime(s *cryptobyte.String, tag cbasn1.Tag) (time.Time, error) {
	var content cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&content, &present, tag) {
		return time.Time{}, errors.New("malformed")
	}
	if !present {
		return time.Time{}, nil
	}
	t, err := time.Parse(layout, string(content))
	// The comparison refuses what time.Parse is lenient about, fractions above all.
	if err != nil || t.Format(layout) != string(content) || t.IsZero() {
		return time.Time{}, fmt.Errorf("%q is not a GeneralizedTime of the form YYYYMMDDHHMMSSZ", content)
	}
	return t.UTC(), nil
}

// Extension returns the extension for the given period, not critical (RFC 3280,
// 4.2.1.4). A zero bound is left out; at least one must be given. Times are
// written in UTC and cut to whole seconds.
func Extension(notBefore, notAfter time.Time) (pkix.Extension, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addTime(b, tagNotBefore, notBefore)
		addTime(b, tagNotAfter, notAfter)
	})
	der, err := b.Bytes()
	if err == nil {
		// Whatever is written can be read back; this also refuses an empty
		// period, one that runs backwards and years that need five digits.
		_, _, err = parse(der)
	}
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("privateKeyUsagePeriod: %w", err)
	}
	return pkix.Extension{Id: oidPrivateKeyUsagePeriod, Value: der}, nil
}

func addTime(b *cryptobyte.Builder, tag cbasn1.Tag, t time.Time) {
	if t.IsZero() {
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(t.UTC().Format(layout))) })
}
