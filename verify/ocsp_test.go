package verify_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

func responses(t testing.TB, data ...[]byte) *verify.OCSPResponses {
	t.Helper()
	r, err := verify.NewOCSPResponses(data...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOCSP: which responses speak of a certificate, whose they have to be, and
// which are good enough to say that it is not revoked.
func TestOCSP(t *testing.T) {
	s, f := newOCSPScene(t, pkitest.Options{}), tsptest.NewForge(t, pkitest.Options{})
	other := pkitest.TSA(t, pkitest.Options{Name: "Other"})
	recent, soon := s.recent, s.soon
	old := recent.Add(-time.Hour)

	// single changes the status of the leaf.
	single := func(change func(o *ocspStatus)) func(f *ocspForge) {
		return func(f *ocspForge) { change(&f.singles[0]) }
	}
	window := func(this, next time.Time) func(f *ocspForge) {
		return func(f *ocspForge) {
			f.produced, f.singles[0].this, f.singles[0].next = this, this, next
		}
	}
	status := func(status []byte) func(f *ocspForge) {
		return single(func(o *ocspStatus) { o.status = status })
	}
	compromised := status(ocspRevoked(recent, 1))
	signedBy := func(cert *x509.Certificate, key crypto.Signer) func(f *ocspForge) {
		return func(f *ocspForge) { f.signer, f.key = cert, key }
	}
	delegate := func(changes ...func(c *x509.Certificate)) func(f *ocspForge) {
		return s.delegated(s.responder(changes...))
	}
	more := func(o ocspStatus) func(f *ocspForge) {
		return func(f *ocspForge) { f.singles = append(f.singles, o) }
	}
	noEKU := func(c *x509.Certificate) { c.ExtKeyUsage = nil }
	noCheck := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	signature := func(value []byte) func(f *ocspForge) {
		return func(f *ocspForge) {
			f.basic = func(b [][]byte) [][]byte { b[2] = der.Make(der.TagBitString, []byte{0}, value); return b }
		}
	}
	// A CA beside the leaf's issuer, with every purpose.
	sibling := s.responderOf(s.Root, s.RootKey, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature|x509.KeyUsageCRLSign
	})
	renamed := *s.Intermediate
	renamed.RawSubject = other.Intermediate.RawSubject
	weak := pkitest.Key(t, pkitest.P224, "responder")
	const unknown, voided = verify.ReasonRevocationUnknown, verify.ReasonRevoked
	for _, test := range []struct {
		name string
		data [][]byte
		want verify.Reason
	}{
		{"none at all", nil, unknown},
		{"good", [][]byte{s.leaf()}, ""},
		{"good, by key", [][]byte{s.leaf(func(f *ocspForge) { f.byKey = true })}, ""},
		{"good, version written out", [][]byte{s.leaf(func(f *ocspForge) { f.version = der.AppendInt(nil, 0) })}, ""},
		{"good, named by SHA-256", [][]byte{s.leaf(single(func(o *ocspStatus) { o.hash, o.hashOID = sha256Sum, oid.SHA256 }))}, ""},
		{"revoked", [][]byte{s.leaf(compromised)}, voided},
		{"revoked without a reason", [][]byte{s.leaf(status(ocspRevoked(now(), -1)))}, voided},
		{"superseded after the token", [][]byte{s.leaf(status(ocspRevoked(now(), 4)))}, ""},
		{"superseded before the token", [][]byte{s.leaf(status(ocspRevoked(tsptest.Time().Add(-time.Minute), 4)))}, voided},
		{"reason 127", [][]byte{s.leaf(status(ocspRevoked(now(), 127)))}, voided},
		{"status unknown", [][]byte{s.leaf(status(ocspUnknown))}, unknown},
		{"of the intermediate only", [][]byte{s.intermediate()}, unknown},

		{"of another serial number", [][]byte{s.leaf(single(func(o *ocspStatus) { o.cert = other.Leaf }))}, unknown},
		{"of another issuer's name", [][]byte{s.leaf(single(func(o *ocspStatus) {
			o.issuer = &x509.Certificate{RawSubject: s.Root.RawSubject, PublicKey: s.Intermediate.PublicKey}
		}))}, unknown},
		{"of another issuer's key", [][]byte{s.leaf(single(func(o *ocspStatus) {
			o.issuer = &x509.Certificate{RawSubject: s.Intermediate.RawSubject, PublicKey: s.Root.PublicKey}
		}))}, unknown},
		{"named by MD5", [][]byte{s.leaf(single(func(o *ocspStatus) { o.hash, o.hashOID = sha1Sum, oid.MD5 }))}, unknown},
		{"without any status", [][]byte{s.leaf(func(f *ocspForge) { f.singles = nil })}, unknown},

		{"last of several", [][]byte{s.leaf(func(f *ocspForge) {
			mine := f.singles[0]
			another := mine
			another.cert, another.status = other.Leaf, ocspRevoked(recent, 1)
			f.singles = append(slices.Repeat([]ocspStatus{another}, 10), mine)
		})}, ""},
		{"good, and revoked", [][]byte{s.leaf(more(ocspStatus{cert: s.Leaf, issuer: s.Intermediate, this: recent, next: soon, status: ocspRevoked(recent, 1)}))}, voided},
		{"revoked, and good", [][]byte{s.leaf(compromised, more(ocspStatus{cert: s.Leaf, issuer: s.Intermediate, this: recent, next: soon}))}, voided},
		{"good, and unknown", [][]byte{s.leaf(more(ocspStatus{cert: s.Leaf, issuer: s.Intermediate, this: recent, next: soon, status: ocspUnknown}))}, ""},

		{"stale", [][]byte{s.leaf(window(old, recent))}, unknown},
		{"stale, and revoked", [][]byte{s.leaf(window(old, recent), compromised)}, voided},
		{"stale, beside a good one", [][]byte{s.leaf(window(old, recent)), s.leaf()}, ""},
		{"last moment", [][]byte{s.leaf(window(recent, now().Truncate(time.Second).Add(time.Second)))}, ""},
		{"from the future", [][]byte{s.leaf(window(soon, soon.Add(time.Hour)))}, unknown},
		{"from a minute ahead", [][]byte{s.leaf(window(now().Add(time.Minute), soon))}, ""},
		{"no nextUpdate, of this minute", [][]byte{s.leaf(window(now().Add(-time.Minute), time.Time{}))}, ""},
		{"no nextUpdate, of an hour ago", [][]byte{s.leaf(window(recent, time.Time{}))}, unknown},
		{"no nextUpdate, of an hour ago, and revoked", [][]byte{s.leaf(window(recent, time.Time{}), compromised)}, voided},

		{"on hold, then no more", [][]byte{s.leaf(window(old, soon), status(ocspRevoked(recent, 6))), s.leaf()}, ""},
		{"on hold again", [][]byte{s.leaf(window(old, soon)), s.leaf(status(ocspRevoked(recent, 6)))}, voided},
		{"compromised, then no more", [][]byte{s.leaf(window(old, soon), compromised), s.leaf()}, voided},
		{"superseded, then compromised", [][]byte{s.leaf(window(old, soon), status(ocspRevoked(now(), 4))), s.leaf(compromised)}, voided},

		{"delegated", [][]byte{s.leaf(delegate())}, ""},
		{"delegated, by key", [][]byte{s.leaf(delegate(), func(f *ocspForge) { f.byKey = true })}, ""},
		{"delegated, second of two certificates", [][]byte{s.leaf(delegate(), func(f *ocspForge) { f.certs = append([][]byte{s.Intermediate.Raw}, f.certs...) })}, ""},
		{"delegated, after one that does not parse", [][]byte{s.leaf(delegate(), func(f *ocspForge) { f.certs = append([][]byte{{0x30, 0}}, f.certs...) })}, ""},
		{"delegated, and revoked", [][]byte{s.leaf(delegate(), compromised)}, voided},
		{"delegated without nocheck", [][]byte{s.leaf(delegate(noCheck))}, unknown},
		{"delegated without nocheck, and revoked", [][]byte{s.leaf(delegate(noCheck), compromised)}, voided},
		{"delegated, the certificate left out", [][]byte{s.leaf(delegate(), func(f *ocspForge) { f.certs = nil })}, unknown},
		{"delegated without the purpose", [][]byte{s.leaf(delegate(noEKU))}, unknown},
		{"delegated without the purpose, and revoked", [][]byte{s.leaf(delegate(noEKU), compromised)}, unknown},
		{"delegated for any purpose", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }))}, unknown},
		{"delegated, key usage for something else", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }))}, unknown},
		{"delegated without key usage", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.KeyUsage = 0 }))}, ""},
		{"delegated, unknown critical extension", [][]byte{s.leaf(delegate(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}))}, unknown},
		{"delegated, weak key", [][]byte{s.leaf(delegate(func(c *x509.Certificate) {
			c.PublicKey = weak.Public()
		}), func(f *ocspForge) { f.key = weak })}, unknown},
		{"delegated, another key", [][]byte{s.leaf(delegate(), func(f *ocspForge) { f.key = other.LeafKey })}, unknown},
		{"delegated, expired when it was produced", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.NotAfter = recent.Add(-time.Minute) }), compromised)}, unknown},
		{"delegated, expired since", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.NotAfter = now().Add(-time.Minute) }))}, unknown},
		{"delegated, expired since, and revoked", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.NotAfter = now().Add(-time.Minute) }), compromised)}, voided},
		{"delegated, not yet valid", [][]byte{s.leaf(delegate(func(c *x509.Certificate) { c.NotBefore = now() }))}, unknown},
		{"delegated to a CA", [][]byte{s.leaf(delegate(func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}))}, unknown},
		{"delegated by the root", [][]byte{s.leaf(s.delegated(s.responderOf(s.Root, s.RootKey)))}, unknown},
		{"delegated by another CA", [][]byte{s.leaf(s.delegated(s.responderOf(other.Intermediate, other.IntermediateKey)))}, unknown},
		{"delegated by this key under another name", [][]byte{s.leaf(s.delegated(s.responderOf(&renamed, s.IntermediateKey)))}, unknown},
		{"delegated by another CA under this name", [][]byte{s.leaf(s.delegated(s.responderOf(s.Intermediate, other.IntermediateKey)))}, unknown},

		{"signed by another under this name", [][]byte{s.leaf(func(f *ocspForge) { f.key = other.IntermediateKey }, compromised)}, unknown},
		{"signed by another CA", [][]byte{s.leaf(signedBy(other.Intermediate, other.IntermediateKey))}, unknown},
		{"signed by a sibling CA", [][]byte{s.leaf(s.delegated(sibling))}, unknown},
		{"signed by the root", [][]byte{s.leaf(signedBy(s.Root, s.RootKey))}, unknown},
		{"signed by the leaf", [][]byte{s.leaf(signedBy(s.Leaf, s.LeafKey), func(f *ocspForge) { f.certs = [][]byte{s.Leaf.Raw} })}, unknown},
		{"signed by the leaf, as the issuer", [][]byte{s.leaf(signedBy(s.Intermediate, s.LeafKey), func(f *ocspForge) { f.certs = [][]byte{s.Leaf.Raw} })}, unknown},
		{"signed with nothing", [][]byte{s.leaf(signature(nil))}, unknown},
		{"signed with zeros", [][]byte{s.leaf(signature(make([]byte, 64)))}, unknown},
		{"a forged revocation beside a good response", [][]byte{s.leaf(compromised, signature(make([]byte, 64))), s.leaf()}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			p.Revocation = responses(t, append(slices.Clone(test.data), s.intermediate())...)
			for range 2 { // who vouches is remembered
				check(t, p, f, test.want)
			}
			slices.Reverse(test.data)
			p.Revocation = responses(t, append([][]byte{s.intermediate()}, test.data...)...)
			check(t, p, f, test.want)
		})
	}
}

