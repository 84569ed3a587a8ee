package notary_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
)

// A policy is a statement of a trust policy. The zero value is strict, trusts
// ca:app and tsa:stamps, and everybody's name.
type policy struct {
	level      trustpolicy.Level
	when       trustpolicy.Timestamps
	override   map[string]string
	stores     []string
	identities []string
}

func (p policy) statement(t testing.TB) *trustpolicy.Statement {
	t.Helper()
	verification := map[string]any{"level": trustpolicy.LevelStrict}
	if p.level != "" {
		verification["level"] = p.level
	}
	if p.when != "" {
		verification["verifyTimestamp"] = p.when
	}
	if p.override != nil {
		verification["override"] = p.override
	}
	if p.stores == nil {
		p.stores = []string{"ca:app", "tsa:stamps"}
	}
	if p.identities == nil {
		p.identities = []string{"*"}
	}
	doc := map[string]any{"version": "1.0", "trustPolicies": []any{map[string]any{
		"name": "test", "registryScopes": []string{"*"}, "signatureVerification": verification,
		"trustStores": p.stores, "trustedIdentities": p.identities,
	}}}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := trustpolicy.ParseImages(data)
	if err != nil {
		t.Fatal(err)
	}
	st, err := parsed.ForImage("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A scene is a verifier with its trust stores. The zero value of each field is
// what most tests want.
type scene struct {
	now     time.Time                      // zero means verifyAt()
	stores  map[string][]*x509.Certificate // by TYPE/NAME; nil means the roots of the signer and of authority()
	files   map[string]string              // in the configuration directory, besides
	fetcher *revocation.Fetcher            // nil means one without a network
}

// verifier makes it.
func (s scene) verifier(t testing.TB) *notary.Verifier {
	t.Helper()
	dir := t.TempDir()
	if s.stores == nil {
		s.stores = trusting(t)
	}
	for name, certs := range s.stores {
		var text []byte
		for _, c := range certs {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		writeFile(t, filepath.Join(dir, "truststore", "x509", name, "certificates.pem"), text)
	}
	for name, text := range s.files {
		writeFile(t, filepath.Join(dir, name), []byte(text))
	}
	cfg := notary.VerifierConfig{Stores: truststore.Open(dir, nil), Revocation: s.fetcher, Now: func() time.Time { return s.now }}
	if s.now.IsZero() {
		cfg.Now = verifyAt
	}
	if s.fetcher == nil {
		cfg.Revocation = revocation.New(revocation.Config{Mode: revocation.Named, AcceptListsAfterExpiry: true, Offline: true})
	}
	v, err := notary.NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trusting are the stores of most tests.
func trusting(t testing.TB) map[string][]*x509.Certificate {
	t.Helper()
	return map[string][]*x509.Certificate{"ca/app": {root(t, notarytest.Options{})}, "tsa/stamps": {authorityRoot(t, authority(t))}}
}

func root(t testing.TB, opts notarytest.Options) *x509.Certificate {
	t.Helper()
	_, chain := notarytest.Chain(t, opts)
	return chain[len(chain)-1]
}

// wanting is what target() is verified to be.
func wanting() notary.Want {
	return notary.Want{Target: func(crypto.Hash) (envelope.Target, error) { return target(), nil }}
}

// summary is all of an outcome in one line: of each check the action (enforce,
// log, skip) and the result (passed, failed, unknown, skipped, - for not made)
// by their first letters, with the reason, and then the verdict.
func summary(o *notary.Outcome) string {
	var words []string
	for _, c := range o.Checks {
		result := strings.ToUpper(string(c.Result[:1]))
		if c.Result == notary.NotMade {
			result = "-"
		}
		word := string(c.Action[:1]) + result
		if c.Reason != "" {
			word += ":" + string(c.Reason)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ") + " " + verdict(o)
}

func verdict(o *notary.Outcome) string {
	switch {
	case o.Verified:
		return "verified"
	case o.Undecided:
		return "undecided"
	}
	return "refused"
}

// consistent checks what must hold of every outcome.
func consistent(t testing.TB, o *notary.Outcome) {
	t.Helper()
	order := []notary.Name{notary.Integrity, notary.Authenticity, notary.TrustedIdentity, notary.Expiry, notary.AuthenticTimestamp,
		notary.Revocation, notary.Plugin, notary.Artifact, notary.UserMetadata}
	if len(o.Checks) != len(order) {
		t.Fatalf("%d checks, want %d", len(o.Checks), len(order))
	}
	for i, c := range o.Checks {
		if c.Name != order[i] {
			t.Errorf("check %d is %s, want %s", i, c.Name, order[i])
		}
		bad := c.Result == notary.Failed || c.Result == notary.Unknown
		if bad != (c.Err != nil) || bad != (c.Reason != "") || bad && c.Detail == "" {
			t.Errorf("%s is %s with the reason %q, the detail %q and the error %v", c.Name, c.Result, c.Reason, c.Detail, c.Err)
		}
		if got, want := c.Logged(), bad && c.Action == trustpolicy.Log; got != want {
			t.Errorf("%s is %s with the action %s: logged is %t, want %t", c.Name, c.Result, c.Action, got, want)
		}
	}
	if o.Verified != (o.Err == nil) || o.Verified && o.Undecided {
		t.Errorf("verified %t, undecided %t, error %v", o.Verified, o.Undecided, o.Err)
	}
}

// judge verifies one envelope.
func judge(t testing.TB, v *notary.Verifier, e *envelope.Envelope, st *trustpolicy.Statement, want notary.Want) *notary.Outcome {
	t.Helper()
	o, err := v.Verify(context.Background(), e, st, want)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, o)
	return o
}

// explain lists the failures of an outcome, for the messages of tests.
func explain(o *notary.Outcome) string {
	var b strings.Builder
	for _, c := range o.Checks {
		if c.Err != nil {
			fmt.Fprintf(&b, "\n\t%s: %v", c.Name, c.Err)
		}
	}
	return b.String()
}
