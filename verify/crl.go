package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Limits on revocation lists. Lists of public authorities have up to some
// 20 MiB; a chain needs two or three.
const (
	maxCRL  = 32 << 20
	maxCRLs = 64
	// maxCRLExtensions bounds the extensions of a list and of each entry. There
	// are seven kinds of the one and three of the other.
	maxCRLExtensions = 16
)

// CRLs is a [RevocationChecker] that knows the revocation lists it was given
// and asks nobody. It is safe for concurrent use.
//
// A list speaks of a certificate if it is of the same issuer, signed with the
// key of that issuer's certificate in the chain, and covers certificates of
// its kind. It must be current: its nextUpdate not past, or, for a certificate
// that has expired, not before the certificate ended. A list that was made
// after the certificate expired need not list it any longer (RFC 5280, 3.3) and
// does not count, unless it says so in an expiredCertsOnCRL extension or the
// query accepts it. What no list speaks of is unknown.
type CRLs struct {
	lists []*crl // newest first
}

// NewCRLs reads complete revocation lists (RFC 5280, 5), each DER or PEM, of
// up to 32 MiB and 64 together. The bytes are kept and must not be modified.
// Delta lists, indirect ones, ones for some reasons or for attribute
// certificates only, and lists with unknown critical extensions are refused.
// The signatures are verified later, against the issuer in the chain.
func NewCRLs(data ...[]byte) (*CRLs, error) {
	c := &CRLs{}
	for i, list := range data {
		if err := c.add(list); err != nil {
			return nil, fmt.Errorf("verify: revocation list %d: %w", i+1, err)
		}
	}
	slices.SortStableFunc(c.lists, func(a, b *crl) int { return b.thisUpdate.Compare(a.thisUpdate) })
	return c, nil
}

