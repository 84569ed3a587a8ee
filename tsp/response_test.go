package tsp_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestParseResponseErrors holds that an error names what is wrong. That each
// variant is refused or read is tested with the table of variants.
func TestParseResponseErrors(t *testing.T) {
	for name, want := range map[string]string{
		"status-granted-without-token":           "status is granted but there is no token",
		"status-granted-with-mods-without-token": "status is grantedWithMods but there is no token",
		"status-granted-with-fail-info":          "status is granted but there is a failInfo",
		"status-rejection-with-token":            "status is rejection but there is a token",
		"status-6":                               "PKIStatus 6 is unknown",
		"status-negative":                        "PKIStatus -1 is unknown",
		"status-giant":                           "malformed PKIStatus",
		"status-text-not-utf8":                   "statusString",
		"status-17-texts":                        "more than 16",
		"refused-fail-info-bit-1":                "failInfo bit 1 is unknown",
		"refused-fail-info-bit-26":               "failInfo bit 26 is unknown",
		"refused-fail-info-bit-200":              "failInfo bit 200 is unknown",
		"refused-fail-info-two-bits":             "both badAlg and badRequest",
		"refused-fail-info-padding-9":            "malformed failInfo",
		"response-trailing-behind":               "after the end",
		"response-two-tokens":                    "timeStampToken",
		"token-trailing":                         "element is cut off",
		"token-is-data":                          "is not id-signedData",
		"no-signerinfo":                          "no signerInfo",
		"two-signerinfos":                        "more than one signerInfo",
		"content-absent":                         "the TSTInfo is not in the token",
		"content-type-data":                      "1.2.840.113549.1.7.1 is not id-ct-TSTInfo",
		"tstinfo-trailing-behind":                "TSTInfo: 1 bytes after the end",
		"accuracy-millis-5000":                   "TSTInfo: accuracy: millis are 5000",
		"gentime-with-comma":                     "TSTInfo: genTime: fraction does not begin with a point",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tsp.ParseResponse(variant(t, name).Response(t))
			if !errors.Is(err, tsp.ErrMalformed) || r != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseResponse = %v, %v; want nil and a malformed that says %q", r, err, want)
			}
		})
	}
}

func variant(t testing.TB, name string) tsptest.Variant {
	t.Helper()
	for _, v := range tsptest.Variants() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no variant is called %s", name)
	return tsptest.Variant{}
}

