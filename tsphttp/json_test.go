package tsphttp

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

func TestJSONRequest(t *testing.T) {
	digest := func(n int) []byte { return bytes.Repeat([]byte{0xfb, 0xff}, n)[:n] }
	// std and url have octets of both alphabets.
	std := base64.StdEncoding.EncodeToString(digest(32))
	url := base64.URLEncoding.EncodeToString(digest(32))
	raw := strings.TrimRight(std, "=")
	with := func(format string, args ...any) string {
		return fmt.Sprintf(`{"artifactHash":"`+std+`","hashAlgorithm":"sha256",`+format+`}`, args...)
	}
	hash := func(name string, n int) string {
		return fmt.Sprintf(`{"artifactHash":"%s","hashAlgorithm":"%s"}`, base64.StdEncoding.EncodeToString(digest(n)), name)
	}
	text := func(artifactHash string) string {
		return `{"artifactHash":"` + artifactHash + `","hashAlgorithm":"sha256"}`
	}
	tests := []struct {
		name, body string
		message    string // "" for one that is granted
		check      func(*tsp.Request) bool
	}{
		{"documented", documented, "", func(r *tsp.Request) bool {
			return r.CertReq && r.Nonce.String() == "1123343434" && r.Policy.String() == "1.3.6.1.4.1.57264.2" &&
				fmt.Sprintf("%x", r.Imprint.Digest) == "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
		}},
		{"minimal", text(std), "", func(r *tsp.Request) bool {
			return !r.CertReq && r.Nonce == nil && r.Policy.String() == "" && r.Imprint.Hash == crypto.SHA256 && bytes.Equal(r.Imprint.Digest, digest(32))
		}},
		{"white space around", " \n" + text(std) + "\r\n\t ", "", nil},
		{"URL-safe", text(url), "", nil},
		{"unpadded", text(raw), "", nil},
		{"unpadded URL-safe", text(strings.TrimRight(url, "=")), "", nil},
		{"line break inside", text(std[:10] + `\r\n` + std[10:]), "", nil},
		{"too much padding", text(std + "="), messageGeneric, nil},
		{"padding inside", text(std[:8] + "=" + std[8:]), messageGeneric, nil},
		{"stray bits", text(raw[:42] + "9"), messageGeneric, nil},
		{"other letters", text("*" + std[1:]), messageGeneric, nil},
		{"hexadecimal", text(strings.Repeat("ab", 32)), messageLength, nil},
		{"empty hash", text(""), messageLength, nil},
		{"artifactHash missing", `{"hashAlgorithm":"sha256"}`, messageLength, nil},
		{"artifactHash a number", `{"artifactHash":1,"hashAlgorithm":"sha256"}`, messageGeneric, nil},
		{"SHA256", hash("SHA256", 32), "", nil},
		{"SHA-256", hash("SHA-256", 32), "", nil},
		{"sha384", hash("sha384", 48), "", func(r *tsp.Request) bool { return r.Imprint.Hash == crypto.SHA384 }},
		{"Sha-512", hash("Sha-512", 64), "", func(r *tsp.Request) bool { return r.Imprint.Hash == crypto.SHA512 }},
		{"sha3-256", hash("sha3-256", 32), "", func(r *tsp.Request) bool { return r.Imprint.Hash == crypto.SHA3_256 }},
		{"sha512 with 32 bytes", hash("sha512", 32), messageLength, nil},
		{"sha1", hash("sha1", 20), messageWeakHash, nil},
		{"md5", hash("md5", 16), messageGeneric, nil},
		{"no algorithm", `{"artifactHash":"` + std + `"}`, messageGeneric, nil},
		{"algorithm a number", `{"artifactHash":"` + std + `","hashAlgorithm":256}`, messageGeneric, nil},
		{"negative nonce", with(`"nonce":-5`), "", func(r *tsp.Request) bool { return r.Nonce.String() == "-5" }},
		{"nonce zero", with(`"nonce":0`), "", func(r *tsp.Request) bool { return r.Nonce.String() == "0" }},
		{"nonce null", with(`"nonce":null`), "", func(r *tsp.Request) bool { return r.Nonce == nil }},
		{"nonce of 64 octets", with(`"nonce":%d%s`, 1, strings.Repeat("0", 153)), "", func(r *tsp.Request) bool { return len(r.Nonce) == 64 }},
		{"nonce of 65 octets", with(`"nonce":%s`, strings.Repeat("9", 155)), messageGeneric, nil},
		{"nonce a text", with(`"nonce":"5"`), messageGeneric, nil},
		{"nonce with fraction", with(`"nonce":1.5`), messageGeneric, nil},
		{"nonce with exponent", with(`"nonce":1e5`), messageGeneric, nil},
		{"nonce with leading zero", with(`"nonce":05`), messageGeneric, nil},
		{"nonce an object", with(`"nonce":{}`), messageGeneric, nil},
		{"certificates a text", with(`"certificates":"true"`), messageGeneric, nil},
		{"empty policy", with(`"tsaPolicyOID":""`), "", func(r *tsp.Request) bool { return r.Policy.String() == "" }},
		{"policy a number", with(`"tsaPolicyOID":1.2`), messageGeneric, nil},
		{"policy not an OID", with(`"tsaPolicyOID":"hello"`), messageOID, nil},
		{"policy with a space", with(`"tsaPolicyOID":"1.2 "`), messageOID, nil},
		{"policy 3.1", with(`"tsaPolicyOID":"3.1"`), messageOID, nil},
		{"128 components", with(`"tsaPolicyOID":"1%s"`, strings.Repeat(".1", 127)), "", nil},
		{"129 components", with(`"tsaPolicyOID":"1%s"`, strings.Repeat(".1", 128)), messageOID, nil},
		{"unknown field", with(`"artifact":{"a":[1,2,{}]}`), "", nil},
		{"other letter case", `{"ArtifactHash":"` + std + `","HASHALGORITHM":"sha256"}`, "", nil},
		{"field twice", with(`"artifactHash":"` + std + `"`), messageGeneric, nil},
		{"field twice in other case", with(`"ARTIFACTHASH":"` + std + `"`), messageGeneric, nil},
		{"trailing garbage", text(std) + "x", messageGeneric, nil},
		{"two objects", text(std) + text(std), messageGeneric, nil},
		{"comma at the end", with(`"nonce":1,`), messageGeneric, nil},
		{"not closed", strings.TrimSuffix(text(std), "}"), messageGeneric, nil},
		{"key not a string", `{1:2}`, messageGeneric, nil},
		{"array", "[" + text(std) + "]", messageGeneric, nil},
		{"null", "null", messageGeneric, nil},
		{"text", `"hello"`, messageGeneric, nil},
		{"DER", string(requestDER(t)), messageGeneric, nil},
		{"deep", strings.Repeat("[", 1000), messageGeneric, nil},
		{"deep value", `{"a":` + strings.Repeat("[", 1000), messageGeneric, nil},
		{"empty", "", messageGeneric, nil},
		{"white space", "  \n", messageGeneric, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &parsing{}
			w := serve(newHandler(t, HandlerConfig{Responder: p}), post([]byte(tt.body), "Content-Type: application/json"))
			if tt.message == "" {
				got := p.last.Load()
				if w.Code != 200 || got == nil || !bytes.Equal(w.Body.Bytes(), cannedReply) {
					t.Fatalf("answer is %d %s", w.Code, w.Body)
				}
				if tt.check != nil && !tt.check(got) {
					t.Errorf("request is %+v", got)
				}
				return
			}
			var e jsonError
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if w.Code != 400 || e.Code != 400 || e.Message != tt.message || p.last.Load() != nil {
				t.Errorf("answer is %d %+v, want 400 %q", w.Code, e, tt.message)
			}
			if (e.Detail != "") != (tt.message == messageGeneric) {
				t.Errorf("detail is %q", e.Detail)
			}
		})
	}
}

