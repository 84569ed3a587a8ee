package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math"
	"slices"
	"time"
)

// removed notes that a file was removed, which may explain a gap. That its last
// hash is told proves nothing: who cuts off the end of the log can tell that of
// any.
func (v *verifier) removed(l *line, r *Removed) {
	detail := fmt.Sprintf("%s with records %d to %d", r.Name, r.First, r.Last)
	if began, ok := beginning(r.Name); ok {
		detail += fmt.Sprintf(", %v after it was begun", l.Time.Sub(began).Round(time.Second))
	}
	v.note(l, WasRemoved, "%s", detail)
	for i := range v.gaps {
		if g := &v.gaps[i]; r.Segment == g.last {
			g.head = link{r.Last, r.Head}
		}
	}
}

// recovered notes that something was mended, and verifies that what was put
// aside then is still what it was.
func (v *verifier) recovered(l *line, r *Recovered) error {
	detail := fmt.Sprintf("%s, %s: %d bytes after record %d", r.Name, r.Reason, r.Bytes, r.Seq)
	if r.Detail != "" {
		detail += ". " + r.Detail
	}
	if r.Aside == "" {
		v.note(l, WasRecovered, "%s", detail)
		return nil
	}
	n, sum, err := hashFile(v.visit.folder, r.Aside, int64(min(r.Bytes, math.MaxInt64)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		detail += ". " + r.Aside + ", where they were put, is gone"
	case errors.Is(err, errNoFile) || err == nil && (uint64(n) != r.Bytes || sum != r.SHA256):
		v.problem(l, BadAside, "%s is not what was put aside there", r.Aside)
	case err != nil:
		return fmt.Errorf("audit: %w", err)
	}
	v.note(l, WasRecovered, "%s", detail)
	return nil
}

// finish judges what only the end of the log could tell.
func (v *verifier) finish() {
	v.file = fileState{}
	for _, g := range v.gaps {
		// Files are removed from the oldest on, and with them, in time, the records
		// that say so of still older ones: the last one counts. One that is missing
		// while an older one is there was removed by somebody else, whatever a
		// record says.
		switch {
		case g.first == 1 && g.head != (link{}) && g.head == g.follows:
		case g.first == g.last:
			v.problem(nil, MissingFile, "number %d, and the log did not remove it", g.first)
		default:
			v.problem(nil, MissingFile, "numbers %d to %d, and the log did not remove them", g.first, g.last)
		}
	}
	for _, h := range v.opts.Contains {
		if v.wanted[h] {
			v.problem(nil, MissingHash, "%v is not in the log, or in a file that was removed", h)
			delete(v.wanted, h)
		}
	}
}

// stamp verifies that a timestamp is over the record that it says, and, if the
// caller can, that it is good.
func (v *verifier) stamp(ctx context.Context, l *line, r *Stamp) error {
	if r.Seq == 0 || r.Seq >= l.Seq {
		v.problem(l, BadStamp, "it is over record %d, which does not come before it", r.Seq)
		return nil
	}
	head, at, err := v.hashOf(ctx, r.Seq)
	if err != nil {
		return err
	}
	switch {
	case head == nil && r.Seq >= v.FirstSeq:
		v.problem(l, BadStamp, "it is over record %d, which was not found", r.Seq)
		return nil
	case head != nil && *head != r.Head:
		v.problem(l, BadStamp, "it is over record %d with hash %v, and that has %v", r.Seq, r.Head, *head)
		return nil
	}
	when := l.Time
	if v.opts.CheckStamp != nil {
		if when, err = v.opts.CheckStamp(ctx, r.Head[:], r.Token); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("audit: checking a timestamp: %w", ctx.Err())
			}
			v.problem(l, BadStamp, "over record %d: %v", r.Seq, err)
			return nil
		}
	}
	if !at.IsZero() && when.Before(at) {
		v.note(l, StampEarlier, "the timestamp over record %d says %v, and the record %v", r.Seq, when.UTC(), at)
	}
	if r.Seq < v.FirstSeq || r.Seq <= v.StampedSeq {
		return nil // it says nothing new about what is there
	}
	if !v.UnstampedSince.IsZero() {
		v.StampWait = max(v.StampWait, when.Sub(v.UnstampedSince))
	}
	v.StampedSeq, v.StampedTime = r.Seq, when
	v.UnstampedSince = v.unstamped(l, r, at)
	return nil
}

// unstamped returns the time of the first record that waits for a timestamp
// after one was recorded in l, zero if none does. What belongs to that one, its
// own record and that of its token, does not wait. at is when the last record
// under it was recorded, for where it is too long ago to tell.
func (v *verifier) unstamped(l *line, r *Stamp, at time.Time) time.Time {
	own := maphash.Bytes(v.seed, r.Head[:])
	for n := r.Seq + 1; n < l.Seq; n++ {
		switch x := v.remembered(n); {
		case x == nil:
			return at
		case !x.stamp && x.digest != own:
			return x.time
		}
	}
	return time.Time{}
}

// A remembered is what timestamps are compared with.
type remembered struct {
	link
	time   time.Time
	stamp  bool   // it is one
	digest uint64 // of a token's imprint
}

// hashOf returns the hash of an earlier record and its time, nil if there is no
// such record.
func (v *verifier) hashOf(ctx context.Context, n uint64) (*Hash, time.Time, error) {
	if x := v.remembered(n); x != nil {
		return &x.head, x.time, nil
	}
	if n < v.FirstSeq {
		return nil, time.Time{}, nil
	}
	if v.lookups++; v.lookups > maxLookups {
		return nil, time.Time{}, nil
	}
	var found *line
	again := &visit{folder: v.visit.folder, segs: v.visit.segs}
	for i, s := range slices.Backward(again.segs) {
		if s.number > v.file.number {
			continue
		}
		if h, err := again.header(s); err != nil {
			return nil, time.Time{}, err
		} else if h == nil || h.PrevSeq >= n {
			continue
		}
		err := again.file(ctx, i, func(l *line) error {
			switch {
			case l.err != nil || l.Seq < n:
				return nil
			case l.Seq == n:
				keep := *l
				found = &keep
			}
			return errEnough
		})
		if err != nil && !errors.Is(err, errGone) {
			return nil, time.Time{}, err
		}
		break
	}
	if found != nil {
		return &found.Hash, found.Time, nil
	}
	return nil, time.Time{}, nil
}
