package trustcmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

const goodPolicy = `{
    "version": "1.0",
    "trustPolicies": [
        {
            "name": "prod",
            "registryScopes": ["registry.example/app", "localhost:5000/net-monitor"],
            "signatureVerification": {"level": "permissive", "override": {"revocation": "skip"}, "verifyTimestamp": "afterCertExpiry"},
            "trustStores": ["ca:acme", "tsa:stamp"],
            "trustedIdentities": ["x509.subject: C=US, ST=WA, O=acme"]
        },
        {
            "name": "rest",
            "registryScopes": ["*"],
            "signatureVerification": {"level": "skip"}
        }
    ]
}
`

const filePolicy = `{"version": "1.0", "trustPolicies": [
	{"name": "release", "signatureVerification": {"level": "strict"}, "trustStores": ["ca:acme"], "trustedIdentities": ["*"]},
	{"name": "any", "globalPolicy": true, "signatureVerification": {"level": "audit"}, "trustStores": ["ca:acme"], "trustedIdentities": ["*"]}
]}`

const (
	badPolicy     = `{"version": "1.0", "trustPolicies": [{"name": "a", "registryScopes": ["*"], "signatureVerification": {"level": "stritc"}, "trustStores": ["tsa"], "trustedIdentities": ["x509.subject: O=acme"]}]}`
	unknownPolicy = `{"version": "1.0", "trustPolicies": [{"name": "a", "registryScopes": ["*"], "signatureVerification": {"level": "strict", "verifyTimestamps": "always"}, "trustStores": ["ca:acme"], "trustedIdentities": ["*"]}]}`
)

// policyScene is a scene with policies, and the stores that they name.
func policyScene(t *testing.T) {
	t.Helper()
	scene(t)
	for name, text := range map[string]string{
		"good.json": goodPolicy, "files.json": filePolicy, "bad.json": badPolicy, "unknown.json": unknownPolicy,
		"hostile.json": "{\"version\": \"1.0\x1b[2J\u202e\", \"trustPolicies\": []}", "torn.json": goodPolicy[:100],
	} {
		write(t, name, []byte(text))
	}
	for _, args := range [][]string{
		{"trust", "add", "-t", "ca", "-s", "acme", "root.pem"},
		{"trust", "add", "-t", "tsa", "-s", "stamp", "tsa-root.pem"},
	} {
		if got := nobody.run(t, args...); got.code != 0 {
			t.Fatalf("%q: %s", args, got.stderr)
		}
	}
}

// Where policies are.
const (
	imagePath = "config/trustpolicy.oci.json"
	oldPath   = "config/trustpolicy.json"
	filePath  = "config/trustpolicy.blob.json"
)

