package oci

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A Reference names an artifact in a registry: host[:port]/repo[:tag][@digest].
type Reference struct {
	Host       string // with the port, if any
	Repository string
	Tag        string        // "" if none
	Digest     digest.Digest // "" if none; it wins over the tag
}

// Limits on references.
const (
	// maxName is the longest host and repository together, in bytes, that
	// clients agree on (distribution-spec, "Pulling manifests").
	maxName = 255
	// maxReference is a name, a tag and a digest with what stands between.
	maxReference = maxName + 1 + 128 + 1 + 160
)

var (
	// distribution-spec, "Pulling manifests".
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	hostForm       = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
)

// ParseReference reads a reference. One without tag and digest is an error:
// nothing is assumed.
func ParseReference(s string) (Reference, error) {
	bad := func(hint, format string, args ...any) (Reference, error) {
		return Reference{}, &Error{Kind: Malformed, Err: fmt.Errorf("reference %q: %w", s, fmt.Errorf(format, args...)), hint: hint}
	}
	if len(s) > maxReference {
		s = s[:maxReference] + "..."
		return bad("", "longer than %d bytes", maxReference)
	}
	if s == "" {
		return bad("write HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST", "empty")
	}
	if strings.Contains(s, "://") {
		return bad("leave out what stands before the host, and add --insecure-registry for http", "has a scheme")
	}
	host, rest, ok := strings.Cut(s, "/")
	if !ok {
		return bad(fmt.Sprintf("write the registry, too; if it is on Docker Hub: docker.io/library/%s", s), "names no registry")
	}
	r := Reference{Host: host}
	if err := checkHost(host); err != nil {
		return bad("write HOST[:PORT]/REPOSITORY:TAG", "%w", err)
	}
	name, dgst, hasDigest := strings.Cut(rest, "@")
	name, tag, hasTag := strings.Cut(name, ":")
	r.Repository, r.Tag, r.Digest = name, tag, digest.Digest(dgst)
	switch {
	case !repositoryForm.MatchString(name):
		return bad("a repository is written in lower case", "%q is no name of a repository", name)
	case len(host)+1+len(name) > maxName:
		return bad("", "the name is longer than %d bytes", maxName)
	case hasTag && !tagForm.MatchString(tag):
		return bad("", "%q is no tag", tag)
	case hasDigest:
		if err := r.Digest.Validate(); err != nil {
			return bad("a digest is written sha256: and 64 hexadecimal digits in lower case", "%q is no digest: %w", dgst, err)
		}
	case !hasTag:
		return bad(fmt.Sprintf("write %s@sha256:… or %s:TAG", s, s), "names neither a tag nor a digest")
	}
	return r, nil
}

func checkHost(host string) error {
	if !hostForm.MatchString(host) {
		return fmt.Errorf("%q is no host", host)
	}
	// Credentials, and the scopes of trust policies, are found by the host as it
	// is written: there is one way to write it.
	if lower := strings.ToLower(host); lower != host {
		return fmt.Errorf("%q has capitals: write %s", host, lower)
	}
	// What a URL makes of it must be the same host.
	if u, err := url.Parse("https://" + host + "/"); err != nil || u.Host != host {
		return fmt.Errorf("%q is no host", host)
	}
	return nil
}

// String is the reference as [ParseReference] reads it.
func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// Name is host/repo, as the scopes of a trust policy name it.
func (r Reference) Name() string { return r.Host + "/" + r.Repository }

// Target is what [Repository.Resolve] wants: the digest, or else the tag.
func (r Reference) Target() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// A LayoutReference names an artifact in an image layout on disk:
// DIR[:TAG][@DIGEST].
type LayoutReference struct {
	Dir    string
	Tag    string        // "" if none
	Digest digest.Digest // "" if none; it wins over the tag
}

// ParseLayoutReference reads a reference to a layout. A colon in the last
// element of the path begins a tag, and an @ before the name of a digest
// algorithm begins a digest; a directory whose own name has such a part is
// written with a slash at the end.
func ParseLayoutReference(s string) (LayoutReference, error) {
	bad := func(format string, args ...any) (LayoutReference, error) {
		return LayoutReference{}, &Error{Kind: Malformed, Err: fmt.Errorf("layout %q: %w", s, fmt.Errorf(format, args...)),
			hint: "write DIR:TAG or DIR@DIGEST"}
	}
	r := LayoutReference{Dir: s}
	if i := strings.LastIndexByte(s, '@'); i >= 0 && namesDigest(s[i+1:]) {
		r.Dir, r.Digest = s[:i], digest.Digest(s[i+1:])
		if err := r.Digest.Validate(); err != nil {
			return bad("%q is no digest: %w", s[i+1:], err)
		}
	}
	volume := len(filepath.VolumeName(r.Dir)) // C: has a colon
	if i := strings.LastIndexByte(r.Dir[volume:], ':'); i >= 0 && !strings.ContainsFunc(r.Dir[volume+i:], isSeparator) {
		r.Dir, r.Tag = r.Dir[:volume+i], r.Dir[volume+i+1:]
		if !tagForm.MatchString(r.Tag) {
			return bad("%q is no tag", r.Tag)
		}
	}
	if r.Dir == "" {
		return bad("names no directory")
	}
	if strings.ContainsRune(r.Dir, 0) {
		return bad("has a zero byte")
	}
	return r, nil
}

func isSeparator(r rune) bool { return r == '/' || r == filepath.Separator }

// namesDigest tells whether s begins like a digest that we could compute.
func namesDigest(s string) bool {
	algorithm, _, ok := strings.Cut(s, ":")
	return ok && digest.Algorithm(algorithm).Available()
}

// String is the reference as [ParseLayoutReference] reads it.
func (r LayoutReference) String() string {
	s := r.Dir
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// Target is what [Repository.Resolve] wants: the digest, or else the tag; "" if
// there is neither.
func (r LayoutReference) Target() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// checkTarget tells a digest from a tag: exactly one of the results is set.
func checkTarget(tagOrDigest string) (tag string, d digest.Digest, err error) {
	if strings.Contains(tagOrDigest, ":") {
		d = digest.Digest(tagOrDigest)
		if err := d.Validate(); err != nil {
			return "", "", &Error{Kind: Malformed, Err: fmt.Errorf("%q is no digest: %w", tagOrDigest, err)}
		}
		return "", d, nil
	}
	if tagOrDigest == "" {
		return "", "", &Error{Kind: Malformed, Err: errors.New("neither a tag nor a digest is named"), hint: "add :TAG or @DIGEST"}
	}
	if !tagForm.MatchString(tagOrDigest) {
		return "", "", &Error{Kind: Malformed, Err: fmt.Errorf("%q is neither a tag nor a digest", tagOrDigest)}
	}
	return tagOrDigest, "", nil
}
