package artifactcmd_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A failure is a command that does not do what was asked, and what it says.
type failure struct {
	name   string
	line   string
	before func(r *rig)
	code   int
	error  string // a part of the message
	hint   string // a part of the hint; "" if there is none
}

func (f failure) run(t *testing.T) {
	t.Helper()
	r := newRig(t, notarytest.Options{})
	r.write("file.txt", []byte("a file\n"))
	if f.before != nil {
		f.before(r)
	}
	writes, files := r.writes(), list(t)
	got := r.run(f.line)
	message, hint := said(got.stderr)
	switch {
	case got.code != f.code:
		t.Errorf("exit status %d, want %d", got.code, f.code)
	case !strings.Contains(message, f.error):
		t.Errorf("the message is %q, want %q in it", message, f.error)
	case !strings.Contains(hint, f.hint) || f.hint == "" && hint != "":
		t.Errorf("the hint is %q, want %q in it", hint, f.hint)
	case strings.Contains(f.line, " sign ") && got.stdout != "" && f.code != 0:
		t.Errorf("standard output has %q", got.stdout)
	}
	for _, name := range []string{"envelope: ", "countersign: ", "verify: ", "notary: ", "oci: "} {
		if strings.Contains(message, name) {
			t.Errorf("the message %q names a package", message)
		}
	}
	if n := r.writes() - writes; n != 0 {
		t.Errorf("%d writes to the registry", n)
	}
	if now := list(t); now != files {
		t.Errorf("the files were\n%s\nand are\n%s", files, now)
	}
	if t.Failed() {
		t.Logf("fencepost %s\n%s%s", f.line, got.stdout, got.stderr)
	}
	// The same as JSON, in one document and with the same exit status.
	got = r.run(f.line + " --json")
	if f.code != got.code || !json.Valid([]byte(got.stdout)) {
		t.Errorf("--json: exit status %d and %q, want %d and one document", got.code, got.stdout, f.code)
	}
}

// said returns the message and the hint of an error.
func said(stderr string) (message, hint string) {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "fencepost: "))
		if m, ok := strings.CutPrefix(line, "error: "); ok {
			message += m
		} else if h, ok := strings.CutPrefix(line, "hint: "); ok {
			hint += h
		}
	}
	return message, hint
}