func TestPolicyImport(t *testing.T) {
	policyScene(t)
	for _, s := range []step{
		{name: "check", args: []string{"policy", "import", "--check", "good.json"}, stdout: []string{"good.json: a valid trust policy for images of 2 statements\n"},
			stderr: []string{"warning: good.json: "}, gone: imagePath},
		{name: "check files", args: []string{"policy", "import", "--check", "--blob", "files.json"}, stdout: []string{"for files of 2 statements"}, gone: filePath},
		{name: "one for the other", args: []string{"policy", "import", "--check", "--blob", "good.json"}, code: 1, stderr: []string{"registryScopes"}},
		{name: "faults", args: []string{"policy", "import", "bad.json"}, code: 1, gone: imagePath, stderr: []string{
			"fencepost: error: bad.json is not a valid trust policy: 3 faults\n",
			`fencepost:   line 1: statement 1 "a", signatureVerification.level: there is no level "stritc" (write `,
			`fencepost:   line 1: statement 1 "a", trustStores[0]: "tsa" is not of the form type:name (`,
			`fencepost:   line 1: statement 1 "a", trustedIdentities[0]: `}},
		{name: "check faults", args: []string{"policy", "import", "--check", "bad.json"}, code: 1, stderr: []string{"3 faults"}},
		{name: "half a file", args: []string{"policy", "import", "torn.json"}, code: 1, stderr: []string{"the document ends before it is complete"}, gone: imagePath},
		{name: "no file", args: []string{"policy", "import", "nowhere.json"}, code: 2, stderr: []string{"no such file"}},
		{name: "a directory", args: []string{"policy", "import", "config"}, code: 2, stderr: []string{"is a directory"}},
		{name: "two files", args: []string{"policy", "import", "good.json", "bad.json"}, code: 2, stderr: []string{"accepts 1 arg"}},
		{name: "a member that nobody reads", args: []string{"policy", "import", "unknown.json"}, code: 1, gone: imagePath,
			stderr: []string{"verifyTimestamps: nothing has this name", "hint: members that nobody reads are taken with --force"}},
		{name: "hostile", args: []string{"policy", "import", "hostile.json"}, code: 1, stderr: []string{"hostile.json is not a valid trust policy"}},
		{name: "import", args: []string{"policy", "import", "good.json"}, stdout: []string{filepath.FromSlash(imagePath) + ": in force for images\n"}, stderr: []string{"warning"}, there: imagePath},
		{name: "the same again", args: []string{"policy", "import", "good.json"}, stdout: []string{": in force for images\n"}, stderr: []string{"warning"}},
		{name: "another", args: []string{"policy", "import", "--force=false", "unknown.json"}, code: 1, stderr: []string{"verifyTimestamps"}},
		{name: "files", args: []string{"policy", "import", "--blob", "files.json"}, stdout: []string{filepath.FromSlash(filePath) + ": in force for files\n"}, there: filePath},
		{name: "other files", args: []string{"policy", "import", "--blob", "-"}, who: filePolicy + "\n", code: 2, stderr: []string{"trustpolicy.blob.json", "hint: ", "--force"}},
		{name: "other files, by force", args: []string{"policy", "import", "--blob", "--force", "-"}, who: filePolicy + "\n", stdout: []string{"in force for files"}, there: filePath},
		{name: "by force", args: []string{"policy", "import", "--force", "unknown.json"}, stdout: []string{"in force for images"},
			stderr: []string{"warning: " + filepath.FromSlash(imagePath) + `: line 1: statement 1 "a", signatureVerification.verifyTimestamps: nothing has this name`}},
	} {
		s.run(t)
	}
	if got := string(must(os.ReadFile(imagePath))); got != unknownPolicy {
		t.Errorf("in force is %s", got)
	}
	// As Notation 1.x leaves it.
	if err := os.Rename(imagePath, oldPath); err != nil {
		t.Fatal(err)
	}
	for _, s := range []step{
		{name: "the old name counts", args: []string{"policy", "import", "good.json"}, code: 2, stderr: []string{"trustpolicy.json", "--force"}, there: oldPath, gone: imagePath},
		{name: "and goes", args: []string{"policy", "import", "--force", "good.json"}, stdout: []string{imagePath[len("config/"):]},
			stderr: []string{"removed " + filepath.FromSlash(oldPath)}, there: imagePath, gone: oldPath},
	} {
		s.run(t)
	}
	for _, name := range []string{"hostile.json", "bad.json"} {
		if got := nobody.run(t, "policy", "import", name); strings.ContainsAny(got.stderr, "\x1b\u202e") {
			t.Errorf("%s reaches the terminal raw: %q", name, got.stderr)
		}
	}
}

func TestPolicyStores(t *testing.T) {
	policyScene(t)
	for _, args := range [][]string{{"trust", "delete", "-t", "tsa", "-s", "stamp", "--all", "-y"}} {
		nobody.run(t, args...)
	}
	write(t, "config/truststore/x509/ca/acme/leaf.pem", must(os.ReadFile("leaf.pem")))
	step{name: "stores that cannot be used", args: []string{"policy", "import", "good.json"}, stdout: []string{"in force"}, stderr: []string{
		`statement "prod": there is no trust store tsa:stamp yet (fencepost trust add --type tsa --store stamp FILE)`,
		`statement "prod": the trust store ca:acme cannot be used: `}}.run(t)
}

