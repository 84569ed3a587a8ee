package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// The messages of sigstore/timestamp-authority, on which its clients match.
const (
	generic   = "400 Error generating timestamp response"
	weak      = "400 Weak hash algorithm in timestamp request"
	length    = "400 Message digest has incorrect length for specified algorithm"
	policy    = "400 unaccepted policy: requested TSA policy is not supported by the TSA"
	extension = "400 unaccepted extension: requested extensions are not supported by the TSA"
	oidText   = "400 OID should be comprised of at most 128 components"
	granted   = "200 granted"
)

// verdict puts an answer into words: the status, and "granted", the failure
// information or the message of the JSON.
func verdict(t *testing.T, resp *http.Response, body []byte) string {
	t.Helper()
	switch resp.Header.Get("Content-Type") {
	case tsphttp.TypeReply:
		reply, err := tsp.ParseResponse(body)
		if err != nil {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		if reply.Rejection != nil {
			return fmt.Sprintf("%d %s", resp.StatusCode, reply.Rejection.Info.String())
		}
		return fmt.Sprintf("%d %v", resp.StatusCode, reply.Status)
	case "application/json":
		var refusal struct {
			Code    int
			Message string
		}
		if err := json.Unmarshal(body, &refusal); err != nil || refusal.Code != resp.StatusCode {
			t.Fatalf("%d with the body %q, %v", resp.StatusCode, body, err)
		}
		return fmt.Sprintf("%d %s", refusal.Code, refusal.Message)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// TestNamesake asks what was measured at sigstore/timestamp-authority v2.1.3.
// Where ours differs from theirs, theirs granted what RFC 3161 does not allow,
// answered with nothing, or refused what is clear.
func TestNamesake(t *testing.T) {
	plain, _ := start(t, nil)
	asJSON, _ := start(t, func(b *bench) { b.config.Refusals = tsphttp.RefusalJSON })
	vectors := map[string][]byte{}
	for _, v := range tsptest.Requests() {
		vectors[v.Name] = v.DER
	}
	for _, test := range []struct {
		vector string // of tsptest.Requests
		want   string // "200" and the PKIFailureInfo
		asJSON string // with --refusal-format json
		theirs string // "": the same as asJSON
	}{
		{"minimal", granted, granted, ""},
		{"nonce and certReq", granted, granted, ""},
		{"SHA-384", granted, granted, ""},
		{"SHA-512", granted, granted, ""},
		{"default policy", granted, granted, ""},
		{"hash parameters absent", granted, granted, ""},
		{"random bytes", "200 badDataFormat", generic, ""},
		{"truncated", "200 badDataFormat", generic, ""},
		{"bytes behind the request", "200 badDataFormat", generic, ""},
		{"length in long form", "200 badDataFormat", generic, ""},
		{"indefinite length", "200 badDataFormat", generic, ""},
		{"version not minimal", "200 badDataFormat", generic, ""},
		{"certReq 01", "200 badDataFormat", generic, ""},
		{"certReq FALSE written out", granted, granted, ""},
		{"MD5", "200 badAlg", generic, ""},
		{"SHA-1", "200 badAlg", weak, ""},
		{"SHA-224", "200 badAlg", generic, ""},
		{"SHA3-256", "200 badAlg", generic, ""},
		{"unknown hash 1.2.3.4", "200 badAlg", generic, ""},
		{"SHA-256 digest of 31 octets", "200 badDataFormat", length, ""},
		{"SHA-256 digest of 33 octets", "200 badDataFormat", length, ""},
		{"SHA-256 digest of 0 octets", "200 badDataFormat", length, generic},
		{"hash parameters INTEGER", "200 badAlg", generic, granted},
		{"unknown policy", "200 unacceptedPolicy", policy, ""},
		{"policy with 200 arcs", "200 unacceptedPolicy", policy, ""},
		{"extension", "200 unacceptedExtension", extension, ""},
		{"critical extension", "200 unacceptedExtension", extension, ""},
		{"extensions empty", "200 badDataFormat", generic, granted},
		{"version 0", "200 badRequest", generic, granted},
		{"version 2", "200 badRequest", generic, granted},
		{"version -1", "200 badRequest", generic, granted},
		{"version 99999999999", "200 badRequest", generic, granted},
		{"nonce 0", granted, granted, ""},
		{"nonce -5", granted, granted, ""},
		{"nonce of 20 octets", granted, granted, ""},
		{"nonce of 40 octets", granted, granted, ""},
		{"nonce of 8 KiB", "200 badRequest", generic, granted},
		{"nonce of 1 MB", "200 badRequest", generic, granted},
		{"nonce not minimal", "200 badDataFormat", generic, ""},
		{"nonce empty", "200 badDataFormat", generic, ""},
		{"two nonces", "200 badDataFormat", generic, granted},
		{"unknown element [5] at the end", "200 badDataFormat", generic, granted},
		{"empty", "200 badDataFormat", generic, "422 request in body is required"},
		{"900 KiB of zeros", "200 badDataFormat", generic, ""},
	} {
		t.Run(test.vector, func(t *testing.T) {
			der, ok := vectors[test.vector]
			if !ok {
				t.Fatal("there is no such vector")
			}
			for at, want := range map[string]string{plain.Public[0]: test.want, asJSON.Public[0]: test.asJSON} {
				resp, body := exchange(t, "POST", at+PathTimestamp, der, "Content-Type: application/timestamp-query")
				if got := verdict(t, resp, body); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
			if test.theirs == test.asJSON {
				t.Error("the row claims a difference and has none")
			}
		})
	}
}

// exchange sends a request over a real connection.
func exchange(t *testing.T, method, url string, content []byte, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) == 0 && method != "HEAD" && resp.StatusCode != http.StatusNoContent {
		t.Errorf("%d without a body", resp.StatusCode)
	}
	return resp, body
}

// TestNamesakeJSON is [TestNamesake] for requests in JSON.
func TestNamesakeJSON(t *testing.T) {
	at, _ := start(t, nil)
	digest := tsptest.Imprint().Digest
	std, url := base64.StdEncoding.EncodeToString(digest), base64.URLEncoding.EncodeToString(digest)
	text := func(hash, name, more string) string {
		return `{"artifactHash":"` + hash + `","hashAlgorithm":"` + name + `"` + more + `}`
	}
	for _, test := range []struct{ name, body, want, theirs string }{
		{"good", text(std, "sha256", `,"certificates":true,"nonce":1123343434,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"`), granted, ""},
		{"upper case", text(std, "SHA256", ""), granted, ""},
		{"hyphen", text(std, "SHA-256", ""), granted, generic},
		{"URL-safe base64", text(url, "sha256", ""), granted, generic},
		{"base64 without padding", text(strings.TrimRight(std, "="), "sha256", ""), granted, generic},
		{"line break in base64", text(std[:10]+`\n`+std[10:], "sha256", ""), granted, ""},
		{"bad base64", text("*"+std[1:], "sha256", ""), generic, ""},
		{"hexadecimal", text(strings.Repeat("ab", 32), "sha256", ""), length, ""},
		{"unknown field", text(std, "sha256", `,"x":{}`), granted, ""},
		{"key twice", text(std, "sha256", `,"artifactHash":"`+std+`"`), generic, granted},
		{"trailing garbage", text(std, "sha256", "") + "x", generic, ""},
		{"sha1", text(std[:28], "sha1", ""), weak, ""},
		{"hashAlgorithm missing", `{"artifactHash":"` + std + `"}`, generic, ""},
		{"artifactHash missing", `{"hashAlgorithm":"sha256"}`, length, ""},
		{"negative nonce", text(std, "sha256", `,"nonce":-5`), granted, ""},
		{"nonce a text", text(std, "sha256", `,"nonce":"5"`), generic, ""},
		{"nonce 1.5", text(std, "sha256", `,"nonce":1.5`), generic, ""},
		{"policy not an OID", text(std, "sha256", `,"tsaPolicyOID":"x"`), oidText, ""},
		{"unaccepted policy", text(std, "sha256", `,"tsaPolicyOID":"1.2.3"`), policy, ""},
		{"array", "[]", generic, ""},
		{"null", "null", generic, ""},
		{"more than 1024 bytes", text(std, "sha256", `,"x":"`+strings.Repeat("x", 1024)+`"`), "400 timestamp request is too large", ""},
		{"DER", string(tsptest.RequestDER()), generic, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, mediaType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON"} {
				resp, body := exchange(t, "POST", at.Public[0]+PathTimestamp, []byte(test.body), "Content-Type: "+mediaType)
				if got := verdict(t, resp, body); got != test.want {
					t.Errorf("%s: %s, want %s", mediaType, got, test.want)
				}
			}
			if test.theirs == test.want {
				t.Error("the row claims a difference and has none")
			}
		})
	}
}

// TestNamesakeHTTP is [TestNamesake] for what HTTP has to say.
func TestNamesakeHTTP(t *testing.T) {
	at, _ := start(t, nil)
	const query, ping = "Content-Type: application/timestamp-query", "200 ."
	allowed := ", only [application/timestamp-query application/json] are allowed"
	for _, test := range []struct{ name, method, path, header, want, theirs string }{
		{"10 MiB", "POST", PathTimestamp, query, "413 timestamp request is too large", generic},
		{"no content type", "POST", PathTimestamp, "", `415 unsupported media type "application/octet-stream"` + allowed, ""},
		{"text", "POST", PathTimestamp, "Content-Type: text/plain", `415 unsupported media type "text/plain"` + allowed, ""},
		{"octets", "POST", PathTimestamp, "Content-Type: application/octet-stream", `415 unsupported media type "application/octet-stream"` + allowed, ""},
		{"capitals", "POST", PathTimestamp, "Content-Type: APPLICATION/TIMESTAMP-QUERY", granted, ""},
		{"parameter", "POST", PathTimestamp, "Content-Type: application/timestamp-query; charset=binary", granted, ""},
		{"malformed content type", "POST", PathTimestamp, "Content-Type: a/b/c;", `415 unsupported media type "a/b/c;"` + allowed, "400"},
		{"Accept JSON", "POST", PathTimestamp, query + "\nAccept: application/json", granted, "500"},
		{"Accept another type of reply", "POST", PathTimestamp, query + "\nAccept: application/timestamp-response", granted, "500"},
		{"Accept HTML", "POST", PathTimestamp, query + "\nAccept: text/html", granted, "500"},
		{"gzip", "POST", PathTimestamp, query + "\nContent-Encoding: gzip", "415 content codings are not supported, only identity is", granted},
		{"GET", "GET", PathTimestamp, "", "405 method GET is not allowed, but [POST] are", ""},
		{"HEAD", "HEAD", PathTimestamp, "", "405", ""},
		{"PUT", "PUT", PathTimestamp, "", "405 method PUT is not allowed, but [POST] are", ""},
		{"preflight", "OPTIONS", PathTimestamp, "Origin: https://a.example\nAccess-Control-Request-Method: POST", "204 ", ""},
		{"Origin", "POST", PathTimestamp, query + "\nOrigin: https://a.example", granted, ""},
		{"slash at the end", "POST", PathTimestamp + "/", query, granted, ""},
		{"root", "POST", "/", query, "404 path / was not found", ""},
		{"chain", "GET", PathCertChain, "", "200 -----BEGIN", ""},
		{"HEAD of the chain", "HEAD", PathCertChain, "", "200", "405"},
		{"POST to the chain", "POST", PathCertChain, "", "405 method POST is not allowed, but [GET,HEAD] are", "405 method POST is not allowed, but [GET] are"},
		{"chain as JSON", "GET", PathCertChain, "Accept: application/json", "200 -----BEGIN", "500"},
		{"ping", "GET", "/ping", "", ping, ""},
		{"HEAD of ping", "HEAD", "/ping", "", "200", ""},
		{"POST to ping", "POST", "/ping", "", "405 method POST is not allowed, but [GET,HEAD] are", "404"},
		{"ping in capitals", "GET", "/PING", "", ping, ""},
		{"health", "GET", "/healthz", "", "200 ok\n", "404"},
		{"metrics", "GET", "/metrics", "", "404 path /metrics was not found", ""},
		{"unknown", "GET", "/nope", "", "404 path /nope was not found", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := tsptest.RequestDER()
			switch {
			case test.name == "10 MiB":
				content = make([]byte, 10<<20)
			case test.method != "POST":
				content = nil
			}
			resp, body := exchange(t, test.method, at.Public[0]+test.path, content, strings.Split(test.header, "\n")...)
			got := fmt.Sprint(resp.StatusCode)
			if test.method != "HEAD" {
				got = verdict(t, resp, body)
			}
			if test.want == "200 -----BEGIN" {
				got = got[:min(len(got), len(test.want))]
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if test.theirs == test.want {
				t.Error("the row claims a difference and has none")
			}
		})
	}
}
