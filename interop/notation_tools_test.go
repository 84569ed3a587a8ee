package interop

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A notary is a program that signs and verifies as the Notary Project specifies.
type notary interface {
	String() string
	// form is the form of manifest in which it stores signatures.
	form() manifestForm
	signArgs(img *image, s *identity, how signing) []string
	verifyArgs(img *image, how verifying) []string
	signBlobArgs(file string, s *identity, how signing) []string
	verifyBlobArgs(file, signature string, how verifying) []string
	// judge reads the answer of a verification.
	judge(t *testing.T, r result) ruling
}

// A manifestForm is how a manifest says that it is that of a signature.
type manifestForm string

const (
	byConfigType   manifestForm = "config type"   // notation 1.x: by the media type of its config
	byArtifactType manifestForm = "artifact type" // notation's main branch: by its artifact type
)

// signing is how to sign.
type signing struct {
	format       string // jws or cose
	stamp        *tsa   // nil: no timestamp
	root         string // file with the root of its authority, if not the right one
	metadata     []string
	expiry       time.Duration
	referrersTag bool
}

// verifying is how to verify.
type verifying struct {
	config   string // directory
	metadata []string
	max      string // number of signatures; "": the default
}

// A ruling is what a verification came to.
type ruling struct {
	verified bool
	skipped  bool     // the policy wants nothing verified
	looked   []string // digests of the manifests of the signatures that were looked at
	// failed is the first check of the last signature that counts and failed, in the words of the trust policy,
	// or "artifact", "userMetadata", or "none" where there was no signature to look at.
	failed string
	each   map[string]string // the same of each signature, by the digest of its manifest
}

// notaries are the programs: the libraries of the Notary Project, and ours.
func notaries() []notary {
	return []notary{
		oracle{"notation-go 1.3.2", os.Getenv(envNotation), byConfigType},
		oracle{"notation-go main", os.Getenv(envNotationMain), byArtifactType},
		own{},
	}
}

// formats are those of envelopes.
var formats = []string{"jws", "cose"}

// An oracle is the command of the module notation.
type oracle struct {
	name, path string
	manifest   manifestForm
}

func (o oracle) String() string { return o.name }

func (o oracle) form() manifestForm { return o.manifest }

// main reports whether it is that of the main branch.
func (o oracle) main() bool { return o.manifest == byArtifactType }

func (o oracle) signFlags(s *identity, how signing) []string {
	argv := []string{"-key", s.key, "-chain", s.chain, "-format", how.format}
	if how.stamp != nil {
		root := how.root
		if root == "" {
			root = how.stamp.root
		}
		argv = append(argv, "-timestamp-url", how.stamp.url, "-timestamp-root", root)
	}
	if how.expiry != 0 {
		argv = append(argv, "-expiry", how.expiry.String())
	}
	if how.referrersTag {
		argv = append(argv, "-referrers-tag")
	}
	return append(argv, each("-metadata", how.metadata)...)
}

func (o oracle) verifyFlags(how verifying) []string {
	argv := []string{"-config", how.config}
	if how.max != "" {
		argv = append(argv, "-max-signatures", how.max)
	}
	return append(argv, each("-metadata", how.metadata)...)
}

// placed adds the image to a command line.
func (o oracle) placed(img *image, argv []string) []string {
	if img.place.registry == nil {
		argv = append(argv, "-oci-layout", "-scope", img.scope())
	}
	return append(argv, img.reference())
}

func (o oracle) signArgs(img *image, s *identity, how signing) []string {
	return o.placed(img, append([]string{o.path, "sign"}, o.signFlags(s, how)...))
}

func (o oracle) verifyArgs(img *image, how verifying) []string {
	return o.placed(img, append([]string{o.path, "verify"}, o.verifyFlags(how)...))
}

func (o oracle) signBlobArgs(file string, s *identity, how signing) []string {
	return append(append([]string{o.path, "blob-sign"}, o.signFlags(s, how)...), file)
}

func (o oracle) verifyBlobArgs(file, signature string, how verifying) []string {
	argv := append([]string{o.path, "blob-verify"}, o.verifyFlags(how)...)
	return append(argv, "-signature", signature, "-format", formatOfBlob(signature), file)
}

// formatOfBlob is the format that the name of a signature tells.
func formatOfBlob(signature string) string {
	parts := strings.Split(signature, ".")
	return parts[len(parts)-2]
}