func TestPolicyInit(t *testing.T) {
	policyScene(t)
	acme := []string{"--name", "prod", "--trust-store", "ca:acme", "--trusted-identity", "x509.subject: C=US, ST=WA, O=acme"}
	with := func(base []string, more ...string) []string {
		return append(append([]string{"policy", "init"}, base...), more...)
	}
	for _, s := range []step{
		{name: "no name", args: with(nil, "--trust-store", "ca:acme"), code: 2, stderr: []string{"needs a --name"}},
		{name: "no store", args: with(nil, "-n", "x", "--trusted-identity", "*"), code: 2, stderr: []string{"nothing to trust", "hint: name one with --trust-store"}},
		{name: "no identity", args: with(nil, "-n", "x", "--trust-store", "ca:acme"), code: 2, stderr: []string{"nobody to trust", "hint: "}},
		{name: "global images", args: with(acme, "--global"), code: 2, stderr: []string{"--global goes with --blob", `--scope "*"`}},
		{name: "files of a repository", args: with(acme, "--blob", "--scope", "a/b"), code: 2, stderr: []string{"--scope does not go with --blob"}},
		{name: "what is not valid", args: with(nil, "-n", "x", "--trust-store", "acme", "--trusted-identity", "me", "--level", "lax", "--scope", "host/app:v1"), code: 2,
			stderr: []string{"what the flags make is not a valid trust policy: ", "trustStores[0]: ", "there is no level \"lax\"", "it has a tag", `hint: see "fencepost policy init --help"`}, gone: imagePath},
		{name: "to standard output", args: with(acme, "--out", "-", "--scope", "registry.example/app", "--trust-store", "tsa:stamp", "--verify-timestamp", "afterCertExpiry"), gone: imagePath, stdout: []string{`{
  "version": "1.0",
  "trustPolicies": [
    {
      "name": "prod",
      "registryScopes": [
        "registry.example/app"
      ],
      "signatureVerification": {
        "level": "strict",
        "verifyTimestamp": "afterCertExpiry"
      },
      "trustStores": [
        "ca:acme",
        "tsa:stamp"
      ],
      "trustedIdentities": [
        "x509.subject: C=US, ST=WA, O=acme"
      ]
    }
  ]
}
`}},
		{name: "to a file", args: with(acme, "-o", "out.json"), stdout: []string{"out.json: a valid trust policy for images of 1 statement\n"}, there: "out.json", gone: imagePath},
		{name: "which is there", args: with(acme, "-o", "out.json"), code: 2, stderr: []string{"out.json", "hint: use --force"}},
		{name: "by force", args: with(acme, "-o", "out.json", "--force"), stdout: []string{"out.json: "}},
		{name: "which can be imported", args: []string{"policy", "import", "--check", "out.json"}, stdout: []string{"valid"}},
		{name: "into force", args: with(acme), stdout: []string{": in force for images\n"}, there: imagePath},
		{name: "not again", args: with(acme, "--level", "audit"), code: 2, stderr: []string{"trustpolicy.oci.json", "--force"}},
		{name: "files", args: with(acme, "--blob", "--global"), stdout: []string{": in force for files\n"}, there: filePath},
		{name: "skip", args: with(nil, "-n", "lab", "--level", "skip", "--scope", "lab.example/x", "--force"), stdout: []string{"in force"}, there: imagePath},
		{name: "skip with a store", args: with(acme, "--level", "skip", "--force"), code: 2, stderr: []string{"the level is skip"}},
		{name: "a timestamp that nobody looks at", args: with(acme, "--verify-timestamp", "always", "--force"), stdout: []string{"in force"}, stderr: []string{"it has no effect"}},
		{name: "a store that is not there", args: with(nil, "-n", "x", "--trust-store", "ca:nope", "--trusted-identity", "*", "--force"), stdout: []string{"in force"}, stderr: []string{"there is no trust store ca:nope yet"}},
	} {
		s.run(t)
	}
}

