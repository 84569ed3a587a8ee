package timestampcmd

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// run runs "fencepost timestamp ARGS" in this process, in the current folder.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(New(env))
	code := cli.Run(t.Context(), env, root, append([]string{"timestamp"}, args...))
	return result{code, stdout.String(), stderr.String()}
}

// scene is a folder with a file "hello", the chain of an authority in
// "chain.pem", and the URL of that authority.
func scene(t *testing.T) (tsa *tsptest.TSA, url string) {
	t.Helper()
	t.Chdir(t.TempDir())
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	resp, err := srv.Client().Get(srv.URL + "/certchain")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	chain, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "chain.pem", chain)
	write(t, "hello", []byte("hello, world\n"))
	return tsa, srv.URL
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCreateVerifyInspect(t *testing.T) {
	_, url := scene(t)
	for _, test := range []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string // a part of it
		stderr string
		file   string // that must be there afterwards
	}{
		{"create, checked against the request", []string{"create", "--tsa", url + "/x", "hello"}, "", 0, "hello.tsr: stamped ", "", "hello.tsr"},
		{"not twice", []string{"create", "--tsa", url + "/x", "hello"}, "", 2, "", "hint: use --force", ""},
		{"create again, verified", []string{"create", "--force", "--tsa", url + "/x", "--chain", "chain.pem", "hello"}, "", 0, "(verified)", "", "hello.tsr"},
		{"verify", []string{"verify", "--chain", "chain.pem", "hello"}, "", 0, "hello: verified: existed at ", "", ""},
		{"verify the digest", []string{"verify", "--chain", "chain.pem", "--timestamp", "hello.tsr", "--digest",
			"853ff93762a06ddbf722c4ebe9ddd66d8f63ddaea97f521c3ecc20da7c976020"}, "", 0, "hello.tsr: verified", "", ""},
		{"verify another digest", []string{"verify", "--chain", "chain.pem", "--timestamp", "hello.tsr", "--digest",
			"953ff93762a06ddbf722c4ebe9ddd66d8f63ddaea97f521c3ecc20da7c976020"}, "", 1, "NOT VERIFIED: verify: imprint", "", ""},
		{"verify standard input", []string{"verify", "--chain", "chain.pem", "--timestamp", "hello.tsr", "-"}, "hello, world\n", 0, "-: verified", "", ""},
		{"verify without trust", []string{"verify", "hello"}, "", 2, "", "name it with --roots", ""},
		{"inspect", []string{"inspect", "hello.tsr"}, "", 0, "status: granted", "", ""},
		{"a bare token", []string{"create", "--token", "--tsa", url + "/x", "--hash", "SHA-512", "chain.pem"}, "", 0, "chain.pem.tst: stamped", "", "chain.pem.tst"},
		{"verify it", []string{"verify", "--chain", "chain.pem", "chain.pem"}, "", 0, "chain.pem: verified", "", ""},
		{"only the request", []string{"create", "--request-only", "hello"}, "", 0, "hello.tsq: request written", "", "hello.tsq"},
		{"send it", []string{"create", "--request", "hello.tsq", "--tsa", url + "/x", "-o", "sent.tsr"}, "", 0, "sent.tsr: stamped", "", "sent.tsr"},
		{"verify against the request", []string{"verify", "--chain", "chain.pem", "--request", "hello.tsq", "--timestamp", "sent.tsr"}, "", 0, "sent.tsr: verified", "", ""},
		{"which the other does not answer", []string{"verify", "--chain", "chain.pem", "--request", "hello.tsq", "hello"}, "", 1, "NOT VERIFIED: verify: nonce", "", ""},
		{"inspect several", []string{"inspect", "hello.tsq", "sent.tsr", "chain.pem.tst"}, "", 0, "chain.pem.tst: timestamp token, DER", "", ""},
		{"inspect what is none", []string{"inspect", "hello"}, "", 1, "", "neither DER nor PEM nor base64", ""},
		{"verify with an empty common name", []string{"verify", "--chain", "chain.pem", "--common-name", "", "hello"}, "", 2, "", "--common-name is given, and empty", ""},
		{"verify with an empty certificate", []string{"verify", "--chain", "chain.pem", "--certificate=", "hello"}, "", 2, "", "--certificate is given, and empty", ""},
		{"verify with an empty root", []string{"verify", "--roots", "tsa.pem", "--roots", "", "hello"}, "", 2, "", "--roots is given, and empty", ""},
		{"verify with an empty nonce", []string{"verify", "--chain", "chain.pem", "--nonce", "", "hello"}, "", 2, "", "--nonce is given, and empty", ""},
		{"verify a file without a name", []string{"verify", "--chain", "chain.pem", "--request", "hello.tsq", "--timestamp", "sent.tsr", ""}, "", 2, "", "name of a file is empty", ""},
		{"create, verified by an empty chain", []string{"create", "--tsa", url + "/x", "--chain", "", "--out", "unverified.tsr", "hello"}, "", 2, "", "--chain is given, and empty", ""},
		{"another policy", []string{"verify", "--chain", "chain.pem", "--policy", "1.2.3", "hello"}, "", 1, "verify: policy", "", ""},
		{"no file", []string{"create", "--tsa", url}, "", 2, "", "nothing to stamp", ""},
		{"no authority", []string{"create", "hello"}, "", 2, "", "$FENCEPOST_TSA", ""},
		{"no such file", []string{"create", "--tsa", url, "nowhere"}, "", 2, "", "no such file", ""},
		{"an unknown hash", []string{"create", "--force", "--tsa", url, "--hash", "md5", "hello"}, "", 2, "", "is not one of sha256", ""},
		{"several, one of them bad", []string{"verify", "--chain", "chain.pem", "hello", "nowhere"}, "", 2, "hello: verified", "", ""},
		{"secrets are not arguments", []string{"create", "--tsa", url, "--user", "me", "hello"}, "", 2, "", "--password-file", ""},
	} {
		got := run(t, test.stdin, test.args...)
		if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%s: %v = exit %d\nstdout: %s\nstderr: %s\nwant exit %d, stdout with %q, stderr with %q",
				test.name, test.args, got.code, got.stdout, got.stderr, test.code, test.stdout, test.stderr)
		}
		if test.file != "" {
			if st, err := os.Stat(test.file); err != nil || st.Size() == 0 {
				t.Errorf("%s: %s: %v", test.name, test.file, err)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	_, url := scene(t)
	var created createJSON
	got := run(t, "", "create", "--json", "--tsa", url+"/x", "--chain", "chain.pem", "hello")
	decode(t, got, &created)
	if c := created.Timestamps; len(c) != 1 || !c[0].Verified || c[0].Out != "hello.tsr" || c[0].Hash != "SHA-256" || c[0].Time == nil {
		t.Errorf("create --json = %s", got.stdout)
	}
	var verified verifyJSON
	got = run(t, "", "verify", "--json", "--chain", "chain.pem", "hello")
	decode(t, got, &verified)
	if v := verified.Timestamps; !verified.Verified || len(v) != 1 || !v[0].Verified || v[0].Signer == "" ||
		!v[0].Time.Equal(*created.Timestamps[0].Time) || v[0].Serial != created.Timestamps[0].Serial {
		t.Errorf("verify --json = %s", got.stdout)
	}
	write(t, "hello", []byte("hello, word\n"))
	verified = verifyJSON{}
	got = run(t, "", "verify", "--json", "--chain", "chain.pem", "hello")
	decode(t, got, &verified)
	if v := verified.Timestamps; got.code != 1 || verified.Verified || len(v) != 1 || v[0].Reason != "imprint" || v[0].Time != nil {
		t.Errorf("verify --json of a changed file = exit %d, %s", got.code, got.stdout)
	}
	var inspected struct {
		Messages []struct {
			Kind   string
			Status string
			Token  struct {
				UnverifiedInfo struct{ SerialNumber string }
				Certificates   []struct{ Signer bool }
			}
		}
	}
	got = run(t, "", "inspect", "--json", "hello.tsr")
	decode(t, got, &inspected)
	if m := inspected.Messages; len(m) != 1 || m[0].Kind != "response" || m[0].Status != "granted" ||
		m[0].Token.UnverifiedInfo.SerialNumber != created.Timestamps[0].Serial || len(m[0].Token.Certificates) == 0 {
		t.Errorf("inspect --json = %s", got.stdout)
	}
	var failed struct {
		Messages []struct{ File, Kind, Reason, Error string }
	}
	got = run(t, "", "inspect", "--json", "hello.tsr", "hello", "nothing")
	decode(t, got, &failed)
	if m := failed.Messages; got.code != 2 || got.stderr != "" || len(m) != 3 || m[0].Error != "" ||
		m[1].File != "hello" || m[1].Reason != "malformed" || m[1].Error == "" || m[1].Kind != "" || m[2].Reason != "" || m[2].Error == "" {
		t.Errorf("inspect --json of what cannot be read = exit %d, %s, stderr %q", got.code, got.stdout, got.stderr)
	}
}

func decode(t *testing.T, r result, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("not one JSON document: %v\nstdout: %s\nstderr: %s", err, r.stdout, r.stderr)
	}
}

