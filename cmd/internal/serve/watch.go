package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
)

// DefaultWatch is how often files are looked at for changes: a mounted secret
// changes once in months, and whoever changes it watches the log.
const DefaultWatch = 10 * time.Second

// retryReload is how long it takes until a reload that failed is tried again
// although no file has changed: a key service may have been away.
const retryReload = time.Minute

// maxWatched is how much of a file is looked at, more than any key or chain.
const maxWatched = 4 << 20

// A fingerprint is the content of all files, in short.
type fingerprint [sha256.Size]byte

// fingerprintOf reads files. It goes by their content, and so notices a secret
// that is swapped by a symbolic link to another folder, with whatever dates.
// That a file cannot be read is a content too.
func fingerprintOf(files []string) fingerprint {
	h := sha256.New()
	for _, name := range files {
		fmt.Fprintf(h, "%q\n", name)
		// A pipe is read once, by whom it is for. To open it is to be its reader.
		st, err := os.Stat(name)
		if err == nil && !st.Mode().IsRegular() {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			fmt.Fprintf(h, "missing %t\n", errors.Is(err, fs.ErrNotExist))
			continue
		}
		n, err := io.Copy(h, io.LimitReader(f, maxWatched))
		fmt.Fprintf(h, "\n%d %t\n", n, err == nil)
		f.Close()
	}
	return fingerprint(h.Sum(nil))
}

// Watch sets Files, as they are before they are read.
func (c *Config) Watch(files []string) {
	c.Files, c.loaded = files, fingerprintOf(files)
}

// digestOf is the SHA-256 of the content of files, one after the other, as
// sha256sum has it of a single one. What cannot be read counts as empty: it was
// read a moment ago.
func digestOf(files []string) (digest [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		_, _ = io.Copy(h, io.LimitReader(f, maxWatched))
		f.Close()
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// A watch notices that files have changed and have come to rest.
type watch struct {
	files          []string
	loaded, before fingerprint // as they were loaded, and at the last look
	failed         time.Time   // of the last load; zero: it succeeded
	moved          bool        // something has changed since then
}

func newWatch(files []string, loaded fingerprint) *watch {
	return &watch{files: files, loaded: loaded, before: loaded}
}

// changed looks at the files. It wants to see the same twice, so that a key and
// its chain which are written one after the other are not taken for a pair half
// way.
func (w *watch) changed(now time.Time) bool {
	is := fingerprintOf(w.files)
	quiet := is == w.before
	w.before = is
	switch {
	case !quiet:
		w.moved = true
		return false
	case w.moved:
		// After a failure, what was loaded before is loaded again when it is back:
		// until then the metrics and the manager say that it failed.
		return is != w.loaded || !w.failed.IsZero()
	}
	return !w.failed.IsZero() && now.Sub(w.failed) >= retryReload
}

// tried notes that what is there was loaded, or that it could not be.
func (w *watch) tried(next *Config, err error, now time.Time) {
	if err != nil {
		w.failed, w.moved = now, false
		return
	}
	*w = *newWatch(next.Files, next.loaded)
}

// reload does what is asked for, by signal or by a file that changed, until ctx
// ends.
func (s *Server) reload(ctx context.Context, identities []*tlsIdentity) {
	var tick <-chan time.Time
	w := newWatch(s.cfg.Files, s.cfg.loaded)
	if every := s.cfg.Reload.Every; every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.cfg.Reload.Ask:
		case <-tick:
			if !w.changed(time.Now()) {
				continue
			}
			s.log.LogAttrs(ctx, slog.LevelInfo, "files changed, loading them")
		}
		s.said(ctx, s.cfg.Notify.Reloading())
		next, at, err := s.reloadOnce(ctx, identities)
		if err != nil && ctx.Err() != nil {
			return // the server stops, which is not the configuration's fault
		}
		s.reloaded(ctx, err)
		w.tried(&next, err, time.Now())
		s.metrics.Reloaded(err)
		if err != nil {
			s.process.configured(audit.ConfigRefused, &next, err.Error())
			s.log.LogAttrs(ctx, slog.LevelError, "reload failed, all stays as it was", slog.String("detail", err.Error()))
			continue
		}
		_, until := s.cfg.TSA.Window()
		attrs := []slog.Attr{slog.Time("issues_until", until)}
		if at.After(time.Now()) {
			attrs = append(attrs, slog.Time("takes_over", at))
		}
		s.process.configured(audit.ConfigReloaded, &next, "")
		s.log.LogAttrs(ctx, slog.LevelInfo, "reloaded", attrs...)
	}
}
