package directory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

func TestFind(t *testing.T) {
	all := map[string]string{Variable: "/ours", NotationVariable: "/theirs", "XDG_CONFIG_HOME": "/xdg", "HOME": "/home/u", "AppData": `C:\Users\u\AppData\Roaming`}
	only := func(names ...string) map[string]string {
		env := map[string]string{}
		for _, n := range names {
			env[n] = all[n]
		}
		return env
	}
	for _, test := range []struct {
		name, goos, flag string
		env              map[string]string
		want             Dir
	}{
		{"flag", "linux", "/flag", all, Dir{"/flag", "--config-dir"}},
		{"our variable", "linux", "", all, Dir{"/ours", "$FENCEPOST_CONFIG_DIR"}},
		{"Notation's variable", "windows", "", only(NotationVariable, "AppData"), Dir{"/theirs", "$NOTATION_CONFIG"}},
		{"XDG", "linux", "", only("XDG_CONFIG_HOME", "HOME"), Dir{"/xdg/fencepost", ""}},
		{"home", "linux", "", only("HOME", "AppData"), Dir{"/home/u/.config/fencepost", ""}},
		{"home on FreeBSD", "freebsd", "", only("HOME"), Dir{"/home/u/.config/fencepost", ""}},
		{"macOS", "darwin", "", only("HOME", "XDG_CONFIG_HOME"), Dir{"/home/u/Library/Application Support/fencepost", ""}},
		{"Windows", "windows", "", only("HOME", "XDG_CONFIG_HOME", "AppData"), Dir{`C:\Users\u\AppData\Roaming\fencepost`, ""}},
		{"no home", "linux", "", nil, Dir{}},
		{"no home on macOS", "darwin", "", only("XDG_CONFIG_HOME"), Dir{}},
		{"no AppData", "windows", "", only("HOME"), Dir{}},
		{"relative XDG", "linux", "", map[string]string{"XDG_CONFIG_HOME": "xdg", "HOME": "/home/u"}, Dir{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := find(test.goos, test.flag, func(name string) string { return test.env[name] })
			if got != test.want || (err == nil) != (test.want.Path != "") {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
			if err != nil && (reasonOf(err) != ReasonNone || adviceOf(err) == "") {
				t.Errorf("got %v, advice %q", err, adviceOf(err))
			}
		})
	}
	got, err := Find("here", os.Getenv)
	if err != nil || got.Path != "here" {
		t.Errorf("got %v, %v", got, err)
	}
}

func reasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func adviceOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Advice()
	}
	return ""
}

// put makes a directory with files.
func put(t *testing.T, files map[string]string) Dir {
	t.Helper()
	d := Dir{Path: filepath.Join(t.TempDir(), "config")}
	if err := os.Mkdir(d.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(d.Path, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// names are those of the files in a directory.
func names(t *testing.T, d Dir) []string {
	t.Helper()
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestPolicy(t *testing.T) {
	for _, test := range []struct {
		name          string
		files         map[string]string
		images, blobs string // the contents that are read; empty if there is none
	}{
		{"none", nil, "", ""},
		{"new name", map[string]string{ImagePolicyName: "new"}, "new", ""},
		{"old name", map[string]string{OldImagePolicyName: "old"}, "old", ""},
		{"both", map[string]string{ImagePolicyName: "new", OldImagePolicyName: "old", FilePolicyName: "files"}, "new", "files"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := put(t, test.files)
			for want, read := range map[*string]func() (string, []byte, error){&test.images: d.ImagePolicy, &test.blobs: d.FilePolicy} {
				path, data, err := read()
				switch {
				case filepath.Dir(path) != d.Path:
					t.Errorf("the path is %s", path)
				case *want == "" && reasonOf(err) == ReasonAbsent && errors.Is(err, fs.ErrNotExist) && strings.Contains(err.Error(), d.Path):
				case *want == "" || err != nil || string(data) != *want:
					t.Errorf("got %q, %v, want %q", data, err, *want)
				}
			}
		})
	}
}

// TestPolicyRefused: a file that is there and cannot be used never makes way
// for the other.
func TestPolicyRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(path string) error
		want Reason
	}{
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }, ReasonIrregular},
		{"too large", func(path string) error { return os.WriteFile(path, make([]byte, 1<<20+1), 0o600) }, ReasonTooLarge},
		{"link", func(path string) error { return os.Symlink("trustpolicy.json", path) }, ReasonIrregular},
		{"link to nothing", func(path string) error { return os.Symlink("none", path) }, ReasonIrregular},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := put(t, map[string]string{OldImagePolicyName: "old"})
			if err := test.make(filepath.Join(d.Path, ImagePolicyName)); err != nil {
				if runtime.GOOS == "windows" && strings.HasPrefix(test.name, "link") {
					t.Log("symbolic links need a privilege on Windows")
					return
				}
				t.Fatal(err)
			}
			if path, data, err := d.ImagePolicy(); reasonOf(err) != test.want || data != nil || filepath.Base(path) != ImagePolicyName {
				t.Errorf("got %s, %q, %v, want %s", path, data, err, test.want)
			}
		})
	}
}