func TestParseResponseRefusal(t *testing.T) {
	r, err := tsp.ParseResponse(variant(t, "refused-with-text-alone").Response(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Text, []string{"no", "never"}) || r.Rejection.Text != "no; never" || r.Rejection.Info != tsp.NoFailureInfo ||
		r.Status != tsp.StatusRejection || r.Token != nil {
		t.Errorf("ParseResponse = %+v with %+v", r, r.Rejection)
	}
	// What can be shown of a text of controls and of one without end.
	for _, tt := range []struct{ text, want string }{
		{"a\x1b]0;b\a\r\nc", "a ]0;b   c"},
		{"\u202etxt.exe", " txt.exe"},
		{strings.Repeat("ü", 1<<20), strings.Repeat("ü", 200)},
	} {
		f := tsptest.NewForge(t, pkitest.Options{})
		f.Response = func(r *tsptest.ResponseFields) {
			r.Status, r.Token = der.AppendInt(nil, 2), nil
			r.Text = der.Make(der.TagSequence, der.Make(der.TagUTF8String, []byte(tt.text)))
		}
		r := f.ParsedResponse(t)
		if r.Rejection.Text != tt.want || r.Text[0] != tt.text {
			t.Errorf("text %.20q is shown as %.200q, want %.20q", tt.text, r.Rejection.Text, tt.want)
		}
	}
	r, err = tsp.ParseResponse(variant(t, "refused-fail-info-untrimmed").Response(t))
	if err != nil || !errors.Is(r.Rejection, tsp.BadAlg) {
		t.Errorf("with trailing zero bits: %+v, %v; want badAlg", r, err)
	}
	r, err = tsp.ParseResponse(variant(t, "refused-waiting").Response(t))
	if err != nil || r.Status != tsp.StatusWaiting || r.Rejection.Status != tsp.StatusWaiting || !strings.Contains(r.Rejection.Error(), "waiting") {
		t.Errorf("waiting: %+v, %v", r, err)
	}
}

// TestParseResponseBER holds that BER outside the signed parts changes nothing
// about what is read.
func TestParseResponseBER(t *testing.T) {
	plain, err := tsp.ParseResponse(variant(t, "plain").Response(t))
	if err != nil {
		t.Fatal(err)
	}
	raw := variant(t, "ber-indefinite").Response(t)
	got, err := tsp.ParseResponse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(raw, plain.Raw) || !reflect.DeepEqual(got, plain) {
		t.Errorf("in BER: %+v, want what it is in DER: %+v", got, plain)
	}
}

// TestParseToken goes through the fields of a token.
func TestParseToken(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Data = func(d *tsptest.DataFields) {
		d.Version = der.AppendInt(nil, 1)
		d.Certificates = [][]byte{der.Make(der.Context(2), der.AppendInt(nil, 1)), f.Chain[1], f.Chain[0]}
		d.CRLs = [][]byte{f.CRL}
	}
	f.Signer = func(s *tsptest.SignerFields) {
		s.Digest = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.SHA256)), der.Make(der.TagNull))
		s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute("\x2a\x03\x04", der.AppendInt(nil, 1)))
	}
	token := f.ParsedToken(t)
	if token.Version != 1 || len(token.Certificates) != 2 || !bytes.Equal(token.Certificates[0], f.Chain[1]) ||
		token.OtherCertificates != 1 || len(token.CRLs) != 1 || !bytes.Equal(token.CRLs[0], f.CRL) {
		t.Errorf("ParseToken = version %d, %d certificates, %d others, %d CRLs", token.Version, len(token.Certificates), token.OtherCertificates, len(token.CRLs))
	}
	s := token.Signer
	if s.Version != 1 || s.Digest.OID.String() != "2.16.840.1.101.3.4.2.1" || string(s.Digest.Parameters) != "\x05\x00" ||
		s.Algorithm.OID.String() != "1.2.840.10045.4.3.2" || s.Algorithm.Parameters != nil {
		t.Errorf("signer is %+v", s)
	}
	if len(s.SignedAttributes) != 3 || len(s.UnsignedAttributes) != 1 || s.UnsignedAttributes[0].Type.String() != "1.2.3.4" ||
		string(s.UnsignedAttributes[0].Values[0]) != "\x02\x01\x01" || s.RawSignedAttributes[0] != der.TagSet {
		t.Errorf("attributes are %+v and %+v", s.SignedAttributes, s.UnsignedAttributes)
	}
	leaf := pkitest.TSA(t, pkitest.Options{}).Leaf
	if !bytes.Equal(s.Issuer, leaf.RawIssuer) || s.Serial.Big().Cmp(leaf.SerialNumber) != 0 || s.SubjectKeyID != nil {
		t.Errorf("signer is named %x, %s; want the leaf", s.Issuer, s.Serial)
	}
	byKey := variant(t, "sid-key-identifier").Forge(t).ParsedToken(t).Signer
	if byKey.Issuer != nil || byKey.Serial != nil || !bytes.Equal(byKey.SubjectKeyID, leaf.SubjectKeyId) || byKey.Version != 3 {
		t.Errorf("signer by key is %+v", byKey)
	}
	if none := variant(t, "signed-attributes-absent").Forge(t).ParsedToken(t).Signer; none.RawSignedAttributes != nil || none.SignedAttributes != nil {
		t.Errorf("without signed attributes: %+v", none)
	}
}

// TestTokenIsNoResponse holds that the two are not taken for one another.
func TestTokenIsNoResponse(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	token, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	response, err := f.MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := tsp.ParseResponse(token); !errors.Is(err, tsp.ErrMalformed) || r != nil {
		t.Errorf("ParseResponse of a token = %v, %v", r, err)
	}
	if r, err := tsp.ParseToken(response); !errors.Is(err, tsp.ErrMalformed) || r != nil {
		t.Errorf("ParseToken of a response = %v, %v", r, err)
	}
	if r, err := tsp.ParseRequest(response); !errors.Is(err, tsp.BadDataFormat) || r != nil {
		t.Errorf("ParseRequest of a response = %v, %v", r, err)
	}
}

// TestTruncated cuts a response at every octet.
func TestTruncated(t *testing.T) {
	raw := variant(t, "plain").Response(t)
	for n := range raw {
		if r, err := tsp.ParseResponse(raw[:n]); !errors.Is(err, tsp.ErrMalformed) || r != nil {
			t.Fatalf("ParseResponse of %d octets of %d = %v, %v", n, len(raw), r, err)
		}
	}
}
