//go:build unix

package audit

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// killedDir names the folder to append to in the process that is to be killed.
const killedDir = "FENCEPOST_AUDIT_TEST_DIR"

// TestKilled kills a process that appends as fast as it can, again and again.
// Whatever it had been told is recorded must be.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		appendForEver(t, dir)
	}
	dir := t.TempDir()
	var acked []uint64
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), killedDir+"="+dir, "FENCEPOST_AUDIT_TEST_FIRST="+strconv.Itoa(1000000*(1+len(acked))))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := 50 + rand.IntN(500)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			v, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("the process says %q", lines.Text())
			}
			acked = append(acked, v)
			if n == after {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("the process ended: %v, want killed", err)
		}
	}
	if err := mustOpen(t, Config{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	checkReport(t, r, err)
	found := map[uint64]bool{}
	err = Find(t.Context(), dir, Query{Kind: KindToken}, func(e *Entry) error {
		found[binary.BigEndian.Uint64(e.Record.(*Token).Serial[1:])] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range acked {
		if !found[n] {
			t.Errorf("token %d was confirmed and is not there", n)
		}
	}
	t.Logf("%d tokens were confirmed, %d are there", len(acked), len(found))
}

// appendForEver says which tokens it was told are recorded.
func appendForEver(t *testing.T, dir string) {
	l := mustOpen(t, Config{Dir: dir})
	first, err := strconv.ParseUint(os.Getenv("FENCEPOST_AUDIT_TEST_FIRST"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				mu.Lock()
				first++
				n := first
				mu.Unlock()
				tok := tokenNumber(1)
				tok.Serial = binary.BigEndian.AppendUint64([]byte{0x40}, n)
				if err := l.Append(t.Context(), tok); err != nil {
					t.Error(err)
					return
				}
				fmt.Println(n)
			}
		})
	}
	wg.Wait()
}

// TestRemovedUnderneath holds that records do not go into a file that somebody
// has removed, nor into a folder that took the place of the log's.
func TestRemovedUnderneath(t *testing.T) {
	for _, row := range []struct {
		name    string
		remove  func(t *testing.T, dir, file string)
		mends   bool
		advises bool
	}{
		{"the file", func(t *testing.T, _, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}, true, true},
		{"the folder", func(t *testing.T, dir, _ string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, false, true},
		{"the folder, with another in its place", func(t *testing.T, dir, _ string) {
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			l := mustOpen(t, Config{Dir: dir, repairEvery: 1})
			mustAppend(t, l, tokenNumber(1))
			row.remove(t, dir, filepath.Join(dir, l.State().Segment))
			err := l.Append(t.Context(), tokenNumber(2))
			var advice interface{ Advice() string }
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Append: %v, want ErrUnavailable and fs.ErrNotExist", err)
			}
			if errors.As(err, &advice) && (advice.Advice() != "") != row.advises {
				t.Errorf("%v: advice %q", err, advice.Advice())
			}
			time.Sleep(time.Millisecond)
			if err := l.Ready(t.Context()); (err == nil) != row.mends {
				t.Errorf("Ready: %v, want mended: %v", err, row.mends)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if !row.mends {
				return
			}
			r, err := Verify(t.Context(), dir, VerifyOptions{})
			if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != MissingFile {
				t.Errorf("Verify: %v, %v; want that the file is missing", r.Problems, err)
			}
		})
	}
}

// TestFailingFile has the system refuse a write, on a real disk.
func TestFailingFile(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir, repairEvery: 1})
	mustAppend(t, l, tokenNumber(1))
	name := filepath.Join(dir, l.State().Segment)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A descriptor that cannot be written to stands for a disk that fails.
	ro, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	rw := l.w.f
	l.w.f = osFile{ro}
	l.mu.Unlock()
	if err := l.Append(t.Context(), tokenNumber(2)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Append: %v, want ErrUnavailable", err)
	}
	if s := l.State(); s.Err == nil || s.Failures != 1 || s.Seq != 2 {
		t.Errorf("state %+v, want one failure after record 2", s)
	}
	if err := l.Append(t.Context(), tokenNumber(3)); err != nil {
		t.Errorf("Append: %v, want that it is mended", err)
	}
	if err := errors.Join(rw.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	checkReport(t, r, err)
	if r.Tokens != 2 || len(notes(r, WasRecovered)) != 1 {
		t.Errorf("%d tokens, notes %v; want 2 and one", r.Tokens, r.Notes)
	}
}

// TestLockRemoved holds that nobody writes together with another because
// somebody took the file that is locked for a left-over.
func TestLockRemoved(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	l := mustOpen(t, cfg)
	defer l.Close()
	mustAppend(t, l, tokenNumber(1))
	if err := os.Remove(filepath.Join(cfg.Dir, lockName)); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), cfg.Dir, VerifyOptions{})
	if checkReport(t, r, err); !r.Live {
		t.Error("Verify does not know that a server is writing")
	}
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
}

// TestNotAFile holds that a pipe or a link with the name of a file stops neither
// a reader nor a start for ever.
func TestNotAFile(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(name string) error
	}{
		{"a pipe", func(name string) error { return syscall.Mkfifo(name, 0o600) }},
		{"a link", func(name string) error { return os.Symlink("lock", name) }},
		{"a folder", func(name string) error { return os.Mkdir(name, 0o700) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir()}
			l := mustOpen(t, cfg)
			mustAppend(t, l, tokenNumber(1))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := row.make(filepath.Join(cfg.Dir, segmentName(2, time.Now()))); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(cfg); !errors.Is(err, errNoFile) {
				t.Errorf("Open: %v, want that it is no file", err)
			}
			if r, err := Verify(t.Context(), cfg.Dir, VerifyOptions{}); err == nil {
				t.Errorf("Verify: %v, and no error", r.Problems)
			}
		})
	}
}