// TestOCSPReasons: a revocation means the same from a responder as from a list
// (RFC 3161, 4.1).
func TestOCSPReasons(t *testing.T) {
	s, f := newOCSPScene(t, pkitest.Options{}), tsptest.NewForge(t, pkitest.Options{})
	genTime := tsptest.Time()
	for reason := -1; reason <= 11; reason++ {
		for _, at := range []time.Time{genTime.Add(-time.Hour), genTime.Truncate(time.Second), genTime.Add(30 * time.Minute)} {
			if reason == 8 || reason == 7 {
				continue // no reasons of a complete list
			}
			p := policyFor(t, f)
			p.Revocation = responses(t, s.intermediate(), s.leaf(func(f *ocspForge) { f.singles[0].status = ocspRevoked(at, reason) }))
			_, fromOCSP := p.Token(f.ParsedToken(t), tsptest.Request().Imprint)
			list := crlForge{issuer: s.Intermediate, key: s.IntermediateKey, this: s.recent, next: s.soon,
				entries: [][]byte{revoked(s.Leaf, at, reason)}}
			p.Revocation = crls(t, rootCRL(t, s.Chain), list.make(t))
			_, fromCRL := p.Token(f.ParsedToken(t), tsptest.Request().Imprint)
			if got, want := reasonOf(fromOCSP), reasonOf(fromCRL); got != want {
				t.Errorf("reason %d at %v: %q by OCSP, %q by a list", reason, at, got, want)
			}
		}
	}
}

