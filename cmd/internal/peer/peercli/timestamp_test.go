package peercli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestTimestamp(t *testing.T) {
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, tsa.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	last := func() (tsptest.Exchange, *tsp.Request) {
		all := tsa.Exchanges()
		e := all[len(all)-1]
		req, err := tsp.ParseRequest(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		return e, req
	}
	for _, test := range []struct {
		name  string
		args  []string
		path  string
		check func(*tsp.Request) bool
	}{
		{"default", []string{"--timestamp_server", srv.URL}, "/api/v1/timestamp", func(r *tsp.Request) bool {
			return r.Imprint.AlgorithmName() == "SHA-256" && r.CertReq && r.Nonce != nil && r.Policy.String() == ""
		}},
		{"the path is kept", []string{"--timestamp_server", srv.URL + "/tsr"}, "/tsr", nil},
		{"a lone slash is no path", []string{"--timestamp_server", srv.URL + "/"}, "/api/v1/timestamp", nil},
		{"hash", []string{"--timestamp_server", srv.URL, "--hash", "sha512"}, "", func(r *tsp.Request) bool { return r.Imprint.AlgorithmName() == "SHA-512" }},
		{"no nonce", []string{"--timestamp_server", srv.URL, "--nonce=false"}, "", func(r *tsp.Request) bool { return r.Nonce == nil }},
		{"no certificate", []string{"--timestamp_server", srv.URL, "--certificate=false"}, "", func(r *tsp.Request) bool { return !r.CertReq }},
		{"policy", []string{"--timestamp_server", srv.URL, "--tsa-policy", "1.3.6.1.4.1.57264.2"}, "", func(r *tsp.Request) bool { return r.Policy.String() == "1.3.6.1.4.1.57264.2" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(dir, "out.tsr")
			status, stdout, stderr := run(t, nil, append(test.args, "timestamp", "--artifact", data("blob"), "--out", out)...)
			if status != 0 || stderr != "" {
				t.Fatalf("exit status %d: %s", status, stderr)
			}
			// The texts of the namesake, for scripts that read them.
			if want := regexp.MustCompile(`^Generating a new signed timestamp\nArtifact timestamped at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC\nWrote timestamp response to \S+/out\.tsr\n$`); !want.MatchString(stdout) {
				t.Errorf("stdout: %q", stdout)
			}
			e, req := last()
			if test.path != "" && e.Path != test.path {
				t.Errorf("asked at %s, want %s", e.Path, test.path)
			}
			if !strings.HasPrefix(e.Header.Get("User-Agent"), "timestamp-cli/") {
				t.Errorf("User-Agent: %s", e.Header.Get("User-Agent"))
			}
			if test.check != nil && !test.check(req) {
				t.Errorf("request: %+v", req)
			}
			if st, err := os.Stat(out); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
				t.Errorf("mode of the response: %v, %v", st.Mode(), err)
			}
			status, _, stderr = run(t, nil, "verify", "--timestamp", out, "--artifact", data("blob"), "--root-certificates", root)
			if ok := req.CertReq; (status == 0) != ok {
				t.Errorf("verify: exit status %d, %s", status, stderr)
			}
		})
	}
}

func TestTimestampJSON(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	out := filepath.Join(t.TempDir(), "out.tsr")
	status, stdout, stderr := run(t, map[string]string{"TIMESTAMP_FORMAT": "json", "TIMESTAMP_TIMESTAMP_SERVER": srv.URL, "TIMESTAMP_OUT": out, "TIMESTAMP_ARTIFACT": data("blob")}, "timestamp")
	if status != 0 || stderr != "" {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	var answer map[string]string
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatalf("stdout is not one JSON document: %v: %q", err, stdout)
	}
	if answer["Location"] != out || !regexp.MustCompile(`^\d{4}-.*Z$`).MatchString(answer["Timestamp"]) || len(answer) != 2 {
		t.Errorf("answer: %v", answer)
	}
}

