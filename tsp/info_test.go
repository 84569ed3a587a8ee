package tsp_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// info returns the canned TSTInfo after a change.
func info(t testing.TB, change func(*tsptest.InfoFields)) []byte {
	t.Helper()
	f := &tsptest.Forge{Info: change}
	out, err := f.MakeInfo()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func policy(t testing.TB) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(tsptest.PolicyOID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestInfoMarshal compares a TSTInfo with all fields with octets that
// encoding/asn1 makes.
func TestInfoMarshal(t *testing.T) {
	type accuracy struct {
		Seconds int
		Millis  int `asn1:"tag:0"`
		Micros  int `asn1:"tag:1"`
	}
	imprint := tsptest.Imprint()
	var algorithm pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(imprint.RawAlgorithm(), &algorithm); err != nil {
		t.Fatal(err)
	}
	ext := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	want, err := asn1.Marshal(struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
		Serial     int
		GenTime    asn1.RawValue
		Accuracy   accuracy
		Ordering   bool
		Nonce      int
		TSA        asn1.RawValue
		Extensions []pkix.Extension `asn1:"tag:1"`
	}{
		Version: 1, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		Imprint: struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}{algorithm, imprint.Digest},
		Serial: 77, GenTime: asn1.RawValue{FullBytes: []byte("\x18\x1320260102030405.678Z")},
		Accuracy: accuracy{1, 2, 3}, Ordering: true, Nonce: -5,
		TSA:        asn1.RawValue{FullBytes: []byte("\xa0\x05\x82\x03tsa")},
		Extensions: []pkix.Extension{ext},
	})
	if err != nil {
		t.Fatal(err)
	}
	i := &tsp.Info{
		Policy: policy(t), Imprint: imprint, Serial: tsp.Integer{77}, GenTime: tsptest.Time(),
		Accuracy: time.Second + 2*time.Millisecond + 3*time.Microsecond, HasAccuracy: true,
		Ordering: true, Nonce: tsp.Integer{0xfb}, TSA: []byte("\x82\x03tsa"), Extensions: []pkix.Extension{ext},
	}
	got, err := i.Marshal()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Marshal = %x, %v; want %x", got, err, want)
	}
	parsed, err := tsp.ParseInfo(got)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Version != 1 || !parsed.Policy.Equal(i.Policy) || !parsed.Imprint.Equal(imprint) || !parsed.Serial.Equal(i.Serial) ||
		!parsed.GenTime.Equal(i.GenTime) || parsed.Accuracy != i.Accuracy || !parsed.HasAccuracy || !parsed.Ordering ||
		!parsed.Nonce.Equal(i.Nonce) || !bytes.Equal(parsed.TSA, i.TSA) || len(parsed.Extensions) != 1 ||
		!parsed.Extensions[0].Critical || !bytes.Equal(parsed.Raw, got) {
		t.Errorf("ParseInfo = %+v, want %+v", parsed, i)
	}
}

func TestInfoMarshalRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*tsp.Info)
		want   string
	}{
		{"version", func(i *tsp.Info) { i.Version = 2 }, "version"},
		{"policy", func(i *tsp.Info) { i.Policy = x509.OID{} }, "policy"},
		{"imprint", func(i *tsp.Info) { i.Imprint = tsp.Imprint{} }, "messageImprint"},
		{"imprint too short", func(i *tsp.Info) { i.Imprint.Digest = i.Imprint.Digest[:3] }, "messageImprint"},
		{"serial missing", func(i *tsp.Info) { i.Serial = nil }, "serialNumber"},
		{"serial not minimal", func(i *tsp.Info) { i.Serial = tsp.Integer{0, 1} }, "serialNumber"},
		{"serial too long", func(i *tsp.Info) { i.Serial = bytes.Repeat([]byte{1}, 65) }, "serialNumber"},
		{"year 0", func(i *tsp.Info) { i.GenTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }, "genTime"},
		{"year 10000", func(i *tsp.Info) { i.GenTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "genTime"},
		{"accuracy negative", func(i *tsp.Info) { i.Accuracy = -1 }, "accuracy"},
		{"accuracy of a century", func(i *tsp.Info) { i.Accuracy = 100 * 365 * 24 * time.Hour }, "accuracy"},
		{"accuracy just too great", func(i *tsp.Info) { i.Accuracy = 1_000_000_001 * time.Second }, "accuracy"},
		{"accuracy too great when rounded up", func(i *tsp.Info) { i.Accuracy = 1_000_000_001*time.Second - 1 }, "accuracy"},
		{"nonce empty", func(i *tsp.Info) { i.Nonce = tsp.Integer{} }, "nonce"},
		{"nonce not minimal", func(i *tsp.Info) { i.Nonce = tsp.Integer{0xff, 0xff} }, "nonce"},
		{"extension without an identifier", func(i *tsp.Info) { i.Extensions = []pkix.Extension{{}} }, "extension"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, err := tsp.ParseInfo(info(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			tt.change(i)
			if got, err := i.Marshal(); err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Marshal = %x, %v; want nil and an error that says %q", got, err, tt.want)
			}
		})
	}
}

// TestInfoVariants is the table of TSTInfos; those that are malformed by
// themselves are among the variants of responses as well.
func TestInfoVariants(t *testing.T) {
	n := 0
	for _, v := range tsptest.Variants() {
		f := v.Forge(t)
		if f.Info == nil && f.Content == nil && f.Time.IsZero() {
			continue
		}
		n++
		t.Run(v.Name, func(t *testing.T) {
			raw, err := f.MakeInfo()
			if err != nil {
				t.Fatal(err)
			}
			i, err := tsp.ParseInfo(raw)
			if v.Verdict == tsptest.Malformed {
				if !errors.Is(err, tsp.ErrMalformed) || i != nil || !strings.HasPrefix(err.Error(), "tsp: ") {
					t.Errorf("ParseInfo(%x) = %+v, %v; want nil, malformed", raw, i, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseInfo(%x): %v", raw, err)
			}
			if again, err := i.Marshal(); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("Marshal of the parsed TSTInfo = %x, %v; want %x", again, err, raw)
			}
		})
	}
	if n < 80 {
		t.Errorf("%d variants of TSTInfo, want more", n)
	}
}

func TestInfoAccuracy(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   time.Duration
		want time.Duration
		der  string
	}{
		{"zero", 0, 0, "\x30\x00"},
		{"a nanosecond", 1, time.Microsecond, "\x30\x03\x81\x01\x01"},
		{"a microsecond", time.Microsecond, time.Microsecond, "\x30\x03\x81\x01\x01"},
		{"999 µs and a bit", 999*time.Microsecond + 1, time.Millisecond, "\x30\x03\x80\x01\x01"},
		{"a millisecond", time.Millisecond, time.Millisecond, "\x30\x03\x80\x01\x01"},
		{"999 ms", 999 * time.Millisecond, 999 * time.Millisecond, "\x30\x04\x80\x02\x03\xe7"},
		{"999,999.5 µs", 999_999_500, time.Second, "\x30\x03\x02\x01\x01"},
		{"a second", time.Second, time.Second, "\x30\x03\x02\x01\x01"},
		{"all three", time.Second + 500*time.Millisecond + 100*time.Microsecond, 1500100 * time.Microsecond, "\x30\x0a\x02\x01\x01\x80\x02\x01\xf4\x81\x01\x64"},
		{"the greatest with a fraction", 1_000_000_001*time.Second - time.Microsecond, 1_000_000_001*time.Second - time.Microsecond,
			"\x30\x0e\x02\x04\x3b\x9a\xca\x00\x80\x02\x03\xe7\x81\x02\x03\xe7"},
		{"the greatest without", 1_000_000_000 * time.Second, 1_000_000_000 * time.Second, "\x30\x06\x02\x04\x3b\x9a\xca\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, err := tsp.ParseInfo(info(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			i.Accuracy = tt.in
			got, err := i.Marshal()
			if err != nil || !bytes.Contains(got, []byte("678Z"+tt.der)) {
				t.Fatalf("Marshal with accuracy %v = %x, %v; want %x in it", tt.in, got, err, tt.der)
			}
			again, err := tsp.ParseInfo(got)
			if err != nil || again.Accuracy != tt.want || !again.HasAccuracy {
				t.Errorf("accuracy %v is read as %v, %v; want %v", tt.in, again.Accuracy, err, tt.want)
			}
		})
	}
}