// TestOCSPOfExpired: a responder need not know a certificate that has expired.
func TestOCSPOfExpired(t *testing.T) {
	end := tsptest.Time().Add(24 * time.Hour).Truncate(time.Second)
	opts := pkitest.Options{NotAfter: end}
	s, f := newOCSPScene(t, opts), tsptest.NewForge(t, opts)
	keeps := func(since time.Time) [][]byte {
		return [][]byte{tsptest.Extension("1.3.6.1.5.5.7.48.1.6", nil, generalizedTime(since))}
	}
	later := end.AddDate(3, 0, 0)
	for _, test := range []struct {
		name       string
		this, next time.Time
		extensions [][]byte
		status     []byte
		want       verify.Reason
		loose      verify.Reason // with AcceptListsAfterExpiry
	}{
		{"last response before the end", end.Add(-time.Hour), end.Add(time.Hour), nil, nil, "", ""},
		{"response that ended before", end.Add(-2 * time.Hour), end.Add(-time.Hour), nil, nil, verify.ReasonRevocationUnknown, verify.ReasonRevocationUnknown},
		{"response after the end, stale since", end.Add(time.Hour), end.Add(2 * time.Hour), nil, nil, verify.ReasonRevocationUnknown, verify.ReasonRevocationUnknown},
		{"today's response", later.Add(-time.Hour), later.Add(time.Hour), nil, nil, verify.ReasonRevocationUnknown, ""},
		{"today's response, revoked", later.Add(-time.Hour), later.Add(time.Hour), nil, ocspRevoked(end.Add(-time.Hour), 1), verify.ReasonRevoked, verify.ReasonRevoked},
		{"today's response, which keeps it", later.Add(-time.Hour), later.Add(time.Hour), keeps(end), nil, "", ""},
		{"today's response, which keeps later ones", later.Add(-time.Hour), later.Add(time.Hour), keeps(end.Add(time.Second)), nil, verify.ReasonRevocationUnknown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			p.Now = func() time.Time { return later }
			response := func(f *ocspForge) {
				f.produced = test.this
				o := &f.singles[0]
				o.this, o.next, o.extensions, o.status = test.this, test.next, test.extensions, test.status
			}
			byIssuer := responses(t, s.intermediate(), s.leaf(response))
			p.Revocation = byIssuer
			check(t, p, f, test.want)
			p.Revocation = afterExpiry(byIssuer)
			check(t, p, f, test.loose)
			// The certificate of a responder lasts for days only.
			responder := s.responder(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = test.this.Add(-time.Minute), test.next
			})
			p.Revocation = afterExpiry(responses(t, s.intermediate(), s.leaf(response, s.delegated(responder))))
			if test.extensions == nil { // else it would have to be valid at the end
				check(t, p, f, test.loose)
			}
		})
	}
}

