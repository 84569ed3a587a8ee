package artifactcmd_test

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

// TestAt: who reads that something is verified reads also as of when, unless it
// is now.
func TestAt(t *testing.T) {
	config, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	_, chain := notarytest.Chain(t, notarytest.Options{})
	for name, data := range map[string][]byte{
		filepath.Join(config, "truststore/x509/ca/app/root.pem"): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[2].Raw}),
		filepath.Join(config, "trustpolicy.blob.json"): []byte(`{"version":"1.0","trustPolicies":[{"name":"files","globalPolicy":true,
			"signatureVerification":{"level":"strict"},"trustStores":["ca:app"],"trustedIdentities":["*"]}]}`),
		file: []byte("file"),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signature := writeSignature(t)
	for _, row := range []struct {
		name, at   string
		code       int
		line, json string // what the text has, and what the JSON has under "at"
	}{
		{"now", "", 0, "Successfully verified signature for " + file + "\n", ""},
		{"another time", "2040-01-01T01:00:00+01:00", 0, "Successfully verified signature for " + file + " as of 2040-01-01T00:00:00Z\n", "2040-01-01T00:00:00Z"},
		{"after the chain", "2051-01-01T00:00:00Z", 1, "the time of verification, 2051-01-01T00:00:00Z", "2051-01-01T00:00:00Z"},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"blob", "verify", "--config-dir", config, "--no-cache", "--signature", signature, file}
			if row.at != "" {
				args = append(args, "--at", row.at)
			}
			if code, out := execute(t, nil, args...); code != row.code || !strings.Contains(out, row.line) {
				t.Errorf("exit status %d, %q; want %d and %q", code, out, row.code, row.line)
			}
			code, out := execute(t, nil, append(args, "--json")...)
			var doc struct {
				At       string `json:"at"`
				Verified bool   `json:"verified"`
			}
			if err := json.Unmarshal([]byte(out), &doc); err != nil || code != row.code || doc.At != row.json || doc.Verified != (code == 0) {
				t.Errorf("exit status %d, %v, %+v; want %d and %q", code, err, doc, row.code, row.json)
			}
		})
	}
}
