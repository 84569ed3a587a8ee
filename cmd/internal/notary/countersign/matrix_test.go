package countersign_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/tspclient-go"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// now is when the tests take place: shortly after the canned token.
func now() time.Time { return tsptest.Time().Add(time.Hour) }

// notation is the verdict of Notation's libraries on a token, in the order in
// which its verifier calls them.
func notation(token []byte, roots []*x509.Certificate) error {
	signed, err := tspclient.ParseSignedToken(token)
	if err != nil {
		return err
	}
	info, err := signed.Info()
	if err != nil {
		return err
	}
	stamp, err := info.Validate([]byte(tsptest.Artifact))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		// The trust store takes no others (notation-go, isRootCACertificate).
		if err := root.CheckSignatureFrom(root); err != nil {
			return err
		}
		pool.AddCert(root)
	}
	chain, err := signed.Verify(context.Background(), x509.VerifyOptions{CurrentTime: stamp.Value, Roots: pool})
	if err != nil {
		return err
	}
	return corex509.ValidateTimestampingCertChain(chain)
}

// reasonOf returns the reason in err, "" for nil, and what cannot be a reason
// for an error of another type.
func reasonOf(err error) countersign.Reason {
	var e *countersign.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return "no *Error"
	case !slices.Contains(countersign.Reasons(), e.Reason):
		return "not in the list: " + e.Reason
	}
	return e.Reason
}

// reason turns a word of package verify into one of this package.
func reason(r verify.Reason) countersign.Reason { return countersign.Reason(r) }

// stricter has the variants of tsptest that are refused although Notation takes
// them: for which reason, and why.
var stricter = []struct {
	reason verify.Reason
	why    string
	names  string
}{
	{verify.ReasonFuture, "Notation compares the time with no clock", "gentime-in-2049"},
	{verify.ReasonExtension, "an extension that must not be ignored (RFC 5280, 4.2)", "extension-unknown-critical"},
	{verify.ReasonTSAName, "the tsa field MUST be a name of the signer (RFC 3161, 2.4.2)", "tsa-name-of-another tsa-name-of-a-host"},
	{verify.ReasonMalformed, "the tsa field is one GeneralName, with an EXPLICIT tag (X.680, 31.2.7)",
		"tsa-name-not-explicit tsa-name-empty tsa-name-twice tsa-name-of-the-wrong-type"},
	{verify.ReasonMalformed, "genTime is a GeneralizedTime in UTC (RFC 3161, 2.4.2)", "gentime-with-offset gentime-is-a-utctime"},
	{verify.ReasonMalformed, "the fields of accuracy have an order and a range (RFC 3161, 2.4.2)", `accuracy-seconds-negative
		accuracy-seconds-of-32-years accuracy-millis-0 accuracy-millis-1000 accuracy-millis-5000 accuracy-millis-negative
		accuracy-micros-0 accuracy-micros-1000 accuracy-micros-before-millis accuracy-unknown-field`},
	{verify.ReasonMalformed, "something comes after the last field", `nonce-twice tstinfo-trailing-inside tstinfo-trailing-behind
		signeddata-trailing signerinfo-trailing`},
	{verify.ReasonMalformed, "longer than any in use", "policy-of-2-kb serial-of-65-octets nonce-of-65-octets signed-attributes-65"},
	{verify.ReasonMalformed, "hash algorithms have no parameters (RFC 5754, 2)", "imprint-parameters-integer"},
	{verify.ReasonMalformed, "extensions occur once, and not none of them (RFC 5280, 4.2)", "extension-twice extensions-empty"},
	{verify.ReasonMalformed, "a token has one SignerInfo (RFC 3161, 2.4.2)", "two-signerinfos two-signerinfos-of-two-authorities"},
	{verify.ReasonSignedAttributes, "these attributes occur once, with one value (RFC 5652, 11)", `content-type-attribute-twice
		content-type-attribute-two-values message-digest-twice message-digest-two-values`},
	{verify.ReasonSigningCertificate, "the attribute occurs once, with one value (RFC 5035, 5.4), and names a few", `ess-twice ess-twice-different
		ess-two-values ess-17-identifiers`},
	{verify.ReasonSigningCertificate, "both attributes name the same certificate (RFC 5035, 5.4.1)", "ess-v1-elsewhere-and-v2"},
	{verify.ReasonSigningCertificate, "further certificates limit the chain (RFC 5035, 5.4.1)", "ess-restricted-to-another-chain"},
	{verify.ReasonSigningCertificate, "the signer identifier names another certificate than the signed attribute", "sid-of-another-certificate"},
	{verify.ReasonSignatureAlgorithm, "the parameters of RSASSA-PSS say SHA-1, another hash or nothing (RFC 4055, 3.1)",
		"pss-parameters-absent pss-parameters-malformed pss-other-hash"},
	{verify.ReasonSignatureAlgorithm, "ECDSA has no parameters (RFC 5758, 3.2)", "algorithm-with-parameters"},
}