func TestPolicyShow(t *testing.T) {
	policyScene(t)
	for _, s := range []step{
		{name: "none", args: []string{"policy", "show"}, code: 2, stderr: []string{"there is no trust policy for images in config", "hint: ", "policy init", "policy import"}},
		{name: "none for files", args: []string{"policy", "show", "--blob"}, code: 2, stderr: []string{"there is no trust policy for files in config", "policy init"}},
		{name: "import", args: []string{"policy", "import", "good.json"}, stdout: []string{"in force"}, stderr: []string{"warning"}},
		{name: "import files", args: []string{"policy", "import", "--blob", "files.json"}, stdout: []string{"in force"}},
		{name: "show", args: []string{"policy", "show"}, stdout: []string{goodPolicy}, stderr: []string{"fencepost: in force for images: " + filepath.FromSlash(imagePath) + "\n"}},
		{name: "for a repository", args: []string{"policy", "show", "--for", "registry.example/app"}, stderr: []string{"warning"}, stdout: []string{
			`registry.example/app: statement prod of ` + filepath.FromSlash(imagePath) + `
├── level: permissive
│   ├── integrity: enforce
│   ├── authenticity: enforce
│   ├── expiry: log
│   ├── authenticTimestamp: log
│   └── revocation: skip
├── trust stores
│   ├── ca:acme
│   └── tsa:stamp
├── trusted identities
│   └── x509.subject: C=US, ST=WA, O=acme
└── timestamp is looked at: once a certificate of the signer has expired
`}},
		{name: "for a reference", args: []string{"policy", "show", "--for", "localhost:5000/net-monitor:v1@sha256:00"}, stdout: []string{"localhost:5000/net-monitor: statement prod"}, stderr: []string{"warning"}},
		{name: "for another", args: []string{"policy", "show", "--for", "localhost:5000/app"}, stdout: []string{"statement rest", "└── level: skip\n"}, stderr: []string{"warning"}},
		{name: "for nothing", args: []string{"policy", "show", "--for", ""}, code: 2, stderr: []string{"does not name an artifact"}},
		{name: "for files by name", args: []string{"policy", "show", "--blob", "--for", "release"}, stdout: []string{"files with --policy-name release: statement release", "never, since there is no trust store of the type tsa"}},
		{name: "for other files", args: []string{"policy", "show", "--blob", "--for", ""}, stdout: []string{"files that no policy is named for: statement any", "level: audit"}},
		{name: "for files of no statement", args: []string{"policy", "show", "--blob", "--for", "nope"}, code: 1, stderr: []string{`no statement of the trust policy is named "nope"`, "hint: there are "}},
	} {
		s.run(t)
	}
	write(t, imagePath, []byte(badPolicy))
	step{name: "one that is not valid", args: []string{"policy", "show"}, code: 1, stdout: []string{badPolicy}, stderr: []string{"3 faults", "hint: "}}.run(t)
	step{name: "or for somebody", args: []string{"policy", "show", "--for", "a/b"}, code: 1, stdout: []string{badPolicy}, stderr: []string{"3 faults"}}.run(t)
	write(t, imagePath, []byte(unknownPolicy))
	step{name: "one that others wrote", args: []string{"policy", "show"}, stdout: []string{unknownPolicy}, stderr: []string{"warning", "verifyTimestamps"}}.run(t)
	if err := os.Rename(imagePath, oldPath); err != nil {
		t.Fatal(err)
	}
	step{name: "under the old name", args: []string{"policy", "show"}, stdout: []string{unknownPolicy}, stderr: []string{"in force for images: " + filepath.FromSlash(oldPath)}}.run(t)
	if runtime.GOOS != "windows" {
		if err := os.Symlink("../good.json", imagePath); err != nil {
			t.Fatal(err)
		}
		step{name: "a link", args: []string{"policy", "show"}, code: 2, stderr: []string{"is a symbolic link"}}.run(t)
	}
}