// TestHostile asks a misbehaving authority. What is wrong in the answer is a
// no, what kept it from coming leaves the question open, and neither leaves a
// file.
func TestHostile(t *testing.T) {
	_, url := scene(t)
	sound := []tsptest.Fault{
		tsptest.WrongPolicy,  // none was asked for
		tsptest.InjectedLeaf, // which is not the one that signed
		tsptest.Created, tsptest.Redirect,
	}
	open := []tsptest.Fault{
		tsptest.StaleTime, // one of two clocks is wrong
		tsptest.CutOff, tsptest.HungUp, tsptest.Slow, tsptest.Drip, tsptest.Endless, tsptest.Bomb, tsptest.HugeHeader,
		tsptest.WrongMediaType, tsptest.NoMediaType, tsptest.NoContent, tsptest.BadRequestJSON, tsptest.Unauthorized,
		tsptest.Forbidden, tsptest.NotFound, tsptest.TooLarge, tsptest.TooManyRequests, tsptest.InternalError,
		tsptest.BadGateway, tsptest.Unavailable, tsptest.UnavailableDate, tsptest.UnavailableForever,
		tsptest.RedirectSeeOther, tsptest.RedirectLoop,
	}
	for _, fault := range tsptest.Faults() {
		want := 1
		switch {
		case slices.Contains(sound, fault):
			want = 0
		case slices.Contains(open, fault):
			want = 2
		}
		os.Remove("hello.tsr")
		got := run(t, "", "create", "--tsa", url+"/"+fault.String(), "--chain", "chain.pem", "--timeout", "300ms", "--retries", "0", "hello")
		if got.code != want || (want == 0) != (got.stderr == "") {
			t.Errorf("%v: exit %d, want %d; stderr: %s", fault, got.code, want, got.stderr)
		}
		if _, err := os.Stat("hello.tsr"); (err == nil) != (want == 0) {
			t.Errorf("%v: exit %d, and the file: %v", fault, got.code, err)
		}
	}
}

