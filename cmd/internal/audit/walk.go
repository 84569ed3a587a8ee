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
			if l.err != nil {
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
	next   *Segment    // how the file after the current one begins, nil if it does not
	void   func(*line) // is shown the lines that do not count; nil: nobody is
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

// header returns the first record of a file, nil if it is none.
func (v *visit) header(s segment) (*Segment, error) {
	r, err := v.folder.Read(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	l, err := firstLine(s.name, r)
	if errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if l.err != nil {
		return nil, nil
	}
	h, _ := l.Record.(*Segment)
	return h, nil
}

// file calls f with each line of a file. The error is errGone if it is not
// there any more, as can be while a server is writing.
func (v *visit) file(ctx context.Context, i int, f func(*line) error) error {
	v.next = nil
	if i+1 < len(v.segs) {
		var err error
		if v.next, err = v.header(v.segs[i+1]); err != nil {
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
	over := false
	err = scanFile(ctx, newScanner(s.name, r, size), func(l *line) error {
		if over {
			v.void(l)
			return nil
		}
		if err := f(l); err != nil {
			return err
		}
		// What follows in a file that was given up is void, whatever it says.
		if n := v.next; n != nil && n.Unsealed != "" && l.err == nil && l.link() == (link{n.PrevSeq, n.PrevHash}) {
			if v.void == nil {
				return errEnough
			}
			over = true
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends the reading of a file.
var errEnough = errors.New("enough")

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
