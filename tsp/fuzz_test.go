package tsp_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// seeds adds the files of OpenSSL with the given ending, and each variant that
// pick makes something of.
func seeds(f *testing.F, ending string, pick func(*tsptest.Forge) ([]byte, error)) {
	f.Helper()
	files, err := filepath.Glob("testdata/openssl/*" + ending)
	if err != nil || len(files) == 0 {
		f.Fatalf("no files *%s, %v", ending, err)
	}
	for _, name := range files {
		f.Add(fromOpenSSL(f, filepath.Base(name)))
	}
	if pick == nil {
		return
	}
	for _, v := range tsptest.Variants() {
		if v.Options.Key != pkitest.P256 {
			continue
		}
		b, err := pick(v.Forge(f))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// FuzzParseRequest holds that what is accepted has one encoding, and that a
// refusal is a Rejection that can be sent.
func FuzzParseRequest(f *testing.F) {
	seeds(f, ".tsq", nil)
	for _, v := range tsptest.Requests() {
		if len(v.DER) < 10_000 {
			f.Add(v.DER)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := tsp.ParseRequest(in)
		if err != nil {
			var rejection *tsp.Rejection
			if r != nil || !errors.As(err, &rejection) {
				t.Fatalf("ParseRequest = %v, %v; want nil and a Rejection", r, err)
			}
			back, err := tsp.ParseResponse(rejection.Marshal())
			if err != nil || back.Rejection.Info != rejection.Info || back.Rejection.Text == "" {
				t.Fatalf("the refusal %v is read as %v, %v", rejection, back, err)
			}
			return
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, in) || !bytes.Equal(r.Raw, in) {
			t.Fatalf("Marshal = %x, %v; want %x", again, err, in)
		}
	})
}

// FuzzParseInfo holds that what is accepted has one encoding.
func FuzzParseInfo(f *testing.F) {
	files, err := filepath.Glob("testdata/openssl/*[ac].tsr")
	if err != nil || len(files) == 0 {
		f.Fatal("no files", err)
	}
	for _, name := range files {
		r, err := tsp.ParseResponse(fromOpenSSL(f, filepath.Base(name)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Token.Content())
	}
	for _, v := range tsptest.Variants() {
		b, err := v.Forge(f).MakeInfo()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		i, err := tsp.ParseInfo(in)
		if err != nil {
			if i != nil || !errors.Is(err, tsp.ErrMalformed) {
				t.Fatalf("ParseInfo = %v, %v; want nil and malformed", i, err)
			}
			return
		}
		if again, err := i.Marshal(); err != nil || !bytes.Equal(again, in) || !bytes.Equal(i.Raw, in) {
			t.Fatalf("Marshal = %x, %v; want %x", again, err, in)
		}
	})
}

// FuzzParseToken holds that the DER of a token is read as the token, and that
// its TSTInfo has one encoding.
func FuzzParseToken(f *testing.F) {
	seeds(f, ".tst", (*tsptest.Forge).MakeToken)
	f.Fuzz(func(t *testing.T, in []byte) {
		token, err := tsp.ParseToken(in)
		if err != nil {
			if token != nil || !errors.Is(err, tsp.ErrMalformed) {
				t.Fatalf("ParseToken = %v, %v; want nil and malformed", token, err)
			}
			return
		}
		checkToken(t, token)
	})
}

func checkToken(t *testing.T, token *tsp.Token) {
	t.Helper()
	again, err := tsp.ParseToken(token.Raw)
	if err != nil || !reflect.DeepEqual(again, token) {
		t.Fatalf("the DER %x is read as %+v, %v; want %+v", token.Raw, again, err, token)
	}
	info, err := token.UnverifiedInfo.Marshal()
	if err != nil || !bytes.Equal(info, token.Content()) || !bytes.Contains(token.Raw, info) {
		t.Fatalf("TSTInfo %x is marshalled as %x, %v", token.Content(), info, err)
	}
}

// FuzzParseResponse holds that a response has a token or a refusal, and that
// its DER is read as the response.
func FuzzParseResponse(f *testing.F) {
	seeds(f, ".tsr", (*tsptest.Forge).MakeResponse)
	for _, info := range tsp.FailureInfos() {
		f.Add(tsp.Reject(info, "no").Marshal())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := tsp.ParseResponse(in)
		if err != nil {
			if r != nil || !errors.Is(err, tsp.ErrMalformed) {
				t.Fatalf("ParseResponse = %v, %v; want nil and malformed", r, err)
			}
			return
		}
		checkResponse(t, r)
	})
}

func checkResponse(t *testing.T, r *tsp.Response) {
	t.Helper()
	again, err := tsp.ParseResponse(r.Raw)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Fatalf("the DER %x is read as %+v, %v; want %+v", r.Raw, again, err, r)
	}
	if (r.Token == nil) == (r.Rejection == nil) || (r.Token != nil) != (r.Status <= tsp.StatusGrantedWithMods) {
		t.Fatalf("status %v with token %v and rejection %v", r.Status, r.Token, r.Rejection)
	}
	if r.Token != nil {
		checkToken(t, r.Token)
		return
	}
	back, err := tsp.ParseResponse(r.Rejection.Marshal())
	if err != nil || back.Status != r.Status || back.Rejection.Info != r.Rejection.Info {
		t.Fatalf("the refusal %v is sent on as %v, %v", r.Rejection, back, err)
	}
}

