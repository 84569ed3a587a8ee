package verify

import (
	"crypto/x509"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// maxPoints bounds the distribution points that one revocation list may name.
const maxPoints = 64

// A crlScope is the part of an issuer's certificates that a revocation list
// covers; the zero value covers all.
type crlScope struct {
	usersOnly, casOnly bool
	// points are the URIs of the list's distribution point. A certificate must
	// have one of them, if limited is set.
	points  []string
	limited bool
}

// parse reads an issuingDistributionPoint (RFC 5280, 5.2.5).
//
//	IssuingDistributionPoint ::= SEQUENCE {
//	  distributionPoint          [0] DistributionPointName OPTIONAL,
//	  onlyContainsUserCerts      [1] BOOLEAN DEFAULT FALSE,
//	  onlyContainsCACerts        [2] BOOLEAN DEFAULT FALSE,
//	  onlySomeReasons            [3] ReasonFlags OPTIONAL,
//	  indirectCRL                [4] BOOLEAN DEFAULT FALSE,
//	  onlyContainsAttributeCerts [5] BOOLEAN DEFAULT FALSE }
//	DistributionPointName ::= CHOICE {
//	  fullName                 [0] GeneralNames,
//	  nameRelativeToCRLIssuer  [1] RelativeDistinguishedName }
func (c *crlScope) parse(s cryptobyte.String) error {
	malformed := errors.New("issuingDistributionPoint is malformed")
	var body, point, reasons cryptobyte.String
	var someReasons, indirect, attributesOnly bool
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() ||
		!body.ReadOptionalASN1(&point, &c.limited, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!readFlag(&body, &c.usersOnly, 1) || !readFlag(&body, &c.casOnly, 2) ||
		!body.ReadOptionalASN1(&reasons, &someReasons, asn1.Tag(3).ContextSpecific()) ||
		!readFlag(&body, &indirect, 4) || !readFlag(&body, &attributesOnly, 5) || !body.Empty() {
		return malformed
	}
	switch {
	case indirect:
		return errors.New("it is an indirect list")
	case someReasons:
		return errors.New("it is a list for some reasons only")
	case attributesOnly:
		return errors.New("it is a list of attribute certificates")
	case !c.limited:
		return nil
	}
	var names cryptobyte.String
	if !point.ReadASN1(&names, asn1.Tag(0).ContextSpecific().Constructed()) || !point.Empty() {
		return errors.New("its distribution point is not a full name")
	}
	for !names.Empty() {
		var name cryptobyte.String
		var tag asn1.Tag
		if len(c.points) == maxPoints || !names.ReadAnyASN1(&name, &tag) {
			return malformed
		}
		if tag == asn1.Tag(6).ContextSpecific() { // uniformResourceIdentifier
			c.points = append(c.points, string(name))
		}
	}
	return nil
}

// readFlag reads an IMPLICIT BOOLEAN DEFAULT FALSE.
func readFlag(s *cryptobyte.String, out *bool, tag asn1.Tag) bool {
	var content cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&content, &present, tag.ContextSpecific()) {
		return false
	}
	if present && (len(content) != 1 || content[0] != 0 && content[0] != 0xff) {
		return false
	}
	*out = present && content[0] == 0xff
	return true
}

// covers reports why the list says nothing about cert (RFC 5280, 6.3.3 (b)).
func (c *crlScope) covers(cert *x509.Certificate) error {
	ca := cert.BasicConstraintsValid && cert.IsCA
	switch {
	case c.usersOnly && ca:
		return errors.New("the revocation list is for end entities only")
	case c.casOnly && !ca:
		return errors.New("the revocation list is for CAs only")
	case c.limited && !slices.ContainsFunc(cert.CRLDistributionPoints, func(p string) bool { return slices.Contains(c.points, p) }):
		return errors.New("the revocation list is of another distribution point")
	}
	return nil
}
