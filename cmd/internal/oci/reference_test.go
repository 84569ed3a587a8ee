package oci_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
)

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseReference(t *testing.T) {
	d := "sha256:" + hex64
	for _, test := range []struct {
		in                      string
		host, repo, tag, digest string
	}{
		{"localhost:5000/app:v1", "localhost:5000", "app", "v1", ""},
		{"registry.example/a/b_c/d--e.f:V1.0_x-y", "registry.example", "a/b_c/d--e.f", "V1.0_x-y", ""},
		{"registry.example/app@" + d, "registry.example", "app", "", d},
		{"registry.example/app:v1@" + d, "registry.example", "app", "v1", d},
		{"[::1]:5000/app:v1", "[::1]:5000", "app", "v1", ""},
		{"127.0.0.1/app:v1", "127.0.0.1", "app", "v1", ""},
		{"registry/app:v1", "registry", "app", "v1", ""},
		{"docker.io/library/alpine:3", "docker.io", "library/alpine", "3", ""},
	} {
		r, err := oci.ParseReference(test.in)
		if err != nil {
			t.Errorf("ParseReference(%q): %v", test.in, err)
			continue
		}
		if r.Host != test.host || r.Repository != test.repo || r.Tag != test.tag || string(r.Digest) != test.digest || r.String() != test.in {
			t.Errorf("ParseReference(%q) = %+v, written %q", test.in, r, r)
		}
		if r.Name() != test.host+"/"+test.repo {
			t.Errorf("name %q", r.Name())
		}
		if want := test.digest; want != "" && r.Target() != want || want == "" && r.Target() != test.tag {
			t.Errorf("target %q", r.Target())
		}
	}
	for _, test := range []struct{ in, text, advice string }{
		{"", "empty", "HOST/REPOSITORY:TAG"},
		{"alpine:3", "names no registry", "docker.io/library/alpine:3"},
		{"registry.example/app", "neither a tag nor a digest", "registry.example/app@sha256:… or registry.example/app:TAG"},
		{"https://registry.example/app:v1", "has a scheme", "--insecure-registry"},
		{"registry.example/App:v1", "no name of a repository", "lower case"},
		{"registry.example/:v1", "no name of a repository", ""},
		{"registry.example//app:v1", "no name of a repository", ""},
		{"registry.example/../app:v1", "no name of a repository", ""},
		{"registry.example/app:", `"" is no tag`, ""},
		{"registry.example/app:-x", "is no tag", ""},
		{"registry.example/app:a:b", "is no tag", ""},
		{"registry.example/app:" + strings.Repeat("x", 129), "is no tag", ""},
		{"registry.example/app@", "is no digest", "sha256:"},
		{"registry.example/app@sha256:" + hex64[1:], "is no digest", ""},
		{"registry.example/app@sha256:" + strings.ToUpper(hex64), "is no digest", "lower case"},
		{"Registry.EXAMPLE:5000/app:v1", "has capitals: write registry.example:5000", "HOST"},
		{"[2001:DB8::1]/app:v1", "has capitals: write [2001:db8::1]", "HOST"},
		{"registry.example/app@md5:0123456789abcdef0123456789abcdef", "is no digest", ""},
		{"registry.example/app@" + d + "@" + d, "is no digest", ""},
		{"user@registry.example/app:v1", "is no host", ""},
		{"registry.example:/app:v1", "is no host", ""},
		{"registry.example:port/app:v1", "is no host", ""},
		{"registry example/app:v1", "is no host", ""},
		{"registry.example\x00/app:v1", "is no host", ""},
		{"/app:v1", "is no host", ""},
		{"registry.example/" + strings.Repeat("a", 300) + ":v1", "longer than 255 bytes", ""},
		{strings.Repeat("a", 100_000), "longer than", ""},
	} {
		r, err := oci.ParseReference(test.in)
		wantKind(t, err, oci.Malformed, test.text, test.advice)
		if r != (oci.Reference{}) || len(err.Error()) > 1000 {
			t.Errorf("ParseReference(%.50q) = %+v with an error of %d bytes", test.in, r, len(err.Error()))
		}
	}
}

func TestParseLayoutReference(t *testing.T) {
	d := "sha256:" + hex64
	for _, test := range []struct{ in, dir, tag, digest string }{
		{"dir", "dir", "", ""},
		{"dir:v1", "dir", "v1", ""},
		{"./a:b/dir:v1", "./a:b/dir", "v1", ""},
		{"./a:b/", "./a:b/", "", ""},
		{"dir@" + d, "dir", "", d},
		{"dir:v1@" + d, "dir", "v1", d},
		{"a@b/dir:v1", "a@b/dir", "v1", ""},
		{"a@b:v1", "a@b", "v1", ""},
		{"/:v1", "/", "v1", ""},
		{".", ".", "", ""},
	} {
		r, err := oci.ParseLayoutReference(test.in)
		if err != nil || r.Dir != test.dir || r.Tag != test.tag || string(r.Digest) != test.digest || r.String() != test.in {
			t.Errorf("ParseLayoutReference(%q) = %+v, %v", test.in, r, err)
		}
	}
	if runtime.GOOS == "windows" {
		if r, err := oci.ParseLayoutReference(`C:\dir:v1`); err != nil || r.Dir != `C:\dir` || r.Tag != "v1" {
			t.Errorf("with a drive: %+v, %v", r, err)
		}
	}
	for _, test := range []struct{ in, text string }{
		{"", "names no directory"}, {":v1", "names no directory"}, {"@" + d, "names no directory"}, {"dir:", `"" is no tag`},
		{"dir:v 1", "is no tag"}, {"dir@sha256:12", "is no digest"}, {"d\x00r", "zero byte"},
	} {
		r, err := oci.ParseLayoutReference(test.in)
		wantKind(t, err, oci.Malformed, test.text, "DIR:TAG")
		if r != (oci.LayoutReference{}) {
			t.Errorf("ParseLayoutReference(%q) = %+v with an error", test.in, r)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"localhost:5000/app:v1", "registry.example/a/b@sha256:" + hex64, "[::1]:5000/app:v1@sha256:" + hex64, "alpine", "a/b:c@", "https://x/y:z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := oci.ParseReference(s)
		if err != nil {
			if r != (oci.Reference{}) {
				t.Errorf("%+v with an error", r)
			}
			return
		}
		if r.String() != s {
			t.Errorf("ParseReference(%q) is written %q", s, r)
		}
		if _, err := oci.OpenRegistry(r, oci.Config{}); err != nil {
			t.Errorf("OpenRegistry(%q): %v", s, err)
		}
	})
}

func FuzzParseLayoutReference(f *testing.F) {
	for _, s := range []string{"dir:v1", "./a:b/dir@sha256:" + hex64, "a@b:c", "C:\\x:y", "@", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := oci.ParseLayoutReference(s)
		if err != nil {
			if r != (oci.LayoutReference{}) {
				t.Errorf("%+v with an error", r)
			}
			return
		}
		if r.String() != s || r.Dir == "" {
			t.Errorf("ParseLayoutReference(%q) = %+v, written %q", s, r, r)
		}
	})
}