// FuzzParseAny holds that a message is one of the three, whatever its form.
func FuzzParseAny(f *testing.F) {
	for _, ending := range []string{".tsq", ".tst", ".b64", ".pem"} {
		seeds(f, ending, nil)
	}
	seeds(f, ".tsr", nil)
	f.Add([]byte(base64.RawURLEncoding.EncodeToString(tsptest.RequestDER())))
	f.Add([]byte("-----BEGIN TIMESTAMP-----\nx: y\n\n" + base64.StdEncoding.EncodeToString(tsptest.RequestDER()) + "\n-----END TIMESTAMP-----"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := tsp.ParseAny(in)
		if err != nil {
			var rejection *tsp.Rejection
			if m != nil || !errors.Is(err, tsp.ErrMalformed) && !errors.As(err, &rejection) || !strings.HasPrefix(err.Error(), "tsp: ") {
				t.Fatalf("ParseAny = %v, %v; want nil and malformed or a Rejection", m, err)
			}
			return
		}
		n := 0
		if m.Request != nil {
			n++
			if again, err := m.Request.Marshal(); err != nil || !bytes.Equal(again, m.Request.Raw) {
				t.Fatalf("Marshal = %x, %v; want %x", again, err, m.Request.Raw)
			}
		}
		if m.Response != nil {
			n++
			checkResponse(t, m.Response)
		}
		if m.Token != nil {
			n++
			checkToken(t, m.Token)
		}
		if n != 1 {
			t.Fatalf("ParseAny = %+v: %d messages", m, n)
		}
		if token, err := m.TimeStampToken(); (token == nil) == (err == nil) {
			t.Fatalf("TimeStampToken = %v, %v", token, err)
		}
	})
}

// FuzzParseInteger holds that text and octets are of the same number.
func FuzzParseInteger(f *testing.F) {
	for _, s := range []string{"0", "-1", "128", "0x7f", "-0x80", "1234567890123456789012345678901234567890"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := tsp.ParseInteger(text)
		if err != nil {
			if i != nil {
				t.Fatalf("ParseInteger(%q) = %v, %v", text, i, err)
			}
			return
		}
		for _, again := range []string{i.String(), i.Hex()} {
			if j, err := tsp.ParseInteger(again); err != nil || !j.Equal(i) {
				t.Fatalf("ParseInteger(%q) = %x, and of %q = %x, %v", text, i, again, j, err)
			}
		}
		if !tsp.NewInteger(i.Big()).Equal(i) || len(i) > tsp.MaxInteger {
			t.Fatalf("ParseInteger(%q) = %x, not minimal", text, i)
		}
	})
}
