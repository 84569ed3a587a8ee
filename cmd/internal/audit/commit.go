package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A writer writes one file after the other. What it says about the current one
// is what is on the disk for certain.
type writer struct {
	cfg   *Config
	disk  disk
	group *group

	f        file // nil: there is none to write on
	name     string
	number   uint64
	size     int64  // in bytes
	at       link   // the last record
	first    uint64 // the number of the first
	records  uint64
	sealed   bool
	began    time.Time
	earliest time.Time
	latest   time.Time
	stamped  uint64

	buf      []byte
	ended    []past // files that ended since somebody asked
	leftover string // a file that could not be made, nor removed

	broken error     // why nothing can be written, nil if it can
	cause  error     // the error of the disk within
	lost   int       // bytes that were not confirmed when it broke
	retry  time.Time // when to try again
}

// A past is a file before the current one.
type past struct {
	segment
	first uint64    // the number of its first record, 0 if it could not be read
	end   link      // its last record, zero if that is not known
	until time.Time // when the next file began
}

// commit writes a batch and returns when it is on the disk, or cannot be.
func (w *writer) commit(b *batch) Written {
	done := Written{Records: b.len()}
	now := w.cfg.Now()
	if done.Err = w.ready(now); done.Err != nil || b.len() == 0 {
		return done
	}
	if reason, due := w.due(now, len(b.bodies)+b.len()*maxFrame); due {
		if done.Err = w.rotate(now, reason); done.Err != nil {
			return done
		}
	}
	next, err := w.begin(now)
	if err != nil {
		done.Err = err
		return done
	}
	start := 0
	for _, end := range b.ends {
		w.buf = w.group.appendLine(w.buf, b.bodies[start:end], &next)
		start = end
	}
	began := time.Now()
	done.Err = w.flush("writing", next)
	done.Took = time.Since(began)
	if done.Err == nil {
		done.Bytes = len(w.buf)
		w.records += uint64(b.len())
		w.span(now)
		if !b.early.IsZero() {
			w.span(b.early)
			w.span(b.late)
		}
	}
	return done
}