// profile says which variants are refused only because Notation does, and why.
var profile = map[countersign.Reason]string{
	reason(verify.ReasonSignedData):         "signeddata-version-1",
	countersign.ReasonSignerIdentifier:      "sid-key-identifier",
	countersign.ReasonRevocationData:        "signeddata-crl signeddata-other-revocation",
	countersign.ReasonTokenCertificates:     "certificates-attribute-certificate certificates-unparsable",
	countersign.ReasonAttributeOrder:        "signed-attributes-unsorted",
	countersign.ReasonSigningTime:           "signing-time-lies",
	countersign.ReasonEncoding:              "ber-indefinite ber-indefinite-with-crl ber-signed-attributes policy-giant-arcs",
	reason(verify.ReasonSignatureAlgorithm): "key-ed25519",
}

// TestVariants holds every token of tsptest against both verdicts.
func TestVariants(t *testing.T) {
	want := map[string]countersign.Reason{}
	for r, names := range profile {
		for _, name := range strings.Fields(names) {
			want[name] = r
		}
	}
	why := map[string]string{}
	for _, group := range stricter {
		for _, name := range strings.Fields(group.names) {
			why[name] = string(group.reason) + ": " + group.why
		}
	}
	cache := new(countersign.Cache)
	for _, v := range tsptest.Variants() {
		f := v.Forge(t)
		root, err := tsptest.NewForge(t, v.Options).Root()
		if err != nil {
			t.Fatal(err)
		}
		token, err := f.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		compare(t, row{name: v.Name, stricter: why[v.Name], want: want[v.Name]}, token, []*x509.Certificate{root}, cache)
		delete(want, v.Name)
		delete(why, v.Name)
	}
	for name := range why {
		t.Errorf("no variant %s, on which Notation would be laxer", name)
	}
	for name, r := range want {
		t.Errorf("no variant %s, which is to be refused as %s", name, r)
	}
}

// A row is a token and what becomes of it.
type row struct {
	name    string
	options pkitest.Options
	change  func(f *tsptest.Forge)
	roots   func(f *tsptest.Forge) [][]byte // nil: the last of the chain
	want    countersign.Reason              // "": any, or none at all if Notation takes it
	// stricter says why it is refused although Notation takes it, after the
	// reason.
	stricter string
}