// add reads one file: a DER list, or PEM with one or more.
func (c *CRLs) add(data []byte) error {
	if len(data) > 2*maxCRL {
		return fmt.Errorf("%d bytes long, at most %d are read", len(data), 2*maxCRL)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN ")) {
		return c.addDER(data)
	}
	for n := 1; len(bytes.TrimSpace(data)) > 0; n++ {
		// Nobody writes headers here, and millions of them would fill a map.
		_, body, _ := bytes.Cut(data, []byte("-----BEGIN "))
		if body, _, _ = bytes.Cut(body, []byte("-----END ")); bytes.IndexByte(body, ':') >= 0 {
			return fmt.Errorf("PEM block %d has headers", n)
		}
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil || block.Type != "X509 CRL" {
			return fmt.Errorf("PEM block %d is not an X509 CRL", n)
		}
		if err := c.addDER(block.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func (c *CRLs) addDER(data []byte) error {
	if len(c.lists) == maxCRLs {
		return fmt.Errorf("more than %d lists", maxCRLs)
	}
	if len(data) > maxCRL {
		return fmt.Errorf("%d bytes long, at most %d are read", len(data), maxCRL)
	}
	list := &crl{}
	if err := list.parse(data); err != nil {
		return err
	}
	c.lists = append(c.lists, list)
	return nil
}

// CheckRevocation implements [RevocationChecker].
func (c *CRLs) CheckRevocation(q RevocationQuery) (*Revocation, error) {
	s, err := c.RevocationStatus(q)
	return s.Revocation, err
}

// RevocationStatus implements [RevocationEvidence].
func (c *CRLs) RevocationStatus(q RevocationQuery) (RevocationStatus, error) {
	names, ok := skim(q.Certificate.Raw)
	if !ok {
		return RevocationStatus{}, errors.New("the certificate is malformed")
	}
	why := errors.New("no revocation list of its issuer is at hand")
	var current, found *RevocationStatus
	for _, list := range c.lists {
		if !sameName(list.issuer, q.Certificate.RawIssuer) {
			continue
		}
		if err := list.speaksOf(q); err != nil {
			why = err
			continue
		}
		r, err := list.find(names.serial)
		switch {
		case err != nil:
			return RevocationStatus{}, err
		case r == nil:
			if err := list.current("revocation list", q); err != nil {
				why = err
			} else if current == nil {
				current = list.says(nil)
			}
		case r.Reason == RevokedCertificateHold && current != nil:
			// A newer list no longer has it on hold (RFC 5280, 5.3.1).
		case found == nil || r.worse(found.Revocation):
			// Once revoked, always revoked: an old list is good enough, and
			// the worst of several entries decides.
			found = list.says(r)
		}
	}
	switch {
	case found != nil:
		return *found, nil
	case current != nil:
		return *current, nil
	}
	return RevocationStatus{}, why
}

// A crl is a CertificateList that was read.
//
//	CertificateList ::= SEQUENCE {
//	  tbsCertList         TBSCertList,
//	  signatureAlgorithm  AlgorithmIdentifier,
//	  signatureValue      BIT STRING }
type crl struct {
	period
	tbs       []byte
	scheme    scheme
	signature []byte
	issuer    []byte            // DER Name
	entries   cryptobyte.String // content of revokedCertificates
	scope     crlScope

	mu sync.Mutex
	// verified are the subjectPublicKeyInfos that the signature verified with.
	verified [][]byte
}

// TBSCertList ::= SEQUENCE {
//
//	version              Version OPTIONAL,
//	signature            AlgorithmIdentifier,
//	issuer               Name,
//	thisUpdate           Time,
//	nextUpdate           Time OPTIONAL,
//	revokedCertificates  SEQUENCE OF SEQUENCE {
//	  userCertificate    CertificateSerialNumber,
//	  revocationDate     Time,
//	  crlEntryExtensions Extensions OPTIONAL } OPTIONAL,
//	crlExtensions        [0] EXPLICIT Extensions OPTIONAL }
func (l *crl) parse(in []byte) error {
	s := cryptobyte.String(in)
	var body, element, signature, tbs, name cryptobyte.String
	var outer, inner cms.Algorithm
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() || !body.ReadASN1Element(&element, asn1.SEQUENCE) ||
		!cms.ReadAlgorithm(&body, &outer) || !body.ReadASN1(&signature, asn1.BIT_STRING) || !body.Empty() ||
		len(signature) == 0 || signature[0] != 0 {
		return errors.New("not a CertificateList")
	}
	l.tbs, l.signature = element, signature[1:]
	if !element.ReadASN1(&tbs, asn1.SEQUENCE) {
		return errors.New("tbsCertList is malformed")
	}
	version := int64(0)
	if tbs.PeekASN1Tag(asn1.INTEGER) && (!der.SmallInteger(&tbs, &version) || version != 1) {
		return errors.New("version is not 2")
	}
	// RFC 5280, 5.1.1.2: both fields name the same algorithm.
	if !cms.ReadAlgorithm(&tbs, &inner) || !bytes.Equal(inner.Raw, outer.Raw) {
		return errors.New("signature algorithms are malformed or differ")
	}
	id, _ := oid.Public(outer.OID)
	var err error
	if l.scheme, err = parseScheme(tsp.Algorithm{OID: id, Parameters: outer.Parameters}, 0); err != nil {
		return err
	}
	if !tbs.ReadASN1Element(&name, asn1.SEQUENCE) {
		return errors.New("issuer is malformed")
	}
	l.issuer = name
	// RFC 5280, 5.1.2.5: nextUpdate MUST be there; without it a list would
	// never be stale.
	if !readTime(&tbs, &l.thisUpdate) || !readTime(&tbs, &l.nextUpdate) {
		return errors.New("thisUpdate or nextUpdate is missing or malformed")
	}
	if tbs.PeekASN1Tag(asn1.SEQUENCE) && !tbs.ReadASN1(&l.entries, asn1.SEQUENCE) {
		return errors.New("revokedCertificates is malformed")
	}
	if err := l.parseExtensions(tbs, version); err != nil {
		return err
	}
	// Once through all entries, so that a lookup meets no surprise.
	entries := l.entries
	for !entries.Empty() {
		if _, _, err := readEntry(&entries); err != nil {
			return err
		}
	}
	return nil
}

func (l *crl) parseExtensions(tbs cryptobyte.String, version int64) error {
	if tbs.Empty() {
		return nil
	}
	var wrapper cryptobyte.String
	if !tbs.ReadASN1(&wrapper, asn1.Tag(0).ContextSpecific().Constructed()) || !tbs.Empty() || version != 1 {
		return errors.New("bytes after the last field")
	}
	return eachExtension(wrapper, func(id string, critical bool, value cryptobyte.String) error {
		switch id {
		case "\x55\x1d\x1b": // deltaCRLIndicator
			return errors.New("it is a delta list, a complete one is needed")
		case "\x55\x1d\x1c": // issuingDistributionPoint
			return l.scope.parse(value)
		case "\x55\x1d\x3c": // expiredCertsOnCRL
			if !value.ReadASN1GeneralizedTime(&l.expiredSince) || !value.Empty() {
				return errors.New("expiredCertsOnCRL is malformed")
			}
		case "\x55\x1d\x14", "\x55\x1d\x23": // cRLNumber, authorityKeyIdentifier
		default:
			if critical {
				return fmt.Errorf("unknown critical extension %s", oid.Dotted([]byte(id)))
			}
		}
		return nil
	})
}

// speaksOf reports why the list says nothing about a certificate of its issuer.
func (l *crl) speaksOf(q RevocationQuery) error {
	if err := l.scope.covers(q.Certificate); err != nil {
		return err
	}
	// RFC 5280, 6.3.3 (f).
	if !mayVouch(q.Issuer, x509.KeyUsageCRLSign) {
		return fmt.Errorf("issuer %s may not sign revocation lists", subject(q.Issuer))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := q.Issuer.RawSubjectPublicKeyInfo
	if slices.ContainsFunc(l.verified, func(k []byte) bool { return bytes.Equal(k, key) }) {
		return nil
	}
	if err := l.scheme.verify(q.Issuer.PublicKey, l.tbs, l.signature); err != nil {
		return fmt.Errorf("the list of %s: %w", stamp(l.thisUpdate), err)
	}
	l.verified = append(l.verified, key)
	return nil
}

// says returns the statement of the list on a certificate.
func (l *crl) says(r *Revocation) *RevocationStatus {
	return &RevocationStatus{Revocation: r, Source: SourceCRL, ThisUpdate: l.thisUpdate, NextUpdate: l.nextUpdate}
}

// find returns the worst entry for a serial number, nil when there is none.
// There should be one, but nothing keeps a CA from appending.
func (l *crl) find(serial []byte) (*Revocation, error) {
	if !bytes.Contains(l.entries, der.Make(der.TagInteger, serial)) {
		return nil, nil // the usual case, in one fast pass
	}
	var found *Revocation
	entries := l.entries
	for !entries.Empty() {
		got, r, err := readEntry(&entries)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(got, serial) && (found == nil || r.worse(found)) {
			found = &r
		}
	}
	return found, nil
}

// readEntry reads one entry.
func readEntry(s *cryptobyte.String) (serial []byte, r Revocation, err error) {
	r.Reason = RevokedWithoutReason
	var entry cryptobyte.String
	if !s.ReadASN1(&entry, asn1.SEQUENCE) || !der.Integer(&entry, &serial) || !readTime(&entry, &r.Time) {
		return nil, r, errors.New("an entry is malformed")
	}
	if entry.Empty() {
		return serial, r, nil
	}
	err = eachExtension(entry, func(id string, critical bool, value cryptobyte.String) error {
		switch id {
		case "\x55\x1d\x15": // reasonCode
			var reason cryptobyte.String
			if !value.ReadASN1(&reason, asn1.ENUM) || !value.Empty() || len(reason) != 1 {
				return errors.New("a reasonCode is malformed")
			}
			r.Reason = RevocationReason(int8(reason[0]))
			if r.Reason < 0 {
				return errors.New("a reasonCode is negative")
			}
		case "\x55\x1d\x1d": // certificateIssuer
			return errors.New("it is an indirect list")
		default:
			if critical {
				return fmt.Errorf("an entry has the unknown critical extension %s", oid.Dotted([]byte(id)))
			}
		}
		return nil
	})
	return serial, r, err
}

// eachExtension calls f for each extension in an Extensions element. None may
// occur twice (RFC 5280, 5.2 and 5.3): two readers could each believe another.
func eachExtension(s cryptobyte.String, f func(id string, critical bool, value cryptobyte.String) error) error {
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		return errors.New("extensions are malformed")
	}
	var seen [maxCRLExtensions][]byte
	for n := 0; !list.Empty(); n++ {
		var ext, value cryptobyte.String
		var id []byte
		critical := false
		if !list.ReadASN1(&ext, asn1.SEQUENCE) || !der.OID(&ext, &id) ||
			ext.PeekASN1Tag(asn1.BOOLEAN) && !der.Boolean(&ext, &critical) ||
			!ext.ReadASN1(&value, asn1.OCTET_STRING) || !ext.Empty() {
			return errors.New("an extension is malformed")
		}
		if n == len(seen) {
			return fmt.Errorf("more than %d extensions in one place", len(seen))
		}
		if slices.ContainsFunc(seen[:n], func(other []byte) bool { return bytes.Equal(other, id) }) {
			return fmt.Errorf("extension %s occurs twice", oid.Dotted(id))
		}
		seen[n] = id
		if err := f(string(id), critical, value); err != nil {
			return err
		}
	}
	return nil
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}
