package verify_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestBagConfusion is attack A1 (CVE-2026-33753, CVE-2026-39984): certificates
// put into the token, in any order, move no check away from the signer's.
func TestBagConfusion(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	issuer := parse(t, f.Chain[1])
	// What the attacker would like to be taken for, by name; and a certificate
	// that claims to be issued by the signer, so that this looks like a CA.
	key := pkitest.Key(t, pkitest.P256, "attacker")
	forge := func(subject, parent *x509.Certificate) []byte {
		tmpl, claimed := *subject, *parent
		claimed.PublicKey = key.Public() // the parent's name, not its key
		tmpl.SerialNumber = big.NewInt(666)
		raw, err := x509.CreateCertificate(nil, &tmpl, &claimed, key.Public(), pkitest.Deterministic(key))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	victim := parse(t, f.Other.Chain[0])
	forgedLeaf := forge(victim, issuer)
	dummy := forge(victim, parse(t, f.Chain[0]))

	bag := [][]byte{f.Chain[0], f.Chain[1], forgedLeaf, dummy}
	signer := parse(t, f.Chain[0])
	permutations(len(bag), func(order []int) {
		f.Data = func(d *tsptest.DataFields) {
			d.Certificates = nil
			for _, i := range order {
				d.Certificates = append(d.Certificates, bag[i])
			}
		}
		p := policyFor(t, f)
		if stamp := check(t, p, f, ""); stamp != nil && !stamp.Chain[0].Equal(signer) {
			t.Fatalf("order %v: the chain begins with %v", order, stamp.Chain[0].Subject)
		}
		p.CommonName = victim.Subject.CommonName
		check(t, p, f, verify.ReasonPinned)
		p.CommonName, p.Certificate = "", parse(t, forgedLeaf)
		check(t, p, f, verify.ReasonPinned)
		p.Certificate = victim
		check(t, p, f, verify.ReasonPinned)
	})
}

// permutations calls f with every order of the numbers below n.
func permutations(n int, f func(order []int)) {
	order := make([]int, 0, n)
	var next func()
	next = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				order = append(order, i)
				next()
				order = order[:len(order)-1]
			}
		}
	}
	next()
}

// TestForgedChainFromTheBag: neither a root nor an intermediate that comes in
// the token is trusted, and no signature is taken on the strength of names.
func TestForgedChainFromTheBag(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	// The same names throughout, other keys, root included.
	fake := pkitest.TSA(t, pkitest.Options{IssuerKey: pkitest.P384, Key: pkitest.P384})
	g := *f
	g.Identity = tsptest.Identity{Chain: fake.DER, Key: fake.LeafKey}
	g.Data = func(d *tsptest.DataFields) { d.Certificates = append(slices.Clone(fake.DER), f.Chain...) }
	check(t, policyFor(t, f), &g, verify.ReasonUntrusted)
	p := policyFor(t, f)
	p.Cache = new(verify.ChainCache)
	check(t, p, f, "")
	check(t, p, &g, verify.ReasonUntrusted)
}

// TestAttributesAsContent is the confusion of attack A5: what was signed as
// attributes is shown as a content that was signed without any, and the other
// way round.
func TestAttributesAsContent(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	token := f.ParsedToken(t)
	shown := *f
	shown.Content = func([]byte) []byte { return token.Signer.RawSignedAttributes }
	shown.Signed = func([][]byte) [][]byte { return nil }
	shown.Signer = func(s *tsptest.SignerFields) { s.Signature = der.Make(der.TagOctetString, token.Signer.Signature) }
	raw, err := shown.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policyFor(t, f).Bytes(raw, tsptest.Request().Imprint); reasonOf(err) != verify.ReasonMalformed {
		t.Errorf("attributes shown as content: %v", err)
	}

	// A content that somebody signed without attributes, and that happens to be
	// a set of attributes for a TSTInfo of the attacker's.
	info, err := f.MakeInfo()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(info)
	attributes := [][]byte{
		tsptest.Attribute(oid.ContentType, der.Make(der.TagOID, []byte(oid.Data))),
		tsptest.Attribute(oid.MessageDigest, der.Make(der.TagOctetString, digest[:])),
		tsptest.Attribute(oid.SigningCertificateV2, tsptest.SigningCertificate(tsptest.ESSCertID{Certificate: f.Chain[0]})),
	}
	shown = *f
	shown.Signed = func([][]byte) [][]byte { return attributes }
	check(t, policyFor(t, f), &shown, verify.ReasonSignedAttributes)
}