// TestOCSPIssuers: an issuer whose key usage is for certificates alone cannot
// speak for revocation.
func TestOCSPIssuers(t *testing.T) {
	for _, test := range []struct {
		usage x509.KeyUsage
		want  verify.Reason
	}{
		{x509.KeyUsageCertSign, verify.ReasonRevocationUnknown},
		{x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ""},
		{x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ""},
	} {
		s := newOCSPScene(t, pkitest.Options{Intermediate: func(c *x509.Certificate) { c.KeyUsage = test.usage }})
		f := &tsptest.Forge{Identity: tsptest.Identity{Chain: s.DER, Key: s.LeafKey}}
		p := policyFor(t, f)
		p.Revocation = responses(t, s.leaf(), s.intermediate())
		check(t, p, f, test.want)
	}
}

// TestOCSPVouchesForOneIssuer: that a response speaks for one issuer says
// nothing about its word on certificates of another.
func TestOCSPVouchesForOneIssuer(t *testing.T) {
	s := newOCSPScene(t, pkitest.Options{})
	r := responses(t, s.leaf(func(f *ocspForge) {
		f.singles = append(f.singles, ocspStatus{cert: s.Intermediate, issuer: s.Root, this: s.recent, next: s.soon})
	}))
	below := verify.RevocationQuery{Certificate: s.Leaf, Issuer: s.Intermediate, GenTime: tsptest.Time(), Now: now()}
	if _, err := r.RevocationStatus(below); err != nil {
		t.Errorf("of the leaf: %v", err)
	}
	above := verify.RevocationQuery{Certificate: s.Intermediate, Issuer: s.Root, GenTime: tsptest.Time(), Now: now()}
	if status, err := r.RevocationStatus(above); err == nil {
		t.Errorf("an intermediate speaks for itself: %+v", status)
	}
}