// list names the files of the working directory, with their sizes.
func list(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(e.Name())
		if !e.IsDir() {
			b.WriteString(" " + time.Duration(st.Size()).String())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func runAll(t *testing.T, rows []failure) {
	for _, f := range rows {
		t.Run(f.name, func(t *testing.T) { f.run(t) })
	}
}

// signed has a signature of the image, with a timestamp.
func signed(r *rig) { r.must("image sign SIGN STAMP IMAGE") }

// TestUsage: command lines that are refused before anything is done.
func TestUsage(t *testing.T) {
	const help = "--help"
	runAll(t, []failure{
		{name: "no reference", line: "image verify", code: 2, error: "REF is missing", hint: help},
		{name: "two references", line: "image verify IMAGE IMAGE", code: 2, error: "one REF, not 2", hint: help},
		{name: "an empty reference", line: "image verify EMPTY", code: 2, error: "an argument is empty", hint: help},
		{name: "no registry", line: "image verify app:v1", code: 2, error: "names no registry", hint: "docker.io/library/app:v1"},
		{name: "no tag", line: "image sign SIGN HOST/app", code: 2, error: "names neither a tag nor a digest", hint: "@sha256:"},
		{name: "a scheme", line: "image list https://HOST/app:v1", code: 2, error: "has a scheme", hint: "--insecure-registry"},
		{name: "an unknown command", line: "image sing IMAGE", code: 2, error: `unknown command "sing"`, hint: "did you mean sign"},
		{name: "empty config-dir", line: "image verify IMAGE --config-dir EMPTY", code: 2, error: "--config-dir is given, and empty", hint: help},
		{name: "empty scope", line: "image verify IMAGE --scope EMPTY", code: 2, error: "--scope is given, and empty", hint: help},
		{name: "empty URL", line: "image sign SIGN IMAGE --timestamp-url EMPTY --timestamp-root-cert tsa.pem", code: 2, error: "--timestamp-url is given, and empty", hint: help},
		{name: "empty root", line: "image sign SIGN IMAGE --timestamp-url TSA --timestamp-root-cert EMPTY", code: 2, error: "--timestamp-root-cert is given, and empty", hint: help},
		{name: "empty policy", line: "blob verify -s x.jws.sig --policy-name EMPTY file.txt", code: 2, error: "--policy-name is given, and empty", hint: help},
		{name: "empty metadata", line: "image verify -m EMPTY IMAGE", code: 2, error: "--user-metadata is given, and empty", hint: help},

		{name: "user without password", line: "image verify --username joe IMAGE", code: 2, error: "--username without a password", hint: "--password-stdin"},
		{name: "password that is not there", line: "image verify --username joe --password-stdin IMAGE", code: 2, error: "standard input is empty", hint: help},
		{name: "layout and registry", line: "image sign SIGN --oci-layout --insecure-registry layout:v1", code: 2, error: "flags for registries do not go with it", hint: help},
		{name: "layout and user", line: "image list --oci-layout --username joe layout:v1", code: 2, error: "flags for registries do not go with it", hint: help},
		{name: "layout without scope", line: "image verify --oci-layout layout:v1", code: 2, error: "--oci-layout needs --scope", hint: help},
		{name: "scope without layout", line: "image verify --scope a.example/b IMAGE", code: 2, error: "--scope goes with --oci-layout", hint: help},
		{name: "layout that is not there", line: "image list --oci-layout layout:v1", code: 2, error: "no such file or directory", hint: "oci-layout"},
		{name: "no signatures looked at", line: "image verify --max-signatures 0 IMAGE", code: 2, error: "--max-signatures is at least 1, not 0", hint: help},
		{name: "less than none listed", line: "image list --max-signatures -1 IMAGE", code: 2, error: "--max-signatures is at least 1, not -1", hint: help},
		{name: "none inspected", line: "image inspect --max-signatures 0 IMAGE", code: 2, error: "--max-signatures is at least 1, not 0", hint: help},

		{name: "no time", line: "image verify --at yesterday IMAGE", code: 2, error: `--at "yesterday" is not a time such as 2027-01-01T00:00:00Z`, hint: help},
		{name: "passed-over signatures of a file", line: "blob verify -v -s x.jws.sig file.txt", code: 2, error: "unknown shorthand flag: 'v'", hint: help},
		{name: "an end in days", line: "image sign SIGN -e 30d IMAGE", code: 2, error: `unknown unit "d"`, hint: "30 days are 720h"},
		{name: "no time, and nothing to verify", line: "image verify --at yesterday IMAGE", before: func(r *rig) { r.policy("skip", nil) }, code: 2, error: `--at "yesterday" is not a time`, hint: help},
		{name: "metadata without a value", line: "image verify -m build IMAGE", code: 2, error: `--user-metadata "build" is not KEY=VALUE`, hint: help},
		{name: "metadata twice", line: "image sign SIGN -m a=1 -m a=2 IMAGE", code: 2, error: `"a" is given twice`, hint: help},
		{name: "fraction of a second", line: "image sign SIGN -e 1500ms IMAGE", code: 2, error: "--expiry is a number of whole seconds, not 1.5s", hint: help},
		{name: "negative expiry", line: "blob sign SIGN -e -1h file.txt", code: 2, error: "--expiry is a number of whole seconds, not -1h0m0s", hint: help},
		{name: "unknown format", line: "image sign SIGN --signature-format pgp IMAGE", code: 2, error: `--signature-format: unknown signature format "pgp"; want jws or cose`, hint: help},
		{name: "URL without scheme", line: "image sign SIGN --timestamp-url tsa.example/tsr --timestamp-root-cert tsa.pem IMAGE", code: 2, error: "it needs http or https and a host", hint: "begins with https:// or http://"},
		{name: "host and port for a URL", line: "image sign SIGN --timestamp-url 127.0.0.1:3000 --timestamp-root-cert tsa.pem IMAGE", code: 2, error: "malformed URL of an authority", hint: "begins with https:// or http://"},
		{name: "URL of another scheme", line: "image sign SIGN --timestamp-url ftp://tsa.example/ --timestamp-root-cert tsa.pem IMAGE", code: 2, error: "it needs http or https and a host", hint: help},
		{name: "URL without root", line: "image sign SIGN --timestamp-url TSA IMAGE", code: 2, error: "--timestamp-url without the root certificate", hint: "--timestamp-root-cert FILE"},
		{name: "root without URL", line: "image sign SIGN --timestamp-root-cert tsa.pem IMAGE", code: 2, error: "--timestamp-root-cert goes with --timestamp-url", hint: help},
		{name: "two kinds of root", line: "image sign SIGN --timestamp-url TSA --timestamp-root-cert tsa.pem --timestamp-system-roots IMAGE", code: 2, error: "exclude each other", hint: help},
		{name: "timeout without URL", line: "image sign SIGN --timestamp-timeout 5s IMAGE", code: 2, error: "--timestamp-timeout goes with --timestamp-url", hint: help},
		{name: "list without URL", line: "image sign SIGN --crl list.crl IMAGE", code: 2, error: "go with --timestamp-url", hint: help},
		{name: "offline without URL", line: "blob sign SIGN --offline file.txt", code: 2, error: "go with --timestamp-url", hint: help},
		{name: "restamp without URL", line: "image restamp IMAGE", code: 2, error: "--timestamp-url and --timestamp-root-cert are missing", hint: help},
		{name: "restamp without a name", line: "blob restamp STAMP x.jws.sig", code: 2, error: "--out is missing", hint: help},
		{name: "signature not named", line: "blob verify file.txt", code: 2, error: "--signature is missing", hint: help},
		{name: "standard input", line: "blob sign SIGN -", code: 2, error: "a signature is of a file", hint: help},
	})
}

// TestSignFailures: nothing is stored, and the exit status says whether somebody
// said no.
func TestSignFailures(t *testing.T) {
	other := notarytest.Options{Name: "Other"}
	keys := func(document string) func(*rig) {
		return func(r *rig) { r.write("config/signingkeys.json", []byte(document)) }
	}
	fault := func(pattern string, f ocitest.Fault) func(*rig) {
		return func(r *rig) { r.registry.Fault(pattern, f) }
	}
	chainOf := func(opts notarytest.Options) func(*rig) {
		return func(r *rig) { _, chain := notarytest.Chain(r.t, opts); r.write("chain.pem", certificates(chain...)) }
	}
	runAll(t, []failure{
		{name: "no key", line: "image sign IMAGE", code: 2, error: "no key is named", hint: "--key"},
		{name: "no such key", line: "image sign -k release IMAGE", code: 2, error: `no key named "release"`, hint: "--key"},
		{name: "another key", line: "image sign -k relaese IMAGE", before: keys(`{"keys":[{"name":"release","keyPath":"key.pem","certPath":"chain.pem"}]}`), code: 2,
			error: `no key named "relaese"`, hint: `there are "release"`},
		{name: "a file for a name", line: "image sign -k key.pem IMAGE", code: 2, error: `no key named "key.pem"`, hint: "--key file:key.pem"},
		{name: "a key of a plugin", line: "image sign -k kms IMAGE", before: keys(`{"keys":[{"name":"kms","id":"x","pluginName":"azure-kv"}]}`), code: 2, error: "runs no plugins", hint: "azurekms:"},
		{name: "no valid list of keys", line: "image sign IMAGE", before: keys(`{"keys":{}}`), code: 2, error: "signingkeys.json", hint: "write a list"},
		{name: "no chain", line: "image sign -k file:key.pem IMAGE", code: 2, error: "without its certificate chain", hint: "--certificate-chain"},
		{name: "a chain without a key", line: "image sign --certificate-chain chain.pem IMAGE", code: 2, error: "--certificate-chain without --key", hint: "--key file:FILE"},
		{name: "no key file", line: "image sign -k file:none.pem --certificate-chain chain.pem IMAGE", code: 2, error: "none.pem: no such file", hint: "cert create --role code-signing"},
		{name: "no chain file", line: "image sign -k file:key.pem --certificate-chain none.pem IMAGE", code: 2, error: "none.pem: no such file"},
		{name: "a chain that is none", line: "image sign -k file:key.pem --certificate-chain file.txt IMAGE", code: 2, error: "file.txt"},
		{name: "a key that is none", line: "image sign -k file:file.txt --certificate-chain chain.pem IMAGE", code: 2, error: "file.txt"},
		{name: "a program", line: "image sign -k exec:/bin/true --certificate-chain chain.pem IMAGE", code: 2, error: "no program is started", hint: "--help"},
		{name: "a key in memory", line: "image sign -k memory:p256 --certificate-chain chain.pem IMAGE", code: 2, error: "a key in memory", hint: "--help"},
		{name: "a key of another certificate", line: "image sign SIGN STAMP IMAGE", before: chainOf(other), code: 2, error: "not that of the first certificate"},
		{name: "a certificate that has expired", line: "image sign SIGN STAMP IMAGE", before: chainOf(notarytest.Options{NotAfter: time.Now().Add(-time.Hour)}), code: 2, error: "expired on"},
		{name: "a chain without its root", line: "image sign SIGN IMAGE", before: func(r *rig) { r.write("chain.pem", certificates(r.chain[:2]...)) }, code: 2, error: "chain", hint: "the root last"},
		{name: "reserved metadata", line: "image sign SIGN -m io.cncf.notary.x=1 IMAGE", code: 2, error: "are reserved"},

		{name: "nobody stamps", line: "image sign SIGN IMAGE --timestamp-url http://127.0.0.1:1/ --timestamp-retries 0 --timestamp-root-cert tsa.pem", code: 2,
			error: "timestamp: no-answer: http://127.0.0.1:1/: connection failed", hint: "can be reached from here"},
		{name: "authority refuses", line: "image sign SIGN STAMP IMAGE", before: func(r *rig) { r.tsa.Set(tsptest.RefuseBadAlg) }, code: 1, error: "badAlg"},
		{name: "authority out of order", line: "image sign SIGN STAMP IMAGE", before: func(r *rig) { r.tsa.Set(tsptest.Unavailable) }, code: 2, error: "HTTP status 503", hint: "can be reached"},
		{name: "authority answers something else", line: "image sign SIGN STAMP IMAGE", before: func(r *rig) { r.tsa.Set(tsptest.WrongImprint) }, code: 1, error: "imprint"},
		{name: "another root", line: "image sign SIGN STAMP IMAGE", before: func(r *rig) { r.write("tsa.pem", certificates(pkitest.TSA(r.t, pkitest.Options{Name: "Other"}).Root)) }, code: 1,
			error: "untrusted", hint: "root certificate of that name"},
		{name: "a chain for a root", line: "image sign SIGN IMAGE --timestamp-url TSA --timestamp-root-cert chain.pem", code: 2, error: "chain.pem: there are 3 certificates", hint: "alone"},
		{name: "no root", line: "image sign SIGN IMAGE --timestamp-url TSA --timestamp-root-cert none.pem", code: 2, error: "none.pem: no such file"},
		{name: "both of two authorities fail", line: "image sign SIGN STAMP IMAGE --timestamp-url http://127.0.0.1:1/", before: func(r *rig) { r.tsa.Set(tsptest.WrongNonce) }, code: 2, error: "127.0.0.1:1", hint: "can be reached"},

		{name: "no such tag", line: "image sign SIGN STAMP HOST/app:v2", code: 2, error: "tag v2 of app: not found"},
		{name: "no such repository", line: "image sign SIGN STAMP HOST/other:v1", code: 2, error: "there is no repository other"},
		{name: "no registry", line: "image sign SIGN localhost:1/app:v1", code: 2, error: "connection refused", hint: "see that the registry is running"},
		{name: "credentials are asked for", line: "image sign SIGN STAMP IMAGE", before: func(r *rig) {
			r.registry.Configure(func(c *ocitest.Config) { c.Username, c.Password = "joe", "secret" })
		}, code: 2, error: "asks for a user name and a password", hint: "docker login"},
		{name: "the registry lies", line: "image sign SIGN STAMP IMAGE", before: fault("GET .*/manifests/", ocitest.Fault{Flip: true}), code: 2, error: "digest"},
		{name: "too many requests", line: "image sign SIGN IMAGE", before: fault("/manifests/", ocitest.Fault{Status: 429, Header: map[string][]string{"Retry-After": {"3600"}}}), code: 2,
			error: "too many requests", hint: "try again later"},

		{name: "there already", line: "blob sign SIGN file.txt", before: func(r *rig) { r.write("file.txt.jws.sig", []byte("x")) }, code: 2, error: "file already exists", hint: "--force"},
		{name: "no file", line: "blob sign SIGN none.txt", code: 2, error: "none.txt: no such file"},
		{name: "no directory", line: "blob sign SIGN --signature-directory none file.txt", code: 2, error: "--signature-directory: stat none: no such file or directory", hint: "make the directory first"},
		{name: "file not stamped", line: "blob sign SIGN STAMP file.txt", before: func(r *rig) { r.tsa.Set(tsptest.WrongNonce) }, code: 1, error: "nonce"},
	})
}

// TestNotStored: what was signed and could not be stored. The blob may be there,
// but nothing lists it.
func TestNotStored(t *testing.T) {
	for _, pattern := range []string{"POST .*/uploads/", "PUT .*/uploads/", "PUT .*/manifests/"} {
		r := newRig(t, notarytest.Options{})
		r.registry.Fault(pattern, ocitest.Fault{Status: 403})
		got := r.run("image sign SIGN STAMP IMAGE")
		message, hint := said(got.stderr)
		if got.code != 2 || got.stdout != "" || !strings.Contains(message, "the signature was made and could not be stored") || !strings.Contains(hint, "docker login") {
			t.Errorf("%s: exit status %d\n%s%s", pattern, got.code, got.stdout, got.stderr)
		}
		r.registry.Mend()
		if out := r.must("image list IMAGE"); !strings.Contains(out, "no associated signatures") {
			t.Errorf("%s: %s", pattern, out)
		}
	}
}

// TestVerifyFailures: 1 where the answer is no, 2 where there is none.
func TestVerifyFailures(t *testing.T) {
	strict := func(change func(st map[string]any)) func(*rig) {
		return func(r *rig) { signed(r); r.policy("strict", change) }
	}
	stores := func(names ...string) func(map[string]any) {
		return func(st map[string]any) { st["trustStores"] = names }
	}
	fault := func(pattern string, f ocitest.Fault) func(*rig) {
		return func(r *rig) { signed(r); r.registry.Fault(pattern, f) }
	}
	const blobs, listing = "GET .*/blobs/", "GET .*/referrers/"
	runAll(t, []failure{
		{name: "no policy", line: "image verify IMAGE", before: func(r *rig) { os.Remove("config/trustpolicy.oci.json") }, code: 2, error: "there is no trust policy for images", hint: "policy init"},
		{name: "no policy for files", line: "blob verify -s x.jws.sig file.txt", before: func(r *rig) { os.Remove("config/trustpolicy.blob.json") }, code: 2,
			error: "there is no trust policy for files", hint: "policy init --blob"},
		{name: "no valid policy", line: "image verify IMAGE", before: func(r *rig) { r.policy("lax", nil) }, code: 2, error: `there is no level "lax"`, hint: "write strict"},
		{name: "no statement", line: "image verify IMAGE", before: strict(func(st map[string]any) { st["registryScopes"] = []string{"a.example/b"} }), code: 2, error: "no statement of the trust policy has the scope", hint: "registryScopes"},
		{name: "no such statement", line: "blob verify --policy-name x -s x.jws.sig file.txt", code: 2, error: `no statement of the trust policy is named "x"`, hint: `there are "test"`},
		{name: "no signature", line: "image verify IMAGE", code: 1, error: "no signature is associated with it", hint: "fencepost image list"},
		{name: "not trusted", line: "image verify IMAGE", before: func(r *rig) {
			signed(r)
			_, other := notarytest.Chain(r.t, notarytest.Options{Name: "Other"})
			r.write("config/truststore/x509/ca/app/root.pem", certificates(other[2]))
		}, code: 1, error: "is in the trust stores ca:app", hint: "fencepost trust add"},
		{name: "no store", line: "image verify IMAGE", before: strict(stores("ca:none", "tsa:stamps")), code: 2, error: "there is no trust store ca:none", hint: "trust add --type ca --store none"},
		{name: "no store of authorities", line: "image verify IMAGE", before: strict(stores("ca:app", "tsa:none")), code: 2, error: "there is no trust store tsa:none", hint: "trust add --type tsa --store none"},
		{name: "an empty store", line: "image verify IMAGE", before: func(r *rig) { signed(r); os.Remove("config/truststore/x509/tsa/stamps/root.pem") }, code: 2, error: "has no certificates", hint: "trust add"},
		{name: "another authority", line: "image verify IMAGE", before: func(r *rig) {
			signed(r)
			r.write("config/truststore/x509/tsa/stamps/root.pem", certificates(pkitest.TSA(r.t, pkitest.Options{Name: "Other"}).Root))
		}, code: 1, error: "no chain from", hint: "root certificate of that name"},
		{name: "no timestamp", line: "image verify IMAGE", before: func(r *rig) { r.must("image sign SIGN IMAGE") }, code: 1, error: "no timestamp countersignature", hint: "verifyTimestamp"},
		{name: "expired certificate", line: "image verify --at 2060-01-01T00:00:00Z IMAGE", before: strict(stores("ca:app")), code: 1, error: "names no trust store of the type tsa", hint: "tsa:NAME"},
		{name: "another name", line: "image verify IMAGE", before: strict(func(st map[string]any) { st["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=Other"} }), code: 1,
			error: "is not the trusted identity", hint: "trustedIdentities"},
		{name: "expired signature", line: "image verify --at 2040-01-01T00:00:00Z IMAGE", before: func(r *rig) { r.must("image sign SIGN STAMP -e 1h IMAGE") }, code: 1, error: "the signature expired on", hint: "anew"},
		{name: "stamped later", line: "image verify --at 2025-01-01T00:00:00Z IMAGE", before: signed, code: 1, error: "ahead of the local clock", hint: "--at"},
		{name: "other metadata", line: "image verify -m a=1 IMAGE", before: signed, code: 1, error: `no user metadata "a"`},
		{name: "too many", line: "image verify --max-signatures 1 -m a=1 IMAGE", before: func(r *rig) { signed(r); signed(r) }, code: 2, error: "there are more signatures than are looked at", hint: "--max-signatures"},
		{name: "a scope that is none", line: "image verify --oci-layout --scope app layout:v1", code: 2, error: "which is not host/repository", hint: "leave out the tag"},

		{name: "no registry", line: "image verify localhost:1/app:v1", code: 2, error: "connection refused", hint: "see that the registry is running"},
		{name: "no such tag", line: "image verify HOST/app:v2", code: 2, error: "not found"},
		{name: "signatures not listed", line: "image verify IMAGE", before: fault(listing, ocitest.Fault{Status: 403}), code: 2, error: "not allowed", hint: "docker login"},
		{name: "signatures without end", line: "image verify IMAGE", before: func(r *rig) {
			r.registry.Fault(listing, ocitest.Fault{Link: `</v2/app/referrers/x?n=%d>; rel="next"`})
		}, code: 2, error: "more than 500 pages"},
		{name: "signature gone", line: "image verify IMAGE", before: fault(blobs, ocitest.Fault{Status: 404}), code: 2, error: "not found"},
		{name: "signature altered", line: "image verify IMAGE", before: fault(blobs, ocitest.Fault{Flip: true}), code: 1, error: "digest"},
		{name: "credentials", line: "image verify IMAGE", before: fault(blobs, ocitest.Fault{Status: 401}), code: 2, error: "not without credentials", hint: "docker login"},

		{name: "no signature file", line: "blob verify -s none.jws.sig file.txt", code: 2, error: "none.jws.sig: no such file"},
		{name: "signature of no format", line: "blob verify -s key.pem file.txt", code: 2, error: "the name does not tell the format", hint: ".jws.sig or .cose.sig"},
		{name: "signature that is none", line: "blob verify -s x.cose.sig file.txt", before: func(r *rig) { r.write("x.cose.sig", []byte("x")) }, code: 1, error: "x.cose.sig: "},
		{name: "no file", line: "blob verify -s file.txt.jws.sig none.txt", before: func(r *rig) { r.must("blob sign SIGN STAMP file.txt") }, code: 2, error: "none.txt: no such file"},
		{name: "another file", line: "blob verify -s file.txt.jws.sig key.pem", before: func(r *rig) { r.must("blob sign SIGN STAMP file.txt") }, code: 1, error: "the signature is of sha256:"},
		{name: "another media type", line: "blob verify --media-type text/plain -s file.txt.jws.sig file.txt", before: func(r *rig) { r.must("blob sign SIGN STAMP file.txt") }, code: 1, error: "media type"},
	})
}

// TestInspectAndRestampFailures: the other commands.
func TestInspectAndRestampFailures(t *testing.T) {
	runAll(t, []failure{
		{name: "nothing to inspect", line: "image inspect IMAGE", code: 1, error: "no signature is associated with it"},
		{name: "unreadable", line: "image inspect IMAGE", before: func(r *rig) { signed(r); r.registry.Fault("GET .*/blobs/", ocitest.Fault{Flip: true}) }, code: 1, error: "1 of 1 signature could not be read"},
		{name: "not fetched", line: "image inspect IMAGE", before: func(r *rig) { signed(r); r.registry.Fault("GET .*/blobs/", ocitest.Fault{Status: 404}) }, code: 2, error: "1 of 1 signature could not be read"},
		{name: "too many to inspect", line: "image inspect --max-signatures 1 IMAGE", before: func(r *rig) { signed(r); signed(r) }, code: 2, error: "more signatures than are looked at", hint: "--max-signatures"},
		{name: "too many to list", line: "image list --max-signatures 1 IMAGE", before: func(r *rig) { signed(r); signed(r) }, code: 2, error: "has more signatures than are listed", hint: "--max-signatures"},
		{name: "no file to inspect", line: "blob inspect none.jws.sig", code: 2, error: "none.jws.sig: no such file"},
		{name: "a file of no format", line: "blob inspect key.pem", code: 2, error: "the name does not tell the format", hint: ".jws.sig or .cose.sig"},
		{name: "no signature to inspect", line: "blob inspect x.jws.sig", before: func(r *rig) { r.write("x.jws.sig", []byte("{}")) }, code: 1, error: "x.jws.sig: "},

		{name: "nothing to restamp", line: "image restamp STAMP IMAGE", code: 1, error: "no signature is associated with it"},
		{name: "several to restamp", line: "image restamp STAMP IMAGE", before: func(r *rig) { signed(r); signed(r) }, code: 2, error: "has 2 signatures", hint: "--signature: sha256:"},
		{name: "another to restamp", line: "image restamp STAMP --signature sha256:00 IMAGE", before: signed, code: 2, error: "has no signature sha256:00", hint: "there are sha256:"},
		{name: "restamp refused", line: "image restamp STAMP IMAGE", before: func(r *rig) { signed(r); r.tsa.Set(tsptest.RefuseBadAlg) }, code: 1, error: "badAlg"},
		{name: "restamp not answered", line: "image restamp STAMP IMAGE", before: func(r *rig) { signed(r); r.tsa.Set(tsptest.Unavailable) }, code: 2, error: "503", hint: "can be reached"},
		{name: "restamp of what is broken", line: "image restamp STAMP IMAGE", before: func(r *rig) { signed(r); r.registry.Fault("GET .*/blobs/", ocitest.Fault{Flip: true}) }, code: 1, error: "digest"},
		{name: "restamp over itself", line: "blob restamp STAMP -o file.txt.jws.sig file.txt.jws.sig", before: func(r *rig) { r.must("blob sign SIGN file.txt") }, code: 2, error: "is an input, it is not overwritten", hint: "another name"},
		{name: "restamp in another format", line: "blob restamp STAMP -o new.cose.sig file.txt.jws.sig", before: func(r *rig) { r.must("blob sign SIGN file.txt") }, code: 2, error: "does not end in .jws.sig", hint: "--help"},
		{name: "restamp of no signature", line: "blob restamp STAMP -o new.jws.sig x.jws.sig", before: func(r *rig) { r.write("x.jws.sig", []byte("{}")) }, code: 1, error: "x.jws.sig: "},
	})
}

// TestRestampExpired: a signature whose certificate has expired is not stamped,
// and nobody is asked.
func TestRestampExpired(t *testing.T) {
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	r := newRig(t, notarytest.Options{NotAfter: soon})
	r.write("file.txt", []byte("a file\n"))
	r.must("image sign SIGN IMAGE")
	r.must("blob sign SIGN file.txt")
	for !time.Now().After(soon) {
		time.Sleep(time.Until(soon) + time.Millisecond)
	}
	writes := r.writes()
	for _, line := range []string{"image restamp STAMP IMAGE", "blob restamp STAMP -o new.jws.sig file.txt.jws.sig"} {
		got := r.run(line)
		if got.code != 1 || !strings.Contains(got.stderr, "a timestamp would come too late") {
			t.Errorf("%s: exit status %d\n%s", line, got.code, got.stderr)
		}
	}
	if r.writes() != writes || len(r.tsa.Exchanges()) != 0 {
		t.Errorf("%d writes, %d questions, want none", r.writes()-writes, len(r.tsa.Exchanges()))
	}
}
