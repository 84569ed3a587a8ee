package verify_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// A crlForge writes revocation lists field by field.
type crlForge struct {
	issuer     *x509.Certificate // its name
	key        crypto.Signer     // P-256
	this, next time.Time
	entries    [][]byte
	extensions [][]byte
	// tbs sees the fields of the tbsCertList.
	tbs func(fields [][]byte) [][]byte
	// outer replaces the outer signature algorithm.
	outer []byte
}

func (c *crlForge) make(t testing.TB) []byte {
	t.Helper()
	algorithm := der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.ECDSAWithSHA256)))
	fields := [][]byte{der.AppendInt(nil, 1), algorithm, c.issuer.RawSubject, utcTime(c.this), utcTime(c.next)}
	if c.entries != nil {
		fields = append(fields, der.Make(der.TagSequence, c.entries...))
	}
	if c.extensions != nil {
		fields = append(fields, der.Make(der.Context(0), der.Make(der.TagSequence, c.extensions...)))
	}
	if c.tbs != nil {
		fields = c.tbs(fields)
	}
	tbs := der.Make(der.TagSequence, fields...)
	digest := sha256.Sum256(tbs)
	signature, err := pkitest.Deterministic(c.key).Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if c.outer != nil {
		algorithm = c.outer
	}
	return der.Make(der.TagSequence, tbs, algorithm, der.Make(der.TagBitString, []byte{0}, signature))
}

func utcTime(t time.Time) []byte { return der.Make(0x17, []byte(t.UTC().Format("060102150405Z"))) }

// revoked returns an entry; reason -1 leaves the reason out.
func revoked(cert *x509.Certificate, at time.Time, reason int, extensions ...[]byte) []byte {
	if reason >= 0 {
		extensions = append(extensions, tsptest.Extension("2.5.29.21", nil, []byte{10, 1, byte(reason)}))
	}
	entry := [][]byte{der.Make(der.TagInteger, cert.SerialNumber.Bytes()), utcTime(at)}
	if extensions != nil {
		entry = append(entry, der.Make(der.TagSequence, extensions...))
	}
	return der.Make(der.TagSequence, entry...)
}

// TestRevocationReasons is attack A27: what each reason, or none, means for a
// token from before and for one from after (RFC 3161, 4.1).
func TestRevocationReasons(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	f := tsptest.NewForge(t, pkitest.Options{})
	before, after := tsptest.Time().Add(-time.Hour), tsptest.Time().Add(time.Hour/2)
	const revokedReason = verify.ReasonRevoked
	for _, test := range []struct {
		reason pki.Reason
		// what becomes of a token from before the revocation
		earlier verify.Reason
	}{
		{pki.ReasonNone, revokedReason},
		{pki.ReasonUnspecified, ""},
		{pki.ReasonKeyCompromise, revokedReason},
		{pki.ReasonCACompromise, revokedReason},
		{pki.ReasonAffiliationChanged, ""},
		{pki.ReasonSuperseded, ""},
		{pki.ReasonCessationOfOperation, ""},
		{pki.ReasonCertificateHold, revokedReason},
		{pki.ReasonPrivilegeWithdrawn, revokedReason},
		{pki.ReasonAACompromise, revokedReason},
	} {
		name := string(test.reason)
		if name == "" {
			name = "none"
		}
		t.Run(name, func(t *testing.T) {
			for _, who := range []*x509.Certificate{chain.Leaf, chain.Intermediate} {
				lists := func(at time.Time) *verify.CRLs {
					r := pki.Revocation{Serial: who.SerialNumber, Time: at, Reason: test.reason}
					if who == chain.Leaf {
						return crls(t, chain.CRL(t, r), rootCRL(t, chain))
					}
					return crls(t, chain.CRL(t), rootCRL(t, chain, r))
				}
				p := policyFor(t, f)
				p.Cache = new(verify.ChainCache)
				for range 2 {
					p.Revocation = lists(after)
					check(t, p, f, test.earlier)
					p.Revocation = lists(before)
					check(t, p, f, revokedReason)
					p.Revocation = lists(tsptest.Time().Truncate(time.Second))
					check(t, p, f, revokedReason)
				}
			}
		})
	}
	// removeFromCRL has no place on a complete list, and 7 no meaning.
	for _, reason := range []int{7, 8, 11, 127} {
		forge := crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: before, next: now().Add(time.Hour),
			entries: [][]byte{revoked(chain.Leaf, after, reason)}}
		p := policyFor(t, f)
		p.Revocation = crls(t, forge.make(t), rootCRL(t, chain))
		check(t, p, f, revokedReason)
	}
}

