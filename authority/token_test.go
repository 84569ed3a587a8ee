package authority_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A TimeStampResp as encoding/asn1 sees it: a second reading of what the
// template writes, by code that it does not share.
type (
	asn1Response struct {
		Status struct{ Status int }
		Token  struct {
			Type    asn1.ObjectIdentifier
			Content asn1SignedData `asn1:"explicit,tag:0"`
		}
	}
	asn1SignedData struct {
		Version          int
		DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
		Encap            struct {
			Type    asn1.ObjectIdentifier
			Content []byte `asn1:"explicit,tag:0"`
		}
		Certificates []asn1.RawValue  `asn1:"optional,omitempty,set,tag:0"`
		Signers      []asn1SignerInfo `asn1:"set"`
	}
	asn1SignerInfo struct {
		Version int
		SID     struct {
			Issuer asn1.RawValue
			Serial *big.Int
		}
		Digest     pkix.AlgorithmIdentifier
		Attributes []asn1Attribute `asn1:"set,tag:0"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}
	asn1Attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	asn1Info struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint struct {
			Algorithm asn1.RawValue
			Digest    []byte
		}
		Serial   *big.Int
		GenTime  asn1.RawValue // encoding/asn1 does not write fractions
		Accuracy struct {
			Seconds int `asn1:"optional"`
			Millis  int `asn1:"optional,tag:0"`
			Micros  int `asn1:"optional,tag:1"`
		}
		Nonce *big.Int      `asn1:"optional"`
		TSA   asn1.RawValue `asn1:"optional,tag:0"`
	}
)

// remarshal parses in as a T and holds that writing it again gives in: sets
// sorted, lengths minimal, no default written.
func remarshal[T any](t *testing.T, in []byte) T {
	t.Helper()
	var v T
	if rest, err := asn1.Unmarshal(in, &v); err != nil || len(rest) != 0 {
		t.Fatalf("encoding/asn1 does not read %x: %v, %d bytes left", in, err, len(rest))
	}
	again, err := asn1.Marshal(v)
	if err != nil {
		t.Fatalf("encoding/asn1 does not write %T: %v", v, err)
	}
	if !bytes.Equal(again, in) {
		t.Fatalf("encoding/asn1 writes %T as\n%x, got\n%x", v, again, in)
	}
	return v
}

// TestStructure holds the profile of the token, for every key type.
func TestStructure(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		for _, certReq := range []bool{true, false} {
			chain := pkitest.TSA(t, pkitest.Options{Key: kind})
			cfg := config(t, chain)
			cfg.TSAName = certReq
			cfg.Accuracy = 1002003 * time.Microsecond
			a := newAuthority(t, cfg)
			req, in := request(t, func(r *tsp.Request) { r.CertReq = certReq })
			reply, out := a.Respond(t.Context(), in)
			resp := remarshal[asn1Response](t, reply)
			d := resp.Token.Content

			if !bytes.HasSuffix(reply, out.Token) || len(out.Token) != len(reply)-4-5 {
				t.Errorf("%v: Outcome.Token is not the token of the reply", kind)
			}
			if resp.Status.Status != 0 || d.Version != 3 || len(d.DigestAlgorithms) != 1 || len(d.Signers) != 1 {
				t.Fatalf("%v: status %d, SignedData version %d with %d digest algorithms and %d signers",
					kind, resp.Status.Status, d.Version, len(d.DigestAlgorithms), len(d.Signers))
			}
			if !d.Encap.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}) {
				t.Errorf("%v: eContentType is %v", kind, d.Encap.Type)
			}
			if got := len(d.Certificates) > 0; got != certReq {
				t.Errorf("%v: certReq %v, certificates in the token: %v", kind, certReq, got)
			}

			s := d.Signers[0]
			if s.Version != 1 || !bytes.Equal(s.SID.Issuer.FullBytes, chain.Leaf.RawIssuer) || s.SID.Serial.Cmp(chain.Leaf.SerialNumber) != 0 {
				t.Errorf("%v: SignerInfo version %d, sid %x %v", kind, s.Version, s.SID.Issuer.FullBytes, s.SID.Serial)
			}
			if !s.Digest.Algorithm.Equal(d.DigestAlgorithms[0].Algorithm) {
				t.Errorf("%v: the digest of the signer is not that of the SignedData", kind)
			}
			checkAttributes(t, chain.Leaf, s, d.Encap.Content)

			info := remarshal[asn1Info](t, d.Encap.Content)
			if info.Version != 1 || info.Policy.String() != testPolicy || !bytes.Equal(info.Imprint.Digest, req.Imprint.Digest) {
				t.Errorf("%v: TSTInfo %+v", kind, info)
			}
			if a := info.Accuracy; a.Seconds != 1 || a.Millis != 2 || a.Micros != 3 {
				t.Errorf("%v: accuracy %+v", kind, a)
			}
			if info.Nonce.Cmp(req.Nonce.Big()) != 0 {
				t.Errorf("%v: nonce %v, want %v", kind, info.Nonce, req.Nonce)
			}
			// [0] EXPLICIT GeneralName, directoryName [4] EXPLICIT Name.
			name := der.Make(der.Context(0), der.Make(der.Context(4), chain.Leaf.RawSubject))
			if !certReq {
				name = nil
			}
			if !bytes.Equal(info.TSA.FullBytes, name) {
				t.Errorf("%v: tsa %x, want %x", kind, info.TSA.FullBytes, name)
			}
		}
	}
}

// checkAttributes checks the signed attributes: three, each with one value.
func checkAttributes(t *testing.T, leaf *x509.Certificate, s asn1SignerInfo, content []byte) {
	t.Helper()
	var types []string
	for _, a := range s.Attributes {
		if len(a.Values) != 1 {
			t.Fatalf("attribute %v has %d values", a.Type, len(a.Values))
		}
		value := a.Values[0].FullBytes
		types = append(types, oid.Name(mustOID(t, a.Type)))
		switch types[len(types)-1] {
		case "messageDigest":
			id, err := x509.ParseOID(s.Digest.Algorithm.String())
			if err != nil {
				t.Fatal(err)
			}
			h := oid.Hash(oid.Content(id)).New()
			h.Write(content)
			if want := der.Make(der.TagOctetString, h.Sum(nil)); !bytes.Equal(value, want) {
				t.Errorf("messageDigest is %x, want %x", value, want)
			}
		case "signingCertificateV2":
			ids, err := cms.ParseSigningCertificateV2(value)
			if err != nil || len(ids) != 1 {
				t.Fatalf("signingCertificateV2 %x: %v, %d identifiers", value, err, len(ids))
			}
			hash := sha256.Sum256(leaf.Raw)
			id := ids[0]
			if id.Hash != crypto.SHA256 || !bytes.Equal(id.Digest, hash[:]) || !bytes.Equal(id.Issuer, leaf.RawIssuer) ||
				!tsp.Integer(id.Serial).Equal(tsp.NewInteger(leaf.SerialNumber)) {
				t.Errorf("signingCertificateV2 names %+v", id)
			}
			if bytes.Contains(value, []byte(oid.SHA256)) {
				t.Error("the default hash algorithm is written out")
			}
		}
	}
	if want := []string{"contentType", "messageDigest", "signingCertificateV2"}; !slices.Equal(types, want) {
		t.Errorf("signed attributes are %v, want %v", types, want)
	}
}

func mustOID(t *testing.T, id asn1.ObjectIdentifier) x509.OID {
	t.Helper()
	return parseOID(t, id.String())
}

// TestInfoRoundTrip holds the template against the writer of package tsp.
func TestInfoRoundTrip(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	for _, accuracy := range []time.Duration{0, time.Second, 500 * time.Millisecond, 1500 * time.Millisecond, 2 * time.Millisecond,
		1000*time.Millisecond + time.Microsecond, 1001 * time.Microsecond, 1999999999 * time.Nanosecond, time.Hour} {
		for _, name := range []bool{false, true} {
			cfg := config(t, chain)
			cfg.Accuracy, cfg.TSAName = accuracy, name
			cfg.Clock = clock.Fixed(testTime, time.Millisecond)
			_, in := request(t, func(r *tsp.Request) { r.CertReq = name })
			r, out := respond(t, newAuthority(t, cfg), in)
			remarshal[asn1Info](t, r.Token.Content()) // no field of zero
			info := *r.Token.UnverifiedInfo
			info.Raw = nil
			again, err := info.Marshal()
			if err != nil || !bytes.Equal(again, r.Token.Content()) {
				t.Errorf("accuracy %v: tsp writes %x, %v; the template %x", accuracy, again, err, r.Token.Content())
			}
			want := (accuracy + time.Microsecond - 1).Truncate(time.Microsecond)
			if accuracy == 0 {
				want = time.Second
			}
			if !info.HasAccuracy || info.Accuracy != want || out.Accuracy != want {
				t.Errorf("accuracy %v: the token says %v, the outcome %v, want %v", accuracy, info.Accuracy, out.Accuracy, want)
			}
			if info.Ordering || info.Extensions != nil {
				t.Errorf("ordering %v, extensions %v", info.Ordering, info.Extensions)
			}
		}
	}
}

// TestImprintEcho holds that the algorithm comes back octet for octet: clients
// send NULL parameters and none, and compare.
func TestImprintEcho(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	cfg := config(t, chain)
	cfg.Hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512}
	a := newAuthority(t, cfg)
	for _, h := range cfg.Hashes {
		for _, parameters := range [][]byte{nil, {5, 0}} {
			algorithm := der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.OfHash(h))), parameters)
			imprint := der.Make(der.TagSequence, algorithm, der.Make(der.TagOctetString, make([]byte, h.Size())))
			r, out := respond(t, a, der.Make(der.TagSequence, der.AppendInt(nil, 1), imprint))
			if !bytes.Contains(r.Token.Content(), imprint) {
				t.Errorf("%v, parameters %x: imprint %x is not in the TSTInfo %x", h, parameters, imprint, r.Token.Content())
			}
			if out.Imprint.Hash != h || out.HasNonce || out.CertReq {
				t.Errorf("%v: outcome %+v", h, out)
			}
		}
	}
}

func TestNonceEcho(t *testing.T) {
	a := newAuthority(t, config(t, pkitest.TSA(t, pkitest.Options{})))
	long := bytes.Repeat([]byte{0x5a}, tsp.MaxInteger)
	for _, test := range []struct {
		name  string
		nonce tsp.Integer
	}{
		{"none", nil},
		{"zero", tsp.Integer{0}},
		{"one", tsp.Integer{1}},
		{"minus one", tsp.Integer{0xff}},
		{"negative", tsp.Integer{0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01}},
		{"leading zero octet", tsp.Integer{0x00, 0x80}},
		{"64 octets", long},
		{"64 octets, negative", append(tsp.Integer{0x80}, long[1:]...)},
	} {
		_, in := request(t, func(r *tsp.Request) { r.Nonce = test.nonce })
		r, out := respond(t, a, in)
		if got := r.Token.UnverifiedInfo.Nonce; !got.Equal(test.nonce) {
			t.Errorf("%s: nonce %x, want %x", test.name, got, test.nonce)
		}
		if out.HasNonce != (test.nonce != nil) {
			t.Errorf("%s: HasNonce is %v", test.name, out.HasNonce)
		}
	}
}

func TestExplicitCertReqFalse(t *testing.T) {
	a := newAuthority(t, config(t, pkitest.TSA(t, pkitest.Options{})))
	_, in := request(t, func(r *tsp.Request) { r.CertReq = false })
	body := append(bytes.Clone(in[2:]), der.TagBoolean, 1, 0)
	r, _ := respond(t, a, der.Make(der.TagSequence, body))
	if r.Token.Certificates != nil {
		t.Errorf("the token has %d certificates", len(r.Token.Certificates))
	}
}

func TestPolicies(t *testing.T) {
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	other := parseOID(t, "2.999.1")
	cfg.AcceptedPolicies = []x509.OID{other}
	a := newAuthority(t, cfg)
	for _, test := range []struct {
		ask, want x509.OID
	}{{x509.OID{}, cfg.Policy}, {cfg.Policy, cfg.Policy}, {other, other}} {
		_, in := request(t, func(r *tsp.Request) { r.Policy = test.ask })
		r, out := respond(t, a, in)
		if got := r.Token.UnverifiedInfo.Policy; !got.Equal(test.want) || !out.Policy.Equal(test.want) {
			t.Errorf("asked for %v: token %v, outcome %v, want %v", test.ask, got, out.Policy, test.want)
		}
	}
	if !a.Policy().Equal(cfg.Policy) {
		t.Errorf("Policy() = %v", a.Policy())
	}
}

// TestSerialNumbers holds that many goroutines of two authorities never give
// out a number twice, and that all have the same length and are positive.
func TestSerialNumbers(t *testing.T) {
	const workers, each = 8, 200
	chain := pkitest.TSA(t, pkitest.Options{})
	both := []*authority.Authority{newAuthority(t, config(t, chain)), newAuthority(t, config(t, chain))}
	_, in := request(t, nil)
	serials := make(chan tsp.Integer, workers*each)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range each {
				reply, out := both[i%2].Respond(t.Context(), in)
				r, err := tsp.ParseResponse(reply)
				if err != nil || !out.Granted() || !r.Token.UnverifiedInfo.Serial.Equal(out.Serial) {
					t.Errorf("Respond: %v, %v", err, out.Rejection)
					return
				}
				serials <- out.Serial
			}
		})
	}
	wg.Wait()
	close(serials)
	seen := map[string]bool{}
	for s := range serials {
		if len(s) != 20 || s.Negative() || !der.MinimalInteger(s) || s[0] == 0 {
			t.Fatalf("serial number %x", s)
		}
		if seen[string(s)] {
			t.Fatalf("serial number %x twice", s)
		}
		seen[string(s)] = true
	}
}

// TestRand holds that the serial number is what the random source gives.
func TestRand(t *testing.T) {
	for _, test := range []struct {
		random byte
		first  byte
	}{{0x00, 0x40}, {0xff, 0x7f}, {0x80, 0x40}} {
		cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
		// One octet at a time: a short read is not an error.
		cfg.Rand = iotest.OneByteReader(repeat(test.random))
		_, in := request(t, nil)
		_, out := respond(t, newAuthority(t, cfg), in)
		want := append(tsp.Integer{test.first}, bytes.Repeat([]byte{test.random}, 19)...)
		if !out.Serial.Equal(want) {
			t.Errorf("random octets %#x: serial number %x, want %x", test.random, out.Serial, want)
		}
	}
}

// repeat is an endless reader of one octet.
type repeat byte

func (r repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}