// TestEvidence: lists and responses together.
func TestEvidence(t *testing.T) {
	s, f := newOCSPScene(t, pkitest.Options{}), tsptest.NewForge(t, pkitest.Options{})
	list := func(this time.Time, reason int) verify.RevocationEvidence {
		c := crlForge{issuer: s.Intermediate, key: s.IntermediateKey, this: this, next: s.soon}
		if reason >= 0 {
			c.entries = [][]byte{revoked(s.Leaf, now(), reason)}
		}
		return crls(t, c.make(t))
	}
	response := func(this time.Time, status []byte) verify.RevocationEvidence {
		return responses(t, s.leaf(func(f *ocspForge) { f.produced, f.singles[0].this, f.singles[0].status = this, this, status }))
	}
	old := s.recent.Add(-time.Hour)
	above := verify.Evidence{crls(t, rootCRL(t, s.Chain))}
	const unknown, voided = verify.ReasonRevocationUnknown, verify.ReasonRevoked
	for _, test := range []struct {
		name     string
		evidence verify.Evidence
		want     verify.Reason
		source   verify.RevocationSource
		missing  int
	}{
		{"none", nil, unknown, "", 2},
		{"of the intermediate", above, unknown, "", 1},
		{"list", verify.Evidence{list(s.recent, -1), above}, "", verify.SourceCRL, 0},
		{"response", verify.Evidence{response(s.recent, nil), above}, "", verify.SourceOCSP, 0},
		{"nothing known", verify.Evidence{response(s.recent, ocspUnknown), above}, unknown, "", 1},
		{"both good, the response newer", verify.Evidence{list(old, -1), response(s.recent, nil), above}, "", verify.SourceOCSP, 0},
		{"both good, the list newer", verify.Evidence{list(s.recent, -1), response(old, nil), above}, "", verify.SourceCRL, 0},
		{"response does not know, list does", verify.Evidence{list(s.recent, -1), response(s.recent, ocspUnknown), above}, "", verify.SourceCRL, 0},
		{"good response, revoked by an older list", verify.Evidence{list(old, 1), response(s.recent, nil), above}, voided, verify.SourceCRL, 0},
		{"good list, revoked by an older response", verify.Evidence{list(s.recent, -1), response(old, ocspRevoked(old, 1)), above}, voided, verify.SourceOCSP, 0},
		{"superseded by one, compromised by the other", verify.Evidence{list(s.recent, 4), response(old, ocspRevoked(now(), 1)), above}, voided, verify.SourceOCSP, 0},
		{"on hold by an older list", verify.Evidence{list(old, 6), response(s.recent, nil), above}, "", verify.SourceOCSP, 0},
		{"on hold by a newer list", verify.Evidence{list(s.recent, 6), response(old, nil), above}, voided, verify.SourceCRL, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			slices.Reverse(test.evidence)
			for range 2 {
				p := policyFor(t, f)
				stamp := check(t, p, f, "")
				if got := len(test.evidence.Missing(stamp, now())); got != test.missing {
					t.Errorf("%d certificates lack evidence, want %d", got, test.missing)
				}
				p.Revocation = test.evidence
				check(t, p, f, test.want)
				q := verify.RevocationQuery{Certificate: s.Leaf, Issuer: s.Intermediate, GenTime: stamp.Time, Now: now()}
				if got, err := test.evidence.RevocationStatus(q); got.Source != test.source || (err == nil) != (test.source != "") {
					t.Errorf("RevocationStatus = %+v, %v, want source %q", got, err, test.source)
				}
				slices.Reverse(test.evidence)
			}
		})
	}
	p := policyFor(t, f)
	p.Roots = []*x509.Certificate{parse(t, f.Chain[0])}
	if missing := (verify.Evidence{}).Missing(check(t, p, f, ""), now()); missing != nil {
		t.Errorf("a trusted authority lacks evidence: %v", missing)
	}
}