// TestWeakImprint is attack A23: what is known is not for that reason strong,
// though the data at hand has the same weak digest.
func TestWeakImprint(t *testing.T) {
	for _, test := range []struct {
		name string
		hash string
		size int
		want verify.Reason
	}{
		{"SHA-256", oid.SHA256, 32, ""},
		{"SHA-384", oid.SHA384, 48, ""},
		{"SHA-512", oid.SHA512, 64, ""},
		{"SHA3-256", oid.SHA3_256, 32, ""},
		{"SHA3-512", oid.SHA3_512, 64, ""},
		{"MD5", oid.MD5, 16, verify.ReasonWeakHash},
		{"SHA-1", oid.SHA1, 20, verify.ReasonWeakHash},
		{"SHA-224", oid.SHA224, 28, verify.ReasonWeakHash},
		{"SHA-512/256", oid.SHA512_256, 32, verify.ReasonWeakHash},
		{"unknown", "\x2a\x03\x04", 32, verify.ReasonWeakHash},
		{"a signature algorithm", oid.SHA256WithRSA, 32, verify.ReasonWeakHash},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{})
			f.Info = func(i *tsptest.InfoFields) {
				i.Imprint = tsptest.RawImprint(test.hash, []byte{der.TagNull, 0}, bytes.Repeat([]byte{7}, test.size))
			}
			token := f.ParsedToken(t)
			if _, err := policyFor(t, f).Token(token, token.UnverifiedInfo.Imprint); reasonOf(err) != test.want {
				t.Errorf("Token: %v, want reason %q", err, test.want)
			}
		})
	}
}

// TestVersions: of the SignedData and of the SignerInfo (RFC 5652, 5.1 and 5.3).
func TestVersions(t *testing.T) {
	for _, test := range []struct {
		name         string
		data, signer int64
		keyID        bool
		want         verify.Reason
	}{
		{"right", 3, 1, false, ""},
		{"right with a key identifier", 3, 3, true, ""},
		{"old", 1, 1, false, ""},
		{"with attribute certificates", 4, 1, false, ""},
		{"with other revocation data", 5, 1, false, ""},
		{"0", 0, 1, false, verify.ReasonSignedData},
		{"2", 2, 1, false, verify.ReasonSignedData},
		{"6", 6, 1, false, verify.ReasonSignedData},
		{"negative", -3, 1, false, verify.ReasonSignedData},
		{"signer 3 without a key identifier", 3, 3, false, verify.ReasonSignedData},
		{"signer 1 with a key identifier", 3, 1, true, verify.ReasonSignedData},
		{"signer 0", 3, 0, false, verify.ReasonSignedData},
		{"signer 2", 3, 2, false, verify.ReasonSignedData},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{})
			f.KeyID = test.keyID
			f.Data = func(d *tsptest.DataFields) { d.Version = der.AppendInt(nil, test.data) }
			f.Signer = func(s *tsptest.SignerFields) { s.Version = der.AppendInt(nil, test.signer) }
			check(t, policyFor(t, f), f, test.want)
		})
	}
}

