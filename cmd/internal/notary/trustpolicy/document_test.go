package trustpolicy_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// describe writes a statement on one line.
func describe(s *trustpolicy.Statement) string {
	var actions []string
	for _, c := range trustpolicy.Checks() {
		actions = append(actions, string(s.Actions[c]))
	}
	var names []string
	for _, subject := range s.Identities.Subjects {
		names = append(names, subject.Name.String())
	}
	return fmt.Sprintf("%q %v %v %s %s %s %v %v %q", s.Name, s.Scopes, s.Global, s.Level, strings.Join(actions, "/"), s.VerifyTimestamp, s.Stores, s.Identities.Any, names)
}

// TestGood: documents in the words of the Notary Project's own pages.
func TestGood(t *testing.T) {
	for _, test := range []struct {
		file  string
		parse func([]byte) (*trustpolicy.Document, error)
		want  []string
	}{
		{"testdata/images.json", trustpolicy.ParseImages, []string{
			`"wabbit-networks-images" [registry.acme-rockets.io/software/net-monitor localhost:5000/software/net-logger] false strict enforce/enforce/log/enforce/skip afterCertExpiry [ca:acme-rockets signingAuthority:acme-rockets tsa:example.com] false ["C=US, ST=WA, L=Seattle, O=acme-rockets.io, OU=Finance, CN=SecureBuilder" "CN=Net\\, Inc., O=wabbit-networks.io, ST=WA, C=US"]`,
			`"unsigned-image" [registry.acme-rockets.io/software/unsigned/product-a] false skip skip/skip/skip/skip/skip always [] false []`,
			`"use-permissive" [registry.acme-rockets.io/software/old_build__2--x.y] false permissive enforce/enforce/log/log/log always [ca:acme-rockets] true []`,
			`"everything else" [*] false audit enforce/enforce/log/log/log always [ca:acme-rockets tsa:system] true []`,
		}},
		{"testdata/files.json", trustpolicy.ParseFiles, []string{
			`"wabbit-networks-files" [] false strict enforce/enforce/enforce/enforce/enforce always [ca:wabbit-networks tsa:wabbit-networks] false ["C=US, ST=WA, O=wabbit-networks.io"]`,
			`"not verified" [] false skip skip/skip/skip/skip/skip always [] false []`,
			`"the usual" [] true audit enforce/log/log/log/log always [ca:acme-rockets tsa:wabbit-networks] true []`,
		}},
	} {
		doc, err := test.parse(read(t, test.file))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		for _, w := range doc.Warnings {
			t.Errorf("%s: warning: %s", test.file, w)
		}
		for i, s := range doc.Statements {
			if got := describe(s); i >= len(test.want) || got != test.want[i] {
				t.Errorf("%s: statement %d:\ngot  %s", test.file, i+1, got)
			}
		}
		if len(doc.Statements) != len(test.want) {
			t.Errorf("%s: %d statements, want %d", test.file, len(doc.Statements), len(test.want))
		}
	}
}

