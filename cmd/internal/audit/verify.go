package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"time"
)

const (
	// DefaultMaxProblems is enough to see what kind of thing happened.
	DefaultMaxProblems = 100
	// serialWindow is how many tokens at least are compared for their serial
	// numbers, the latest: with 158 random bits, one that occurs twice is due to
	// a broken source of randomness, and then it shows soon.
	serialWindow = 1 << 18
	// hashWindow is how many records' hashes are held, to compare timestamps
	// with. They come soon after the record; for one that does not, the files
	// are read again.
	hashWindow = 1 << 16
	// maxLate is how long after the time in it a token is recorded at most, if the
	// clock was not set meanwhile: a slow key and a slow disk take seconds.
	maxLate = time.Minute
	// maxLookups bounds how often they are, in a log that somebody made to be
	// slow to verify.
	maxLookups = 1000
)

// VerifyOptions says what else to check.
type VerifyOptions struct {
	// Contains are hashes that the auditor has from elsewhere, such as an earlier
	// Report.Head. Each must be in the log: one that is not was cut off.
	Contains []Hash
	// CheckStamp verifies the DER of a TimeStampToken over a SHA-256 digest and
	// returns its time. Nil: timestamps are only compared with the records that
	// they say they are over.
	CheckStamp func(ctx context.Context, digest, token []byte) (time.Time, error)
	// MaxProblems bounds the lists of the report. 0 means DefaultMaxProblems.
	MaxProblems int
}

// Verify checks the log in a folder from its first record to its last: that
// every line is a record, follows the one before, and nothing is missing. The
// error says that it could not be read, and wraps fs.ErrNotExist if there is no
// log; whether the log is in order is for Report.OK to say. The report is good
// for what was read, even then.
//
// It holds a few tens of megabytes in memory, however long the log is.
func Verify(ctx context.Context, dir string, opts VerifyOptions) (*Report, error) {
	d, err := newFolder(dir)
	if err != nil {
		return &Report{}, fmt.Errorf("audit: %w", err)
	}
	defer d.Close()
	return verify(ctx, d, opts)
}

// A verifier goes through a log once.
type verifier struct {
	Report
	opts    VerifyOptions
	visit   *visit
	file    fileState
	end     link // of the records so far
	gaps    []gap
	wanted  map[Hash]bool // of Contains, not seen yet
	hashes  []remembered  // of the latest records, by number modulo hashWindow
	lookups int
	late    bool // the last token was recorded at another time than it says
	seed    maphash.Seed
	serials [2]map[uint64]uint64
}

// fileState is about the current file.
type fileState struct {
	segment
	lines            uint64 // that are records
	sealed           bool
	denied           bool      // void records were found to have counted
	earliest, latest time.Time // of a record or a token
}

func (f *fileState) span(t time.Time) {
	if f.earliest.IsZero() || t.Before(f.earliest) {
		f.earliest = t
	}
	if t.After(f.latest) {
		f.latest = t
	}
}

// A gap is files that are missing.
type gap struct {
	first, last uint64 // their numbers
	follows     link   // what the file after them says it follows
	head        link   // the end of the last, by the record that it was removed
}

func verify(ctx context.Context, d folder, opts VerifyOptions) (*Report, error) {
	if opts.MaxProblems == 0 {
		opts.MaxProblems = DefaultMaxProblems
	}
	v := &verifier{
		opts: opts, seed: maphash.MakeSeed(), wanted: map[Hash]bool{},
		serials: [2]map[uint64]uint64{{}, {}},
	}
	for _, h := range opts.Contains {
		v.wanted[h] = true
	}
	var err error
	if v.visit, err = newVisit(d); err != nil {
		return &v.Report, err
	}
	v.visit.void = v.void
	v.Live = d.Live()
	for i := 0; i < len(v.visit.segs); i++ {
		if err := v.one(ctx, i); err != nil {
			return &v.Report, err
		}
	}
	v.finish()
	return &v.Report, nil
}

func (v *verifier) problem(l *line, kind ProblemKind, format string, args ...any) {
	v.ProblemCount++
	if len(v.Problems) < v.opts.MaxProblems {
		v.Problems = append(v.Problems, v.at(l, kind, fmt.Sprintf(format, args...)))
	}
}

func (v *verifier) note(l *line, kind ProblemKind, format string, args ...any) {
	v.NoteCount++
	if len(v.Notes) < v.opts.MaxProblems {
		v.Notes = append(v.Notes, v.at(l, kind, fmt.Sprintf(format, args...)))
	}
}

