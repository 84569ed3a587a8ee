package audit

import (
	"context"
	"fmt"
	"time"
)

func (b *batch) len() int {
	if b == nil {
		return 0
	}
	return len(b.ends)
}

// wait returns what became of the batch.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return waiting(ctx)
	}
}

func waiting(ctx context.Context) error {
	return fmt.Errorf("audit: waiting for the disk: %w", ctx.Err())
}

// join puts a record into the batch that gathers, and sees that somebody writes
// it. A nil record only has a broken log tried again.
func (l *Log) join(ctx context.Context, body []byte, rec Record) (*batch, error) {
	if ctx.Err() != nil {
		return nil, waiting(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, ErrClosed
		case l.state.Err != nil && time.Now().Before(l.retry):
			return nil, l.state.Err
		case l.hung() != nil:
			return nil, l.hung()
		case l.batch == nil:
			l.batch = &batch{bodies: l.spare[:0], taken: make(chan struct{}), done: make(chan struct{})}
			l.spare = nil
		}
		b := l.batch
		if len(b.bodies) > 0 && len(b.bodies)+len(body) > maxGroup {
			l.mu.Unlock()
			select {
			case <-b.taken:
			case <-ctx.Done():
			}
			l.mu.Lock()
			if ctx.Err() != nil {
				return nil, waiting(ctx)
			}
			continue
		}
		if rec != nil {
			b.add(ctx, body, rec)
		}
		if !l.writing {
			l.writing = true
			go l.write()
		}
		return b, nil
	}
}

func (b *batch) add(ctx context.Context, body []byte, rec Record) {
	b.bodies = append(b.bodies, body...)
	b.ends = append(b.ends, len(b.bodies))
	switch r := rec.(type) {
	case *Stamp:
		b.stamped = max(b.stamped, r.Seq)
		return
	case *Token:
		if b.early.IsZero() || r.GenTime.Before(b.early) {
			b.early = r.GenTime
		}
		if r.GenTime.After(b.late) {
			b.late = r.GenTime
		}
		if ctx.Value(stamping{}) != nil {
			return // a token over this log alone is nothing new
		}
	}
	b.news++
}

const (
	// crowd is how many records of one group say that many requests are under
	// way. Then the next group gathers for as long as this one took to write: the
	// requests get the processors that half of the syncs would have taken.
	crowd = 8
	// maxGather bounds that, for disks that are slow: what is added to an answer
	// is less than what the disk takes anyway.
	maxGather = 2 * time.Millisecond
)

// write writes batches until nobody waits any more. It is the one goroutine
// that does; the first who waits starts it, and Close waits for it.
func (l *Log) write() {
	for {
		l.mu.Lock()
		b := l.batch
		if b == nil {
			l.writing = false
			l.idle.Broadcast()
			l.mu.Unlock()
			return
		}
		l.batch = nil
		l.state.Waiting = b.len()
		l.began = time.Now()
		close(b.taken)
		l.mu.Unlock()

		done := l.w.commit(b)
		b.err = done.Err
		l.mu.Lock()
		l.began = time.Time{}
		l.finish(b, done)
		l.mu.Unlock()
		close(b.done)
		l.cfg.Observe(done)
		if done.Records >= crowd {
			time.Sleep(min(done.Took, maxGather))
		}
	}
}

// finish shows what became of a batch, under l.mu.
func (l *Log) finish(b *batch, done Written) {
	l.state.Waiting = 0
	if cap(b.bodies) <= maxGroup {
		l.spare = b.bodies
	}
	if done.Err != nil {
		l.state.Failures++
	} else if done.Bytes > 0 {
		l.state.Syncs++
		l.state.Records += uint64(done.Records)
		l.state.Written += uint64(done.Bytes)
		l.state.LastSync = done.Took
		l.news += b.news
	}
	if b.stamped > l.state.Stamped && done.Err == nil {
		l.state.Stamped, l.w.stamped = b.stamped, b.stamped
	}
	l.retry = l.w.retry
	l.publish(l.w.broken)
}

// publish shows where the writer is, under l.mu or before anybody else knows
// the log.
func (l *Log) publish(err error) {
	l.state.Err = err
	l.state.Segment, l.state.Bytes = l.w.name, l.w.size
	l.state.Seq, l.state.Head = l.w.at.n, l.w.at.head
	if len(l.w.ended) > 0 {
		l.past = append(l.past, l.w.ended...)
		l.w.ended = nil
		select {
		case l.stampDue <- struct{}{}:
		default:
		}
	}
	l.state.Segments = len(l.past) + 1
	l.state.Unstamped = 0
	if l.cfg.Stamp == nil {
		return // none waits for a timestamp
	}
	for i := len(l.past) - 1; i >= 0 && l.past[i].end.n > l.state.Stamped; i-- {
		l.state.Unstamped++
	}
}
