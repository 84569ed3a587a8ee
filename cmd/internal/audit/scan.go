package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// A line is what a scanner finds: a record, or something that is none.
type line struct {
	Entry
	err   error // why it is no record
	bytes int64 // of the file, the newline included
	// unlinked says that the line before is no record, so that whether the hash
	// is right cannot be told.
	unlinked bool
}

// end is where the next line begins.
func (l *line) end() int64 { return l.Offset + l.bytes }

func (l *line) link() link { return link{l.Seq, l.Hash} }

// errUnfinished is a line without its newline at the end of the file.
var errUnfinished = errors.New("the file ends within the line")

// A scanner reads a segment line by line. It holds one line in memory.
type scanner struct {
	name string
	in   *bufio.Reader
	at   link // of the line before
	ok   bool // at is known
	n    int
	off  int64
	line line
}

// newScanner reads size bytes of a file.
func newScanner(name string, r io.ReaderAt, size int64) *scanner {
	return &scanner{name: name, in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), MaxLine)}
}

// next returns the next line, and io.EOF after the last. The line is
// overwritten by the next call. Each line is compared with what the line before
// claims, so that one that was altered does not spoil those after it.
func (s *scanner) next() (*line, error) {
	l := &s.line
	*l = line{Entry: Entry{File: s.name, Line: s.n + 1, Offset: s.off}}
	raw, err := s.in.ReadSlice('\n')
	l.bytes = int64(len(raw))
	switch {
	case err == nil:
		l.err = l.parse(raw[:len(raw)-1])
	case errors.Is(err, io.EOF) && len(raw) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		l.err = errUnfinished
	case errors.Is(err, bufio.ErrBufferFull):
		l.err = errTooLong
		for errors.Is(err, bufio.ErrBufferFull) {
			raw, err = s.in.ReadSlice('\n')
			l.bytes += int64(len(raw))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s at byte %d: %w", s.name, s.off, err)
	}
	s.n++
	s.off += l.bytes
	if l.err != nil {
		s.ok = false
		return l, nil
	}
	// A first record says itself what it follows. Whether that is the end of the
	// file before, only those know who have read that.
	if h, ok := l.Record.(*Segment); ok && l.Line == 1 {
		s.at, s.ok = link{h.PrevSeq, h.PrevHash}, true
	}
	l.unlinked = !s.ok
	l.Chained = s.ok && l.follows(s.at)
	s.at, s.ok = l.link(), true
	return l, nil
}

// A finding is what was found in a segment that is to be written on.
type finding struct {
	head     *Segment // what its first record says, nil if it is none
	began    time.Time
	good     link   // the last record to go on from
	end      int64  // where it ends in the file
	size     int64  // of the file
	synced   int64  // where the records begin that may not be on the disk
	group    uint64 // what these say was on the disk before
	records  uint64
	sealed   bool
	earliest time.Time
	latest   time.Time
	stamped  uint64   // the last record with a timestamp
	aside    []string // files that records in it name
	damage   *line    // the first line that was confirmed once and is wrong now
}

// torn says that something follows the last good record.
func (f *finding) torn() bool { return f.end < f.size }

// examine reads a segment to its end, in order to write on. Bytes that are no
// good at the end were torn, unless a later record proves that they were on the
// disk before it was written: that is damage, by the disk or by somebody.
//
// from is the end of the segment before. It is needed only for a file whose
// first line is no good, and nil where it is not known.
func examine(name string, r reader, from *link) (*finding, error) {
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	f := &finding{size: size}
	number, _ := parseName(name)
	if from != nil {
		f.good = *from
	}
	var bad *line
	for s := newScanner(name, r, size); ; {
		l, err := s.next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		h, header := l.Record.(*Segment)
		header = header && l.err == nil && l.Line == 1 && l.Chained && h.Segment == number &&
			(from == nil || link{h.PrevSeq, h.PrevHash} == *from)
		switch {
		case bad == nil && l.err == nil && l.Chained && (header || l.Seq == f.good.n+1):
		case bad != nil && l.err == nil && l.Seq > f.good.n && l.Synced > f.good.n && (from != nil || f.head != nil):
			if f.damage == nil {
				f.damage = bad
			}
			bad = nil
		default:
			if bad == nil {
				keep := *l
				keep.Raw = nil
				bad = &keep
			}
			continue
		}
		if header {
			f.head, f.began, f.stamped = h, l.Time, h.Stamped
		}
		if l.Synced != f.group {
			f.group, f.synced = l.Synced, l.Offset
		}
		f.good, f.end = l.link(), l.end()
		f.note(l)
	}
}

// note keeps what the rest of the program wants to know about a record.
func (f *finding) note(l *line) {
	f.records++
	f.sealed = l.Kind == KindSeal
	f.span(l.Time)
	switch r := l.Record.(type) {
	case *Stamp:
		f.stamped = max(f.stamped, r.Seq)
	case *Recovered:
		f.aside = append(f.aside, r.Aside)
	case *Token:
		f.span(r.GenTime)
	}
}

func (f *finding) span(t time.Time) {
	if f.records == 1 || t.Before(f.earliest) {
		f.earliest = t
	}
	if t.After(f.latest) {
		f.latest = t
	}
}