// compare holds what this package makes of a token against what Notation does.
func compare(t *testing.T, r row, token []byte, roots []*x509.Certificate, cache *countersign.Cache) {
	t.Helper()
	theirs := notation(token, roots)
	for _, cache := range []*countersign.Cache{nil, cache, cache} {
		c := countersign.Checker{Config: countersign.Config{Roots: roots, Now: now, Cache: cache}}
		ts, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256)
		got := reasonOf(err)
		want := r.want
		if r.stricter != "" {
			word, _, _ := strings.Cut(r.stricter, ":")
			want = countersign.Reason(word)
		}
		switch {
		case (ts == nil) != (err != nil):
			t.Errorf("%s: Verify = %v, %v", r.name, ts, err)
		case err == nil && theirs != nil:
			t.Errorf("%s: accepted, Notation refuses: %v", r.name, theirs)
		case err != nil && theirs == nil && r.stricter == "":
			t.Errorf("%s: refused, Notation accepts: %v", r.name, err)
		case r.stricter != "" && theirs != nil:
			t.Errorf("%s: called stricter than Notation, which refuses too: %v", r.name, theirs)
		case want != "" && got != want:
			t.Errorf("%s: %v, want reason %q", r.name, err, want)
		case err == nil && (!ts.Lower.Equal(ts.Earliest()) || !ts.Upper.Equal(ts.Latest())):
			t.Errorf("%s: interval [%v, %v], want [%v, %v]", r.name, ts.Lower, ts.Upper, ts.Earliest(), ts.Latest())
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: the error has several lines: %v", r.name, err)
		}
	}
}