func crls(t testing.TB, lists ...[]byte) *verify.CRLs {
	t.Helper()
	c, err := verify.NewCRLs(lists...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rootCRL returns the root's list, current throughout the default window.
func rootCRL(t testing.TB, chain *pkitest.Chain, revoked ...pki.Revocation) []byte {
	t.Helper()
	raw, err := pki.CreateCRL(pki.CRLConfig{Issuer: chain.Root, IssuerKey: pkitest.Deterministic(chain.RootKey),
		Number: big.NewInt(1), ThisUpdate: pkitest.NotBefore(), NextUpdate: pkitest.NotAfter(), Revoked: revoked})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestRevocationLists: which lists speak of a certificate, and which are good
// enough to say that it is not revoked.
func TestRevocationLists(t *testing.T) {
	const crlURL = "http://crl.example/a.crl"
	withPoint := func(c *x509.Certificate) { c.CRLDistributionPoints = []string{crlURL} }
	opts := pkitest.Options{Leaf: withPoint}
	chain, f := pkitest.TSA(t, opts), tsptest.NewForge(t, opts)
	other := pkitest.TSA(t, pkitest.Options{Name: "Other"})
	recently, soon := now().Add(-time.Hour), now().Add(time.Hour)
	// list makes a list of the intermediate's, changed.
	list := func(change func(c *crlForge)) []byte {
		c := crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: recently, next: soon}
		change(&c)
		return c.make(t)
	}
	entry := func(reason int) func(c *crlForge) {
		return func(c *crlForge) { c.entries = [][]byte{revoked(chain.Leaf, recently, reason)} }
	}
	entries := func(reasons ...int) func(c *crlForge) {
		return func(c *crlForge) {
			for _, reason := range reasons {
				c.entries = append(c.entries, revoked(chain.Leaf, now(), reason)) // after the token
			}
		}
	}
	window := func(this, next time.Time, also ...func(c *crlForge)) []byte {
		return list(func(c *crlForge) {
			c.this, c.next = this, next
			for _, change := range also {
				change(c)
			}
		})
	}
	flag := func(n byte) []byte { return []byte{0x80 | n, 1, 0xff} }
	point := func(fields ...[]byte) func(c *crlForge) {
		return func(c *crlForge) {
			c.extensions = [][]byte{tsptest.Extension("2.5.29.28", tsptest.Critical(), der.Make(der.TagSequence, fields...))}
		}
	}
	fullName := func(url string) []byte {
		return der.Make(der.Context(0), der.Make(der.Context(0), der.Make(0x86, []byte(url))))
	}
	empty := list(func(*crlForge) {})
	bystander := pkitest.TSA(t, pkitest.Options{Name: "Bystander"}).Leaf
	const unknown, voided = verify.ReasonRevocationUnknown, verify.ReasonRevoked
	for _, test := range []struct {
		name  string
		lists [][]byte
		want  verify.Reason
	}{
		{"none at all", nil, unknown},
		{"current and empty", [][]byte{empty}, ""},
		{"of the root only", [][]byte{rootCRL(t, chain)}, unknown},
		{"another's entry", [][]byte{list(func(c *crlForge) { c.entries = [][]byte{revoked(bystander, recently, 1)} })}, ""},
		{"entry", [][]byte{list(entry(1))}, voided},
		{"entry among many", [][]byte{list(func(c *crlForge) {
			c.entries = slices.Repeat([][]byte{revoked(bystander, recently, 1)}, 1000)
			c.entries[700] = revoked(chain.Leaf, recently, -1)
		})}, voided},
		{"of another issuer", [][]byte{other.CRL(t)}, unknown},
		{"of another issuer under this name", [][]byte{list(func(c *crlForge) { c.key = other.IntermediateKey })}, unknown},
		{"entry under this name, signed by another", [][]byte{list(func(c *crlForge) { entry(1)(c); c.key = other.IntermediateKey })}, unknown},
		{"the same beside a good one", [][]byte{list(func(c *crlForge) { entry(1)(c); c.key = other.IntermediateKey }), empty}, ""},
		{"signed by the root for the intermediate", [][]byte{list(func(c *crlForge) { c.key = chain.RootKey })}, unknown},

		{"stale", [][]byte{window(recently.Add(-time.Hour), recently)}, unknown},
		{"stale, with the entry", [][]byte{window(recently.Add(-time.Hour), recently, entry(1))}, voided},
		{"stale beside a current one", [][]byte{window(recently.Add(-time.Hour), recently), empty}, ""},
		{"last moment", [][]byte{window(recently, now().Truncate(time.Second).Add(time.Second))}, ""},
		{"from the future", [][]byte{window(soon, soon.Add(time.Hour))}, unknown},
		{"from a minute ahead", [][]byte{window(now().Add(time.Minute), soon)}, ""},

		{"on hold, then no more", [][]byte{window(recently.Add(-time.Hour), soon, entry(6)), empty}, ""},
		{"on hold again", [][]byte{window(recently.Add(-time.Hour), soon), list(entry(6))}, voided},
		{"compromised, then no more", [][]byte{window(recently.Add(-time.Hour), soon, entry(1)), empty}, voided},
		{"superseded, then compromised", [][]byte{window(recently.Add(-time.Hour), soon, entry(4)), list(entry(1))}, voided},
		{"compromised, then superseded", [][]byte{window(recently.Add(-time.Hour), soon, entry(1)), list(entry(4))}, voided},

		{"superseded later, twice", [][]byte{list(entries(4, 4))}, ""},
		{"superseded and compromised in one list", [][]byte{list(entries(4, 1))}, voided},
		{"compromised and superseded in one list", [][]byte{list(entries(1, 4))}, voided},
		{"on hold and compromised in one list, then no more", [][]byte{window(recently.Add(-time.Hour), soon, entries(6, 1)), empty}, voided},

		{"for end entities", [][]byte{list(point(flag(1)))}, ""},
		{"for CAs", [][]byte{list(point(flag(2)))}, unknown},
		{"of this distribution point", [][]byte{list(point(fullName(crlURL)))}, ""},
		{"of another distribution point", [][]byte{list(point(fullName(crlURL + "?")))}, unknown},
		{"of a distribution point without a URI", [][]byte{list(point(der.Make(der.Context(0), der.Make(der.Context(0)))))}, unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			p.Revocation = crls(t, append(slices.Clone(test.lists), rootCRL(t, chain))...)
			for range 2 { // signatures of lists are remembered
				check(t, p, f, test.want)
			}
			slices.Reverse(test.lists)
			p.Revocation = crls(t, append([][]byte{rootCRL(t, chain)}, test.lists...)...)
			check(t, p, f, test.want)
		})
	}
}

// TestRevocationOfExpired: a certificate that has expired leaves the lists, so
// only those count that were made before, or that promise to keep it.
func TestRevocationOfExpired(t *testing.T) {
	end := tsptest.Time().Add(24 * time.Hour).Truncate(time.Second)
	opts := pkitest.Options{NotAfter: end}
	chain, f := pkitest.TSA(t, opts), tsptest.NewForge(t, opts)
	keeps := func(since time.Time) [][]byte {
		return [][]byte{tsptest.Extension("2.5.29.60", nil, der.Make(der.TagGeneralizedTime, []byte(since.Format("20060102150405Z"))))}
	}
	later := end.AddDate(3, 0, 0)
	for _, test := range []struct {
		name       string
		this, next time.Time
		extensions [][]byte
		entries    [][]byte
		want       verify.Reason
		loose      verify.Reason // with AcceptListsAfterExpiry
	}{
		{"last list before the end", end.Add(-time.Hour), end.Add(time.Hour), nil, nil, "", ""},
		{"list that ended before", end.Add(-2 * time.Hour), end.Add(-time.Hour), nil, nil, verify.ReasonRevocationUnknown, verify.ReasonRevocationUnknown},
		{"list after the end, stale since", end.Add(time.Hour), end.Add(2 * time.Hour), nil, nil, verify.ReasonRevocationUnknown, verify.ReasonRevocationUnknown},
		{"stale list after the end, which keeps it", end.Add(time.Hour), end.Add(2 * time.Hour), keeps(end), nil, "", ""},
		{"today's list", later.Add(-time.Hour), later.Add(time.Hour), nil, nil, verify.ReasonRevocationUnknown, ""},
		{"today's list with the entry", later.Add(-time.Hour), later.Add(time.Hour), nil, [][]byte{revoked(chain.Leaf, end, 1)}, verify.ReasonRevoked, verify.ReasonRevoked},
		{"today's list, which keeps it", later.Add(-time.Hour), later.Add(time.Hour), keeps(end), nil, "", ""},
		{"today's list, which keeps later ones", later.Add(-time.Hour), later.Add(time.Hour), keeps(end.Add(time.Second)), nil, verify.ReasonRevocationUnknown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: test.this, next: test.next,
				extensions: test.extensions, entries: test.entries}
			p := policyFor(t, f)
			p.Now = func() time.Time { return later }
			lists := crls(t, c.make(t), rootCRL(t, chain))
			p.Revocation = lists
			check(t, p, f, test.want)
			p.Revocation = afterExpiry(lists)
			check(t, p, f, test.loose)
		})
	}
}

