package timestampcmd

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// revocationScene is a folder with a timestamp of that authority in "a.tsr" and
// the root in "root.pem", and a function that verifies it with further flags,
// with its caches in the folder.
func revocationScene(t *testing.T, cfg revocationtest.Config) (*revocationtest.Server, func(flags ...string) result) {
	t.Helper()
	t.Chdir(t.TempDir())
	s := revocationtest.Serve(t, cfg)
	response, err := s.Forge().MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	write(t, "a.tsr", response)
	write(t, "root.pem", s.RootPEM())
	home := t.TempDir()
	return s, func(flags ...string) result {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := &cli.Env{Program: "fencepost", Stdout: &stdout, Stderr: &stderr, Getenv: func(name string) string {
			return map[string]string{"HOME": home, "LocalAppData": home}[name]
		}}
		root := &cobra.Command{Use: "fencepost"}
		root.AddCommand(New(env))
		code := cli.Run(t.Context(), env, root, append([]string{"timestamp", "verify", "--roots", "root.pem",
			"--timestamp", "a.tsr", "--digest", hex.EncodeToString(tsptest.Imprint().Digest)}, flags...))
		return result{code, stdout.String(), stderr.String()}
	}
}

// TestRevocation: the exit status and what is said, in each mode.
func TestRevocation(t *testing.T) {
	none := []string{}
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	for _, test := range []struct {
		name    string
		cfg     revocationtest.Config
		prepare func(s *revocationtest.Server)
		// the exit status with off, soft and require
		off, soft, require int
		stdout             []string // with require
	}{
		{"good, by the responder", revocationtest.Config{}, nil, 0, 0, 0,
			[]string{"a.tsr: verified", "  revocation of CN=Test TSA,", "not revoked, says OCSP responder http://127.0.0.1:", "  revocation of CN=Test Issuing CA,"}},
		{"good, by the lists", revocationtest.Config{OCSP: none}, nil, 0, 0, 0, []string{"not revoked, says revocation list http://127.0.0.1:", "leaf.crl on 20", ", until 20"}},
		{"revoked", revocationtest.Config{}, func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, tsptest.Time(), pki.ReasonKeyCompromise)
		}, 0, 1, 1, []string{"NOT VERIFIED: verify: revoked: ", "revoked on 2026-01-02T03:04:05Z (keyCompromise), says OCSP"}},
		{"superseded since", revocationtest.Config{}, func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, tsptest.Time().Add(time.Hour), pki.ReasonSuperseded)
		}, 0, 0, 0, []string{"a.tsr: verified", "revoked on 2026-01-02T04:04:05Z (superseded), says OCSP"}},
		{"nobody to ask", revocationtest.Config{OCSP: none, CRL: none}, nil, 0, 0, 2,
			[]string{"NOT VERIFIED: verify: revocation-unknown: ", "NOT KNOWN: it names neither an OCSP responder nor a revocation list"}},
		{"all down", revocationtest.Config{}, func(s *revocationtest.Server) {
			for _, path := range []string{revocationtest.OCSP, revocationtest.LeafCRL, revocationtest.IntermediateCRL} {
				s.Handle(path, down)
			}
		}, 0, 0, 2, []string{"NOT KNOWN: OCSP responder http://127.0.0.1:", "/ocsp: HTTP status 503; revocation list http://"}},
		{"only ldap", revocationtest.Config{OCSP: none, CRL: []string{"ldap:///CN=CA?certificateRevocationList"}}, nil, 0, 0, 2, []string{`addresses with "ldap" are not fetched`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, verify := revocationScene(t, test.cfg)
			if test.prepare != nil {
				test.prepare(s)
			}
			for mode, want := range map[string]int{"off": test.off, "soft": test.soft, "require": test.require} {
				got := verify("--revocation", mode)
				if got.code != want || got.stderr != "" {
					t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", mode, got.code, want, got.stdout, got.stderr)
				}
				if mode == "soft" && test.require == 2 && !strings.Contains(got.stdout, "NOT KNOWN") {
					t.Errorf("soft does not say that nothing is known: %s", got.stdout)
				}
				if mode == "off" && strings.Contains(got.stdout, "revocation of") {
					t.Errorf("off: %s", got.stdout)
				}
				for _, part := range test.stdout {
					if mode == "require" && !strings.Contains(got.stdout, part) {
						t.Errorf("require does not say %q: %s", part, got.stdout)
					}
				}
			}
		})
	}
}