// TestNotations: who has a policy for Notation is told how to use it.
func TestNotations(t *testing.T) {
	base := t.TempDir()
	theirs := filepath.Join(base, "notation")
	if err := os.Mkdir(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs, OldImagePolicyName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := Dir{Path: filepath.Join(base, "fencepost")}
	if _, _, err := d.ImagePolicy(); adviceOf(err) != "Notation has one; to use its directory, add --config-dir "+theirs {
		t.Errorf("advice %q", adviceOf(err))
	}
	for _, d := range []Dir{{d.Path, "--config-dir"}, {filepath.Join(base, "x", "fencepost"), ""}} {
		if _, _, err := d.ImagePolicy(); !strings.HasPrefix(adviceOf(err), "make one with") {
			t.Errorf("%+v: advice %q", d, adviceOf(err))
		}
	}
	if _, _, err := d.FilePolicy(); !strings.HasPrefix(adviceOf(err), "make one with") {
		t.Errorf("files: advice %q", adviceOf(err))
	}
}

func TestImport(t *testing.T) {
	for _, test := range []struct {
		name     string
		files    map[string]string
		existing cli.Existing
		want     Imported // with names instead of paths
		err      Reason
		left     []string
	}{
		{"first", nil, cli.Keep, Imported{Path: ImagePolicyName}, "", []string{ImagePolicyName}},
		{"there is one", map[string]string{ImagePolicyName: "old"}, cli.Keep, Imported{}, ReasonExists, []string{ImagePolicyName}},
		{"there is one under the old name", map[string]string{OldImagePolicyName: "old"}, cli.Keep, Imported{}, ReasonExists, []string{OldImagePolicyName}},
		{"replaced", map[string]string{ImagePolicyName: "old", FilePolicyName: "x"}, cli.Replace, Imported{Path: ImagePolicyName, Replaced: true}, "", []string{FilePolicyName, ImagePolicyName}},
		{"the old name goes", map[string]string{OldImagePolicyName: "old"}, cli.Replace, Imported{Path: ImagePolicyName, Replaced: true, Removed: OldImagePolicyName}, "", []string{ImagePolicyName}},
		{"both go", map[string]string{ImagePolicyName: "old", OldImagePolicyName: "older"}, cli.Replace, Imported{Path: ImagePolicyName, Replaced: true, Removed: OldImagePolicyName}, "", []string{ImagePolicyName}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := put(t, test.files)
			got, err := d.ImportImagePolicy([]byte("new"), test.existing)
			if reasonOf(err) != test.err || test.err == ReasonExists && !errors.Is(err, fs.ErrExist) {
				t.Fatalf("got %v, want %q", err, test.err)
			}
			for _, path := range []*string{&test.want.Path, &test.want.Removed} {
				if *path != "" {
					*path = filepath.Join(d.Path, *path)
				}
			}
			if got != test.want || !slices.Equal(names(t, d), test.left) {
				t.Errorf("got %+v, want %+v; left %v, want %v", got, test.want, names(t, d), test.left)
			}
			_, data, err := d.ImagePolicy()
			if want := map[bool]string{true: "new", false: "old"}[test.err == ""]; err != nil || string(data) != want {
				t.Errorf("the policy is %q, %v, want %q", data, err, want)
			}
			if st, err := os.Stat(got.Path); test.err == "" && runtime.GOOS != "windows" && (err != nil || st.Mode().Perm() != 0o600) {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
		})
	}
	t.Run("files", func(t *testing.T) {
		d := Dir{Path: filepath.Join(t.TempDir(), "a", "b")}
		got, err := d.ImportFilePolicy([]byte("new"), cli.Keep)
		if err != nil || got.Path != filepath.Join(d.Path, FilePolicyName) || got.Replaced || got.Removed != "" {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := d.ImportFilePolicy([]byte("newer"), cli.Keep); reasonOf(err) != ReasonExists {
			t.Errorf("again: %v", err)
		}
	})
	t.Run("folder in the way", func(t *testing.T) {
		d := put(t, nil)
		if err := os.Mkdir(filepath.Join(d.Path, OldImagePolicyName), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ImportImagePolicy([]byte("new"), cli.Replace); reasonOf(err) != ReasonIrregular || !slices.Equal(names(t, d), []string{OldImagePolicyName}) {
			t.Errorf("got %v, left %v", err, names(t, d))
		}
	})
	t.Run("directory cannot be made", func(t *testing.T) {
		d := put(t, map[string]string{"file": ""})
		d.Path = filepath.Join(d.Path, "file", "config")
		if _, err := d.ImportImagePolicy([]byte("new"), cli.Replace); reasonOf(err) != ReasonIO {
			t.Errorf("got %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	d := put(t, map[string]string{ConfigName: `{
	"insecureRegistries": ["registry.wabbit-networks.io:5000", "127.0.0.1:5000"],
	"credsStore": "pass",
	"credHelpers": {"example.com": "ecr-login"},
	"signatureFormat": "cose",
	"verificationCerts": {"certs": []}
}`})
	c, err := d.Config()
	if err != nil || !slices.Equal(c.InsecureRegistries, []string{"registry.wabbit-networks.io:5000", "127.0.0.1:5000"}) || c.CredsStore != "pass" || c.CredHelpers["example.com"] != "ecr-login" || c.SignatureFormat != "cose" {
		t.Errorf("got %+v, %v", c, err)
	}
	if len(c.Warnings) != 1 || c.Warnings[0].Place != "verificationCerts" {
		t.Errorf("warnings %v", c.Warnings)
	}
	for _, files := range []map[string]string{nil, {ConfigName: "{}"}, {ConfigName: `{"insecureRegistries": null, "credHelpers": null}`}} {
		if c, err := put(t, files).Config(); err != nil || c.SignatureFormat != "" || len(c.InsecureRegistries)+len(c.CredHelpers)+len(c.Warnings) > 0 {
			t.Errorf("%v: %+v, %v", files, c, err)
		}
	}
	for _, test := range []struct {
		doc  string
		want strictjson.Rule
	}{
		{"", strictjson.RuleSyntax}, {"[]", strictjson.RuleType}, {"{} {}", strictjson.RuleSyntax}, {`{"insecureRegistries": "*"}`, strictjson.RuleType},
		{`{"insecureRegistries": [""]}`, strictjson.RuleMissing}, {`{"InsecureRegistries": ["a"]}`, strictjson.RuleCase}, {`{"credHelpers": {"a": 1}}`, strictjson.RuleType},
		{`{"signatureFormat": "JWS"}`, RuleFormat}, {`{"signatureFormat": "xml"}`, RuleFormat}, {`{"credsStore": "a", "credsStore": "b"}`, strictjson.RuleDuplicate},
	} {
		d := put(t, map[string]string{ConfigName: test.doc})
		_, err := d.Config()
		checkFault(t, test.doc, err, test.want)
		if err != nil && !strings.Contains(err.Error(), filepath.Join(d.Path, ConfigName)) {
			t.Errorf("%s: the path is not in %q", test.doc, err)
		}
	}
}

// checkFault checks that err is of the one fault that is wanted.
func checkFault(t *testing.T, doc string, err error, want strictjson.Rule) {
	t.Helper()
	var faults *strictjson.Faults
	if reasonOf(err) != ReasonInvalid || !errors.As(err, &faults) || len(faults.List) != 1 || faults.List[0].Rule != want || adviceOf(err) == "" {
		t.Errorf("%s: got %v, want %s", doc, err, want)
	}
}

const keys = `{
	"default": "b",
	"keys": [
		{"name": "a", "keyPath": "/keys/a.key", "certPath": "/keys/a.crt"},
		{"name": "b", "keyPath": "b.key", "certPath": "b.crt"},
		{"name": "kv", "id": "https://example.vault.azure.net/keys/signing/0123", "pluginName": "azure-kv", "pluginConfig": {"self_signed": "true"}},
		{"name": "aws", "id": "arn:aws:signer:us-west-2:111122223333:/signing-profiles/p", "pluginName": "com.amazonaws.signer.notation.plugin"},
		{"name": "vault", "id": "signing", "pluginName": "hc-vault"},
		{"name": "other", "id": "x", "pluginName": "example"}
	]
}`

func TestSigningKeys(t *testing.T) {
	s, err := put(t, map[string]string{SigningKeysName: keys}).SigningKeys()
	if err != nil || len(s.Keys) != 6 || s.Default != "b" || len(s.Warnings) > 0 {
		t.Fatalf("got %+v, %v", s, err)
	}
	for name, want := range map[string]Key{"a": {Name: "a", KeyPath: "/keys/a.key", CertPath: "/keys/a.crt"}, "": {Name: "b", KeyPath: "b.key", CertPath: "b.crt"}} {
		if got, err := s.Get(name); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"kv":    "azurekms://example.vault.azure.net/signing/0123 ",
		"aws":   "awskms:///alias/NAME ",
		"vault": "hashivault://KEY ",
		"other": "pkcs11:",
	} {
		if k, err := s.Get(name); reasonOf(err) != ReasonPlugin || k.Name != "" || !strings.Contains(err.Error(), "runs no plugins") || !strings.Contains(adviceOf(err), want) || !strings.Contains(adviceOf(err), "--certificate-chain") {
			t.Errorf("%s: %v, advice %q, want %q", name, err, adviceOf(err), want)
		}
	}
	if _, err := s.Get("c"); reasonOf(err) != ReasonKey || adviceOf(err) != `there are "a", "b", "kv", "aws", "vault", "other"` {
		t.Errorf("no such key: %v, advice %q", err, adviceOf(err))
	}

	s, err = put(t, nil).SigningKeys()
	if err != nil || len(s.Keys) > 0 {
		t.Errorf("no file: %+v, %v", s, err)
	}
	for _, name := range []string{"", "a"} {
		if _, err := s.Get(name); reasonOf(err) != ReasonKey || !strings.Contains(adviceOf(err), "--key") {
			t.Errorf("no file, %q: %v, advice %q", name, err, adviceOf(err))
		}
	}
	s, err = put(t, map[string]string{SigningKeysName: `{"default": "", "keys": [], "x": 1}`}).SigningKeys()
	if err != nil || len(s.Warnings) != 2 {
		t.Errorf("warnings: %+v, %v", s, err)
	}
}

func TestSigningKeysWrong(t *testing.T) {
	for _, test := range []struct {
		name, doc string
		want      strictjson.Rule
	}{
		{"empty", "", strictjson.RuleSyntax},
		{"keys are an object", `{"keys": {}}`, strictjson.RuleType},
		{"key is a string", `{"keys": ["a"]}`, strictjson.RuleType},
		{"key is null", `{"keys": [null]}`, strictjson.RuleType},
		{"no name", `{"keys": [{"keyPath": "a", "certPath": "b"}]}`, strictjson.RuleMissing},
		{"name twice", `{"keys": [{"name": "a", "keyPath": "a", "certPath": "b"}, {"name": "a", "keyPath": "c", "certPath": "d"}]}`, RuleName},
		{"nothing but a name", `{"keys": [{"name": "a"}]}`, RuleKey},
		{"file and plugin", `{"keys": [{"name": "a", "keyPath": "a", "certPath": "b", "id": "c", "pluginName": "d"}]}`, RuleKey},
		{"no keyPath", `{"keys": [{"name": "a", "certPath": "b"}]}`, strictjson.RuleMissing},
		{"no certPath", `{"keys": [{"name": "a", "keyPath": "b"}]}`, strictjson.RuleMissing},
		{"no pluginName", `{"keys": [{"name": "a", "id": "b"}]}`, strictjson.RuleMissing},
		{"pluginConfig of numbers", `{"keys": [{"name": "a", "id": "b", "pluginName": "c", "pluginConfig": {"d": 1}}]}`, strictjson.RuleType},
		{"no such default", `{"default": "b", "keys": [{"name": "a", "keyPath": "a", "certPath": "b"}]}`, RuleDefault},
		{"default is a number", `{"default": 1, "keys": []}`, strictjson.RuleType},
	} {
		_, err := put(t, map[string]string{SigningKeysName: test.doc}).SigningKeys()
		checkFault(t, test.name, err, test.want)
	}
}

// FuzzSigningKeys holds that whatever is in the file, keys that are returned
// can be used or say why not.
func FuzzSigningKeys(f *testing.F) {
	f.Add([]byte(keys))
	f.Add([]byte(`{"keys": [null, {"name": "a"}]}`))
	d := Dir{Path: f.TempDir()}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(d.Path, SigningKeysName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := d.SigningKeys()
		if err != nil && len(s.Keys) > 0 {
			t.Fatalf("%q: keys and %v", data, err)
		}
		for _, k := range s.Keys {
			got, err := s.Get(k.Name)
			if err == nil && (got != k || k.KeyPath == "" || k.CertPath == "") || err != nil && (reasonOf(err) != ReasonPlugin || adviceOf(err) == "") {
				t.Fatalf("%q: %+v, %v", data, got, err)
			}
		}
	})
}
