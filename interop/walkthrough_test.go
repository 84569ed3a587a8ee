package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWalkthrough: what sigstore's documentation has its users do, word for word but for the names of the
// directories, with our commands of the same names.
func TestWalkthrough(t *testing.T) {
	server, cli := ours("timestamp-server"), ours("timestamp-cli")
	w := scratch(t)
	const base = "http://localhost:3000"
	w.serve(t, base+"/ping", server, "serve", "--port", "3000", "--disable-ntp-monitoring")
	w.write(t, "myblob", []byte("my blob\n"))
	w.write(t, "other", []byte("another blob\n"))

	w.accept(t, nil, "sh", "-euc", "curl -sSf "+base+"/api/v1/timestamp/certchain > ts_chain.pem")
	r := w.accept(t, []string{"Artifact timestamped at ", "Wrote timestamp response to response.tsr"}, cli,
		"--timestamp_server", base, "timestamp", "--hash", "sha256", "--artifact", "myblob", "--out", "response.tsr")
	if !strings.HasPrefix(r.stdout, "Generating a new signed timestamp\n") {
		t.Errorf("got %q on stdout", r.stdout)
	}

	r = w.accept(t, nil, cli, "verify", "--timestamp", "response.tsr", "--artifact", "myblob", "--certificate-chain", "ts_chain.pem", "--format", "json")
	var verified struct {
		TimestampPath   string
		ParsedTimestamp struct {
			Time          time.Time
			HashAlgorithm int
			HashedMessage []byte
			Certificates  []json.RawMessage
		}
	}
	parse(t, r.stdout, &verified)
	checkTimestamp(t, verified.ParsedTimestamp.Time, verified.ParsedTimestamp.HashAlgorithm, verified.ParsedTimestamp.HashedMessage)
	if verified.TimestampPath != "response.tsr" {
		t.Errorf("got TimestampPath %q, want response.tsr", verified.TimestampPath)
	}

	r = w.accept(t, nil, cli, "inspect", "--timestamp", "response.tsr", "--format", "json")
	var inspected struct {
		TimestampResponse struct {
			Time          time.Time
			HashAlgorithm int
			HashedMessage []byte
		}
	}
	parse(t, r.stdout, &inspected)
	checkTimestamp(t, inspected.TimestampResponse.Time, inspected.TimestampResponse.HashAlgorithm, inspected.TimestampResponse.HashedMessage)

	r = w.refuse(t, []string{"failed to verify timestamp", reasonImprint}, cli, "verify", "--timestamp", "response.tsr", "--artifact", "other",
		"--certificate-chain", "ts_chain.pem")
	if r.code != 1 {
		t.Errorf("want exit status 1, got: %v", r)
	}

	// The recipe for those without timestamp-cli: split the chain, ask with curl, verify with openssl.
	w.accept(t, []string{"Verification: OK"}, "sh", "-euc", `
		openssl ts -query -data myblob -cert -sha256 -out request.tsq
		curl -sSH "Content-Type: application/timestamp-query" --data-binary @request.tsq `+base+`/api/v1/timestamp -o response.tsr
		csplit -s -f tsa-cert- ts_chain.pem '/-----BEGIN CERTIFICATE-----/' '{*}'
		find . -name 'tsa-cert-*' -empty -delete
		leaf=$(ls tsa-cert-* | head -n 1)
		root=$(ls tsa-cert-* | tail -n 1)
		cat $(ls tsa-cert-* | sed '1d;$d') > intermediates.pem
		openssl x509 -in "$leaf" -noout
		openssl ts -verify -in response.tsr -data myblob -CAfile "$root" -untrusted intermediates.pem`)
	w.refuse(t, []string{"message imprint mismatch"}, "openssl", "ts", "-verify", "-in", "response.tsr", "-data", "other",
		"-CAfile", "ts_chain.pem")

	// The request in JSON.
	digest := sha256.Sum256(w.read(t, "myblob"))
	w.write(t, "request.json", fmt.Appendf(nil, `{"artifactHash":%q,"certificates":true,"hashAlgorithm":"sha256","nonce":1123343434,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"}`,
		base64.StdEncoding.EncodeToString(digest[:])))
	w.accept(t, nil, "curl", "-sSf", "-H", "Content-Type: application/json", "--data-binary", "@request.json", "-o", "json.tsr", base+"/api/v1/timestamp")
	w.accept(t, []string{"Successfully verified timestamp"}, cli, "verify", "--timestamp", "json.tsr", "--artifact", "myblob",
		"--nonce", "1123343434", "--certificate-chain", "ts_chain.pem")
}

// checkTimestamp compares what a command says of the timestamp of myblob.
func checkTimestamp(t *testing.T, at time.Time, algorithm int, message []byte) {
	t.Helper()
	if age := time.Since(at); age < -2*time.Second || age > time.Minute {
		t.Errorf("got time %v, want now", at)
	}
	if algorithm != 5 {
		t.Errorf("got HashAlgorithm %d, want 5", algorithm)
	}
	if want := sha256.Sum256([]byte("my blob\n")); !bytes.Equal(message, want[:]) {
		t.Errorf("got HashedMessage %x, want %x", message, want)
	}
}

func parse(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// TestMake: the targets that users of the peer expect.
func TestMake(t *testing.T) {
	w := scratch(t)
	w.env = nil // the compiler's cache is the user's own
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	w.accept(t, nil, "make", "-C", root, "BIN="+w.path("bin"), "timestamp-server", "timestamp-cli", "fencepost")
	for _, name := range []string{"timestamp-server", "timestamp-cli", "fencepost"} {
		w.accept(t, nil, w.path("bin/"+name), "version")
	}
}
