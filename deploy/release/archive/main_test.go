package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree makes a folder called name, its files in the order that is given.
func tree(t *testing.T, name string, mtime time.Time, umask os.FileMode, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o777&^umask); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o666)
		if strings.HasPrefix(f, "run") {
			mode = 0o777
		}
		err := errors.Join(os.WriteFile(path, []byte(f), 0o600), os.Chmod(path, mode&^umask), os.Chtimes(path, mtime, mtime))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t *testing.T, out, folder string) []byte {
	t.Helper()
	if err := run([]string{"-time", "1700000001", out, folder}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSameBytes(t *testing.T) {
	for _, kind := range []string{".tar.gz", ".zip"} {
		a := pack(t, filepath.Join(t.TempDir(), "a"+kind), tree(t, "x", time.Unix(1, 0), 0o022, "b", "run", "a/c"))
		b := pack(t, filepath.Join(t.TempDir(), "b"+kind), tree(t, "x", time.Unix(1e9, 0), 0o077, "a/c", "run", "b"))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the same content gives other bytes", kind)
		}
		c := pack(t, filepath.Join(t.TempDir(), "c"+kind), tree(t, "x", time.Unix(1, 0), 0o022, "b", "run2", "a/c"))
		if bytes.Equal(a, c) {
			t.Errorf("%s: other content gives the same bytes", kind)
		}
	}
}

// want is what any unpacker finds: name, mode and content.
var want = []string{"x/ 755 ", "x/a/ 755 ", "x/a/c 644 a/c", "x/b 644 b", "x/run 755 run"}

func TestTar(t *testing.T) {
	data := pack(t, filepath.Join(t.TempDir(), "a.tar.gz"), tree(t, "x", time.Unix(1, 0), 0o022, "b", "run", "a/c"))
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+" "+permissions(h.FileInfo())+" "+string(content))
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "root" || h.Gname != "root" {
			t.Errorf("%s belongs to %s:%s, %d:%d, want root", h.Name, h.Uname, h.Gname, h.Uid, h.Gid)
		}
		if h.ModTime.Unix() != 1700000001 {
			t.Errorf("%s is of %v, want the time that was given", h.Name, h.ModTime)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
}

func TestZip(t *testing.T) {
	data := pack(t, filepath.Join(t.TempDir(), "a.zip"), tree(t, "x", time.Unix(1, 0), 0o022, "b", "run", "a/c"))
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Name+" "+permissions(f.FileInfo())+" "+string(text))
		if f.Modified.Unix() != 1700000001 {
			t.Errorf("%s is of %v, want the time that was given", f.Name, f.Modified)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
}

func permissions(info os.FileInfo) string {
	var octal []byte
	for shift := 6; shift >= 0; shift -= 3 {
		octal = append(octal, '0'+byte(info.Mode().Perm()>>shift&7))
	}
	return string(octal)
}

func TestRefused(t *testing.T) {
	good := tree(t, "x", time.Unix(1, 0), 0o022, "a")
	linked := tree(t, "x", time.Unix(1, 0), 0o022, "a")
	if err := os.Symlink("a", filepath.Join(linked, "b")); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, out, folder string }{
		{"a kind that is not made", "a.rar", good},
		{"a folder that is not there", "a.zip", filepath.Join(good, "none")},
		{"a symbolic link", "a.tar.gz", linked},
		{"a symbolic link", "a.zip", linked},
	} {
		t.Run(row.name+" in "+row.out, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), row.out)
			if err := run([]string{"-time", "1", out, row.folder}); err == nil {
				t.Error("no error")
			}
			left, err := os.ReadDir(filepath.Dir(out))
			if err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}
