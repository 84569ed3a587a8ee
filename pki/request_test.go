package pki_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

func request(t testing.TB, role pki.Role) *x509.CertificateRequest {
	t.Helper()
	req, err := pki.CreateRequest(pki.RequestConfig{Role: role, Subject: subject, Key: pkitest.Deterministic(pkitest.Key(t, pkitest.P256, "request"))})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestCreateRequest(t *testing.T) {
	want := map[pki.Role]string{
		pki.RoleTSA:         "2.5.29.19 true 3000, 2.5.29.15 true 03020780, 2.5.29.37 true 300a06082b06010505070308",
		pki.RoleCA:          "2.5.29.19 true 30060101ff020100, 2.5.29.15 true 03020106, 2.5.29.37 false 300a06082b06010505070303",
		pki.RoleTSACA:       "2.5.29.19 true 30060101ff020100, 2.5.29.15 true 03020106, 2.5.29.37 false 300a06082b06010505070308",
		pki.RoleCodeSigning: "2.5.29.19 true 3000, 2.5.29.15 true 03020780, 2.5.29.37 false 300a06082b06010505070303",
		pki.RoleLog:         "2.5.29.19 true 3000, 2.5.29.15 true 03020780",
	}
	for _, kind := range pkitest.KeyTypes() {
		for _, role := range pki.Roles() {
			key := pkitest.Key(t, kind, "leaf")
			req, err := pki.CreateRequest(pki.RequestConfig{Role: role, Subject: subject, Key: key})
			if role.CheckKey(key.Public()) != nil {
				if err == nil || req != nil {
					t.Errorf("CreateRequest with %v for %s: %v, %v; want an error alone", kind, role, req, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("CreateRequest with %v for %s: %v", kind, role, err)
			}
			if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(req.PublicKey) || req.Subject.String() != subject.String() {
				t.Errorf("request of %v with the key %T", req.Subject, req.PublicKey)
			}
			var got []string
			for _, e := range req.Extensions {
				critical := "false"
				if e.Critical {
					critical = "true"
				}
				got = append(got, e.Id.String()+" "+critical+" "+hex.EncodeToString(e.Value))
			}
			if text := strings.Join(got, ", "); text != want[role] {
				t.Errorf("%s: extensions %s, want %s", role, text, want[role])
			}
			if wishes := pki.UnmetWishes(req, role); len(wishes) > 0 {
				t.Errorf("%s: our own wishes %v are not met", role, wishes)
			}
			for name, data := range map[string][]byte{"PEM": pki.EncodeRequest(req), "DER": req.Raw,
				"old label": bytes.ReplaceAll(pki.EncodeRequest(req), []byte("CERTIFICATE REQ"), []byte("NEW CERTIFICATE REQ"))} {
				again, err := pki.ParseRequest(data)
				if err != nil || !bytes.Equal(again.Raw, req.Raw) {
					t.Errorf("ParseRequest of %s: %v", name, err)
				}
			}
		}
	}
}

// TestCreateRequestForIntermediate: the CA between a root of somebody else's and
// our leaf.
func TestCreateRequestForIntermediate(t *testing.T) {
	req, err := pki.CreateRequest(pki.RequestConfig{Role: pki.RoleTSA, Kind: pki.KindIntermediate, Subject: subject, Key: pkitest.Key(t, pkitest.P256, "request")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range req.Extensions {
		got[e.Id.String()] = hex.EncodeToString(e.Value)
	}
	if got["2.5.29.19"] != "30060101ff020100" || got["2.5.29.15"] != "03020106" || got["2.5.29.37"] != "300a06082b06010505070308" {
		t.Errorf("extensions %v", got)
	}
}

func TestCreateRequestRefuses(t *testing.T) {
	good := pki.RequestConfig{Role: pki.RoleTSA, Subject: subject, Key: pkitest.Key(t, pkitest.P256, "request")}
	for _, tt := range []struct {
		name   string
		change func(*pki.RequestConfig)
		says   string
	}{
		{"no role", func(c *pki.RequestConfig) { c.Role = "" }, "no role"},
		{"no name", func(c *pki.RequestConfig) { c.Subject.CommonName = "" }, "common name"},
		{"no key", func(c *pki.RequestConfig) { c.Key = nil }, "no key"},
		{"root", func(c *pki.RequestConfig) { c.Kind = pki.KindRoot }, "root"},
		{"leaf of a CA", func(c *pki.RequestConfig) { c.Role, c.Kind = pki.RoleCA, pki.KindLeaf }, "no leaf"},
		{"weak key", func(c *pki.RequestConfig) { c.Key = pkitest.Key(t, pkitest.RSA1024, "leaf") }, "1024 bits"},
		{"algorithm of another key", func(c *pki.RequestConfig) { c.SignatureAlgorithm = x509.SHA256WithRSA }, "SignatureAlgorithm"},
		{"SHA-1", func(c *pki.RequestConfig) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }, "SHA1"},
	} {
		cfg := good
		tt.change(&cfg)
		if req, err := pki.CreateRequest(cfg); err == nil || req != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: CreateRequest = %v, %v, want an error with %q", tt.name, req, err, tt.says)
		}
	}
}

// outer is a certification request whose parts a test may bend. The signature
// is made over what they are.
type outer struct {
	info      []byte
	algorithm pkix.AlgorithmIdentifier
}

func (o outer) der(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	digest := sha256.Sum256(o.info)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: o.info}, o.algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseRequestRefuses(t *testing.T) {
	key := pkitest.Key(t, pkitest.P256, "request")
	req := request(t, pki.RoleTSA)
	ecdsaSHA256 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	// bend signs anew what is between the first octets of the info and its end.
	bend := func(change func(info []byte) []byte) []byte {
		var info asn1.RawValue
		if _, err := asn1.Unmarshal(req.RawTBSCertificateRequest, &info); err != nil {
			t.Fatal(err)
		}
		body, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: change(slices.Clone(info.Bytes))})
		if err != nil {
			t.Fatal(err)
		}
		return outer{body, ecdsaSHA256}.der(t, key)
	}
	if _, err := pki.ParseRequest(bend(func(info []byte) []byte { return info })); err != nil {
		t.Fatalf("an unbent request: %v", err)
	}
	attributes := func(der string) []byte {
		return bend(func(info []byte) []byte {
			i := bytes.Index(info, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")) - 4 // extensionRequest, in a SEQUENCE in [0]
			return append(info[:i], der...)
		})
	}
	broken := slices.Clone(req.Raw)
	broken[len(broken)-1] ^= 1
	c := pkitest.TSA(t, pkitest.Options{})
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, pkitest.Key(t, pkitest.RSA1024, "leaf"))
	if err != nil {
		t.Fatal(err)
	}
	pemText := string(pki.EncodeRequest(req))

	for _, tt := range []struct {
		name string
		in   string
		says string
	}{
		{"nothing", "", "no certificate request found"},
		{"a certificate", string(c.PEM()), `the block is a "CERTIFICATE", want CERTIFICATE REQUEST`},
		{"a certificate in DER", string(c.DER[0]), "version"},
		{"a private key", block("PRIVATE KEY", keyDER), pki.ErrPrivateKey.Error()},
		{"a private key in DER", string(keyDER), pki.ErrPrivateKey.Error()},
		{"two", pemText + pemText, "more than one certificate request"},
		{"two in DER", string(req.Raw) + string(req.Raw), "more than one certificate request"},
		{"damaged", strings.Replace(pemText, "\n", "\n!", 1), "damaged"},
		{"trailing data", block("CERTIFICATE REQUEST", append(slices.Clone(req.Raw), 0)), "not one SEQUENCE"},
		{"long", block("CERTIFICATE REQUEST", make([]byte, pki.MaxCertificateSize+1)), "octets, want at most"},
		{"signature of somebody else", string(broken), "not made with the key of the request"},
		{"signature by another key", string(outer{req.RawTBSCertificateRequest, ecdsaSHA256}.der(t, c.LeafKey)), "not made with the key of the request"},
		{"SHA-1", string(outer{req.RawTBSCertificateRequest, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}}}.der(t, key)), "no longer proves anything"},
		{"unknown algorithm", string(outer{req.RawTBSCertificateRequest, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 3}}}.der(t, key)), "signatureAlgorithm: unknown"},
		{"weak key", string(weak), "RSA with 1024 bits"},
		{"version 1", string(bend(func(info []byte) []byte { info[2] = 1; return info })), "version: 1"},
		{"no attributes", string(attributes("")), "attributes: missing"},
		{"more after the attributes", string(attributes("\xa0\x00\x05\x00")), "more follows the attributes"},
		{"attribute without values", string(attributes("\xa0\x07\x30\x05\x06\x03\x2a\x03\x04")), "SET"},
		{"attribute with an empty SET", string(attributes("\xa0\x09\x30\x07\x06\x03\x2a\x03\x04\x31\x00")), "SET"},
		{"attribute twice", string(attributes("\xa0\x16" + strings.Repeat("\x30\x09\x06\x03\x2a\x03\x04\x31\x02\x05\x00", 2))), "twice"},
		{"attribute that is none", string(attributes("\xa0\x02\x05\x00")), "not a SEQUENCE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pki.ParseRequest([]byte(tt.in))
			if err == nil || got != nil || !strings.HasPrefix(err.Error(), "pki: reading certificate request: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("ParseRequest = %v, %v, want an error with %q", got, err, tt.says)
			}
			if want := strings.Contains(tt.name, "private"); errors.Is(err, pki.ErrPrivateKey) != want {
				t.Errorf("ParseRequest: %v; ErrPrivateKey: %t", err, !want)
			}
		})
	}
}

