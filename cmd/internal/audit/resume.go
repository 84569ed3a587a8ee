package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
)

// resume finds where the log has got to, mends what a crash left behind, and
// makes the writer ready. It returns the files before the current one.
func (w *writer) resume() ([]past, error) {
	names, err := w.disk.List()
	if err != nil {
		return nil, err
	}
	segs := segments(names)
	if len(segs) == 0 && w.cfg.MustExist {
		return nil, errNoLog
	}
	var notes []*Recovered
	var found *finding
	for found == nil && len(segs) > 0 {
		last := segs[len(segs)-1]
		f, err := w.disk.Write(last.name)
		if err != nil {
			return nil, err
		}
		w.f = f
		found, err = w.look(segs)
		if err != nil {
			return nil, err
		}
		if found.head == nil && found.damage == nil {
			// Not even the first line was ever confirmed: the file was being made
			// when the crash came, and its number is free.
			note, err := w.putAside(last, f, found)
			if err != nil {
				return nil, err
			}
			w.f, found = nil, nil
			notes = append(notes, note)
			segs = segs[:len(segs)-1]
		}
	}
	list, err := w.history(segs)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return list, w.create(w.cfg.Now(), "", notes)
	}
	last := segs[len(segs)-1]
	earlier, err := w.asides(names, last, found)
	if err != nil {
		return nil, err
	}
	return list, w.continueWith(last, found, append(earlier, notes...))
}

// errNoLog is an empty folder where there should be a log.
var errNoLog = &diskError{
	err:    fmt.Errorf("there is no record in it: %w", fs.ErrNotExist),
	advice: "is it mounted? To begin a new record there, say so",
}

// look examines the last of segs.
func (w *writer) look(segs []segment) (*finding, error) {
	last, before := segs[len(segs)-1], segs[:len(segs)-1]
	found, err := examine(last.name, w.f, nil)
	if err == nil && found.head != nil && found.head.Format > format {
		return nil, fmt.Errorf("%s was written by a later version of the program, %s", last.name, found.head.Program)
	}
	fits := err == nil && found.head != nil
	if fits && found.group == found.head.PrevSeq {
		// That the header was on the disk is not proved by a later group. It may be
		// what the disk held there before.
		fits, err = w.fits(before, last, found)
	}
	if err == nil && !fits {
		var from link
		if from, err = w.endOf(before); err == nil {
			found, err = examine(last.name, w.f, &from)
		}
	}
	if err != nil {
		return nil, &diskError{err: err, advice: "if " + last.name + " cannot be read any more, save what can be, and move it elsewhere: the log then continues, and its verification will always show that the file is missing"}
	}
	return found, nil
}