// TestPolicyShowTerminal holds that a document cannot do anything to a terminal.
func TestPolicyShowTerminal(t *testing.T) {
	policyScene(t)
	hostile := strings.Replace(unknownPolicy, `"always"`, "\"a\u009b2J\u202eb\"", 1)
	for name, text := range map[string]string{"valid": hostile, "torn": hostile[:len(hostile)-2], "tabs": strings.ReplaceAll(filePolicy, "globalPolicy", "x\\u001b")} {
		write(t, imagePath, []byte(text))
		var stdout bytes.Buffer
		env := &cli.Env{Program: "fencepost", Stdout: &stdout, StdoutTerminal: true, Getenv: func(string) string { return "" }}
		root := &cobra.Command{Use: "fencepost"}
		root.AddCommand(NewPolicy(env))
		cli.Run(t.Context(), env, root, []string{"policy", "show", "--config-dir", "config"})
		if stdout.Len() == 0 || strings.ContainsAny(stdout.String(), "\u009b\u202e\x1b\t") {
			t.Errorf("%s: to the terminal goes %q", name, stdout.String())
		}
	}
}

func TestPolicyJSON(t *testing.T) {
	policyScene(t)
	get := func(v any, code int, args ...string) {
		t.Helper()
		got := nobody.run(t, append(args, "--json")...)
		if got.code != code || got.stderr != "" {
			t.Errorf("%q = exit %d, stderr %q, want exit %d", args, got.code, got.stderr, code)
		}
		if err := json.Unmarshal([]byte(got.stdout), v); err != nil {
			t.Fatalf("%q wrote %s: %v", args, got.stdout, err)
		}
	}
	var in importJSON
	if get(&in, 1, "policy", "import", "bad.json"); in.Valid || len(in.Faults) != 3 || in.Imported || in.Faults[0].Rule != "level" || in.Faults[0].Cure == "" {
		t.Errorf("import of faults: %+v", in)
	}
	in = importJSON{}
	if get(&in, 0, "policy", "import", "--check", "good.json"); !in.Valid || in.Imported || in.Path != "" || in.Kind != "image" {
		t.Errorf("check: %+v", in)
	}
	in = importJSON{}
	if get(&in, 0, "policy", "import", "good.json"); !in.Imported || in.Replaced || filepath.ToSlash(in.Path) != imagePath || len(in.Warnings) == 0 {
		t.Errorf("import: %+v", in)
	}
	in = importJSON{}
	if get(&in, 0, "policy", "init", "--force", "-n", "x", "--trust-store", "ca:nope", "--trusted-identity", "*"); !in.Imported || !in.Replaced || len(in.Warnings) != 1 || in.Warnings[0].Rule != "trust-store" {
		t.Errorf("init: %+v", in)
	}
	if got := nobody.run(t, "policy", "init", "--json", "-o", "-", "-n", "x", "--trust-store", "ca:nope", "--trusted-identity", "*"); got.code != 2 {
		t.Errorf("--json and -o - gave %+v", got)
	}
	get(&in, 0, "policy", "import", "--force", "good.json")
	var shown showPolicyJSON
	if get(&shown, 0, "policy", "show", "--for", "registry.example/app:v1"); !shown.Valid || shown.Statement == nil || shown.Statement.Name != "prod" || shown.Statement.Actions["revocation"] != "skip" || len(shown.Document) == 0 {
		t.Errorf("show: %+v", shown)
	}
	write(t, imagePath, []byte(goodPolicy[:100]))
	shown = showPolicyJSON{}
	if get(&shown, 1, "policy", "show"); shown.Valid || len(shown.Faults) != 1 || shown.Text != goodPolicy[:100] || shown.Document != nil {
		t.Errorf("show of what is not valid: %+v", shown)
	}
	write(t, imagePath, []byte("{\"version\": \"\xff\"}"))
	shown = showPolicyJSON{}
	if get(&shown, 1, "policy", "show"); shown.Document != nil || shown.Text != "{\"version\": \"\ufffd\"}" {
		t.Errorf("show of what is not UTF-8: %+v", shown)
	}
}