func (o oracle) judge(t *testing.T, r result) ruling {
	t.Helper()
	var answer struct {
		Verified, Skipped bool
		Error             string
		Signatures        []struct {
			Digest, Error string
			Checks        []struct{ Type, Action, Error string }
		}
	}
	unmarshal(t, r, &answer)
	if (r.code == 0) != (answer.Verified || answer.Skipped) {
		t.Fatalf("the exit status and the answer differ: %v", r)
	}
	v := ruling{verified: answer.Verified, skipped: answer.Skipped, each: make(map[string]string)}
	for _, s := range answer.Signatures {
		if s.Digest != "" {
			v.looked = append(v.looked, s.Digest)
		}
		v.failed = ""
		for _, c := range s.Checks {
			if c.Error != "" && c.Action == "enforce" && v.failed == "" {
				v.failed = c.Type
			}
		}
		switch {
		case v.failed != "":
		case strings.Contains(s.Error, "content descriptor mismatch"), strings.Contains(s.Error, "does not match the given blob"):
			v.failed = "artifact"
		case strings.Contains(s.Error, "unable to find specified metadata"):
			v.failed = "userMetadata"
		case strings.Contains(s.Error, "plugin"), strings.Contains(s.Error, "verificationPlugin"):
			v.failed = "verificationPlugin"
		case strings.Contains(s.Error, "json: cannot unmarshal"):
			v.failed = "artifact" // which the payload does not name
		}
		v.each[s.Digest] = v.failed
	}
	if !v.verified && v.failed == "" && strings.Contains(answer.Error, "no signature is associated") {
		v.failed = "none"
	}
	if !v.verified && !v.skipped && v.failed == "" {
		t.Fatalf("the reason is not known: %v", r)
	}
	return v
}

// unmarshal reads the answer that a command gives in JSON.
func unmarshal(t *testing.T, r result, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
		t.Fatalf("%v: %v", err, r)
	}
}

// each puts a flag before each value.
func each(flag string, values []string) []string {
	var argv []string
	for _, v := range values {
		argv = append(argv, flag, v)
	}
	return argv
}

// finds reports whether a program finds signatures of a form of manifest in a kind of place. The two cases in
// which it does not are known shortcomings: a registry that gives the media type of the config as the artifact
// type hides the newer form from whoever asks for signatures only, and the release does not look for that form
// in a layout.
func finds(n notary, form manifestForm, kind string) bool {
	o, theirs := n.(oracle)
	if !theirs || form == byConfigType {
		return true
	}
	return kind != placeConfigType && (kind != placeLayout || o.main())
}

// sign signs an image, which has to succeed.
func (w *tool) sign(t *testing.T, n notary, img *image, s *identity, how signing) {
	t.Helper()
	w.accept(t, nil, n.signArgs(img, s, how)...)
}

// rules has everybody verify an image and compares with what is expected: "" for verified, or what failed.
func (w *tool) rules(t *testing.T, img *image, how verifying, want func(notary) string) {
	t.Helper()
	for _, n := range notaries() {
		r := w.run(t, n.verifyArgs(img, how)...)
		v := n.judge(t, r)
		if wanted := want(n); v.failed != wanted || v.verified != (wanted == "") {
			t.Errorf("%v: got verified %v, failed %q; want failed %q: %v", n, v.verified, v.failed, wanted, r)
		}
	}
}

// always is an expectation that is the same of everybody.
func always(failed string) func(notary) string { return func(notary) string { return failed } }

// stored is what inspect of the module notation tells of a signature.
type stored struct {
	Manifest    descriptor
	MediaType   string
	Envelope    []byte
	Payload     []byte
	Scheme      string
	Agent       string
	SigningTime time.Time
	Expiry      time.Time
	Chain       []string
	Signature   []byte
	Timestamp   *struct {
		Token        []byte
		Lower, Upper time.Time
		Certificates []string
		Error        string
	}
	Error string
}

// inspect lists the signatures of an image, in whatever form its manifests are.
func (w *tool) inspect(t *testing.T, img *image) []stored {
	t.Helper()
	var all []stored
	for _, n := range notaries() {
		o, ok := n.(oracle)
		if !ok {
			continue
		}
		r := w.accept(t, nil, o.placed(img, []string{o.path, "inspect"})...)
		var list []stored
		unmarshal(t, r, &list)
		for _, s := range list {
			if !slices.ContainsFunc(all, func(other stored) bool { return other.Manifest.Digest == s.Manifest.Digest }) {
				all = append(all, s)
			}
		}
	}
	return all
}
