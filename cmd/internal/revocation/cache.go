package revocation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// maxEntries bounds the files in the cache: some hundred authorities, with a
// few certificates each.
const maxEntries = 512

// A cache is a directory with what was fetched, one file each, as it came. The
// name of a file is the hash of what was asked.
type cache struct{ dir string } // "" keeps nothing

// A slot is where one answer is kept.
type slot struct {
	cache cache
	name  string
}

// slot returns the place for the answer of an address to a request, which is
// nil for a list.
func (c cache) slot(kind, address string, request []byte) slot {
	h := sha256.New()
	io.WriteString(h, kind+"\x00"+address+"\x00")
	h.Write(request)
	return slot{c, hex.EncodeToString(h.Sum(nil)) + "." + kind}
}

// read returns what is in the slot and when it was written, nil when there is
// nothing that can be read. A damaged file is one that cannot be parsed.
func (s slot) read(limit int64) ([]byte, time.Time) {
	if s.cache.dir == "" {
		return nil, time.Time{}
	}
	f, err := os.Open(filepath.Join(s.cache.dir, s.name))
	if err != nil {
		return nil, time.Time{}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > limit {
		return nil, time.Time{}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, time.Time{}
	}
	return data, st.ModTime()
}

// write puts data into the slot in one step, so that nobody reads half a file.
// It is not waited for until it is on the disk: what a crash leaves is checked
// when it is read, and fetched again.
func (s slot) write(data []byte) (err error) {
	dir := s.cache.dir
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, s.name)); err != nil {
		return err
	}
	return s.cache.prune()
}

// prune removes the oldest files if there are too many, among them those that
// a crash left half written.
func (c cache) prune() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) <= maxEntries {
		return err
	}
	type aged struct {
		name string
		at   time.Time
	}
	var files []aged
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, aged{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b aged) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.name, b.name)) })
	for _, f := range files[min(maxEntries, len(files)):] {
		err = errors.Join(err, os.Remove(filepath.Join(c.dir, f.name)))
	}
	return err
}