// Standard input to standard output: nothing but the response is there.
func TestTimestampPipe(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	status, stdout, stderr := run(t, nil, "--timestamp_server", srv.URL, "timestamp", "--artifact", "-", "--out", "-")
	if status != 0 || !strings.Contains(stderr, "Artifact timestamped at ") {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	resp, err := tsp.ParseResponse([]byte(stdout))
	if err != nil || resp.Token == nil {
		t.Errorf("%v: %q", err, stdout)
	}
}

// TestTimestampRefuses: an answer that does not answer the request is not
// written, and a file that was there stays.
func TestTimestampRefuses(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	at := func(f tsptest.Fault) []string { return []string{"--timestamp_server", srv.URL + "/" + f.String()} }
	config := func(text string) string {
		name := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, test := range []struct {
		name string
		vars map[string]string
		args []string
		want string
	}{
		{"wrong nonce", nil, at(tsptest.WrongNonce), "nonce"},
		{"no nonce", nil, at(tsptest.NoNonce), "nonce"},
		{"wrong imprint", nil, at(tsptest.WrongImprint), "imprint"},
		{"wrong policy", nil, append(at(tsptest.WrongPolicy), "--tsa-policy", "1.2.3"), "policy"},
		{"stale", nil, at(tsptest.StaleTime), "time"},
		{"no certificate", nil, at(tsptest.NoCertificate), "certificate"},
		{"refused", nil, at(tsptest.RefuseUnacceptedPolicy), "unacceptedPolicy"},
		{"truncated", nil, at(tsptest.Truncated), "malformed response"},
		{"web page", nil, at(tsptest.WrongMediaType), "text/html"},
		{"not found", nil, at(tsptest.NotFound), "404"},
		{"slow", nil, append(at(tsptest.Slow), "--timeout", "50ms"), "no answer within 50ms"},
		{"nobody there", nil, []string{"--timestamp_server", "http://127.0.0.1:1"}, "connection"},
		{"not a URL", nil, []string{"--timestamp_server", "localhost:3000"}, "does not begin with http://"},
		{"no host", nil, []string{"--timestamp_server", "http://"}, "host"},
		{"weak hash", nil, append(at(tsptest.NoFault), "--hash", "sha1"), `"sha1" is not one of sha256`},
		{"no time", nil, append(at(tsptest.NoFault), "--timeout", "0s"), "leaves no time"},
		{"both to standard output", nil, append(at(tsptest.NoFault), "--format", "json", "--out", "-"), "both write to standard output"},
		{"typo in the file", nil, append(at(tsptest.NoFault), "--config", config("hash: sha256\ntimestamp-server: http://x\n")), `c.yaml:2: unknown key "timestamp-server"`},
		{"bad value in the file", nil, []string{"--config", config("timestamp_server: localhost\n")}, "c.yaml:1: timestamp_server"},
		{"bad value in the environment", map[string]string{"TIMESTAMP_NONCE": "perhaps"}, at(tsptest.NoFault), "environment variable TIMESTAMP_NONCE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.tsr")
			if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"timestamp", "--artifact", data("blob"), "--out", out}, test.args...)
			status, stdout, stderr := run(t, test.vars, args...)
			if status == 0 || !strings.Contains(stderr, test.want) {
				t.Errorf("%q: exit status %d, %s, want %q", args, status, stderr, test.want)
			}
			if strings.Contains(stdout, "Wrote") {
				t.Errorf("stdout: %q", stdout)
			}
			if got, err := os.ReadFile(out); err != nil || string(got) != "before" {
				t.Errorf("the file is now %q, %v", got, err)
			}
		})
	}
}

