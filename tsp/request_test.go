package tsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestRequestRoundTrip(t *testing.T) {
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req := tsp.NewRequest(imprint)
	raw, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := tsp.ParseRequest(raw)
	if err != nil {
		t.Fatalf("ParseRequest(%x): %v", raw, err)
	}
	if !got.Imprint.Equal(imprint) || !got.Nonce.Equal(req.Nonce) || !got.CertReq {
		t.Errorf("ParseRequest(%x) = %+v, want %+v", raw, got, req)
	}
	again, err := got.Marshal()
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("Marshal of the parsed request = %x, %v; want %x", again, err, raw)
	}
}

func TestNewRequest(t *testing.T) {
	a, b := tsp.NewRequest(tsptest.Imprint()), tsp.NewRequest(tsptest.Imprint())
	if a.Version != 1 || !a.CertReq || a.Nonce == nil || a.Nonce.Equal(b.Nonce) || !a.Imprint.Equal(tsptest.Imprint()) || a.Extensions != nil {
		t.Errorf("NewRequest = %+v", a)
	}
}

// TestRequestMarshal compares a request with all fields with octets made field
// by field.
func TestRequestMarshal(t *testing.T) {
	fields := tsptest.NewRequestFields()
	fields.Policy = tsptest.OID(tsptest.PolicyOID)
	fields.Extensions = der.Make(der.Context(0), tsptest.Extension("1.2.3.4", tsptest.Critical(), []byte{5, 0}), tsptest.Extension("1.2.3.5", nil, nil))
	r := tsptest.Request()
	r.Policy = policy(t)
	r.Extensions = []pkix.Extension{
		{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}},
		{Id: asn1.ObjectIdentifier{1, 2, 3, 5}},
	}
	got, err := r.Marshal()
	if want := fields.Marshal(); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Marshal = %x, %v; want %x", got, err, want)
	}
	parsed, err := tsp.ParseRequest(got)
	if err != nil {
		t.Fatal(err)
	}
	if !parsed.Policy.Equal(r.Policy) || len(parsed.Extensions) != 2 || !parsed.Extensions[0].Critical || parsed.Extensions[1].Critical ||
		!parsed.Extensions[0].Id.Equal(r.Extensions[0].Id) || !bytes.Equal(parsed.Extensions[0].Value, []byte{5, 0}) {
		t.Errorf("ParseRequest = %+v", parsed)
	}
	clear(got) // the request has its own copy
	if !parsed.Nonce.Equal(tsptest.Nonce()) || !parsed.Imprint.Equal(tsptest.Imprint()) {
		t.Error("the request changed with the input")
	}
}

func TestRequestMarshalRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*tsp.Request)
		want   string
	}{
		{"version", func(r *tsp.Request) { r.Version = 2 }, "version"},
		{"imprint missing", func(r *tsp.Request) { r.Imprint = tsp.Imprint{} }, "messageImprint"},
		{"imprint too short", func(r *tsp.Request) { r.Imprint.Digest = nil }, "messageImprint"},
		{"nonce empty", func(r *tsp.Request) { r.Nonce = tsp.Integer{} }, "nonce"},
		{"nonce not minimal", func(r *tsp.Request) { r.Nonce = tsp.Integer{0, 1} }, "nonce"},
		{"nonce too long", func(r *tsp.Request) { r.Nonce = bytes.Repeat([]byte{1}, 65) }, "nonce"},
		{"extension", func(r *tsp.Request) { r.Extensions = []pkix.Extension{{}} }, "extension"},
	} {
		r := tsptest.Request()
		tt.change(r)
		if got, err := r.Marshal(); err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Marshal = %x, %v; want nil and an error that says %q", tt.name, got, err, tt.want)
		}
	}
}

// TestParseRequestErrors holds that the text, which the requester gets, names
// the fault. That each request gets its failure information is tested with
// the table of requests.
func TestParseRequestErrors(t *testing.T) {
	texts := map[string]string{
		"version 2":                      "version 2 is not supported",
		"version of 9 octets":            "version of 9 octets",
		"version not minimal":            "version: not a minimal DER INTEGER",
		"imprint missing":                "messageImprint",
		"hash parameters INTEGER":        "hashAlgorithm has parameters",
		"SHA-256 digest of 31 octets":    "digest is 31 bytes long, SHA-256 needs 32",
		"policy empty":                   "reqPolicy",
		"nonce not minimal":              "nonce: not a minimal DER INTEGER",
		"nonce of 65 octets":             "nonce: 65 octets, at most 64",
		"two nonces":                     "tag 0x02 after the fields",
		"certReq 01":                     "certReq",
		"extensions empty":               "extensions: empty",
		"extension twice":                "extension 1.2.3.4.5.6 occurs twice",
		"33 extensions":                  "more than 32",
		"unknown element [5] at the end": "tag 0x85 after the fields",
		"bytes behind the request":       "1 bytes after the request",
		"empty":                          "not a DER TimeStampReq",
		"indefinite length":              "not a DER TimeStampReq",
	}
	n := 0
	for _, v := range tsptest.Requests() {
		want, ok := texts[v.Name]
		if !ok {
			continue
		}
		n++
		_, err := tsp.ParseRequest(v.DER)
		if r := tsp.AsRejection(err); r == nil || !strings.Contains(r.Text, want) || len(r.Text) > 200 {
			t.Errorf("%s: ParseRequest says %v, want %q", v.Name, err, want)
		}
	}
	if n != len(texts) {
		t.Errorf("%d of %d names are in the table of requests", n, len(texts))
	}
}

func BenchmarkParseRequest(b *testing.B) {
	imprint, _ := tsp.ReadImprint(crypto.SHA256, strings.NewReader("hello"))
	der, _ := tsp.NewRequest(imprint).Marshal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tsp.ParseRequest(der); err != nil {
			b.Fatal(err)
		}
	}
}