// afterExpiry has evidence asked with AcceptListsAfterExpiry.
func afterExpiry(evidence verify.RevocationEvidence) checker {
	return func(q verify.RevocationQuery) (*verify.Revocation, error) {
		q.AcceptListsAfterExpiry = true
		s, err := evidence.RevocationStatus(q)
		return s.Revocation, err
	}
}

// TestRevocationIssuers: an issuer whose key usage leaves out cRLSign cannot
// speak for revocation (RFC 5280, 6.3.3 (f)).
func TestRevocationIssuers(t *testing.T) {
	opts := pkitest.Options{Intermediate: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }}
	chain := pkitest.TSA(t, opts)
	f := &tsptest.Forge{Identity: tsptest.Identity{Chain: chain.DER, Key: chain.LeafKey}}
	c := crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: now().Add(-time.Hour), next: now().Add(time.Hour)}
	p := policyFor(t, f)
	p.Revocation = crls(t, c.make(t), rootCRL(t, chain))
	check(t, p, f, verify.ReasonRevocationUnknown)
}

// TestNewCRLs: what is refused when it is read, by name.
func TestNewCRLs(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	good := func() *crlForge {
		return &crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: now(), next: now().Add(time.Hour)}
	}
	with := func(change func(c *crlForge)) []byte {
		c := good()
		change(c)
		return c.make(t)
	}
	extension := func(dotted string, critical []byte, value []byte) []byte {
		return with(func(c *crlForge) { c.extensions = [][]byte{tsptest.Extension(dotted, critical, value)} })
	}
	entry := func(extensions ...[]byte) []byte {
		return with(func(c *crlForge) { c.entries = [][]byte{revoked(chain.Leaf, now(), -1, extensions...)} })
	}
	idp := func(fields ...[]byte) []byte {
		return extension("2.5.29.28", tsptest.Critical(), der.Make(der.TagSequence, fields...))
	}
	field := func(i int, value []byte) []byte {
		return with(func(c *crlForge) {
			c.tbs = func(fields [][]byte) [][]byte { fields[i] = value; return fields }
		})
	}
	null, critical := []byte{der.TagNull, 0}, tsptest.Critical()
	plain := with(func(*crlForge) {})
	flag := func(n byte, value ...byte) []byte { return der.Make(0x80|n, value) }
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	for _, test := range []struct {
		name string
		data []byte
		want string // in the error; "" for none
	}{
		{"plain", plain, ""},
		{"PEM", block("X509 CRL", plain), ""},
		{"two in PEM", append(block("X509 CRL", plain), block("X509 CRL", plain)...), ""},
		{"certificate in PEM", block("CERTIFICATE", chain.Leaf.Raw), "PEM block 1"},
		{"text after PEM", append(block("X509 CRL", plain), "more"...), "PEM block 2"},
		{"certificate", chain.Leaf.Raw, "signature algorithms"},
		{"empty", nil, "not a CertificateList"},
		{"truncated", plain[:len(plain)-1], "not a CertificateList"},
		{"trailing byte", append(bytes.Clone(plain), 0), "not a CertificateList"},
		{"too long", make([]byte, 32<<20+1), "at most"},
		{"version 1", with(func(c *crlForge) { c.tbs = func(f [][]byte) [][]byte { return f[1:] } }), ""},
		{"version 3", field(0, der.AppendInt(nil, 2)), "version"},
		{"algorithms differ", with(func(c *crlForge) {
			c.outer = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.ECDSAWithSHA384)))
		}), "differ"},
		{"SHA-1", func() []byte {
			sha1 := der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.ECDSAWithSHA1)))
			return with(func(c *crlForge) {
				c.outer = sha1
				c.tbs = func(f [][]byte) [][]byte { f[1] = sha1; return f }
			})
		}(), "ecdsa-with-SHA1"},
		{"no nextUpdate", with(func(c *crlForge) {
			c.tbs = func(f [][]byte) [][]byte { return f[:4] }
		}), "nextUpdate"},
		{"issuer malformed", field(2, null), "issuer"},
		{"thisUpdate malformed", field(3, null), "thisUpdate"},
		{"unknown element", with(func(c *crlForge) {
			c.tbs = func(f [][]byte) [][]byte { return append(f, null) }
		}), "last field"},
		{"delta", extension("2.5.29.27", critical, der.AppendInt(nil, 1)), "delta"},
		{"delta, not critical", extension("2.5.29.27", nil, der.AppendInt(nil, 1)), "delta"},
		{"indirect", idp(flag(4, 0xff)), "indirect"},
		{"not indirect", idp(flag(4, 0)), ""},
		{"some reasons", idp(flag(3, 6, 0x40)), "some reasons"},
		{"attribute certificates", idp(flag(5, 0xff)), "attribute"},
		{"relative name", idp(der.Make(der.Context(0), der.Make(der.Context(1)))), "full name"},
		{"point malformed", idp(null), "issuingDistributionPoint"},
		{"flag malformed", idp(flag(1, 0xff, 0xff)), "issuingDistributionPoint"},
		{"flag 01", idp(flag(1, 1)), "issuingDistributionPoint"},
		{"names malformed", idp(der.Make(der.Context(0), der.Make(der.Context(0), []byte{1}))), "issuingDistributionPoint"},
		{"too many names", idp(der.Make(der.Context(0), der.Make(der.Context(0), slices.Repeat([][]byte{{0x86, 1, 'x'}}, 65)...))), "issuingDistributionPoint"},
		{"unknown critical extension", extension("1.2.3", critical, null), "1.2.3"},
		{"unknown extension", extension("1.2.3", nil, null), ""},
		{"freshest list elsewhere", extension("2.5.29.46", nil, null), ""},
		{"expiredCertsOnCRL malformed", extension("2.5.29.60", nil, null), "expiredCertsOnCRL"},
		{"extension twice", with(func(c *crlForge) {
			c.extensions = slices.Repeat([][]byte{tsptest.Extension("2.5.29.28", critical, der.Make(der.TagSequence, flag(1, 0xff)))}, 2)
		}), "2.5.29.28 occurs twice"},
		{"too many extensions", with(func(c *crlForge) {
			for i := range 17 {
				c.extensions = append(c.extensions, tsptest.Extension("1.2."+strconv.Itoa(i), nil, null))
			}
		}), "more than 16"},
		{"extensions malformed", with(func(c *crlForge) { c.extensions = [][]byte{null} }), "extension"},
		{"entry", entry(), ""},
		{"entry with an unknown extension", entry(tsptest.Extension("1.2.3", nil, null)), ""},
		{"entry with an unknown critical extension", entry(tsptest.Extension("1.2.3", critical, null)), "1.2.3"},
		{"entry of another issuer", entry(tsptest.Extension("2.5.29.29", critical, null)), "indirect"},
		{"reason twice", entry(tsptest.Extension("2.5.29.21", nil, []byte{10, 1, 1}), tsptest.Extension("2.5.29.21", nil, []byte{10, 1, 4})), "2.5.29.21 occurs twice"},
		{"reason malformed", entry(tsptest.Extension("2.5.29.21", nil, null)), "reasonCode"},
		{"reason negative", entry(tsptest.Extension("2.5.29.21", nil, []byte{10, 1, 0xff})), "reasonCode"},
		{"entry malformed", with(func(c *crlForge) { c.entries = [][]byte{null} }), "entry"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := verify.NewCRLs(test.data)
			if (c == nil) != (err != nil) {
				t.Fatalf("NewCRLs = %v, %v", c, err)
			}
			if test.want == "" {
				if err != nil {
					t.Errorf("NewCRLs: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NewCRLs: %v, want an error about %s", err, test.want)
			}
		})
	}
	if _, err := verify.NewCRLs(slices.Repeat([][]byte{plain}, 65)...); err == nil {
		t.Error("65 lists are accepted")
	}
}