// at is a problem with its place; without a line it is about the whole file.
func (v *verifier) at(l *line, kind ProblemKind, detail string) Problem {
	p := Problem{Kind: kind, File: v.file.name, Detail: detail}
	if l != nil {
		p.Line, p.Offset = l.Line, l.Offset
		if l.err == nil {
			p.Seq = l.Seq
		}
	}
	return p
}

// one verifies a file.
func (v *verifier) one(ctx context.Context, i int) error {
	s := v.visit.segs[i]
	before := v.file
	v.file = fileState{segment: s}
	last := i == len(v.visit.segs)-1
	if s.number == before.number {
		v.problem(nil, BadHeader, "%s has the same number", before.name)
	}
	v.missing(before.number+1, s.number)
	v.Segments++
	var err error
	if last {
		err = v.readLast(ctx, i)
	} else {
		err = v.visit.file(ctx, i, func(l *line) error { return v.line(ctx, l) })
	}
	if errors.Is(err, errGone) {
		// Like one that was gone before: the server must say that it removed it.
		v.Segments--
		v.missing(s.number, s.number+1)
		v.file = before
		v.file.number = s.number
		return nil
	} else if err != nil {
		return err
	}
	if !last && v.file.lines == 0 {
		v.problem(nil, BadEnd, "there is no record in it")
	}
	if !last && !v.file.sealed && (v.visit.next == nil || v.visit.next.Unsealed == "") {
		v.problem(nil, BadEnd, "it ends without a seal, and the next file does not say why")
	}
	return nil
}

// readLast verifies the last file. What is torn at its end is told from what is
// damaged in the same way as when the log is opened.
func (v *verifier) readLast(ctx context.Context, i int) error {
	s := v.visit.segs[i]
	v.visit.next = nil
	r, err := v.visit.folder.Read(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	} else if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	found, err := examine(s.name, r, &v.end)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := scanFile(ctx, newScanner(s.name, r, found.end), func(l *line) error { return v.line(ctx, l) }); err != nil {
		return err
	}
	if found.head == nil && found.end == 0 {
		// A header that is there is there whole, also while a server writes: if it
		// does not follow the file before, the end of that is gone.
		if l, err := firstLine(s.name, r); err == nil && l.err == nil {
			if h, ok := l.Record.(*Segment); ok {
				v.header(l, h)
			}
		}
	}
	if found.torn() {
		v.Unfinished = found.size - found.end
		if !v.Live {
			v.problem(nil, TornEnd, "%d bytes after the last record are none; opening the log puts them aside", v.Unfinished)
		}
	}
	return nil
}

// missing remembers that the files from number first to before next are not
// there. Whether they were removed is said in a later one.
func (v *verifier) missing(first, next uint64) {
	if first >= next {
		return
	}
	if n := len(v.gaps); n > 0 && v.gaps[n-1].last+1 == first {
		v.gaps[n-1].last = next - 1
		return
	}
	v.gaps = append(v.gaps, gap{first: first, last: next - 1})
}

// afterGap returns the gap that the current file follows, nil if there is none.
func (v *verifier) afterGap() *gap {
	if n := len(v.gaps); n > 0 && v.gaps[n-1].last == v.file.number-1 {
		return &v.gaps[n-1]
	}
	return nil
}

// line verifies a line.
func (v *verifier) line(ctx context.Context, l *line) error {
	if l.err != nil {
		v.problem(l, BadLine, "%v", l.err)
		return nil
	}
	v.file.lines++
	v.file.span(l.Time)
	v.chain(l)
	if v.Records == 0 {
		v.FirstSeq, v.FirstTime = l.Seq, l.Time
	} else if l.Time.Before(v.LastTime) {
		v.note(l, TimeBackward, "by %v", v.LastTime.Sub(l.Time))
	}
	v.Records++
	v.LastSeq, v.LastTime, v.Head = l.Seq, l.Time, l.Hash
	v.end = l.link()
	v.remember(v.end, l.Time)
	delete(v.wanted, l.Hash)
	return v.record(ctx, l)
}

// void verifies that a line which the next file says is void was never
// confirmed: a group that was written later than another says that the other was
// on the disk.
func (v *verifier) void(l *line) {
	if v.file.denied || l.err != nil || !l.Chained || l.Synced <= v.visit.next.PrevSeq {
		return
	}
	v.file.denied = true
	v.problem(l, BadEnd, "the next file says that nothing counts after record %d, and record %d was confirmed", v.visit.next.PrevSeq, l.Synced)
}