func TestInfoErrorsNameTheField(t *testing.T) {
	integer := func(b ...byte) []byte { return der.Make(der.TagInteger, b) }
	for _, tt := range []struct {
		field  string
		change func(*tsptest.InfoFields)
	}{
		{"version", func(i *tsptest.InfoFields) { i.Version = nil }},
		{"version is 2", func(i *tsptest.InfoFields) { i.Version = integer(2) }},
		{"policy", func(i *tsptest.InfoFields) { i.Policy = nil }},
		{"messageImprint", func(i *tsptest.InfoFields) { i.Imprint = nil }},
		{"hashAlgorithm", func(i *tsptest.InfoFields) { i.Imprint = der.Make(der.TagSequence, integer(1)) }},
		{"hashedMessage", func(i *tsptest.InfoFields) { i.Imprint = der.Make(der.TagSequence, tsptest.Imprint().RawAlgorithm()) }},
		{"serialNumber", func(i *tsptest.InfoFields) { i.Serial = nil }},
		{"genTime", func(i *tsptest.InfoFields) { i.GenTime = nil }},
		{"accuracy", func(i *tsptest.InfoFields) { i.Accuracy = der.Make(der.TagSequence, integer(0xff)) }},
		{"millis are 5000", func(i *tsptest.InfoFields) { i.Accuracy = der.Make(der.TagSequence, []byte{0x80, 2, 0x13, 0x88}) }},
		{"micros", func(i *tsptest.InfoFields) { i.Accuracy = der.Make(der.TagSequence, []byte{0x81, 0}) }},
		{"ordering", func(i *tsptest.InfoFields) { i.Ordering = []byte{1, 1, 1} }},
		{"nonce", func(i *tsptest.InfoFields) { i.Nonce = integer(0, 1) }},
		{"tsa", func(i *tsptest.InfoFields) { i.TSA = der.Make(der.Context(0)) }},
		{"extensions", func(i *tsptest.InfoFields) { i.Extensions = der.Make(der.Context(1)) }},
		{"tag 0x85", func(i *tsptest.InfoFields) { i.Trailing = []byte{0x85, 0} }},
	} {
		i, err := tsp.ParseInfo(info(t, tt.change))
		if err == nil || i != nil || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: error is %v, want the field named", tt.field, err)
		}
	}
}

// TestParseInfoIsACopy holds that the result does not change with the input.
func TestParseInfoIsACopy(t *testing.T) {
	raw := info(t, nil)
	i, err := tsp.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if !i.Imprint.Equal(tsptest.Imprint()) || !i.Nonce.Equal(tsptest.Nonce()) || i.Raw[0] != der.TagSequence {
		t.Errorf("after the input changed, ParseInfo gave %+v", i)
	}
}

// TestTokenIsACopy holds the same for a token.
func TestTokenIsACopy(t *testing.T) {
	raw, err := tsptest.NewForge(t, pkitest.Options{}).MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(raw)
	token, err := tsp.ParseToken(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if !bytes.Equal(token.Raw, want) || !bytes.Equal(token.Content(), token.UnverifiedInfo.Raw) || !bytes.Contains(want, token.Content()) {
		t.Error("the token changed with the input")
	}
}