// TestWarnings: what Notation accepts and nobody means.
func TestWarnings(t *testing.T) {
	global := func(members ...string) string { return images(st(append([]string{name}, members...)...)) }
	images, files := trustpolicy.ParseImages, trustpolicy.ParseFiles
	for _, test := range []struct {
		name  string
		parse func([]byte) (*trustpolicy.Document, error)
		doc   string
		want  []string
	}{
		{"unknown member of the document", images, `{"version": "1.0", "comment": {"a": [1]}, "trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`,
			[]string{"unknown-key: line 1: comment: nothing has this name; it is ignored"}},
		{"unknown member of a statement", images, global(scopes, strict, stores, identities, `"a \"b": 1`),
			[]string{`unknown-key: line 2: statement 1 "prod", "a \"b": nothing has this name; it is ignored`}},
		{"unknown member of signatureVerification", images, verification(`{"level": "strict", "verifyTimestamps": "always"}`),
			[]string{`unknown-key: line 2: statement 1 "prod", signatureVerification.verifyTimestamps: nothing has this name; it is ignored`}},
		{"globalPolicy of an image", images, global(scopes, strict, stores, identities, `"globalPolicy": true`),
			[]string{`unknown-key: line 2: statement 1 "prod", globalPolicy: only trust policies for files have it; it is ignored`}},
		{"registryScopes of a file", files, global(scopes, strict, stores, identities),
			[]string{`unknown-key: line 2: statement 1 "prod", registryScopes: only trust policies for images have it; it is ignored`}},
		{"everything skipped", images, global(`"registryScopes": ["*"]`, `"signatureVerification": {"level": "skip"}`),
			[]string{`skips-all: line 2: statement 1 "prod", registryScopes[0]: no image is verified that no other statement has: the level is skip`}},
		{"verifyTimestamp without a store", images, verification(`{"level": "strict", "verifyTimestamp": "always"}`),
			[]string{`no-effect: line 2: statement 1 "prod", signatureVerification.verifyTimestamp: it has no effect: no timestamp is looked at, because trustStores names no store of the type tsa`}},
		{"verifyTimestamp of skip", images, global(scopes, `"signatureVerification": {"level": "skip", "verifyTimestamp": "afterCertExpiry"}`),
			[]string{`no-effect: line 2: statement 1 "prod", signatureVerification.verifyTimestamp: it has no effect: the level is skip`}},
		{"only timestamp authorities", images, store(`["tsa:a"]`),
			[]string{`never-matches: line 2: statement 1 "prod", trustStores: no signer is trusted: there are only stores of timestamp authorities`}},
		{"store twice", images, store(`["ca:a", "ca:a"]`),
			[]string{`no-effect: line 2: statement 1 "prod", trustStores[1]: ca:a is in the list already`}},
		{"identity of a plugin", images, identity("did:web:example.com"),
			[]string{`never-matches: line 2: statement 1 "prod", trustedIdentities[0]: an identity of the kind "did" is for plugins of Notation; here it matches nobody`}},
		{"kind in capitals", images, identity("X509.Subject: C=US, ST=WA, O=a"),
			[]string{`never-matches: line 2: statement 1 "prod", trustedIdentities[0]: an identity of the kind "X509.Subject" is for plugins of Notation; here it matches nobody`}},
		{"attribute that no certificate has so", images, identity("x509.subject: C=US, ST=WA, O=a, DC=example, 2.5.4.3=b, cn=c"), []string{
			`never-matches: line 2: statement 1 "prod", trustedIdentities[0]: no certificate can match: DC is not compared`,
			`never-matches: line 2: statement 1 "prod", trustedIdentities[0]: no certificate can match: 2.5.4.3 is not compared`,
			`never-matches: line 2: statement 1 "prod", trustedIdentities[0]: no certificate can match: attributes are compared by their names as they are written, and cn is not CN`,
		}},
		{"capitals in the host", images, scope(`["Registry.example.com/app"]`), nil},
		{"nulls", images, global(scopes, `"signatureVerification": {"level": "skip", "override": null, "verifyTimestamp": null}`, `"trustStores": null`, `"trustedIdentities": null`), nil},
		{"empty override of skip", images, global(scopes, `"signatureVerification": {"level": "skip", "override": {}}`, `"trustStores": []`), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := test.parse([]byte(test.doc))
			if err != nil {
				t.Fatalf("%s: %v", test.doc, err)
			}
			var got []string
			for _, w := range doc.Warnings {
				got = append(got, fmt.Sprintf("%s: %s", w.Rule, w))
				if w.Cure == "" {
					t.Errorf("no cure for %s", w)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s\ngot\n%s\nwant\n%s", test.doc, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestLevels holds the table of the specification.
func TestLevels(t *testing.T) {
	for level, want := range map[trustpolicy.Level]string{
		trustpolicy.LevelStrict:     "enforce enforce enforce enforce enforce",
		trustpolicy.LevelPermissive: "enforce enforce log log log",
		trustpolicy.LevelAudit:      "enforce log log log log",
		trustpolicy.LevelSkip:       "skip skip skip skip skip",
		"lenient":                   "    ",
	} {
		actions := level.Actions()
		var got []string
		for _, c := range []trustpolicy.Check{trustpolicy.Integrity, trustpolicy.Authenticity, trustpolicy.AuthenticTimestamp, trustpolicy.Expiry, trustpolicy.Revocation} {
			got = append(got, string(actions[c]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", level, got, want)
		}
	}
}

// TestOverride: each check that can be overridden, each action, on each level.
func TestOverride(t *testing.T) {
	for _, level := range trustpolicy.Levels()[:3] {
		for _, check := range trustpolicy.Checks()[1:] {
			for _, action := range []trustpolicy.Action{trustpolicy.Enforce, trustpolicy.Log, trustpolicy.Skip} {
				if action == trustpolicy.Skip && check != trustpolicy.Revocation {
					continue
				}
				doc, err := trustpolicy.ParseImages([]byte(verification(fmt.Sprintf(`{"override": {%q: %q}, "level": %q}`, check, action, level))))
				if err != nil {
					t.Fatal(err)
				}
				want := level.Actions()
				want[check] = action
				if got := doc.Statements[0].Actions; !maps.Equal(got, want) {
					t.Errorf("%s with %s %s: %v, want %v", level, check, action, got, want)
				}
				if got := doc.Statements[0].Level; got != level {
					t.Errorf("level %s, want %s", got, level)
				}
			}
		}
	}
}

func TestForImage(t *testing.T) {
	doc, err := trustpolicy.ParseImages(read(t, "testdata/images.json"))
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"registry.acme-rockets.io/software/net-monitor":        "wabbit-networks-images",
		"localhost:5000/software/net-logger":                   "wabbit-networks-images",
		"registry.acme-rockets.io/software/unsigned/product-a": "unsigned-image",
		"registry.acme-rockets.io/software/net-monitor2":       "everything else",
		"registry.acme-rockets.io/software":                    "everything else",
		"REGISTRY.acme-rockets.io/software/net-monitor":        "wabbit-networks-images",
		"[::1]:5000/software/net-monitor":                      "everything else",
	} {
		s, err := doc.ForImage(image)
		if err != nil || s.Name != want {
			t.Errorf("%s: %v, %v, want %s", image, s, err, want)
		}
	}
	for _, image := range []string{"", "*", "app", "/app", "localhost/", "localhost/App", "localhost/app:v1", "localhost/app@sha256:00", "https://localhost/app", "localhost/app/", "localhost/app "} {
		if s, err := doc.ForImage(image); s != nil || !errors.Is(err, trustpolicy.ErrNoStatement) {
			t.Errorf("%q: %v, %v, want no statement", image, s, err)
		}
	}
	if _, err := doc.ForFile(""); !errors.Is(err, trustpolicy.ErrNoStatement) {
		t.Errorf("a file: %v", err)
	}
	doc, err = trustpolicy.ParseImages([]byte(scope(`["a/b"]`)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := doc.ForImage("a/c")
	var advice interface{ Advice() string }
	if s != nil || !errors.Is(err, trustpolicy.ErrNoStatement) || !errors.As(err, &advice) || advice.Advice() != `add "a/c" to the registryScopes of a statement` {
		t.Errorf("no scope: %v, %v", s, err)
	}
}

func TestForFile(t *testing.T) {
	doc, err := trustpolicy.ParseFiles(read(t, "testdata/files.json"))
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"": "the usual", "not verified": "not verified", "wabbit-networks-files": "wabbit-networks-files"} {
		if s, err := doc.ForFile(file); err != nil || s.Name != want {
			t.Errorf("%q: %v, %v, want %s", file, s, err, want)
		}
	}
	for _, name := range []string{"wabbit", "Not verified", " "} {
		if s, err := doc.ForFile(name); s != nil || !errors.Is(err, trustpolicy.ErrNoStatement) {
			t.Errorf("%q: %v, %v, want no statement", name, s, err)
		}
	}
	if _, err := doc.ForImage("a/b"); !errors.Is(err, trustpolicy.ErrNoStatement) {
		t.Errorf("an image: %v", err)
	}
	doc, err = trustpolicy.ParseFiles([]byte(images(st(name, strict, stores, identities))))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := doc.ForFile(""); s != nil || !errors.Is(err, trustpolicy.ErrNoStatement) {
		t.Errorf("no global statement: %v, %v", s, err)
	}
}

func TestStoreNames(t *testing.T) {
	s := &trustpolicy.Statement{Stores: []trustpolicy.StoreRef{{Type: "ca", Name: "a"}, {Type: "tsa", Name: "b"}, {Type: "ca", Name: "c"}}}
	if got := s.StoreNames("ca"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("got %v", got)
	}
	if got := s.StoreNames("signingAuthority"); got != nil {
		t.Errorf("got %v", got)
	}
}

// FuzzDocument holds that a document is valid or has faults, never both, and
// that what is valid can be relied on.
func FuzzDocument(f *testing.F) {
	for _, test := range append(wrongImages, wrongFiles...) {
		if len(test.doc) < 4096 {
			f.Add([]byte(test.doc))
		}
	}
	f.Add(read(f, "testdata/images.json"))
	f.Add(read(f, "testdata/files.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*trustpolicy.Document, error){trustpolicy.ParseImages, trustpolicy.ParseFiles} {
			doc, err := parse(data)
			var faults *trustpolicy.Faults
			if (doc == nil) == (err == nil) || err != nil && (!errors.As(err, &faults) || len(faults.List) == 0 || len(faults.List) > strictjson.MaxFaults || err.Error() == "") {
				t.Fatalf("%q: %v, %v", data, doc, err)
			}
			if err != nil {
				continue
			}
			if len(doc.Statements) == 0 {
				t.Fatalf("%q: no statement", data)
			}
			names := map[string]bool{}
			for _, s := range doc.Statements {
				if names[s.Name] || s.Name == "" || len(s.Actions) != 5 || s.Level.Actions() == nil || s.VerifyTimestamp == "" {
					t.Fatalf("%q: %s", data, describe(s))
				}
				names[s.Name] = true
				if !s.Skips() && (len(s.Stores) == 0 || s.Actions[trustpolicy.Integrity] != trustpolicy.Enforce || s.Global && s.Skips() ||
					!s.Identities.Any && len(s.Identities.Subjects)+len(s.Identities.Others) == 0) {
					t.Fatalf("%q: %s", data, describe(s))
				}
				for _, scope := range s.Scopes {
					if scope == "*" {
						scope = "no.other.has/it"
					}
					if got, err := doc.ForImage(scope); got != s || err != nil {
						t.Fatalf("%q: the scope %q is not that of %s: %v, %v", data, scope, describe(s), got, err)
					}
				}
			}
		}
	})
}

// TestScopeCapitals: a statement is found however its scope spells the host, and
// two cannot have the same.
func TestScopeCapitals(t *testing.T) {
	const form = `{"version": "1.0", "trustPolicies": [
		{"name": "all", "registryScopes": ["*"], "signatureVerification": {"level": "skip"}},
		{"name": "one", "registryScopes": ["Registry.Example.com:5000/app"%s], "signatureVerification": {"level": "strict"}, "trustStores": ["ca:example"], "trustedIdentities": ["*"]}]}`
	doc, err := trustpolicy.ParseImages(fmt.Appendf(nil, form, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"registry.example.com:5000/app", "Registry.Example.com:5000/app"} {
		if s, err := doc.ForImage(name); err != nil || s.Name != "one" {
			t.Errorf("%s: %v, %v, want the statement of its own", name, s, err)
		}
	}
	if _, err := trustpolicy.ParseImages(fmt.Appendf(nil, form, `, "registry.example.com:5000/app"`)); err == nil || !strings.Contains(err.Error(), "is in the list already") {
		t.Errorf("the same scope in two spellings: %v", err)
	}
}
