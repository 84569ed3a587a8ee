package tsa

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
)

// A History is a folder with one file for each chain that was ever published as
// announced, in use or past, so that it stays published after a new start.
// Several processes may use one folder: each file has one leaf, and each
// process writes those of its own.
type History struct{ dir string }

// OpenHistory makes the folder if it is not there, and sees that it can be
// written.
func OpenHistory(dir string) (*History, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("history of chains: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("history of chains: %w", err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("history of chains: %w", err)
	}
	return &History{dir}, nil
}

// FindHistory is OpenHistory for those who only look. There is none, nil, where
// the folder is not there yet.
func FindHistory(dir string) (*History, error) {
	switch st, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("history of chains: %w", err)
	case !st.IsDir():
		return nil, fmt.Errorf("history of chains: %s is not a folder", dir)
	}
	return &History{dir}, nil
}

// entryJSON is a file of a history.
type entryJSON struct {
	// Published is since when clients can know the chain.
	Published time.Time `json:"published"`
	// From is when it was put to use, zero if it was not yet.
	From time.Time `json:"from,omitzero"`
	// Until is when its last token can have been issued, zero if it was not
	// replaced.
	Until time.Time `json:"until,omitzero"`
	// PEM is the chain, leaf first.
	PEM string `json:"pem"`
}

const historySuffix = ".json"

// maxEntry bounds a file: a chain of ten certificates is far below.
const maxEntry = 1 << 20

// changed is when a file was last made, replaced or removed.
func (h *History) changed() time.Time {
	info, err := os.Stat(h.dir)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// remove takes an entry out. That it stays is no harm: it is listed as
// announced until its certificates end.
func (h *History) remove(id string) { os.Remove(filepath.Join(h.dir, id+historySuffix)) }

// read returns all entries by the fingerprint of their leaf.
func (h *History) read() (map[string]entry, error) {
	names, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, fmt.Errorf("history of chains: %w", err)
	}
	all := make(map[string]entry)
	for _, n := range names {
		name, ok := strings.CutSuffix(n.Name(), historySuffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(h.dir, n.Name())
		e, err := readEntry(path)
		if err != nil {
			return nil, fmt.Errorf("history of chains: %s: %w", path, err)
		}
		if name != fingerprint(e.chain[0]) {
			return nil, fmt.Errorf("history of chains: %s: the name is not the SHA-256 of the leaf in it", path)
		}
		all[name] = e
	}
	return all, nil
}

func readEntry(path string) (entry, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return entry{}, err
	case !info.Mode().IsRegular(): // a pipe would keep its reader waiting
		return entry{}, errors.New("not a regular file")
	case info.Size() > maxEntry:
		return entry{}, fmt.Errorf("more than %d bytes", maxEntry)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	var doc entryJSON
	if err := json.Unmarshal(data, &doc); err != nil {
		return entry{}, err
	}
	chain, err := pki.ParseChain([]byte(doc.PEM))
	if err != nil {
		return entry{}, err
	}
	if _, _, err := chainWindow(chain); err != nil {
		return entry{}, err
	}
	return entry{chain: chain, published: doc.Published, from: doc.From, until: doc.Until}, nil
}

// write keeps an entry. The file is whole or the one before.
func (h *History) write(e entry) (err error) {
	data, err := json.MarshalIndent(entryJSON{Published: e.published.UTC(), From: utc(e.from), Until: utc(e.until), PEM: string(pki.EncodeChain(e.chain))}, "", "  ")
	if err != nil {
		return fmt.Errorf("history of chains: %w", err)
	}
	f, err := os.CreateTemp(h.dir, ".new-*")
	if err != nil {
		return fmt.Errorf("history of chains: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("history of chains: %w", err)
			if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Chmod(0o644) // certificates are public
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(h.dir, fingerprint(e.chain[0])+historySuffix))
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// fingerprint is the SHA-256 of a certificate in hexadecimal.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
