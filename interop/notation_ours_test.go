package interop

import (
	"fmt"
	"strings"
	"testing"
)

// own is our command line, which stores signatures as the main branch of notation does. Here are its commands
// for the Notary Project.
type own struct{}

func (own) String() string { return "fencepost" }

func (own) form() manifestForm { return byArtifactType }

// placed adds the image to a command line.
func (own) placed(img *image, argv []string) []string {
	if img.place.registry == nil {
		return append(argv, "--oci-layout", img.reference())
	}
	return append(argv, "--insecure-registry", img.reference())
}

func (own) signFlags(s *identity, how signing) []string {
	argv := []string{"--key", "file:" + s.key, "--certificate-chain", s.chain, "--signature-format", how.format}
	if how.stamp != nil {
		argv = append(argv, stampFlags(how)...)
	}
	if how.expiry != 0 {
		argv = append(argv, "--expiry", how.expiry.String())
	}
	if how.referrersTag {
		argv = append(argv, "--force-referrers-tag")
	}
	return append(argv, each("--user-metadata", how.metadata)...)
}

func stampFlags(how signing) []string {
	root := how.root
	if root == "" {
		root = how.stamp.root
	}
	return []string{"--timestamp-url", how.stamp.url, "--timestamp-root-cert", root}
}

func (o own) signArgs(img *image, s *identity, how signing) []string {
	return o.placed(img, append([]string{ours("fencepost"), "image", "sign"}, o.signFlags(s, how)...))
}

func (own) verifyFlags(how verifying) []string {
	argv := []string{"--json", "--config-dir", how.config}
	if how.max != "" {
		argv = append(argv, "--max-signatures", how.max)
	}
	return append(argv, each("--user-metadata", how.metadata)...)
}

func (o own) verifyArgs(img *image, how verifying) []string {
	argv := append([]string{ours("fencepost"), "image", "verify"}, o.verifyFlags(how)...)
	if img.place.registry == nil {
		argv = append(argv, "--scope", img.scope())
	}
	return o.placed(img, argv)
}

func (o own) signBlobArgs(file string, s *identity, how signing) []string {
	return append(append([]string{ours("fencepost"), "blob", "sign"}, o.signFlags(s, how)...), file)
}

func (o own) verifyBlobArgs(file, signature string, how verifying) []string {
	argv := append([]string{ours("fencepost"), "blob", "verify"}, o.verifyFlags(how)...)
	return append(argv, "--signature", signature, file)
}

// restampArgs gives the only signature of an image a timestamp.
func (o own) restampArgs(img *image, how signing) []string {
	return o.placed(img, append([]string{ours("fencepost"), "image", "restamp"}, stampFlags(how)...))
}

func (own) judge(t *testing.T, r result) ruling {
	t.Helper()
	var answer struct {
		Verified, Skipped bool
		Error             string
		Signatures        []struct {
			Signature string
			Verified  bool
			Checks    []struct{ Check, Action, Result string }
		}
	}
	unmarshal(t, r, &answer)
	v, code := ruling{verified: answer.Verified, skipped: answer.Skipped, each: make(map[string]string)}, 1
	for _, s := range answer.Signatures {
		if strings.HasPrefix(s.Signature, "sha256:") {
			v.looked = append(v.looked, s.Signature)
		}
		v.failed = ""
		for _, c := range s.Checks {
			if c.Action == "enforce" && (c.Result == "failed" || c.Result == "unknown") && v.failed == "" {
				v.failed = c.Check
				if c.Result == "unknown" {
					code = 2
				}
			}
		}
		if v.failed == "trustedIdentity" { // which the Notary Project's libraries count as authenticity
			v.failed = "authenticity"
		}
		v.each[s.Signature] = v.failed
		if s.Verified != (v.failed == "") {
			t.Fatalf("signature %s is verified: %v, and failed %q: %v", s.Signature, s.Verified, v.failed, r)
		}
	}
	if !v.verified && !v.skipped && len(answer.Signatures) == 0 && strings.Contains(answer.Error, "no signature is associated") {
		v.failed = "none"
	}
	if v.verified || v.skipped {
		code = 0
	}
	if strings.Contains(answer.Error, "there are more signatures than are looked at") {
		code = 2
	}
	if r.code != code {
		t.Fatalf("want exit status %d: %v", code, r)
	}
	return v
}

// importArgs judges a trust policy document. Lenient is how a document is judged that is in force.
func importArgs(file string, blob, lenient bool) []string {
	argv := []string{ours("fencepost"), "policy", "import", "--check"}
	if blob {
		argv = append(argv, "--blob")
	}
	if lenient {
		argv = append(argv, "--force")
	}
	return append(argv, file)
}

// exitVerdict is the verdict of a command of ours whose answer is its exit status.
func exitVerdict(t *testing.T, r result) string {
	t.Helper()
	switch r.code {
	case 0:
		return "ok"
	case 1:
		return "refused"
	}
	t.Fatalf("want an answer, got: %v", r)
	return fmt.Sprint(r.code)
}
