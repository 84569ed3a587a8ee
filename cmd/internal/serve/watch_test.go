package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("key", "1")
	put("chain", "1")
	var cfg Config
	cfg.Watch([]string{path("key"), path("chain"), path("not there")})
	w := newWatch(cfg.Files, cfg.loaded)
	now := time.Unix(1e9, 0)
	tick := func(want bool, what string) {
		t.Helper()
		now = now.Add(10 * time.Second)
		if got := w.changed(now); got != want {
			t.Fatalf("%s: changed %v, want %v", what, got, want)
		}
	}
	again := func() *Config {
		var next Config
		next.Watch(cfg.Files)
		return &next
	}
	tick(false, "nothing happened")
	put("key", "1")
	tick(false, "the same was written again")

	put("key", "2")
	tick(false, "one file has changed just now")
	put("chain", "2")
	tick(false, "the other has changed just now")
	tick(true, "both have come to rest")
	w.tried(again(), nil, now)
	tick(false, "it was loaded")

	put("key", "3")
	tick(false, "just now")
	tick(true, "at rest")
	w.tried(&Config{}, errors.New("the chain is that of another key"), now)
	for range 5 {
		tick(false, "it could not be loaded")
	}
	tick(true, "after a minute: the key service may be back")
	w.tried(&Config{}, errors.New("not yet"), now)
	put("chain", "3")
	tick(false, "just now")
	tick(true, "at rest, without waiting for the minute")
	w.tried(again(), nil, now)

	if err := os.Remove(path("key")); err != nil {
		t.Fatal(err)
	}
	tick(false, "just now")
	tick(true, "a file has gone")
	w.tried(&Config{}, errors.New("no key"), now)
	put("key", "3")
	tick(false, "just now")
	tick(true, "it is back, and what was loaded is not what failed last")
	w.tried(again(), nil, now)
	put("key", "4")
	tick(false, "just now")
	put("key", "3")
	tick(false, "just now")
	tick(false, "it was changed and changed back, and nothing has failed")
}

// A mounted secret is replaced by moving a symbolic link to its folder; the
// files in the new folder may well have the dates of those in the old one.
func TestWatchLink(t *testing.T) {
	dir := t.TempDir()
	at := time.Unix(1e9, 0)
	for _, name := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name, "key")
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "data")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	files := []string{filepath.Join(link, "key")}
	before := fingerprintOf(files)
	if err := os.Symlink("2", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	if fingerprintOf(files) == before {
		t.Error("the swap is not noticed")
	}
}