// TestRevocationStatus: since when what is known is known.
func TestRevocationStatus(t *testing.T) {
	s := newOCSPScene(t, pkitest.Options{})
	q := verify.RevocationQuery{Certificate: s.Leaf, Issuer: s.Intermediate, GenTime: tsptest.Time(), Now: now()}
	second := func(d time.Duration) time.Time { return now().Add(d).Truncate(time.Second) }
	list := crlForge{issuer: s.Intermediate, key: s.IntermediateKey, this: s.recent, next: s.soon}
	noNext := s.leaf(func(f *ocspForge) { f.singles[0].this, f.singles[0].next = now().Add(-time.Minute), time.Time{} })
	for _, test := range []struct {
		name     string
		evidence verify.RevocationEvidence
		want     verify.RevocationStatus
	}{
		{"list", crls(t, list.make(t)), verify.RevocationStatus{Source: verify.SourceCRL, ThisUpdate: second(-time.Hour), NextUpdate: second(time.Hour)}},
		{"response", responses(t, s.leaf()), verify.RevocationStatus{Source: verify.SourceOCSP, ThisUpdate: second(-time.Hour), NextUpdate: second(time.Hour)}},
		{"response without nextUpdate", responses(t, noNext), verify.RevocationStatus{Source: verify.SourceOCSP, ThisUpdate: second(-time.Minute)}},
	} {
		got, err := test.evidence.RevocationStatus(q)
		if err != nil || got.Source != test.want.Source || !got.ThisUpdate.Equal(test.want.ThisUpdate) || !got.NextUpdate.Equal(test.want.NextUpdate) {
			t.Errorf("%s: RevocationStatus = %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}

// TestNewOCSPResponses: what is refused when it is read, by name.
func TestNewOCSPResponses(t *testing.T) {
	s := newOCSPScene(t, pkitest.Options{})
	null, critical := []byte{der.TagNull, 0}, tsptest.Critical()
	tbs := func(i int, value []byte) []byte {
		return s.leaf(func(f *ocspForge) { f.tbs = func(fields [][]byte) [][]byte { fields[i] = value; return fields } })
	}
	basic := func(i int, value []byte) []byte {
		return s.leaf(func(f *ocspForge) { f.basic = func(fields [][]byte) [][]byte { fields[i] = value; return fields } })
	}
	single := func(change func(o *ocspStatus)) []byte { return s.leaf(func(f *ocspForge) { change(&f.singles[0]) }) }
	field := func(i int, value []byte) []byte {
		return single(func(o *ocspStatus) { o.change = func(fields [][]byte) [][]byte { fields[i] = value; return fields } })
	}
	extension := func(dotted string, critical, value []byte) []byte {
		return s.leaf(func(f *ocspForge) { f.extensions = [][]byte{tsptest.Extension(dotted, critical, value)} })
	}
	singleExtension := func(dotted string, critical, value []byte) []byte {
		return single(func(o *ocspStatus) { o.extensions = [][]byte{tsptest.Extension(dotted, critical, value)} })
	}
	algorithm := func(id string) []byte {
		return s.leaf(func(f *ocspForge) { f.algorithm = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(id))) })
	}
	plain := s.leaf()
	for _, test := range []struct {
		name string
		data []byte
		want string // in the error; "" for none
	}{
		{"plain", plain, ""},
		{"with a nonce", s.leaf(func(f *ocspForge) { f.extensions = [][]byte{nonceExtension(1, 2, 3)} }), ""},
		{"empty", nil, "not an OCSPResponse"},
		{"a certificate", s.Leaf.Raw, "not an OCSPResponse"},
		{"truncated", plain[:len(plain)-1], "not an OCSPResponse"},
		{"trailing byte", append(bytes.Clone(plain), 0), "not an OCSPResponse"},
		{"too long", make([]byte, 256<<10+1), "at most"},
		{"malformedRequest", s.leaf(func(f *ocspForge) { f.status = 1 }), "malformedRequest"},
		{"internalError", s.leaf(func(f *ocspForge) { f.status = 2 }), "internalError"},
		{"tryLater", s.leaf(func(f *ocspForge) { f.status = 3 }), "tryLater"},
		{"sigRequired", s.leaf(func(f *ocspForge) { f.status = 5 }), "sigRequired"},
		{"unauthorized", s.leaf(func(f *ocspForge) { f.status = 6 }), "unauthorized"},
		{"status 99", s.leaf(func(f *ocspForge) { f.status = 99 }), "status 99"},
		{"successful without a response", []byte{0x30, 3, 10, 1, 0}, "responseBytes"},
		{"another type", s.leaf(func(f *ocspForge) {
			f.bytes = func(b [][]byte) [][]byte { b[0] = der.Make(der.TagOID, []byte{0x2a, 3}); return b }
		}), "1.2.3"},
		{"response malformed", s.leaf(func(f *ocspForge) {
			f.bytes = func(b [][]byte) [][]byte { b[1] = der.Make(der.TagOctetString, null); return b }
		}), "BasicOCSPResponse"},
		{"signature with unused bits", basic(2, der.Make(der.TagBitString, []byte{1, 2})), "BasicOCSPResponse"},
		{"signature absent", s.leaf(func(f *ocspForge) { f.basic = func(b [][]byte) [][]byte { return b[:2] } }), "BasicOCSPResponse"},
		{"SHA-1", algorithm(oid.ECDSAWithSHA1), "ecdsa-with-SHA1"},
		{"unknown algorithm", algorithm("\x2a\x03"), "1.2.3"},
		{"certificates malformed", s.leaf(func(f *ocspForge) { f.certs = [][]byte{null} }), "certs"},
		{"too many certificates", s.leaf(func(f *ocspForge) { f.certs = slices.Repeat([][]byte{s.Leaf.Raw}, 9) }), "more than 8"},
		{"version 2", s.leaf(func(f *ocspForge) { f.version = der.AppendInt(nil, 1) }), "version"},
		{"responder malformed", tbs(0, null), "responderID"},
		{"responder's key malformed", tbs(0, der.Make(der.Context(2), null)), "responderID"},
		{"responder's name followed by more", tbs(0, der.Make(der.Context(1), s.Leaf.RawSubject, null)), "responderID"},
		{"producedAt malformed", tbs(1, null), "producedAt"},
		{"producedAt with a fraction", tbs(1, der.Make(der.TagGeneralizedTime, []byte("20260101000000.5Z"))), "producedAt"},
		{"responses malformed", tbs(2, null), "responses"},
		{"unknown element", s.leaf(func(f *ocspForge) { f.tbs = func(b [][]byte) [][]byte { return append(b, null) } }), "last field"},
		{"status malformed", tbs(2, der.Make(der.TagSequence, null)), "status 1: not a SingleResponse"},
		{"certID malformed", field(0, der.Make(der.TagSequence)), "certID"},
		{"certStatus malformed", field(1, []byte{0x80, 1, 0}), "certStatus"},
		{"certStatus constructed", field(1, []byte{0xa0, 0}), "certStatus"},
		{"certStatus 3", field(1, []byte{0x83, 0}), "certStatus"},
		{"revokedInfo malformed", field(1, der.Make(der.Context(1), null)), "revokedInfo"},
		{"reason negative", field(1, ocspRevoked(now(), 0x80)), "revokedInfo"},
		{"thisUpdate malformed", field(2, null), "thisUpdate"},
		{"nextUpdate malformed", field(3, der.Make(der.Context(0), null)), "nextUpdate"},
		{"status followed by more", single(func(o *ocspStatus) { o.change = func(b [][]byte) [][]byte { return append(b, null) } }), "last field"},
		{"unknown extension", extension("1.2.3", nil, null), ""},
		{"unknown critical extension", extension("1.2.3", critical, null), "1.2.3"},
		{"extension twice", s.leaf(func(f *ocspForge) { f.extensions = [][]byte{nonceExtension(1), nonceExtension(2)} }), "twice"},
		{"too many extensions", s.leaf(func(f *ocspForge) {
			for i := range 17 {
				f.extensions = append(f.extensions, tsptest.Extension("1.2."+strconv.Itoa(i), nil, null))
			}
		}), "more than 16"},
		{"unknown extension of a status", singleExtension("1.2.3", nil, null), ""},
		{"unknown critical extension of a status", singleExtension("1.2.3", critical, null), "1.2.3"},
		{"archiveCutoff malformed", singleExtension("1.3.6.1.5.5.7.48.1.6", nil, null), "archiveCutoff"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := verify.NewOCSPResponses(test.data)
			if (r == nil) != (err != nil) {
				t.Fatalf("NewOCSPResponses = %v, %v", r, err)
			}
			if test.want == "" {
				if err != nil {
					t.Errorf("NewOCSPResponses: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NewOCSPResponses: %v, want an error about %s", err, test.want)
			}
		})
	}
	if _, err := verify.NewOCSPResponses(slices.Repeat([][]byte{plain}, 65)...); err == nil {
		t.Error("65 responses are accepted")
	}
}

// TestOCSPRequest: another implementation reads what we ask, and we read what
// it answers.
func TestOCSPRequest(t *testing.T) {
	for _, kind := range []pkitest.KeyType{pkitest.P256, pkitest.P384, pkitest.RSA2048} {
		t.Run(kind.String(), func(t *testing.T) {
			chain := pkitest.TSA(t, pkitest.Options{IssuerKey: kind})
			q := verify.RevocationQuery{Certificate: chain.Leaf, Issuer: chain.Intermediate, GenTime: tsptest.Time(), Now: time.Now()}
			for _, nonce := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
				raw, err := verify.OCSPRequest(q, nonce)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := ocsp.CreateRequest(chain.Leaf, chain.Intermediate, nil)
				if err != nil {
					t.Fatal(err)
				}
				if nonce == nil && !bytes.Equal(raw, theirs) {
					t.Errorf("request %x, x/crypto makes %x", raw, theirs)
				}
				if got, err := ocsp.ParseRequest(raw); err != nil || got.SerialNumber.Cmp(chain.Leaf.SerialNumber) != 0 {
					t.Errorf("x/crypto reads %+v, %v", got, err)
				}
			}
			answer, err := ocsp.CreateResponse(chain.Intermediate, chain.Intermediate, ocsp.Response{
				Status: ocsp.Good, SerialNumber: chain.Leaf.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
			}, chain.IntermediateKey)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := responses(t, answer).RevocationStatus(q); err != nil || s.Revocation != nil {
				t.Errorf("RevocationStatus of x/crypto's answer = %+v, %v", s, err)
			}
		})
	}
	chain := pkitest.TSA(t, pkitest.Options{})
	q := verify.RevocationQuery{Certificate: chain.Leaf, Issuer: chain.Intermediate}
	for _, n := range []int{0, 129} {
		if _, err := verify.OCSPRequest(q, make([]byte, n)); err == nil {
			t.Errorf("a nonce of %d octets is accepted", n)
		}
	}
}

// TestOCSPAnswers: the response to another request is refused.
func TestOCSPAnswers(t *testing.T) {
	s := newOCSPScene(t, pkitest.Options{})
	with := s.leaf(func(f *ocspForge) { f.extensions = [][]byte{nonceExtension(1, 2, 3)} })
	for _, test := range []struct {
		name  string
		data  []byte
		nonce []byte
		ok    bool
	}{
		{"same nonce", with, []byte{1, 2, 3}, true},
		{"another nonce", with, []byte{1, 2, 4}, false},
		{"nonce that was not asked for", with, nil, false},
		{"no nonce", s.leaf(), []byte{1, 2, 3}, true},
		{"no nonce, none asked for", s.leaf(), nil, true},
		{"an error", s.leaf(func(f *ocspForge) { f.status = 3 }), []byte{1, 2, 3}, false},
	} {
		if err := verify.OCSPAnswers(test.data, test.nonce); (err == nil) != test.ok {
			t.Errorf("%s: OCSPAnswers = %v, want ok %v", test.name, err, test.ok)
		}
	}
}

// TestEvidenceErrors: why nothing is known, from every source.
func TestEvidenceErrors(t *testing.T) {
	s, f := newOCSPScene(t, pkitest.Options{}), tsptest.NewForge(t, pkitest.Options{})
	p := policyFor(t, f)
	p.Revocation = verify.Evidence{crls(t), responses(t)}
	_, err := p.Token(f.ParsedToken(t), tsptest.Request().Imprint)
	var refusal *verify.Error
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Detail, "no revocation list") || !strings.Contains(refusal.Detail, "no OCSP response") {
		t.Errorf("Token: %v, want what list and responder say", err)
	}
	malformed := verify.RevocationQuery{Certificate: &x509.Certificate{}, Issuer: s.Intermediate}
	if _, err := responses(t, s.leaf()).RevocationStatus(malformed); err == nil {
		t.Error("a certificate without bytes has a status")
	}
	if _, err := verify.OCSPRequest(malformed, nil); err == nil {
		t.Error("a certificate without bytes can be asked about")
	}
}
