package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Walk calls f with each record of the log in a folder, in their order, until f
// returns an error, which Walk returns then. Lines that are no records are
// passed over, and so are those that are void; [Verify] tells of them. One line
// is held in memory.
//
// The log of a server that is writing may be read; records that are added
// meanwhile may be missed.
func Walk(ctx context.Context, dir string, f func(*Entry) error) error {
	d, err := newFolder(dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer d.Close()
	return walk(ctx, d, nil, f)
}

// walk is Walk on any folder. want says which files to read, nil all.
func walk(ctx context.Context, d folder, want func(segment) bool, f func(*Entry) error) error {
	v, err := newVisit(d)
	if err != nil {
		return err
	}
	for i, s := range v.segs {
		if want != nil && !want(s) {
			continue
		}
		err := v.file(ctx, i, func(l *line) error {
			if l.err != nil || v.void(l.Seq) {
				return nil
			}
			return f(&l.Entry)
		})
		if err != nil && !errors.Is(err, errGone) {
			return err
		}
	}
	return nil
}

// A visit reads the files of a log one after the other.
type visit struct {
	folder folder
	segs   []segment
	next   opening // of the file after the current one
}

// An opening is how a file begins.
type opening struct {
	header *Segment   // its first record, nil if that is none
	note   *Recovered // its second, if it says what became of the file before
}

func newVisit(d folder) (*visit, error) {
	names, err := d.List()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	v := &visit{folder: d, segs: segments(names)}
	if len(v.segs) == 0 {
		return nil, fmt.Errorf("audit: no record of issue in the folder: %w", fs.ErrNotExist)
	}
	return v, nil
}

// opening reads how a file begins.
func (v *visit) opening(s segment) (opening, error) {
	r, err := v.folder.Read(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return opening{}, nil
	} else if err != nil {
		return opening{}, fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil {
		return opening{}, fmt.Errorf("audit: %w", err)
	}
	var o opening
	for scan := newScanner(s.name, r, min(size, 2*MaxLine)); ; {
		l, err := scan.next()
		if errors.Is(err, io.EOF) {
			return o, nil
		} else if err != nil {
			return opening{}, fmt.Errorf("audit: %w", err)
		}
		switch {
		case l.err != nil:
			return o, nil
		case l.Line == 1:
			if o.header, _ = l.Record.(*Segment); o.header == nil {
				return o, nil
			}
		default:
			o.note, _ = l.Record.(*Recovered)
			return o, nil
		}
	}
}

// file calls f with each line of a file. The error is errGone if it is not
// there any more, as can be while a server is writing.
func (v *visit) file(ctx context.Context, i int, f func(*line) error) error {
	v.next = opening{}
	if i+1 < len(v.segs) {
		var err error
		if v.next, err = v.opening(v.segs[i+1]); err != nil {
			return err
		}
	}
	s := v.segs[i]
	r, err := v.folder.Read(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	} else if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return scanFile(ctx, newScanner(s.name, r, size), f)
}

// scanFile calls f with each line.
func scanFile(ctx context.Context, scan *scanner, f func(*line) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("audit: reading %s: %w", scan.name, err)
		}
		l, err := scan.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if h, ok := l.Record.(*Segment); ok && l.err == nil && h.Format > format {
			return fmt.Errorf("audit: %s has format %d, and this program reads %d: it was written by %q", scan.name, h.Format, format, h.Program)
		}
		if err := f(l); err != nil {
			return err
		}
	}
}

// errGone is a file that was listed and is not there any more.
var errGone = fmt.Errorf("audit: the file is gone: %w", fs.ErrNotExist)

// void says that a record was given up: the next file goes on from an earlier
// one.
func (v *visit) void(n uint64) bool { return v.next.header != nil && n > v.next.header.PrevSeq }