// TestRevocationJSON: which certificate was checked by what, and when.
func TestRevocationJSON(t *testing.T) {
	s, verify := revocationScene(t, revocationtest.Config{})
	s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	var doc verifyJSON
	decode(t, verify("--revocation", "require", "--json"), &doc)
	if len(doc.Timestamps) != 1 || len(doc.Timestamps[0].Revocation) != 2 {
		t.Fatalf("verify --json = %+v", doc)
	}
	r := doc.Timestamps[0].Revocation[0]
	if r.Status != "good" || r.Source != "crl" || r.URL != s.URL+revocationtest.LeafCRL || r.Cached || r.ThisUpdate == nil || r.NextUpdate == nil ||
		len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "HTTP status 418") || r.Serial != "0x"+s.Chain.Leaf.SerialNumber.Text(16) || r.Error != "" {
		t.Errorf("finding %+v", r)
	}
	doc = verifyJSON{}
	decode(t, verify("--revocation", "require", "--json"), &doc)
	if r := doc.Timestamps[0].Revocation[0]; !r.Cached || r.URL != s.URL+revocationtest.LeafCRL {
		t.Errorf("the second time: %+v", r)
	}
	s.Revoke(s.Chain.Leaf, tsptest.Time(), pki.ReasonKeyCompromise)
	s.Handle(revocationtest.OCSP, nil)
	doc = verifyJSON{}
	got := verify("--revocation", "require", "--json", "--no-cache")
	decode(t, got, &doc)
	if v := doc.Timestamps[0]; got.code != 1 || v.Reason != "revoked" || v.Revocation[0].Status != "revoked" ||
		v.Revocation[0].RevocationReason != "keyCompromise" || !v.Revocation[0].RevokedAt.Equal(tsptest.Time().Truncate(time.Second)) {
		t.Errorf("revoked: exit %d, %s", got.code, got.stdout)
	}
	s.Handle(revocationtest.OCSP, http.NotFound)
	s.Handle(revocationtest.LeafCRL, http.NotFound)
	doc = verifyJSON{}
	got = verify("--revocation", "require", "--json", "--no-cache")
	decode(t, got, &doc)
	if v := doc.Timestamps[0]; got.code != 2 || v.Reason != "revocation-unknown" || v.Revocation[0].Status != "unknown" || v.Revocation[0].Error == "" {
		t.Errorf("nobody answers: exit %d, %s", got.code, got.stdout)
	}
}

// TestRevocationFlags: wrong command lines, where the cache is, and lists that
// are given besides.
func TestRevocationFlags(t *testing.T) {
	s, verify := revocationScene(t, revocationtest.Config{OCSP: []string{}})
	for _, test := range []struct {
		name   string
		flags  []string
		code   int
		stderr string
	}{
		{"another mode", []string{"--revocation", "hard"}, 2, "--revocation is off, soft or require"},
		{"empty mode", []string{"--revocation", ""}, 2, "--revocation is given, and empty"},
		{"no cache for nothing", []string{"--no-cache"}, 2, "--no-cache goes with --revocation"},
	} {
		if got := verify(test.flags...); got.code != test.code || !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%s: exit %d, want %d; stderr %s", test.name, got.code, test.code, got.stderr)
		}
	}
	if got := verify("--revocation", "require", "--no-cache"); got.code != 0 {
		t.Errorf("without a cache: exit %d, %s", got.code, got.stdout)
	}
	write(t, "leaf.crl", s.Chain.CRL(t, pki.Revocation{Serial: s.Chain.Leaf.SerialNumber, Time: tsptest.Time(), Reason: pki.ReasonKeyCompromise}))
	if got := verify("--revocation", "soft", "--crl", "leaf.crl"); got.code != 1 || !strings.Contains(got.stdout, "says revocation list given on 2020-01-01") {
		t.Errorf("revoked by a list given: exit %d, %s", got.code, got.stdout)
	}
}
