package tsp_test

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestBounds holds what hostile messages may cost: a small multiple of their
// size in memory, and time that does not grow faster than the size.
func TestBounds(t *testing.T) {
	const size = 10 << 20
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, size/len(s))) }
	data := func(change func(*tsptest.DataFields)) []byte {
		f := tsptest.NewForge(t, pkitest.Options{})
		f.Data = change
		out, err := f.MakeResponse()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	info := func(change func(*tsptest.InfoFields)) []byte {
		f := tsptest.NewForge(t, pkitest.Options{})
		f.Info = change
		out, err := f.MakeResponse()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	signed := func(attributes ...[]byte) []byte {
		f := tsptest.NewForge(t, pkitest.Options{})
		f.Signed = func(a [][]byte) [][]byte { return append(a, attributes...) }
		out, err := f.MakeResponse()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	request := func(change func(*tsptest.RequestFields)) []byte {
		r := tsptest.NewRequestFields()
		change(r)
		return r.Marshal()
	}
	null := []byte{der.TagNull, 0}
	extension := tsptest.Extension("1.2.3.4", nil, nil)
	inputs := map[string][]byte{
		"30 80":                       repeat("\x30\x80"),
		"24 80":                       repeat("\x24\x80"),
		"30 84 ff ff ff ff":           repeat("\x30\x84\xff\xff\xff\xff"),
		"zeros":                       make([]byte, size),
		"base64 letters":              repeat("MIAw"),
		"PEM beginnings":              repeat("-----BEGIN X-----\n"),
		"PEM headers":                 append([]byte("-----BEGIN X-----\n"), repeat("a: b\n")...),
		"PEM of 30 80":                slices.Concat([]byte("-----BEGIN X-----\n"), base64.StdEncoding.AppendEncode(nil, repeat("\x30\x80")), []byte("\n-----END X-----\n")),
		"spaces":                      repeat(" "),
		"response: great certificate": data(func(d *tsptest.DataFields) { d.Certificates = [][]byte{der.Make(der.TagSequence, repeat("\x05\x00"))} }),
		"response: many certificates": data(func(d *tsptest.DataFields) {
			d.Certificates = slices.Repeat([][]byte{der.Make(der.TagSequence)}, size/2)
		}),
		"response: many other certificates": data(func(d *tsptest.DataFields) {
			d.Certificates = slices.Repeat([][]byte{der.Make(der.Context(1))}, size/2)
		}),
		"response: many CRLs":              data(func(d *tsptest.DataFields) { d.CRLs = slices.Repeat([][]byte{der.Make(der.TagSequence)}, size/2) }),
		"response: many digest algorithms": data(func(d *tsptest.DataFields) { d.DigestAlgorithms = slices.Repeat(d.DigestAlgorithms, size/15) }),
		"response: many signers":           data(func(d *tsptest.DataFields) { d.Signers = slices.Repeat(d.Signers, size/len(d.Signers[0])) }),
		"response: great content":          data(func(d *tsptest.DataFields) { d.Content = repeat("x") }),
		"response: many attributes":        signed(slices.Repeat([][]byte{tsptest.Attribute("\x2a", null)}, size/9)...),
		"response: many values":            signed(tsptest.Attribute("\x2a", slices.Repeat([][]byte{null}, size/2)...)),
		"response: great value":            signed(tsptest.Attribute("\x2a", der.Make(der.TagOctetString, repeat("x")))),
		"response: great attribute type":   signed(tsptest.Attribute(string(repeat("\x05")), null)),
		"TSTInfo in response: many extensions": info(func(i *tsptest.InfoFields) {
			i.Extensions = der.Make(der.Context(1), bytes.Repeat(extension, size/len(extension)))
		}),
		"TSTInfo in response: great extension": info(func(i *tsptest.InfoFields) {
			i.Extensions = der.Make(der.Context(1), tsptest.Extension("1.2.3", nil, repeat("x")))
		}),
		"TSTInfo in response: great policy":        info(func(i *tsptest.InfoFields) { i.Policy = der.Make(der.TagOID, repeat("\x05")) }),
		"TSTInfo in response: great serial number": info(func(i *tsptest.InfoFields) { i.Serial = der.Make(der.TagInteger, repeat("\x05")) }),
		"TSTInfo in response: great imprint":       info(func(i *tsptest.InfoFields) { i.Imprint = tsptest.RawImprint("\x2a", nil, repeat("\x05")) }),
		"TSTInfo in response: great genTime":       info(func(i *tsptest.InfoFields) { i.GenTime = der.Make(der.TagGeneralizedTime, repeat("2")) }),
		"request: great nonce":                     request(func(r *tsptest.RequestFields) { r.Nonce = der.Make(der.TagInteger, repeat("\x05")) }),
		"request: great policy":                    request(func(r *tsptest.RequestFields) { r.Policy = der.Make(der.TagOID, repeat("\x05")) }),
		"request: great digest":                    request(func(r *tsptest.RequestFields) { r.Imprint = tsptest.RawImprint(oid.SHA256, nil, repeat("\x05")) }),
		"request: great version":                   request(func(r *tsptest.RequestFields) { r.Version = der.Make(der.TagInteger, repeat("\x05")) }),
		"request: many extensions": request(func(r *tsptest.RequestFields) {
			r.Extensions = der.Make(der.Context(0), bytes.Repeat(extension, size/len(extension)))
		}),
		"request: many nonces": request(func(r *tsptest.RequestFields) { r.Nonce = bytes.Repeat(r.Nonce, size/len(r.Nonce)) }),
		"response: many texts": der.Make(der.TagSequence, der.Make(der.TagSequence, der.AppendInt(nil, 2),
			der.Make(der.TagSequence, repeat("\x0c\x00")))),
		"response: great text": der.Make(der.TagSequence, der.Make(der.TagSequence, der.AppendInt(nil, 2),
			der.Make(der.TagSequence, der.Make(der.TagUTF8String, repeat("x"))))),
		"response: great failInfo": der.Make(der.TagSequence, der.Make(der.TagSequence, der.AppendInt(nil, 2),
			der.Make(der.TagBitString, append(make([]byte, size), 1)))),
		"longer than any message": make([]byte, tsp.MaxMessage*2+1),
	}
	parsers := []struct {
		name  string
		parse func([]byte) error
	}{
		{"ParseAny", func(in []byte) error { _, err := tsp.ParseAny(in); return err }},
		{"ParseRequest", func(in []byte) error { _, err := tsp.ParseRequest(in); return err }},
		{"ParseResponse", func(in []byte) error { _, err := tsp.ParseResponse(in); return err }},
		{"ParseToken", func(in []byte) error { _, err := tsp.ParseToken(in); return err }},
		{"ParseInfo", func(in []byte) error { _, err := tsp.ParseInfo(in); return err }},
	}
	for name, in := range inputs {
		for _, p := range parsers {
			if strings.HasPrefix(name, "request: ") && p.name != "ParseRequest" ||
				strings.Contains(name, "response: ") && p.name != "ParseResponse" {
				continue
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := p.parse(in)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			// A message has one copy, two when it came in BER or as text, and
			// what is copied besides is bounded.
			if limit := uint64(4*len(in) + 1<<20); allocated > limit {
				t.Errorf("%s of %s: %d bytes allocated for %d", p.name, name, allocated, len(in))
			}
			// Some tenths of a second on a quiet machine. Work that grows with
			// the square of the size would take hours.
			if took > 30*time.Second {
				t.Errorf("%s of %s took %v", p.name, name, took)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("%s of %s: the error has %d octets", p.name, name, len(err.Error()))
			}
		}
	}
}
