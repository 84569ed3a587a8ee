package tsp_test

import (
	"bytes"
	"crypto"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
)

func TestRequestRoundTrip(t *testing.T) {
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req := tsp.NewRequest(imprint)
	der, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := tsp.ParseRequest(der)
	if err != nil {
		t.Fatalf("ParseRequest(%x): %v", der, err)
	}
	if !got.Imprint.Equal(imprint) || !got.Nonce.Equal(req.Nonce) || !got.CertReq {
		t.Errorf("ParseRequest(%x) = %+v, want %+v", der, got, req)
	}
	again, err := got.Marshal()
	if err != nil || !bytes.Equal(again, der) {
		t.Errorf("Marshal of the parsed request = %x, %v; want %x", again, err, der)
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