// TestOddButLegal is attack A32: what public authorities really send.
func TestOddButLegal(t *testing.T) {
	integer := func(b ...byte) []byte { return der.Make(der.TagInteger, b) }
	for _, test := range []struct {
		name   string
		change func(i *tsptest.InfoFields)
	}{
		{"negative serial", func(i *tsptest.InfoFields) { i.Serial = integer(0xfb) }},
		{"serial 0", func(i *tsptest.InfoFields) { i.Serial = integer(0) }},
		{"serial of 160 bits", func(i *tsptest.InfoFields) {
			i.Serial = integer(append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...)...)
		}},
		{"serial of 511 bits", func(i *tsptest.InfoFields) {
			i.Serial = integer(bytes.Repeat([]byte{0x7f}, 64)...)
		}},
		{"policy with giant arcs", func(i *tsptest.InfoFields) {
			i.Policy = der.Make(der.TagOID, []byte("\x2a\x2e\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{})
			f.Info = test.change
			check(t, policyFor(t, f), f, "")
		})
	}
}

// TestAlgorithmProtection: the attribute of RFC 6211 binds the algorithms.
func TestAlgorithmProtection(t *testing.T) {
	algorithm := func(id string, parameters ...[]byte) []byte {
		return der.Make(der.TagSequence, append([][]byte{der.Make(der.TagOID, []byte(id))}, parameters...)...)
	}
	implicit := func(n byte, a []byte) []byte { return append([]byte{der.Context(n)}, a[1:]...) }
	null := []byte{der.TagNull, 0}
	value := func(parts ...[]byte) []byte { return der.Make(der.TagSequence, parts...) }
	digest, signature := algorithm(oid.SHA256), algorithm(oid.ECDSAWithSHA256)
	for _, test := range []struct {
		name   string
		values [][]byte
		want   verify.Reason
	}{
		{"the same", [][]byte{value(digest, implicit(1, signature))}, ""},
		{"the same, NULL for absent", [][]byte{value(algorithm(oid.SHA256, null), implicit(1, signature))}, ""},
		{"other digest", [][]byte{value(algorithm(oid.SHA384), implicit(1, signature))}, verify.ReasonSignedAttributes},
		{"other signature", [][]byte{value(digest, implicit(1, algorithm(oid.ECDSAWithSHA384)))}, verify.ReasonSignedAttributes},
		{"other parameters", [][]byte{value(digest, implicit(1, algorithm(oid.ECDSAWithSHA256, der.AppendInt(nil, 1))))}, verify.ReasonSignedAttributes},
		{"a MAC", [][]byte{value(digest, implicit(2, signature))}, verify.ReasonSignedAttributes},
		{"no signature", [][]byte{value(digest)}, verify.ReasonSignedAttributes},
		{"signature of junk", [][]byte{value(digest, implicit(1, null))}, verify.ReasonSignedAttributes},
		{"junk", [][]byte{null}, verify.ReasonSignedAttributes},
		{"two values", [][]byte{value(digest, implicit(1, signature)), value(digest, implicit(1, signature))}, verify.ReasonSignedAttributes},
		{"no value", nil, verify.ReasonSignedAttributes},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{})
			f.Signed = func(a [][]byte) [][]byte {
				return append(a, tsptest.Attribute(oid.AlgorithmProtection, test.values...))
			}
			check(t, policyFor(t, f), f, test.want)
		})
	}
	// The attribute is worth having: it tells what the digest alone does not.
	f := tsptest.NewForge(t, pkitest.Options{Key: pkitest.RSA2048})
	f.Signed = func(a [][]byte) [][]byte {
		return append(a, tsptest.Attribute(oid.AlgorithmProtection, value(digest, implicit(1, algorithm(oid.SHA256WithRSA, null)))))
	}
	check(t, policyFor(t, f), f, "")
	f.Signer = func(s *tsptest.SignerFields) { s.Algorithm = algorithm(oid.RSAEncryption, null) }
	check(t, policyFor(t, f), f, verify.ReasonSignedAttributes)
}