// TestCertificates does the same for certificates.
func TestCertificates(t *testing.T) {
	const untrusted, validity, certificate = verify.ReasonUntrusted, verify.ReasonValidity, verify.ReasonCertificate
	usage := func(ku x509.KeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage = ku }
	}
	leaf := func(name string, r countersign.Reason, change func(*x509.Certificate)) row {
		return row{name: "leaf " + name, options: pkitest.Options{Leaf: change}, want: r}
	}
	ca := func(name string, r countersign.Reason, change func(*x509.Certificate)) row {
		return row{name: "CA " + name, options: pkitest.Options{Intermediate: change}, want: r}
	}
	root := func(name string, r countersign.Reason, change func(*x509.Certificate)) row {
		return row{name: "root " + name, options: pkitest.Options{Root: change}, want: r}
	}
	early, late := tsptest.Time().Add(-time.Minute), tsptest.Time().Add(time.Minute)
	before := func(c *x509.Certificate) { c.NotAfter = early }
	after := func(c *x509.Certificate) { c.NotBefore = late }
	during := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = early, late }
	noPath := func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }
	const signs, commits = x509.KeyUsageDigitalSignature, x509.KeyUsageContentCommitment
	rows := []row{
		{name: "plain"},
		{name: "no intermediate", options: pkitest.Options{NoIntermediate: true}},
		{name: "root with RSA-1024", options: pkitest.Options{IssuerKey: pkitest.RSA1024}, stricter: "untrusted: a root of 1024 bits is weak (SP 800-131A)"},
		{name: "root with P-224", options: pkitest.Options{IssuerKey: pkitest.P224}, stricter: "untrusted: a root on P-224 is weak"},
		{name: "root with Ed25519", options: pkitest.Options{IssuerKey: pkitest.Ed25519}},
		{name: "root with RSA-4096", options: pkitest.Options{IssuerKey: pkitest.RSA4096}},
		{name: "root with P-521", options: pkitest.Options{IssuerKey: pkitest.P521}},
		{name: "leaf with P-224", options: pkitest.Options{Key: pkitest.P224}, want: reason(certificate)},
		{name: "leaf with RSA-1024", options: pkitest.Options{Key: pkitest.RSA1024}, want: reason(certificate)},
		leaf("without key usage", reason(certificate), usage(0)),
		leaf("for nonRepudiation alone", reason(certificate), usage(commits)),
		leaf("for nonRepudiation too", "", usage(signs|commits)),
		leaf("for keyEncipherment too", reason(certificate), usage(signs|x509.KeyUsageKeyEncipherment)),
		leaf("for keyCertSign too", reason(certificate), usage(signs|x509.KeyUsageCertSign)),
		leaf("for cRLSign too", reason(certificate), usage(signs|x509.KeyUsageCRLSign)),
		leaf("with a key usage that is not critical", "", extension(oidKeyUsage, false, "\x03\x02\x07\x80")),
		leaf("without EKU", reason(certificate), pkitest.EKU(false)),
		leaf("with an EKU that is not critical", reason(certificate), pkitest.EKU(false, timeStamping)),
		leaf("for code signing", reason(certificate), pkitest.EKU(true, codeSigning)),
		leaf("for code signing too", reason(certificate), pkitest.EKU(true, timeStamping, codeSigning)),
		leaf("for an unknown purpose too", reason(certificate), pkitest.EKU(true, timeStamping, "1.2.3.4")),
		leaf("is a CA", reason(certificate), func(c *x509.Certificate) { c.IsCA = true }),
		leaf("without basicConstraints", "", func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
		leaf("with an unknown critical extension", "", extension(oidUnknown, true, "\x05\x00")),
		leaf("with an unknown extension", "", extension(oidUnknown, false, "\x05\x00")),
		leaf("expired", reason(validity), before),
		leaf("not yet valid", reason(validity), after),
		leaf("expired since", "", during),
		leaf("signed with SHA-1", reason(untrusted), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
		ca("without key usage", countersign.ReasonChainProfile, usage(0)),
		ca("without keyCertSign", reason(untrusted), usage(x509.KeyUsageCRLSign)),
		ca("without basicConstraints", reason(untrusted), func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
		ca("is no CA", reason(untrusted), func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false }),
		ca("without EKU", "", pkitest.EKU(false)),
		ca("for timestamps", "", pkitest.EKU(true, timeStamping)),
		ca("for timestamps and code", "", pkitest.EKU(false, timeStamping, codeSigning)),
		ca("for code", reason(untrusted), pkitest.EKU(false, codeSigning)),
		ca("for anything", "", pkitest.EKU(false, "2.5.29.37.0")),
		ca("without a path length", "", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }),
		ca("with an unknown critical extension", reason(untrusted), extension(oidUnknown, true, "\x05\x00")),
		ca("expired", reason(validity), before),
		ca("not yet valid", reason(validity), after),
		ca("expired since", "", during),
		root("without key usage", countersign.ReasonChainProfile, usage(0)),
		root("without keyCertSign", "", usage(x509.KeyUsageCRLSign)),
		root("without basicConstraints", "", func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
		root("allows no intermediate", reason(untrusted), noPath),
		root("for code", reason(untrusted), pkitest.EKU(false, codeSigning)),
		root("with an unknown critical extension", "", extension(oidUnknown, true, "\x05\x00")),
		root("expired", reason(validity), before),
		root("not yet valid", reason(validity), after),
		root("expired since", "", during),
		root("signed with SHA-1", countersign.ReasonChainProfile, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
		{name: "trusted itself", roots: func(f *tsptest.Forge) [][]byte { return f.Chain[:1] }, want: countersign.ReasonChainProfile},
		{name: "intermediate trusted", roots: func(f *tsptest.Forge) [][]byte { return f.Chain[1:2] }, want: countersign.ReasonChainProfile},
		{name: "root of version 1", roots: func(f *tsptest.Forge) [][]byte {
			return [][]byte{version1(t, f.Chain[2], pkitest.Key(t, pkitest.P256, "Test root"))}
		}, want: countersign.ReasonChainProfile},
		{name: "another root", roots: func(f *tsptest.Forge) [][]byte { return f.Other.Chain[2:] }, want: reason(untrusted)},
		{name: "another root beside the right one", roots: func(f *tsptest.Forge) [][]byte { return [][]byte{f.Other.Chain[2], f.Chain[2]} }},
	}
	for _, bits := range []int{1536, 2560} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{name: "leaf with an odd RSA key", want: reason(certificate), change: func(f *tsptest.Forge) { f.Key = key },
			options: pkitest.Options{Leaf: func(c *x509.Certificate) { c.PublicKey = key.Public() }}})
	}
	run(t, rows)
}