// A checker answers as it is told.
type checker func(q verify.RevocationQuery) (*verify.Revocation, error)

func (c checker) CheckRevocation(q verify.RevocationQuery) (*verify.Revocation, error) { return c(q) }

// TestRevocationChecker: who is asked, about what, and that an error is never
// taken for good news.
func TestRevocationChecker(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	p := policyFor(t, f)
	var asked []verify.RevocationQuery
	p.Revocation = checker(func(q verify.RevocationQuery) (*verify.Revocation, error) {
		asked = append(asked, q)
		return nil, nil
	})
	check(t, p, f, "")
	if len(asked) != 2 {
		t.Fatalf("%d questions, want one each for signer and intermediate", len(asked))
	}
	for i, q := range asked {
		if !bytes.Equal(q.Certificate.Raw, f.Chain[i]) || !bytes.Equal(q.Issuer.Raw, f.Chain[i+1]) ||
			!q.GenTime.Equal(tsptest.Time()) || !q.Now.Equal(now()) {
			t.Errorf("question %d is about %v by %v at %v, %v", i, q.Certificate.Subject, q.Issuer.Subject, q.GenTime, q.Now)
		}
	}
	broken := errors.New("the responder is on fire")
	p.Revocation = checker(func(verify.RevocationQuery) (*verify.Revocation, error) { return nil, broken })
	check(t, p, f, verify.ReasonRevocationUnknown)
	if _, err := p.Token(f.ParsedToken(t), tsptest.Request().Imprint); !errors.Is(err, broken) {
		t.Errorf("errors.Is(%v, the checker's error) = false", err)
	}
}