// remember keeps a hash for timestamps.
func (v *verifier) remember(at link, t time.Time) {
	i := int(at.n % hashWindow)
	if i >= len(v.hashes) {
		v.hashes = append(v.hashes, make([]remembered, i+1-len(v.hashes))...)
	}
	v.hashes[i] = remembered{link: at, time: t}
}

// remembered returns what is known of a record, nil if it is too long ago.
func (v *verifier) remembered(n uint64) *remembered {
	if i := int(n % hashWindow); i < len(v.hashes) && v.hashes[i].n == n {
		return &v.hashes[i]
	}
	return nil
}

// chain verifies that a line follows the one before.
func (v *verifier) chain(l *line) {
	h, header := l.Record.(*Segment)
	switch {
	case l.Line == 1 && !header:
		v.problem(l, BadHeader, "the first record is of kind %s", l.Kind)
	case l.Line > 1 && header:
		v.problem(l, BadHeader, "a header within the file")
	case header:
		v.header(l, h)
	}
	switch {
	case v.file.sealed:
		v.problem(l, BadEnd, "a record after the seal")
	case l.Chained || l.unlinked:
	case l.Seq != v.end.n+1 && !header:
		v.problem(l, BadNumber, "record %d follows record %d", l.Seq, v.end.n)
	default:
		v.problem(l, BadHash, "%v", errUnchained)
	}
}

// header verifies that a file follows the one before.
func (v *verifier) header(l *line, h *Segment) {
	if h.Segment != v.file.number {
		v.problem(l, BadHeader, "it says it is file %d", h.Segment)
	}
	follows := link{h.PrevSeq, h.PrevHash}
	switch g := v.afterGap(); {
	case g != nil:
		g.follows = follows
		v.remember(follows, time.Time{})
	case v.file.number == 1 && follows != (link{}):
		v.problem(l, BadJoin, "the first file follows record %d", h.PrevSeq)
	case follows != v.end:
		v.problem(l, BadJoin, "it follows record %d with hash %v; the file before ends with record %d, hash %v", h.PrevSeq, h.PrevHash, v.end.n, v.end.head)
	}
}

// record verifies what a record says.
func (v *verifier) record(ctx context.Context, l *line) error {
	if v.UnstampedSince.IsZero() && l.Kind != KindStamp {
		v.UnstampedSince = l.Time
	}
	switch r := l.Record.(type) {
	case *Token:
		v.Tokens++
		v.file.span(r.GenTime)
		v.tokenTime(l, r)
		v.remembered(l.Seq).digest = maphash.Bytes(v.seed, r.Digest)
		v.serial(l, r.Serial)
	case *Seal:
		v.file.sealed = true
		if r.Count != v.file.lines {
			v.problem(l, BadEnd, "the seal counts %d records, there are %d", r.Count, v.file.lines)
		}
		if r.Earliest.After(v.file.earliest) || r.Latest.Before(v.file.latest) {
			// Who looks for a time would not read the file.
			v.problem(l, BadEnd, "the seal says %v to %v, and there are times from %v to %v", r.Earliest, r.Latest, v.file.earliest, v.file.latest)
		}
	case *Recovered:
		return v.recovered(l, r)
	case *Removed:
		v.removed(l, r)
	case *Stamp:
		v.Stamps++
		v.remembered(l.Seq).stamp = true
		return v.stamp(ctx, l, r)
	}
	return nil
}

// tokenTime notes the first of tokens that were not recorded when they were
// issued. There can be many in a row, which must not keep other notes out.
func (v *verifier) tokenTime(l *line, r *Token) {
	late := l.Time.Sub(r.GenTime).Abs() > maxLate
	if late && !v.late {
		v.note(l, TokenTime, "a token says %v, and was recorded at %v", r.GenTime, l.Time)
	}
	v.late = late
}

// serial notices a serial number that was used before. It compares hashes of 64
// bits: two tokens that are not the same have one with a chance of 2^-64.
func (v *verifier) serial(l *line, serial []byte) {
	h := maphash.Bytes(v.seed, serial)
	for _, seen := range v.serials {
		if n, ok := seen[h]; ok {
			v.problem(l, SerialTwice, "serial number %x was used in record %d", serial, n)
			return
		}
	}
	if len(v.serials[0]) >= serialWindow {
		v.serials[0], v.serials[1] = map[uint64]uint64{}, v.serials[0]
	}
	v.serials[0][h] = l.Seq
}
