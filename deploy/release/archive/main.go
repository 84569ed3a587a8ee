// Command archive packs a folder so that the same content gives the same bytes, on any system and in any
// time zone.
//
//	archive -time SECONDS OUT.tar.gz|OUT.zip FOLDER
//
// Entries are sorted by name and belong to root; all have the time that is given, in seconds since 1970. A
// file is executable or it is not, and nothing else of its mode is kept. Only folders and regular files are
// taken. The bytes are those of one version of Go: another may compress otherwise.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "archive: error: %v\n", err)
		os.Exit(2)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("archive", flag.ContinueOnError)
	seconds := flags.Int64("time", 0, "time of all entries, in `seconds` since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("usage: archive -time SECONDS OUT.tar.gz|OUT.zip FOLDER")
	}
	out, folder := flags.Arg(0), filepath.Clean(flags.Arg(1))
	var pack func(io.Writer, within, time.Time) error
	switch {
	case strings.HasSuffix(out, ".tar.gz"):
		pack = packTar
	case strings.HasSuffix(out, ".zip"):
		pack = packZip
	default:
		return fmt.Errorf("%s: neither .tar.gz nor .zip", out)
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".archive-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	sub := within{os.DirFS(filepath.Dir(folder)), filepath.Base(folder)}
	err = errors.Join(pack(f, sub, time.Unix(*seconds, 0).UTC()), f.Chmod(0o644), f.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	return os.Rename(f.Name(), out)
}

// within is one folder of a file system, under its own name.
type within struct {
	fs.FS
	folder string
}

// each calls add for everything in the folder, in the order of names, with the mode that is kept.
func (w within) each(add func(name string, mode fs.FileMode, content io.Reader, size int64) error) error {
	return fs.WalkDir(w.FS, w.folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return add(name+"/", fs.ModeDir|0o755, strings.NewReader(""), 0)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s: neither a folder nor a regular file", name)
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		f, err := w.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return add(name, mode, f, info.Size())
	})
}

func packTar(out io.Writer, files within, at time.Time) error {
	// The zero header has no name and no time, and says that the system is unknown.
	zipped, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(zipped)
	err = files.each(func(name string, mode fs.FileMode, content io.Reader, size int64) error {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Mode: int64(mode.Perm()), Size: size, ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
		}
		if mode.IsDir() {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, content)
		return err
	})
	return errors.Join(err, w.Close(), zipped.Close())
}

func packZip(out io.Writer, files within, at time.Time) error {
	w := zip.NewWriter(out)
	err := files.each(func(name string, mode fs.FileMode, content io.Reader, _ int64) error {
		h := &zip.FileHeader{Name: name, Modified: at, Method: zip.Deflate}
		if mode.IsDir() {
			h.Method = zip.Store
		}
		h.SetMode(mode)
		entry, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.Copy(entry, content)
		return err
	})
	return errors.Join(err, w.Close())
}
