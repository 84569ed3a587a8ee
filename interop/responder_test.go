package interop

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// responderConfig is what OpenSSL's responder needs to know; %s is the digest that it signs with.
const responderConfig = `[tsa]
default_tsa = responder
[responder]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ordering = yes
tsa_name = yes
ess_cert_id_chain = yes
ess_cert_id_alg = sha256
signer_digest = %s
`

// startResponder puts "openssl ts -reply" behind HTTP, with a chain that our "cert create" made: an
// authority whose tokens differ from ours in much that RFC 3161 leaves open.
func startResponder(t *testing.T, keyType, digest string) *tsa {
	t.Helper()
	w := scratch(t)
	w.certCreate(t, keyType, "tsa")
	w.write(t, "openssl.cnf", fmt.Appendf(nil, responderConfig, digest))
	w.write(t, "serial", []byte("01\n"))
	chain := w.read(t, "tsa/chain.pem")
	_, issuers := pem.Decode(chain)
	w.write(t, "issuers.pem", issuers)
	// The serial file is read, counted up and written by each reply.
	var one sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tsa", func(rw http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		query, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		if err := os.WriteFile(w.path("query"), query, 0o600); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		// The exit status of openssl is 0 for a rejection too: that is an answer.
		got := w.run(t, "openssl", "ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query",
			"-inkey", "tsa/key.pem", "-signer", "tsa/chain.pem", "-chain", "issuers.pem", "-out", "reply")
		reply, err := os.ReadFile(filepath.Join(w.dir, "reply"))
		if got.code != 0 || err != nil {
			http.Error(rw, got.String(), http.StatusInternalServerError)
			return
		}
		rw.Header().Set("Content-Type", "application/timestamp-reply")
		if _, err := rw.Write(reply); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	a := newTSA(t, server.URL, chain)
	a.url = server.URL + "/tsa"
	return a
}