// begin starts a group. The error is one of the clock, and the disk is well.
func (w *writer) begin(now time.Time) (link, error) {
	w.buf = w.buf[:0]
	if cap(w.buf) > 2*maxGroup {
		w.buf = nil
	}
	if err := w.group.begin(w.at.n, now); err != nil {
		return link{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return w.at, nil
}

// line adds a record of the log's own to the group.
func (w *writer) line(rec Record, next *link) error {
	var c coder
	if err := encode(&c, rec); err != nil {
		return err
	}
	w.buf = w.group.appendLine(w.buf, c.buf, next)
	return nil
}

// flush writes the group and syncs it, once. After an error nobody knows what
// is on the disk, and a second sync that succeeds would prove nothing: the
// kernel may have dropped what it could not write.
func (w *writer) flush(doing string, next link) error {
	_, err := w.f.WriteAt(w.buf, w.size)
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		w.lost = len(w.buf)
		return w.fail(doing, w.name, err)
	}
	w.size += int64(len(w.buf))
	w.at = next
	return nil
}

func (w *writer) span(t time.Time) {
	if t.Before(w.earliest) {
		w.earliest = t
	}
	if t.After(w.latest) {
		w.latest = t
	}
}

// due says whether the file is to be ended before more bytes are written. One
// with nothing in it but what the log writes about itself is kept.
func (w *writer) due(now time.Time, more int) (SealReason, bool) {
	switch {
	case w.records < 2:
	case now.Sub(w.began) >= w.cfg.SegmentAge:
		return SealedAge, true
	case w.size+int64(more) > w.cfg.SegmentSize:
		return SealedSize, true
	}
	return "", false
}

// rotate seals the file and makes the next.
func (w *writer) rotate(now time.Time, reason SealReason) error {
	next, err := w.begin(now)
	if err != nil {
		return err
	}
	w.span(now)
	seal := &Seal{Count: w.records + 1, Reason: reason, Earliest: w.earliest, Latest: w.latest}
	if err := w.line(seal, &next); err != nil {
		return err
	}
	if err := w.flush("sealing", next); err != nil {
		return err
	}
	w.sealed = true
	return w.create(now, "", nil)
}

// create ends the current file, if there is one, and makes the next with its
// header and what was mended. It is used when all of it is on the disk, its
// name as well. The header alone says whether the file before was given up: of
// a group that is torn, the first line may be all that is left.
func (w *writer) create(now time.Time, unsealed RecoveredReason, notes []*Recovered) error {
	name := segmentName(w.number+1, now)
	f, err := w.claim(name)
	if err != nil {
		return w.fail("making", name, err)
	}
	next, err := w.begin(now)
	header := &Segment{
		Segment: w.number + 1, Format: format,
		Instance: w.cfg.Instance, Host: w.cfg.Host, Program: w.cfg.Program,
		PrevSeq: w.at.n, PrevHash: w.at.head, Stamped: w.stamped, Unsealed: unsealed,
	}
	if err == nil {
		err = w.line(header, &next)
	}
	for _, note := range notes {
		if err == nil {
			err = w.line(note, &next)
		}
	}
	if err == nil {
		_, err = f.WriteAt(w.buf, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = w.disk.Sync()
	}
	if err != nil {
		_ = f.Close() // it is no use any more
		if w.disk.Remove(name) != nil {
			w.leftover = name
		}
		return w.fail("making", name, err)
	}
	w.leave(now)
	w.f, w.name, w.number, w.sealed = f, name, w.number+1, false
	w.size, w.first, w.records = int64(len(w.buf)), w.at.n+1, uint64(1+len(notes))
	w.at = next
	w.began, w.earliest, w.latest = now, now, now
	return nil
}

// claim makes an empty file. A file that an earlier attempt left has the number
// already, and is not on record anywhere.
func (w *writer) claim(name string) (file, error) {
	if w.leftover != "" {
		switch err := w.disk.Remove(w.leftover); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			w.leftover = ""
		case w.leftover != name:
			return nil, err
		default:
			f, err := w.disk.Write(name)
			if err != nil {
				return nil, err
			}
			return f, f.Truncate(0)
		}
	}
	return w.disk.Create(name)
}

// leave closes the current file for good.
func (w *writer) leave(now time.Time) {
	if w.number == 0 {
		return
	}
	if w.f != nil {
		_ = w.f.Close() // it is synced, or was given up
		w.f = nil
	}
	w.ended = append(w.ended, past{segment: segment{w.number, w.name}, first: w.first, end: w.at, until: now})
}

// fail remembers that the disk does not work.
func (w *writer) fail(doing, name string, err error) error {
	w.cause = err
	w.broken = &diskError{text: doing + " " + name, err: err, advice: cure(err, w.cfg.Dir)}
	return w.broken
}

// ready mends the log if it is broken and it is time to try. The broken file is
// cut to what is certain and never written again; the next one says so.
func (w *writer) ready(now time.Time) error {
	if w.broken == nil {
		return nil
	}
	tick := time.Now()
	if tick.Before(w.retry) {
		return w.broken
	}
	w.retry = tick.Add(w.cfg.repairEvery)
	note := &Recovered{
		Reason: RecoveredFailed, Name: w.name, Seq: w.at.n,
		Offset: uint64(w.size), Bytes: uint64(w.lost), Detail: w.broken.Error(),
	}
	if w.f != nil {
		// If this fails as well, a reader sees records behind those that the next
		// file follows, and the note says why.
		if err := errors.Join(w.f.Truncate(w.size), w.f.Sync()); err != nil {
			note.Detail += "; cutting it off: " + err.Error()
		}
	}
	unsealed := RecoveredFailed
	if w.sealed {
		unsealed = ""
	}
	if err := w.create(now, unsealed, []*Recovered{note}); err != nil {
		return err
	}
	w.broken, w.cause, w.lost, w.retry = nil, nil, 0, time.Time{}
	return nil
}

func (w *writer) close() error {
	if w.f == nil {
		return nil
	}
	return w.f.Close()
}

// A diskError is an error of the disk, with what to do about it.
type diskError struct {
	text   string
	err    error
	advice string
	start  bool // of Open: nothing was recorded yet that could be missing
}

func (e *diskError) Error() string {
	if e.start {
		return fmt.Sprintf("audit: opening %s: %v", e.text, e.err)
	}
	return fmt.Sprintf("%v: %s: %v", ErrUnavailable, e.text, e.err)
}

func (e *diskError) Unwrap() []error {
	if e.start {
		return []error{e.err}
	}
	return []error{ErrUnavailable, e.err}
}

// Advice says what to do, "" if nothing is known.
func (e *diskError) Advice() string { return e.advice }

// startError is what Open returns.
func startError(dir string, err error) error {
	advice := cure(err, dir)
	if errors.Is(err, ErrLocked) {
		advice = "give each server a folder of its own, or wait until the other has ended"
	}
	var own *diskError
	if errors.As(err, &own) {
		advice = own.advice
		err = own.err
	}
	return &diskError{text: dir, err: err, advice: advice, start: true}
}