// run makes the token of each row, and compares.
func run(t *testing.T, rows []row) {
	t.Helper()
	cache := new(countersign.Cache)
	for _, r := range rows {
		chain, other := pkitest.TSA(t, r.options), pkitest.TSA(t, pkitest.Options{Name: "Other"})
		f := &tsptest.Forge{Identity: tsptest.Identity{Chain: chain.DER, Key: chain.LeafKey},
			Other: tsptest.Identity{Chain: other.DER, Key: other.LeafKey}}
		encoded := f.Chain[len(f.Chain)-1:]
		if r.roots != nil {
			encoded = r.roots(f)
		}
		if r.change != nil {
			r.change(f)
		}
		var roots []*x509.Certificate
		for _, der := range encoded {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatalf("%s: %v", r.name, err)
			}
			roots = append(roots, root)
		}
		token, err := f.MakeToken()
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		compare(t, r, token, roots, cache)
	}
}

// version1 makes a root of version 1 of one of version 3: the same name and
// key, and no extensions.
func version1(t testing.TB, root []byte, key crypto.Signer) []byte {
	t.Helper()
	in := cryptobyte.String(root)
	var cert, tbs, el cryptobyte.String
	if !in.ReadASN1(&cert, cbasn1.SEQUENCE) || !cert.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!tbs.SkipASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) {
		t.Fatal("not a certificate of version 3")
	}
	var fields [][]byte
	for range 6 { // serialNumber to subjectPublicKeyInfo
		if !tbs.ReadAnyASN1Element(&el, nil) {
			t.Fatal("not a certificate")
		}
		fields = append(fields, el)
	}
	signed := der.Make(der.TagSequence, fields...)
	digest := sha256.Sum256(signed)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return der.Make(der.TagSequence, signed, fields[1], der.Make(der.TagBitString, []byte{0}, signature))
}

// TestCertificatesInToken: all of a chain but its root has to be in the token.
func TestCertificatesInToken(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	var certs []*x509.Certificate
	for _, raw := range f.Chain {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	for _, test := range []struct {
		roots []*x509.Certificate
		n     int // certificates in the token
		want  verify.Reason
	}{
		{certs[2:], 0, verify.ReasonCertificateMissing},
		{certs[2:], 1, verify.ReasonUntrusted},
		{certs[2:], 2, ""},
		{certs, 0, verify.ReasonCertificateMissing}, // although it is at hand
	} {
		c := countersign.Checker{Config: countersign.Config{Roots: test.roots, Now: now}}
		f.Data = func(d *tsptest.DataFields) { d.Certificates = f.Chain[:test.n] }
		token, err := f.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256); reasonOf(err) != reason(test.want) {
			t.Errorf("with %d certificates in the token and %d roots: %v, want reason %q", test.n, len(test.roots), err, test.want)
		}
	}
}

// saltedKey signs with another length of salt than it is asked for.
type saltedKey struct {
	*rsa.PrivateKey
	salt int
}

func (k saltedKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: k.salt, Hash: opts.HashFunc()})
}