// TestPSSParameters bounds what the parameters of RSASSA-PSS may say.
func TestPSSParameters(t *testing.T) {
	algorithm := func(id string, parameters ...[]byte) []byte {
		return der.Make(der.TagSequence, append([][]byte{der.Make(der.TagOID, []byte(id))}, parameters...)...)
	}
	field := func(n byte, parts ...[]byte) []byte { return der.Make(der.Context(n), parts...) }
	number := func(v int64) []byte { return der.AppendInt(nil, v) }
	sha, mgf := algorithm(oid.SHA256), algorithm(oid.MGF1, algorithm(oid.SHA256))
	good := [][]byte{field(0, sha), field(1, mgf), field(2, number(32))}
	with := func(n int, replacement []byte) [][]byte {
		out := slices.Clone(good)
		out[n] = replacement
		return out
	}
	const algorithmFault, signatureFault = verify.ReasonSignatureAlgorithm, verify.ReasonSignature
	for _, test := range []struct {
		name   string
		fields [][]byte
		want   verify.Reason
	}{
		{"good", good, ""},
		{"trailer written out", append(slices.Clone(good), field(3, number(1))), ""},
		{"other trailer", append(slices.Clone(good), field(3, number(2))), algorithmFault},
		{"other salt", with(2, field(2, number(33))), signatureFault},
		{"salt left out", good[:2], signatureFault},
		{"salt 0", with(2, field(2, number(0))), algorithmFault},
		{"salt negative", with(2, field(2, number(-32))), algorithmFault},
		{"salt as long as the longest key", with(2, field(2, number(1024))), signatureFault},
		{"salt beyond", with(2, field(2, number(1025))), algorithmFault},
		{"salt giant", with(2, field(2, number(1<<62))), algorithmFault},
		{"salt not minimal", with(2, field(2, []byte{2, 2, 0, 32})), algorithmFault},
		{"salt twice", with(2, field(2, number(32), number(32))), algorithmFault},
		{"hash left out", good[1:], algorithmFault},
		{"mask generation left out", [][]byte{good[0], good[2]}, algorithmFault},
		{"SHA-1", with(0, field(0, algorithm(oid.SHA1))), algorithmFault},
		{"SHA-1 throughout", [][]byte{field(0, algorithm(oid.SHA1)), field(1, algorithm(oid.MGF1, algorithm(oid.SHA1)))}, algorithmFault},
		{"mask with SHA-1", with(1, field(1, algorithm(oid.MGF1, algorithm(oid.SHA1)))), algorithmFault},
		{"mask with SHA-512", with(1, field(1, algorithm(oid.MGF1, algorithm(oid.SHA512)))), algorithmFault},
		{"mask without a hash", with(1, field(1, algorithm(oid.MGF1))), algorithmFault},
		{"not MGF1", with(1, field(1, algorithm(oid.RSAPSS, algorithm(oid.SHA256)))), algorithmFault},
		{"hash with parameters", with(0, field(0, algorithm(oid.SHA256, number(1)))), algorithmFault},
		{"fifth field", append(slices.Clone(good), field(4, number(1))), algorithmFault},
		{"out of order", [][]byte{good[1], good[0], good[2]}, algorithmFault},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{Key: pkitest.RSA2048})
			f.PSS = true
			f.Signer = func(s *tsptest.SignerFields) {
				s.Algorithm = algorithm(oid.RSAPSS, der.Make(der.TagSequence, test.fields...))
			}
			check(t, policyFor(t, f), f, test.want)
		})
	}
}

// TestFurtherCertificates: those that the signed attribute names after the
// first must be in the chain (RFC 5035, 5.4.1).
func TestFurtherCertificates(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	id := func(raw []byte) tsptest.ESSCertID { return tsptest.ESSCertID{Certificate: raw} }
	leaf, issuer, root, other := id(f.Chain[0]), id(f.Chain[1]), id(f.Chain[2]), id(f.Other.Chain[1])
	sha512 := issuer
	sha512.Hash = crypto.SHA512
	md5 := tsptest.ESSCertID{Certificate: f.Chain[1], Hash: crypto.SHA256, Digest: make([]byte, 32)}
	wrongSerial := issuer
	wrongSerial.IssuerSerial = f.Chain[0]
	v1 := func(ids ...tsptest.ESSCertID) []byte {
		for i := range ids {
			ids[i].V1 = true
		}
		return tsptest.Attribute(oid.SigningCertificate, tsptest.SigningCertificate(ids...))
	}
	v2 := func(ids ...tsptest.ESSCertID) []byte {
		return tsptest.Attribute(oid.SigningCertificateV2, tsptest.SigningCertificate(ids...))
	}
	for _, test := range []struct {
		name       string
		attributes [][]byte
		legacy     bool
		want       verify.Reason
	}{
		{"issuer", [][]byte{v2(leaf, issuer)}, false, ""},
		{"root", [][]byte{v2(leaf, root)}, false, ""},
		{"all, out of order", [][]byte{v2(leaf, root, issuer)}, false, ""},
		{"issuer by another hash", [][]byte{v2(leaf, sha512)}, false, ""},
		{"issuer with a wrong serial number", [][]byte{v2(leaf, wrongSerial)}, false, verify.ReasonSigningCertificate},
		{"issuer by a wrong hash", [][]byte{v2(leaf, md5)}, false, verify.ReasonSigningCertificate},
		{"another's issuer", [][]byte{v2(leaf, issuer, other)}, false, verify.ReasonSigningCertificate},
		{"the signer again", [][]byte{v2(leaf, leaf)}, false, verify.ReasonSigningCertificate},
		{"version 1 as well", [][]byte{v2(leaf, issuer), v1(leaf, issuer)}, false, ""},
		{"version 1 with another's issuer as well", [][]byte{v2(leaf, issuer), v1(leaf, other)}, false, verify.ReasonSigningCertificate},
		{"version 1 alone", [][]byte{v1(leaf, issuer)}, true, ""},
		{"version 1 alone with another's issuer", [][]byte{v1(leaf, other)}, true, verify.ReasonSigningCertificate},
		{"version 1 alone, not allowed", [][]byte{v1(leaf, issuer)}, false, verify.ReasonSigningCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := *f
			g.Signed = func(a [][]byte) [][]byte { return append(a[:2], test.attributes...) }
			p := policyFor(t, f)
			p.AllowLegacyESSCertIDv1 = test.legacy
			p.Cache = new(verify.ChainCache)
			check(t, p, &g, test.want)
			check(t, p, &g, test.want)
		})
	}
}

