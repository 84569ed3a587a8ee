package trustcmd

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// A result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// A person sits at the terminal and answers.
type person string

// nobody runs a command in a script.
const nobody person = ""

// run runs "fencepost ARGS" in this process, in the current folder, with the
// configuration in "config".
func (p person) run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{
		Program: "fencepost", Stdin: strings.NewReader(string(p)), Stdout: &stdout, Stderr: &stderr,
		StdinTerminal: p != nobody, StderrTerminal: p != nobody,
		Getenv: func(name string) string { return map[string]string{"FENCEPOST_CONFIG_DIR": "config"}[name] },
	}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(New(env), NewPolicy(env))
	code := cli.Run(t.Context(), env, root, args)
	return result{code, stdout.String(), stderr.String()}
}

// A step is a command and what must come of it.
type step struct {
	name   string
	args   []string
	who    person
	code   int
	stdout []string // parts of it; none: it is empty
	stderr []string // parts of it; none: it is empty
	there  string   // a file that must be there afterwards
	gone   string   // one that must not
}

func (s step) run(t *testing.T) {
	t.Helper()
	got := s.who.run(t, s.args...)
	bad := got.code != s.code || len(s.stdout) == 0 && got.stdout != "" || len(s.stderr) == 0 && got.stderr != ""
	for _, part := range s.stdout {
		bad = bad || !strings.Contains(got.stdout, part)
	}
	for _, part := range s.stderr {
		bad = bad || !strings.Contains(got.stderr, part)
	}
	if bad {
		t.Errorf("%s: %q = exit %d\nstdout: %s\nstderr: %s\nwant exit %d, stdout with %q, stderr with %q",
			s.name, s.args, got.code, got.stdout, got.stderr, s.code, s.stdout, s.stderr)
	}
	if s.there != "" {
		if st, err := os.Stat(s.there); err != nil || st.Size() == 0 {
			t.Errorf("%s: %s: %v, want it to be there", s.name, s.there, err)
		}
	}
	if s.gone != "" {
		if _, err := os.Lstat(s.gone); err == nil {
			t.Errorf("%s: %s is still there", s.name, s.gone)
		}
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// scene is a folder with certificates: root.pem, intermediate.der, leaf.pem of
// a signer, tsa-root.pem and tsa.pem of an authority, both.pem with two roots.
func scene(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	_, chain := notarytest.Chain(t, notarytest.Options{Name: "Signer"})
	block := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	tsa := pkitest.TSA(t, pkitest.Options{Name: "Stamp"}).Certificates()
	root := tsa[len(tsa)-1]
	write(t, "leaf.pem", block(chain[0].Raw))
	write(t, "intermediate.der", chain[1].Raw)
	write(t, "root.pem", block(chain[2].Raw))
	write(t, "other/root.pem", block(chain[1].Raw))
	write(t, "tsa.pem", block(tsa[0].Raw))
	write(t, "tsa-root.pem", block(root.Raw))
	write(t, "both.pem", slices.Concat(block(chain[2].Raw), block(root.Raw)))
	write(t, "text", []byte("not a certificate\n"))
}

func TestTrust(t *testing.T) {
	scene(t)
	const store = "config/truststore/x509/"
	for _, s := range []step{
		{name: "an empty list", args: []string{"trust", "list"}, stdout: []string{"no trust store has a certificate\n"}},
		{name: "no store of that name", args: []string{"trust", "list", "--store", "acme"}, code: 2, stderr: []string{"there is no trust store acme"}},
		{name: "no type", args: []string{"trust", "add", "--store", "acme", "root.pem"}, code: 2, stderr: []string{"needs a --type"}},
		{name: "no name", args: []string{"trust", "add", "--type", "ca", "root.pem"}, code: 2, stderr: []string{"--store NAME"}},
		{name: "no such type", args: []string{"trust", "add", "-t", "CA", "-s", "acme", "root.pem"}, code: 2, stderr: []string{`no type of trust store "CA"`, "hint: the types are ca, signingAuthority and tsa"}},
		{name: "no such name", args: []string{"trust", "add", "-t", "ca", "-s", "../acme", "root.pem"}, code: 2, stderr: []string{"no name of a trust store", "hint: use letters"}, gone: "config"},
		{name: "no file named", args: []string{"trust", "add", "-t", "ca", "-s", "acme"}, code: 2, stderr: []string{"nothing to add"}},
		{name: "no file there", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "nowhere.pem"}, code: 2, stderr: []string{"nowhere.pem: no such file"}, gone: "config"},
		{name: "an empty scope", args: []string{"policy", "init", "--name", "prod", "--scope", "registry.example/app", "--scope=", "--trust-store", "ca:acme", "--trusted-identity", "*"}, code: 2, stderr: []string{"--scope is given, and empty"}},
		{name: "no directory", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "--config-dir=", "root.pem"}, code: 2, stderr: []string{"--config-dir is given, and empty"}},
		{name: "not a certificate", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "text"}, code: 1, stderr: []string{"text: "}, gone: "config"},
		{name: "no root in a tsa store", args: []string{"trust", "add", "-t", "tsa", "-s", "stamp", "tsa.pem"}, code: 1,
			stderr: []string{"tsa.pem: ", "is no root", "hint: a tsa store holds only the self-signed roots"}, gone: "config"},
		{name: "one of two does not go", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "root.pem", "leaf.pem"}, code: 1,
			stderr: []string{"leaf.pem: ", "hint: "}, gone: "config"},
		{name: "two do not, and one is not there", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "leaf.pem", "text", "nowhere"}, code: 2,
			stderr: []string{"leaf.pem: ", "fencepost:   text: ", "fencepost:   nowhere: "}, gone: "config"},
		{name: "add", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "root.pem", "intermediate.der"},
			stdout: []string{"ca:acme: added: CN=Signer CA 2", "(until 2050-01-01)\n", "CN=Signer CA 1"}, there: store + "ca/acme/root.pem"},
		{name: "again", args: []string{"trust", "add", "-t", "ca", "-s", "acme", "root.pem"}, stdout: []string{"ca:acme: there already: CN=Signer CA"}},
		{name: "a name that is taken", args: []string{"trust", "add", "-t", "ca", "-s", "taken", "root.pem"}, stdout: []string{"added"}},
		{name: "by another", args: []string{"trust", "add", "-t", "ca", "-s", "taken", "other/root.pem"}, code: 2, stderr: []string{"root.pem is there already", "hint: rename other/root.pem"}},
		{name: "delete it", args: []string{"trust", "delete", "-t", "ca", "-s", "taken", "--all", "-y"}, stdout: []string{"ca:taken: deleted: root.pem\n"}, gone: store + "ca/taken"},
		{name: "two in a file", args: []string{"trust", "add", "-t", "signingAuthority", "-s", "sa", "both.pem"}, stdout: []string{"; "}},
		{name: "a root of a TSA", args: []string{"trust", "add", "-t", "tsa", "-s", "stamp", "tsa-root.pem"}, stdout: []string{"tsa:stamp: added"}, there: store + "tsa/stamp/tsa-root.pem"},
		{name: "list", args: []string{"trust", "list"}, stdout: []string{"STORE TYPE         STORE NAME   CERTIFICATE        EXPIRES      SUBJECT\n",
			"ca                 acme         intermediate.der   2050-01-01   CN=", "signingAuthority   sa           both.pem           2050-01-01   CN=", "tsa                stamp"}},
		{name: "list some", args: []string{"trust", "ls", "-t", "tsa", "-s", "stamp"}, stdout: []string{"tsa          stamp        tsa-root.pem"}},
		{name: "show", args: []string{"trust", "show", "-t", "tsa", "-s", "stamp", "tsa-root.pem"},
			stdout: []string{filepath.FromSlash(store + "tsa/stamp/tsa-root.pem\n"), "ECDSA P-", "valid 2020-01-01 to 2050-01-01", "SHA-256 fingerprint "}},
		{name: "show what is not there", args: []string{"trust", "show", "-t", "tsa", "-s", "stamp", "x.pem"}, code: 2, stderr: []string{`no file "x.pem"`, "hint: there are tsa-root.pem"}},
		{name: "show what is elsewhere", args: []string{"trust", "show", "-t", "tsa", "-s", "stamp", "../../../../root.pem"}, code: 2, stderr: []string{"no name of a file in a trust store"}},
		{name: "delete nothing", args: []string{"trust", "delete", "-t", "ca", "-s", "acme"}, code: 2, stderr: []string{"give --all"}},
		{name: "delete both", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "--all", "root.pem"}, code: 2, stderr: []string{"--all takes the place of a file"}},
		{name: "delete, and nobody to ask", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "root.pem"}, code: 2, stderr: []string{"Nobody can be asked here", "hint: say yes with --yes"}, there: store + "ca/acme/root.pem"},
		{name: "no", who: "no\n", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "root.pem"}, code: 1,
			stderr: []string{"fencepost: Delete root.pem, CN=Signer CA", "from the trust store ca:acme? [y/N] ", "error: nothing was changed"}, there: store + "ca/acme/root.pem"},
		{name: "no answer", who: "\x04", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "--all"}, code: 1, stderr: []string{"Delete the trust store ca:acme with 2 files? "}, there: store + "ca/acme/root.pem"},
		{name: "ask about what is not there", who: "y\n", args: []string{"trust", "delete", "-t", "ca", "-s", "nope", "--all"}, code: 2, stderr: []string{"there is no trust store ca:nope"}},
		{name: "yes", who: "y\n", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "root.pem"}, stdout: []string{"ca:acme: deleted: root.pem\n"}, stderr: []string{"? [y/N] "}, gone: store + "ca/acme/root.pem"},
		{name: "the last", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "-y", "intermediate.der"}, stdout: []string{"deleted"}, gone: store + "ca/acme"},
		{name: "instead of the system's", args: []string{"trust", "add", "-t", "tsa", "-s", "system", "tsa-root.pem"}, stdout: []string{"tsa:system: added"}, stderr: []string{"the store tsa:system is now these certificates"}},
		{name: "the system's again", args: []string{"trust", "delete", "-t", "tsa", "-s", "system", "-y", "tsa-root.pem"}, stdout: []string{"tsa:system: deleted"}, stderr: []string{"warning: the store tsa:system is again the certificate store of this system"}},
		{name: "what is not there", args: []string{"trust", "delete", "-t", "ca", "-s", "acme", "-y", "intermediate.der"}, code: 2, stderr: []string{"there is no trust store ca:acme"}},
	} {
		s.run(t)
	}
	// What others put there.
	write(t, store+"tsa/stamp/leaf.pem", must(os.ReadFile("tsa.pem")))
	write(t, store+"ca/sub/dir/x.pem", must(os.ReadFile("root.pem")))
	write(t, store+"ca/esc/a\x1b[2Jb.pem", must(os.ReadFile("root.pem")))
	for _, s := range []step{
		{name: "a list with what cannot be used", args: []string{"trust", "list"}, code: 1, stdout: []string{"CANNOT BE USED: trust store tsa:stamp: leaf.pem: ", "a�[2Jb.pem", "CANNOT BE USED: trust store ca:sub"}},
		{name: "show it", args: []string{"trust", "show", "-t", "tsa", "-s", "stamp", "leaf.pem"}, code: 1, stdout: []string{"CANNOT BE USED"}},
		{name: "add to it", args: []string{"trust", "add", "-t", "tsa", "-s", "stamp", "tsa-root.pem"}, code: 1, stderr: []string{"leaf.pem", "hint: "}},
	} {
		s.run(t)
	}
	if got := nobody.run(t, "trust", "list"); strings.Contains(got.stdout, "\x1b") {
		t.Errorf("a name of a file reaches the terminal raw: %q", got.stdout)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestTrustJSON(t *testing.T) {
	scene(t)
	get := func(v any, code int, args ...string) {
		t.Helper()
		got := nobody.run(t, append(args, "--json")...)
		if got.code != code || got.stderr != "" {
			t.Errorf("%q = exit %d, stderr %q, want exit %d", args, got.code, got.stderr, code)
		}
		dec := json.NewDecoder(strings.NewReader(got.stdout))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			t.Fatalf("%q wrote %s: %v", args, got.stdout, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Errorf("%q wrote more than one document: %s", args, got.stdout)
		}
	}
	var none listJSON
	if get(&none, 0, "trust", "list"); none.Files == nil {
		t.Error("an empty list is null")
	}
	var refusal struct {
		Error struct {
			Message, Hint, Reason string
			Exit                  int
		}
	}
	if get(&refusal, 1, "trust", "add", "-t", "tsa", "-s", "stamp", "tsa.pem"); refusal.Error.Reason != "unsuitable" || refusal.Error.Hint == "" {
		t.Errorf("a refusal is %+v", refusal)
	}
	var added addJSON
	if get(&added, 0, "trust", "add", "-t", "tsa", "-s", "stamp", "tsa-root.pem"); len(added.Added) != 1 || added.Added[0].Present || len(added.Added[0].Certificates) != 1 {
		t.Errorf("added %+v", added)
	}
	if get(&added, 0, "trust", "add", "-t", "tsa", "-s", "stamp", "tsa-root.pem"); !added.Added[0].Present {
		t.Errorf("added again %+v", added)
	}
	write(t, "config/truststore/x509/tsa/stamp/leaf.pem", must(os.ReadFile("tsa.pem")))
	var list listJSON
	if get(&list, 1, "trust", "list"); len(list.Files) != 2 || list.Files[0].Reason != "unsuitable" || list.Files[1].Error != "" || list.Files[1].Certificates[0].SHA256 == "" {
		t.Errorf("list %+v", list)
	}
	var shown fileJSON
	if get(&shown, 0, "trust", "show", "-t", "tsa", "-s", "stamp", "tsa-root.pem"); shown.File != "tsa-root.pem" || shown.Type != "tsa" {
		t.Errorf("shown %+v", shown)
	}
	var deleted deleteJSON
	if get(&deleted, 0, "trust", "delete", "-t", "tsa", "-s", "stamp", "--all", "--yes"); len(deleted.Deleted) != 2 {
		t.Errorf("deleted %+v", deleted)
	}
	if _, err := os.Lstat("config/truststore/x509/tsa/stamp"); !os.IsNotExist(err) {
		t.Errorf("the store is still there: %v", err)
	}
	left, err := filepath.Glob("config/truststore/x509/.*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if err := filepath.WalkDir("config", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