// TestTokens does the same for what the variants of tsptest do not have.
func TestTokens(t *testing.T) {
	null := der.Make(der.TagNull)
	add := func(attribute ...[]byte) func(f *tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.Signed = func(a [][]byte) [][]byte { return append(a, attribute...) }
		}
	}
	signingTime := func(tag byte, text string) func(f *tsptest.Forge) {
		return add(tsptest.Attribute(oid.SigningTime, der.Make(tag, []byte(text))))
	}
	reference := func(change func(f *tsptest.Forge, id *tsptest.ESSCertID)) func(f *tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.Signed = func(a [][]byte) [][]byte {
				id := tsptest.ESSCertID{Certificate: f.Chain[0]}
				change(f, &id)
				a[2] = tsptest.Attribute(oid.SigningCertificateV2, tsptest.SigningCertificate(id))
				return a
			}
		}
	}
	pss := func(salt int) func(f *tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.PSS, f.Key = true, saltedKey{f.Key.(*rsa.PrivateKey), salt}
			f.Signer = func(s *tsptest.SignerFields) {
				s.Algorithm = slices.Clone(s.Algorithm)
				s.Algorithm[len(s.Algorithm)-1] = byte(salt) // the salt is the last field
			}
		}
	}
	both := func(changes ...func(f *tsptest.Forge)) func(f *tsptest.Forge) {
		return func(f *tsptest.Forge) {
			for _, change := range changes {
				change(f)
			}
		}
	}
	certificates := func(change func(f *tsptest.Forge) [][]byte) func(f *tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.Data = func(d *tsptest.DataFields) { d.Certificates = change(f) }
		}
	}
	// A second certificate of the same issuer with the same serial number.
	twin := pkitest.TSA(t, pkitest.Options{Name: "Test", Leaf: func(c *x509.Certificate) { c.Subject.CommonName = "Twin" }}).DER[0]
	uuid := "\x69\x83\xb2\xd3\xa4\xf7\x91\xcd\x82\xb0\xfa\xd1\xe8\xc5\x93\x81\xf4\xa2\x11" // 2.25 and a UUID
	rsa2048 := pkitest.Options{Key: pkitest.RSA2048}
	// A name with its strings in another type, which is the same name.
	recoded := func(f *tsptest.Forge) {
		f.Signer = func(s *tsptest.SignerFields) { s.SID = utf8(s.SID) }
	}
	run(t, []row{
		{name: "signingTime in GeneralizedTime", change: signingTime(0x18, "20260102030405Z")},
		{name: "signingTime in the last second", change: signingTime(0x18, "20500101000000Z")},
		{name: "signingTime a second later", change: signingTime(0x18, "20500101000001Z"), want: countersign.ReasonSigningTime},
		{name: "signingTime of 2050 as UTCTime", change: signingTime(0x17, "500101000000Z"), want: countersign.ReasonSigningTime},
		{name: "signingTime with an offset", change: signingTime(0x17, "2601020304+0100")},
		{name: "signingTime in words", change: signingTime(0x0c, "today"), want: countersign.ReasonSigningTime},
		{name: "signingTime before the intermediate", change: signingTime(0x17, "250101000000Z"), want: countersign.ReasonSigningTime,
			options: pkitest.Options{Intermediate: func(c *x509.Certificate) { c.NotBefore = tsptest.Time().Add(-time.Hour) }}},
		{name: "salt of 32 octets", options: rsa2048, change: pss(32)},
		{name: "salt of 20 octets", options: rsa2048, change: pss(20), want: reason(verify.ReasonSignatureAlgorithm)},
		{name: "salt of 48 octets", options: rsa2048, change: pss(48), want: reason(verify.ReasonSignatureAlgorithm)},
		{name: "signed over SHA3-256", options: rsa2048, want: reason(verify.ReasonDigestAlgorithm), change: func(f *tsptest.Forge) {
			f.PSS, f.Digest = true, crypto.SHA3_256
		}},
		{name: "reference by SHA3-256", change: reference(func(_ *tsptest.Forge, id *tsptest.ESSCertID) { id.Hash = crypto.SHA3_256 }),
			want: reason(verify.ReasonSigningCertificate)},
		{name: "signer identifier encoded otherwise", change: recoded},
		{name: "signer identifier encoded otherwise, reference without issuer", want: countersign.ReasonSignerIdentifier,
			change: both(recoded, reference(func(_ *tsptest.Forge, id *tsptest.ESSCertID) { id.NoIssuerSerial = true }))},
		{name: "twin before the signer", want: countersign.ReasonTokenCertificates, change: certificates(func(f *tsptest.Forge) [][]byte {
			return [][]byte{twin, f.Chain[0], f.Chain[1]}
		})},
		{name: "twin after the signer", change: certificates(func(f *tsptest.Forge) [][]byte {
			return [][]byte{f.Chain[0], twin, f.Chain[1]}
		})},
		{name: "crls field without any", change: func(f *tsptest.Forge) {
			f.Data = func(d *tsptest.DataFields) { d.CRLs = [][]byte{} }
		}},
		{name: "unsigned attribute under a UUID", want: countersign.ReasonEncoding, change: func(f *tsptest.Forge) {
			f.Signer = func(s *tsptest.SignerFields) {
				s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute(uuid, null))
			}
		}},
		{name: "signed attribute under a UUID", change: add(tsptest.Attribute(uuid, null)), want: countersign.ReasonEncoding},
		{name: "value under a UUID", change: add(tsptest.Attribute("\x2a\x03\x04", der.Make(der.TagOID, []byte(uuid))))},
		{name: "policy of the greatest arc", change: func(f *tsptest.Forge) {
			f.Info = func(i *tsptest.InfoFields) { i.Policy = tsptest.OID("1.2.2147483647.1") }
		}},
		{name: "policy of a greater arc", want: countersign.ReasonEncoding, change: func(f *tsptest.Forge) {
			f.Info = func(i *tsptest.InfoFields) { i.Policy = tsptest.OID("1.2.2147483648.1") }
		}},
		{name: "digest algorithm under a UUID", want: countersign.ReasonEncoding, change: func(f *tsptest.Forge) {
			f.Data = func(d *tsptest.DataFields) {
				d.DigestAlgorithms = append(d.DigestAlgorithms, der.Make(der.TagSequence, der.Make(der.TagOID, []byte(uuid))))
			}
		}},
		{name: "lengths that are not minimal", change: func(f *tsptest.Forge) {
			f.Token = func(b []byte) []byte {
				body := b[der.HeaderLen(len(b)-4):]
				return append([]byte{0x30, 0x84, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
			}
		}},
		{name: "content in pieces of definite length", want: countersign.ReasonEncoding, change: func(f *tsptest.Forge) {
			var fields tsptest.DataFields
			f.Data = func(d *tsptest.DataFields) { fields = *d }
			f.Token = func([]byte) []byte {
				pieces := der.Make(der.TagOctetString|0x20, der.Make(der.TagOctetString, fields.Content[:40]), der.Make(der.TagOctetString, fields.Content[40:]))
				return der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.SignedData)), der.Make(der.Context(0), der.Make(der.TagSequence,
					fields.Version, der.Make(der.TagSet, fields.DigestAlgorithms...),
					der.Make(der.TagSequence, fields.ContentType, der.Make(der.Context(0), pieces)),
					der.Make(der.Context(0), fields.Certificates...), der.Make(der.TagSet, fields.Signers...))))
			}
		}},
		{name: "digest in the attributes by another hash", change: func(f *tsptest.Forge) {
			content, err := f.MakeInfo()
			if err != nil {
				t.Fatal(err)
			}
			h := crypto.SHA512.New()
			h.Write(content)
			f.Signed = func(a [][]byte) [][]byte {
				a[1] = tsptest.Attribute(oid.MessageDigest, der.Make(der.TagOctetString, h.Sum(nil)))
				return a
			}
			f.Signer = func(s *tsptest.SignerFields) {
				s.Digest = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.SHA512)))
			}
		}, stricter: "signature-algorithm: one digest algorithm for the attributes and the signature (RFC 8933, 3)"},
		{name: "signer identifier by key with version 1", want: reason(verify.ReasonSignedData), change: func(f *tsptest.Forge) {
			f.KeyID = true
			f.Signer = func(s *tsptest.SignerFields) { s.Version = der.AppendInt(nil, 1) }
		}},
	})
}

// utf8 turns the PrintableStrings of a name into UTF8Strings.
func utf8(name []byte) []byte {
	out := slices.Clone(name)
	for i := 0; i+2 < len(out); i++ {
		// Value of an AttributeTypeAndValue: after an identifier 2.5.4.x.
		if out[i] == 0x13 && i >= 5 && out[i-5] == 6 && out[i-4] == 3 && out[i-3] == 0x55 && out[i-2] == 4 {
			out[i] = der.TagUTF8String
		}
	}
	return out
}

const (
	timeStamping = "1.3.6.1.5.5.7.3.8"
	codeSigning  = "1.3.6.1.5.5.7.3.3"
)

var (
	oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidUnknown  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

// extension returns a change that puts an extension into a certificate, instead
// of what crypto/x509 would make of the same kind.
func extension(id asn1.ObjectIdentifier, critical bool, value string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: []byte(value)})
	}
}
