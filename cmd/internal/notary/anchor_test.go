package notary_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
)

// TestNobodyAboveTheTrusted: the chain is not signed, and whoever has the
// signature can put another issuer, with the name and the public key of the
// true one, above a certificate that is trusted. Nobody is asked about that,
// at the addresses that it names.
func TestNobodyAboveTheTrusted(t *testing.T) {
	var asked atomic.Int32
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	t.Cleanup(attacker.Close)
	key, chain := notarytest.Chain(t, notarytest.Options{Name: "Anchor"})

	evil, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(c, parent *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), chain[2].NotBefore, chain[2].NotAfter
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, evil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Evil"}}
	root := issue(template, template, evil.Public())
	above := issue(&x509.Certificate{RawSubject: chain[2].RawSubject, OCSPServer: []string{attacker.URL}, CRLDistributionPoints: []string{attacker.URL}}, root, chain[2].PublicKey)

	payload, err := envelope.MarshalPayload(envelope.Target{MediaType: "a/b", Digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	now := chain[0].NotBefore.Add(time.Hour)
	data, err := envelope.Sign(t.Context(), envelope.JWS, envelope.Request{Payload: payload, Key: key, Chain: chain, SigningTime: now})
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	doc["header"] = map[string]any{"x5c": [][]byte{chain[0].Raw, chain[1].Raw, above.Raw, root.Raw}}
	if data, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Parse(envelope.JWS, data)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	store := filepath.Join(dir, "truststore", "x509", "ca", "issuer")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store, "issuer.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[1].Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	policy, err := trustpolicy.ParseImages([]byte(`{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":["*"],
		"signatureVerification":{"level":"strict"},"trustStores":["ca:issuer"],"trustedIdentities":["*"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := policy.ForImage("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	v, err := notary.NewVerifier(notary.VerifierConfig{Stores: truststore.Open(dir, nil), Now: func() time.Time { return now },
		Revocation: revocation.New(revocation.Config{Mode: revocation.Named})})
	if err != nil {
		t.Fatal(err)
	}
	target, err := envelope.ParsePayload(payload)
	if err != nil {
		t.Fatal(err)
	}
	o, err := v.Verify(t.Context(), e, statement, notary.Want{Target: func(crypto.Hash) (envelope.Target, error) { return target, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Checks {
		if c.Result != notary.Passed {
			t.Errorf("%s: %s, %s", c.Name, c.Result, c.Detail)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests to an address that an attacker chose", n)
	}
}
