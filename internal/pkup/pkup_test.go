package pkup

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"
)

var (
	begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end   = time.Date(2027, 4, 2, 3, 4, 5, 0, time.UTC)
)

func with(values ...string) *x509.Certificate {
	cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}}}}
	for _, v := range values {
		cert.Extensions = append(cert.Extensions, pkix.Extension{Id: oidPrivateKeyUsagePeriod, Value: []byte(v)})
	}
	return cert
}

func TestParse(t *testing.T) {
	const both = "\x30\x22\x80\x0f20260102030405Z\x81\x0f20270402030405Z"
	for _, tt := range []struct {
		name       string
		cert       *x509.Certificate
		begin, end time.Time
		ok, fails  bool
	}{
		{name: "absent", cert: with()},
		{name: "both", cert: with(both), begin: begin, end: end, ok: true},
		{name: "only notBefore", cert: with("\x30\x11\x80\x0f20260102030405Z"), begin: begin, ok: true},
		{name: "only notAfter", cert: with("\x30\x11\x81\x0f20270402030405Z"), end: end, ok: true},
		{name: "one instant", cert: with("\x30\x22\x80\x0f20260102030405Z\x81\x0f20260102030405Z"), begin: begin, end: begin, ok: true},
		{name: "twice", cert: with(both, both), fails: true},
		{name: "empty value", cert: with(""), fails: true},
		{name: "empty sequence", cert: with("\x30\x00"), fails: true},
		{name: "not a sequence", cert: with("\x04\x00"), fails: true},
		{name: "trailing bytes", cert: with(both + "\x00"), fails: true},
		{name: "trailing element", cert: with("\x30\x13\x80\x0f20260102030405Z\x82\x00"), fails: true},
		{name: "wrong order", cert: with("\x30\x22\x81\x0f20270402030405Z\x80\x0f20260102030405Z"), fails: true},
		{name: "explicit tag", cert: with("\x30\x13\xa0\x11\x18\x0f20260102030405Z"), fails: true},
		{name: "backwards", cert: with("\x30\x22\x80\x0f20270402030405Z\x81\x0f20260102030405Z"), fails: true},
		{name: "fraction", cert: with("\x30\x13\x80\x1120260102030405.1Z"), fails: true},
		{name: "offset", cert: with("\x30\x15\x80\x1320260102030405+0000"), fails: true},
		{name: "no seconds", cert: with("\x30\x0f\x80\x0d202601020304Z"), fails: true},
		{name: "month 13", cert: with("\x30\x11\x80\x0f20261302030405Z"), fails: true},
		{name: "year one", cert: with("\x30\x11\x80\x0f00010101000000Z"), fails: true},
		{name: "truncated", cert: with("\x30\x11\x80\x0f20260102030405"), fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gotBegin, gotEnd, ok, err := Parse(tt.cert)
			if (err != nil) != tt.fails {
				t.Fatalf("Parse error: %v, want one: %t", err, tt.fails)
			}
			if !gotBegin.Equal(tt.begin) || !gotEnd.Equal(tt.end) || ok != tt.ok {
				t.Errorf("Parse = %v, %v, %t, want %v, %v, %t", gotBegin, gotEnd, ok, tt.begin, tt.end, tt.ok)
			}
		})
	}
}

func TestExtension(t *testing.T) {
	for _, tt := range []struct {
		name       string
		begin, end time.Time
		fails      bool
	}{
		{name: "both", begin: begin, end: end},
		{name: "other zone", begin: begin.In(time.FixedZone("CET", 3600)), end: end},
		{name: "only notBefore", begin: begin},
		{name: "only notAfter", end: end},
		{name: "neither", fails: true},
		{name: "backwards", begin: end, end: begin, fails: true},
		{name: "year 10000", end: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ext, err := Extension(tt.begin, tt.end)
			if (err != nil) != tt.fails {
				t.Fatalf("Extension error: %v, want one: %t", err, tt.fails)
			}
			if tt.fails {
				return
			}
			if ext.Critical {
				t.Error("extension is critical")
			}
			gotBegin, gotEnd, ok, err := Parse(&x509.Certificate{Extensions: []pkix.Extension{ext}})
			if err != nil || !ok || !gotBegin.Equal(tt.begin) || !gotEnd.Equal(tt.end) {
				t.Errorf("Parse = %v, %v, %t, %v, want %v, %v", gotBegin, gotEnd, ok, err, tt.begin, tt.end)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x30\x22\x80\x0f20260102030405Z\x81\x0f20270402030405Z"))
	f.Add([]byte("\x30\x11\x81\x0f20270402030405Z"))
	f.Add([]byte("\x30\x00"))
	f.Fuzz(func(t *testing.T, der []byte) {
		begin, end, ok, err := Parse(with(string(der)))
		if err != nil {
			if ok || !begin.IsZero() || !end.IsZero() {
				t.Fatalf("Parse(%x) = %v, %v, %t with error %v", der, begin, end, ok, err)
			}
			return
		}
		ext, err := Extension(begin, end)
		if err != nil || !bytes.Equal(ext.Value, der) {
			t.Fatalf("Extension(Parse(%x)) = %x, %v", der, ext.Value, err)
		}
	})
}