// TestMutations is attack A2: any byte of a token may change and the token is
// refused, or says and proves the very same: the change is outside of
// everything that is signed, or in an encoding that means the same.
func TestMutations(t *testing.T) {
	for _, key := range []pkitest.KeyType{pkitest.P256, pkitest.RSA2048, pkitest.Ed25519} {
		t.Run(key.String(), func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{Key: key})
			good := f.ParsedToken(t)
			p, imprint := policyFor(t, f), tsptest.Request().Imprint
			p.Cache = new(verify.ChainCache)
			accepted := 0
			for i := range good.Raw {
				for _, flip := range []byte{0x01, 0x02, 0x80, 0xff} {
					raw := bytes.Clone(good.Raw)
					raw[i] ^= flip
					stamp, err := p.Bytes(raw, imprint)
					if err != nil {
						if reasonOf(err) == "not a *verify.Error" {
							t.Fatalf("byte %d: error is a %T", i, err)
						}
						continue
					}
					accepted++
					changed, err := tsp.ParseToken(raw)
					if err != nil {
						t.Fatal(err)
					}
					if why := differs(good, changed, f.Chain[:2]); why != "" {
						t.Errorf("byte %d xor %#02x: accepted at %v though %s", i, flip, stamp.Time, why)
					}
				}
			}
			// Only the version of the SignedData (3 to 1), its digestAlgorithms,
			// which nobody reads, and parameters that are absent or NULL.
			if accepted == 0 || accepted > 60 {
				t.Errorf("%d of %d changes were accepted, a few are expected", accepted, 4*len(good.Raw))
			}
		})
	}
}

// differs says in what that matters a token differs from a good one.
func differs(good, got *tsp.Token, chain [][]byte) string {
	a, b := &good.Signer, &got.Signer
	switch {
	case !bytes.Equal(good.Content(), got.Content()):
		return "the TSTInfo differs"
	case !bytes.Equal(a.RawSignedAttributes, b.RawSignedAttributes):
		return "the signed attributes differ"
	case !bytes.Equal(a.Signature, b.Signature):
		return "the signature differs"
	case !a.Digest.OID.Equal(b.Digest.OID), !a.Algorithm.OID.Equal(b.Algorithm.OID):
		return "the algorithms differ"
	case a.Version != b.Version, !bytes.Equal(a.SubjectKeyID, b.SubjectKeyID), !bytes.Equal(a.Serial, b.Serial):
		return "the signer identifiers differ"
	case !bytes.EqualFold(a.Issuer, b.Issuer):
		return "the issuers differ in more than case"
	}
	for _, cert := range chain {
		if !slices.ContainsFunc(got.Certificates, func(c []byte) bool { return bytes.Equal(c, cert) }) {
			return "a certificate of the chain is gone"
		}
	}
	return ""
}