// TestUnmetWishes: what a request asks for in vain is named.
func TestUnmetWishes(t *testing.T) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: subject, DNSNames: []string{"tsa.example"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")}, // serverAuth
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte("\x03\x02\x07\x80")},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: []byte("\x04\x01\x00")},
			{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte("\x05\x00")},
		},
	}, pkitest.Key(t, pkitest.P256, "request"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := pki.ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	got := pki.UnmetWishes(req, pki.RoleTSA)
	slices.Sort(got)
	if want := []string{"1.2.3", "extKeyUsage", "subjectAltName"}; !slices.Equal(got, want) {
		t.Errorf("UnmetWishes = %q, want %q", got, want)
	}
}

func TestParsePublicKey(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		pub := pkitest.Key(t, kind, "leaf").Public()
		text, err := pki.EncodePublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []string{string(text), "# from the vault\n" + string(text)} {
			got, err := pki.ParsePublicKey([]byte(in))
			if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
				t.Errorf("ParsePublicKey of %v = %v, %v", kind, got, err)
			}
		}
	}
	p256, err := pki.EncodePublicKey(pkitest.Key(t, pkitest.P256, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	weak, err := pki.EncodePublicKey(pkitest.Key(t, pkitest.RSA1024, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(pkitest.Key(t, pkitest.P256, "leaf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, in, says string }{
		{"nothing", "", "no public key found"},
		{"a private key", block("PRIVATE KEY", keyDER), pki.ErrPrivateKey.Error()},
		{"a private key in DER", string(keyDER), pki.ErrPrivateKey.Error()},
		{"a certificate", string(pkitest.TSA(t, pkitest.Options{}).PEM()), "want PUBLIC KEY"},
		{"PKCS #1", block("RSA PUBLIC KEY", []byte{1}), "want PUBLIC KEY"},
		{"two", string(p256) + string(p256), "more than one public key"},
		{"weak", string(weak), "RSA with 1024 bits"},
		{"not DER", block("PUBLIC KEY", []byte{1}), ""},
	} {
		got, err := pki.ParsePublicKey([]byte(tt.in))
		if err == nil || got != nil || !strings.HasPrefix(err.Error(), "pki: reading public key: ") || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: ParsePublicKey = %v, %v, want an error with %q", tt.name, got, err, tt.says)
		}
	}
	if _, err := pki.EncodePublicKey("key"); err == nil {
		t.Error("EncodePublicKey of a string: no error")
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, role := range pki.Roles() {
		req := request(f, role)
		f.Add(req.Raw)
		f.Add(pki.EncodeRequest(req))
	}
	f.Add([]byte(block("PRIVATE KEY", []byte("x"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := pki.ParseRequest(data)
		if err != nil {
			if req != nil {
				t.Fatalf("ParseRequest = %v with error %v", req, err)
			}
			return
		}
		// The signature was checked, so this can only be one of the seeds or the
		// same request in other words.
		text := pki.EncodeRequest(req)
		again, err := pki.ParseRequest(text)
		if err != nil || !bytes.Equal(again.Raw, req.Raw) || !bytes.Equal(pki.EncodeRequest(again), text) {
			t.Fatalf("ParseRequest(EncodeRequest(%x)): %v", req.Raw, err)
		}
		if data[0] == 0x30 && !bytes.Equal(data, req.Raw) {
			t.Fatalf("%x was read as %x", data, req.Raw)
		}
		pki.UnmetWishes(req, pki.RoleTSA) // must not panic
	})
}

func FuzzParsePublicKey(f *testing.F) {
	for _, kind := range pkitest.KeyTypes() {
		text, err := pki.EncodePublicKey(pkitest.Key(f, kind, "leaf").Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pub, err := pki.ParsePublicKey(data)
		if err != nil {
			if pub != nil {
				t.Fatalf("ParsePublicKey = %v with error %v", pub, err)
			}
			return
		}
		text, err := pki.EncodePublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pki.ParsePublicKey(text)
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(again) {
			t.Fatalf("ParsePublicKey(EncodePublicKey(%v)) = %v, %v", pub, again, err)
		}
		if der, _ := x509.MarshalPKIXPublicKey(pub); data[0] == 0x30 && !bytes.Equal(data, der) {
			t.Fatalf("%x was read as %x", data, der)
		}
	})
}