// TestJSONQuadratic shows that neither a giant number nor a giant identifier
// is converted (A14, A16). The limit of the body would not let them in.
func TestJSONQuadratic(t *testing.T) {
	for name, body := range map[string]string{
		"nonce":  `{"artifactHash":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=","hashAlgorithm":"sha256","nonce":` + strings.Repeat("9", 2_000_000) + `}`,
		"policy": `{"artifactHash":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=","hashAlgorithm":"sha256","tsaPolicyOID":"1` + strings.Repeat(".1", 1_000_000) + `"}`,
	} {
		start := time.Now()
		if _, err := parseJSON([]byte(body)); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func FuzzJSONRequest(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(`{"artifactHash":"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg","hashAlgorithm":"SHA3-256","nonce":-170141183460469231731687303715884105728}`))
	f.Add([]byte(`{"hashAlgorithm":"sha1","nonce":null,"x":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := parseJSON(body)
		if err != nil {
			var r *tsp.Rejection
			if req != nil || !errors.As(err, &r) {
				t.Fatalf("got %v, %v, want nil and a Rejection", req, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepted, and is not JSON")
		}
		der, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := tsp.ParseRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Imprint.Equal(req.Imprint) || !again.Nonce.Equal(req.Nonce) || !again.Policy.Equal(req.Policy) || again.CertReq != req.CertReq {
			t.Fatalf("got %+v, want %+v", again, req)
		}
		// The same in canonical JSON gives the same request.
		canonical := map[string]any{
			"artifactHash": req.Imprint.Digest, "hashAlgorithm": req.Imprint.Hash.String(),
			"certificates": req.CertReq, "tsaPolicyOID": req.Policy.String(),
		}
		if req.Nonce != nil {
			canonical["nonce"] = req.Nonce.Big()
		}
		text, err := json.Marshal(canonical)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if twice, err := second.Marshal(); err != nil || !bytes.Equal(twice, der) {
			t.Fatalf("%s: got %x, %v, want %x", text, twice, err, der)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("application/timestamp-query; charset=utf-8", "application/json;q=0.5, */*;q=0")
	f.Add("APPLICATION/json;", "application/*;q=1e400, application/timestamp-reply;q=nan")
	f.Fuzz(func(t *testing.T, contentType, accept string) {
		h := newHandler(t, HandlerConfig{})
		r := post([]byte(documented))
		r.Header["Content-Type"], r.Header["Accept"] = []string{contentType}, []string{accept}
		w := serve(h, r)
		if w.Code != 200 && w.Code != 415 || w.Body.Len() == 0 || w.Body.Len() > 4096 {
			t.Fatalf("answer is %d with %d bytes", w.Code, w.Body.Len())
		}
	})
}