// TestFallback passes over an authority that has no time, and says so.
func TestFallback(t *testing.T) {
	_, url := scene(t)
	got := run(t, "", "create", "--tsa", url+"/refuse-time-not-available", "--tsa", url+"/x", "hello")
	if got.code != 0 || !strings.Contains(got.stdout, "/x (") || !strings.Contains(got.stderr, "warning: "+url+"/refuse-time-not-available: ") {
		t.Errorf("exit %d\nstdout: %s\nstderr: %s", got.code, got.stdout, got.stderr)
	}
	got = run(t, "", "create", "--force", "--tsa", url+"/refuse-bad-alg", "--tsa", url+"/x", "hello")
	if got.code != 1 || !strings.Contains(got.stderr, "(badAlg)") {
		t.Errorf("a refusal that any authority would give: exit %d\nstdout: %s\nstderr: %s", got.code, got.stdout, got.stderr)
	}
}

// TestInspectVariants holds that inspect shows every token that can be read,
// and says no to the others.
func TestInspectVariants(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, v := range tsptest.Variants() {
		data := v.Response(t)
		_, parse := tsp.ParseAny(data)
		write(t, "variant", data)
		got := run(t, "", "inspect", "variant")
		if want := map[bool]int{true: 0, false: 1}[parse == nil]; got.code != want || want == 0 && !strings.Contains(got.stdout, "status: ") {
			t.Errorf("%s: inspect = exit %d, want %d\nstdout: %s\nstderr: %s", v.Name, got.code, want, got.stdout, got.stderr)
		}
		got = run(t, "", "inspect", "--json", "variant")
		if !json.Valid([]byte(got.stdout)) {
			t.Errorf("%s: inspect --json = %s", v.Name, got.stdout)
		}
	}
}