// fits says whether a header follows the file before: either its end, or, if
// that was given up, a record after which nothing was confirmed. What was
// written later than the header was.
func (w *writer) fits(before []segment, s segment, found *finding) (bool, error) {
	head := found.head
	if len(before) == 0 || before[len(before)-1].number != s.number-1 {
		return true, nil // there is nothing to compare with
	}
	r, err := w.disk.Read(before[len(before)-1].name)
	if err != nil {
		return false, err
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil {
		return false, err
	}
	there := false
	for scan := newScanner(s.name, r, size); ; {
		l, err := scan.next()
		switch {
		case errors.Is(err, io.EOF):
			return there, nil
		case err != nil:
			return false, err
		case there && (l.err != nil || !l.Chained):
			return true, nil // what is void may be anything
		case l.err != nil:
		case l.link() == link{head.PrevSeq, head.PrevHash}:
			there = true
		case there && (l.Synced > head.PrevSeq || head.Unsealed == "" || l.Time.After(found.began)):
			return false, nil
		}
	}
}

// endOf returns the last record of files that are read only.
func (w *writer) endOf(segs []segment) (link, error) {
	if len(segs) == 0 {
		return link{}, nil
	}
	last := segs[len(segs)-1]
	r, err := w.disk.Read(last.name)
	if err != nil {
		return link{}, err
	}
	defer r.Close()
	found, err := examine(last.name, r, nil)
	if err == nil && found.head == nil {
		var from link
		if from, err = w.endOf(segs[:len(segs)-1]); err == nil {
			found, err = examine(last.name, r, &from)
		}
	}
	if err != nil {
		return link{}, err
	}
	return found.good, nil
}

// history lists the files before the last.
func (w *writer) history(segs []segment) ([]past, error) {
	var list []past
	for i, s := range segs {
		r, err := w.disk.Read(s.name)
		if err != nil {
			return nil, err
		}
		l, err := firstLine(s.name, r)
		r.Close()
		var h *Segment
		if err == nil && l.err == nil {
			h, _ = l.Record.(*Segment)
		}
		if h != nil && i > 0 {
			list[i-1].end, list[i-1].until = link{h.PrevSeq, h.PrevHash}, l.Time
		}
		if i < len(segs)-1 {
			p := past{segment: s}
			if h != nil {
				p.first = l.Seq
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// firstLine reads the first line of a file.
func firstLine(name string, r reader) (*line, error) {
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	return newScanner(name, r, min(size, MaxLine)).next()
}

// continueWith goes on in the last file, or in a new one if that is not
// possible.
func (w *writer) continueWith(last segment, found *finding, notes []*Recovered) error {
	now := w.cfg.Now()
	w.name, w.number = last.name, last.number
	w.at, w.size, w.records, w.sealed = found.good, found.end, found.records, found.sealed
	if found.head != nil {
		w.first = found.head.PrevSeq + 1
	}
	w.began, w.earliest, w.latest, w.stamped = found.began, found.earliest, found.latest, found.stamped
	if found.damage != nil {
		// It is evidence, and stays as it is.
		return w.create(now, RecoveredDamaged, append([]*Recovered{{
			Reason: RecoveredDamaged, Name: last.name, Seq: found.good.n,
			Offset: uint64(found.damage.Offset), Bytes: uint64(found.size - found.damage.Offset),
			Detail: fmt.Sprintf("line %d: %v", found.damage.Line, found.damage.why()),
		}}, notes...))
	}
	if found.torn() {
		note, err := w.cutOff(last, found)
		if err != nil {
			return err
		}
		notes = append(notes, note)
	}
	if err := w.again(found); err != nil {
		return err
	}
	if found.sealed {
		return w.create(now, "", notes)
	}
	if len(notes) == 0 {
		return nil
	}
	next, err := w.begin(now)
	for _, note := range notes {
		if err == nil {
			err = w.line(note, &next)
		}
	}
	if err == nil {
		err = w.flush("writing", next)
	}
	if err == nil {
		w.records += uint64(len(notes))
		w.span(now)
	}
	return err
}

// why says what is wrong with a line that is no good.
func (l *line) why() error {
	if l.err != nil {
		return l.err
	}
	return errUnchained
}

var errUnchained = errors.New("the hash does not follow from the line and the one before")

// again writes the last group once more, the same bytes, and syncs: what the
// process before wrote may be in the machine's memory alone, and after a sync
// that failed the kernel may hold it for written.
func (w *writer) again(found *finding) error {
	b := make([]byte, found.end-found.synced)
	if _, err := io.ReadFull(io.NewSectionReader(w.f, found.synced, int64(len(b))), b); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(b, found.synced); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	return w.disk.Sync()
}

// cutOff copies what follows the last good record into a file of its own, and
// cuts it off.
func (w *writer) cutOff(s segment, found *finding) (*Recovered, error) {
	name, aside, err := w.asideFile(s.name)
	if err != nil {
		return nil, err
	}
	note := &Recovered{Reason: RecoveredTorn, Name: s.name, Seq: found.good.n, Offset: uint64(found.end), Aside: name}
	digest := sha256.New()
	from := io.NewSectionReader(w.f, found.end, found.size-found.end)
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(aside, 0), digest), from)
	if err == nil {
		err = aside.Sync()
	}
	if err = errors.Join(err, aside.Close()); err != nil {
		return nil, err
	}
	if err := w.disk.Sync(); err != nil {
		return nil, err
	}
	note.Bytes = uint64(n)
	copy(note.SHA256[:], digest.Sum(nil))
	if err := w.f.Truncate(found.end); err != nil {
		return nil, err
	}
	return note, w.f.Sync()
}

// asides returns notes about files that were put aside by a start that did not
// live to record it.
func (w *writer) asides(names []string, last segment, found *finding) ([]*Recovered, error) {
	var notes []*Recovered
	for _, name := range names {
		of, _, ok := strings.Cut(name, nameSuffix+".")
		number, known := parseName(of + nameSuffix)
		if !ok || !known || number < last.number || !strings.HasSuffix(name, asideSuffix) || slices.Contains(found.aside, name) {
			continue
		}
		n, digest, err := hashFile(w.disk, name, math.MaxInt64)
		if err != nil {
			return nil, err
		}
		notes = append(notes, &Recovered{
			Reason: RecoveredTorn, Name: of + nameSuffix, Seq: found.good.n, Offset: uint64(found.end),
			Bytes: uint64(n), SHA256: digest, Aside: name, Detail: "put aside at an earlier start",
		})
	}
	return notes, nil
}

// hashFile returns the length of a file and the SHA-256 of what is in it, if it
// is no longer than that.
func hashFile(d folder, name string, most int64) (n int64, sum [sha256.Size]byte, err error) {
	r, err := d.Read(name)
	if err != nil {
		return 0, sum, err
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil || size > most {
		return size, sum, err
	}
	digest := sha256.New()
	n, err = io.Copy(digest, io.NewSectionReader(r, 0, size))
	copy(sum[:], digest.Sum(nil))
	return n, sum, err
}

// asideFile makes a file with a name like that of a segment.
func (w *writer) asideFile(of string) (string, file, error) {
	for i := 1; i < math.MaxInt; i++ {
		name := fmt.Sprintf("%s.%d%s", of, i, asideSuffix)
		f, err := w.disk.Create(name)
		if !errors.Is(err, fs.ErrExist) {
			return name, f, err
		}
	}
	return "", nil, fs.ErrExist
}

// putAside renames a whole file. It closes f if that goes well.
func (w *writer) putAside(s segment, f file, found *finding) (*Recovered, error) {
	name, empty, err := w.asideFile(s.name)
	if err != nil {
		return nil, err
	}
	if err := empty.Close(); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	n, digest, err := hashFile(w.disk, s.name, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	if err := w.disk.Rename(s.name, name); err != nil {
		return nil, err
	}
	if err := w.disk.Sync(); err != nil {
		return nil, err
	}
	note := &Recovered{Reason: RecoveredTorn, Name: s.name, Seq: found.good.n, Bytes: uint64(n), SHA256: digest, Aside: name}
	return note, f.Close()
}
