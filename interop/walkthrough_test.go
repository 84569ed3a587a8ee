package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// TestWalkthrough: what sigstore's documentation has its users do, word for word but for the names of the
// directories, with our commands of the same names.
func TestWalkthrough(t *testing.T) {
	server, cli := dropIn(t, peers.TimestampServer), dropIn(t, peers.TimestampCLI)
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

	r = w.refuse(t, []string{"hashed messages don't match"}, cli, "verify", "--timestamp", "response.tsr", "--artifact", "other",
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

// TestDropInClient: our timestamp-cli with sigstore's server, and each program's verdict on the other's.
func TestDropInClient(t *testing.T) {
	ourCLI, theirCLI := dropIn(t, peers.TimestampCLI), theirs(t, peers.TimestampCLI)
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			a, w := startPeerKey(t, keyType, "sha256"), scratch(t)
			w.write(t, "data", []byte("the data"))
			w.write(t, "other", []byte("other data"))
			for _, hash := range []string{"sha256", "sha384", "sha512"} {
				w.accept(t, []string{"Artifact timestamped at "}, ourCLI, "--timestamp_server", a.base,
					"timestamp", "--hash", hash, "--artifact", "data", "--out", "data.tsr")
				w.write(t, "broken.tsr", flip(w.read(t, "data.tsr"), 10))
				for _, cli := range []string{ourCLI, theirCLI} {
					verify := func(tsr, artifact, root string) []string {
						return []string{cli, "verify", "--timestamp", tsr, "--artifact", artifact,
							"--root-certificates", root, "--intermediate-certificates", a.intermediates}
					}
					w.accept(t, []string{"Successfully verified timestamp data.tsr"}, verify("data.tsr", "data", a.root)...)
					w.refuse(t, []string{"hashed messages don't match"}, verify("data.tsr", "other", a.root)...)
					w.refuse(t, []string{"verif"}, verify("broken.tsr", "data", a.root)...)
					w.refuse(t, []string{"verif"}, verify("data.tsr", "data", foreignRoot(t, w))...)
				}
			}
		})
	}
}