// The artifact is never written over.
func TestTimestampKeepsArtifact(t *testing.T) {
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	file := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := run(t, nil, "--timestamp_server", srv.URL, "timestamp", "--artifact", file, "--out", file)
	if status == 0 || !strings.Contains(stderr, "is an input") || len(tsa.Exchanges()) != 0 {
		t.Errorf("exit status %d, %d requests: %s", status, len(tsa.Exchanges()), stderr)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "precious" {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

// TestSources: what the home directory, a file that is named, the environment
// and the command line say.
func TestSources(t *testing.T) {
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	home := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(home, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write(".timestamp.yaml", "timestamp_server: "+srv.URL+"/home\nhash: sha384\nroot-certificates: of-another-command.pem\n")
	named := write("named.yaml", "timestamp_server: "+srv.URL+"/named\n")
	for _, test := range []struct {
		name       string
		vars       map[string]string
		args       []string
		path, hash string
		stderr     string
	}{
		{"home", map[string]string{"HOME": home}, nil, "/home", "SHA-384", ""},
		{"named", map[string]string{"HOME": home}, []string{"--config", named}, "/named", "SHA-256", ""},
		{"named by the environment", map[string]string{"TIMESTAMP_CONFIG": named}, nil, "/named", "SHA-256", ""},
		{"environment", map[string]string{"HOME": home, "TIMESTAMP_TIMESTAMP_SERVER": srv.URL + "/env"}, nil, "/env", "SHA-384", ""},
		{"command line", map[string]string{"HOME": home, "TIMESTAMP_HASH": "sha512"}, []string{"--hash", "sha256"}, "/home", "SHA-256", ""},
		{"the wrong variable", map[string]string{"HOME": home, "TIMESTAMP_SERVER": srv.URL + "/wrong"}, nil, "/home", "SHA-384", "TIMESTAMP_SERVER is not read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.tsr")
			status, _, stderr := run(t, test.vars, append(test.args, "timestamp", "--artifact", data("blob"), "--out", out)...)
			if status != 0 || !strings.Contains(stderr, test.stderr) || stderr != "" && test.stderr == "" {
				t.Fatalf("exit status %d: %s", status, stderr)
			}
			all := tsa.Exchanges()
			e := all[len(all)-1]
			req, err := tsp.ParseRequest(e.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := req.Imprint.AlgorithmName(); e.Path != test.path || got != test.hash {
				t.Errorf("asked at %s with %s, want %s with %s", e.Path, got, test.path, test.hash)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	rejection := filepath.Join(t.TempDir(), "refused.tsr")
	if err := os.WriteFile(rejection, tsp.Reject(tsp.BadAlg, "no such hash").Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name           string
		args           []string
		ok             bool
		stdout, stderr string
	}{
		{"tree", []string{"--timestamp", data("full.tsr")}, true, "certificates: 3", ""},
		{"json", []string{"--timestamp", data("full.tsr"), "--format", "json"}, true, `{"TimestampResponse":{"RawToken":"`, ""},
		{"refusal", []string{"--timestamp", rejection}, false, "failure: badAlg", "no such hash"},
		{"refusal, json", []string{"--timestamp", rejection, "--format", "json"}, false, "", "badAlg"},
		{"no timestamp", []string{"--timestamp", data("blob")}, false, "", "blob: tsp: "},
		{"nothing", nil, false, "", `"timestamp" not set`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := run(t, nil, append([]string{"inspect"}, test.args...)...)
			if (status == 0) != test.ok || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) || test.stdout == "" && stdout != "" {
				t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"version", "timestamp-cli: Timestamp CLI\n\nGitVersion:    "}, {"version --json", `"gitVersion": "`}, {"", "Available Commands:"}, {"completion zsh", "#compdef"},
	} {
		status, stdout, stderr := run(t, nil, strings.Fields(test.args)...)
		if status != 0 || !strings.Contains(stdout, test.want) {
			t.Errorf("%q: exit status %d, %s%s", test.args, status, stdout, stderr)
		}
	}
	if status, _, stderr := run(t, nil, "timestmap"); status == 0 || !strings.Contains(stderr, "unknown command") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}
