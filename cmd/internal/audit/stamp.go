package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// MaxStamp is the longest timestamp that is recorded, in bytes of DER: one
	// with a chain of RSA certificates has 8,000, and in base64 it fits a line.
	MaxStamp = 32 << 10

	// stampTimeout is how long an authority may take.
	stampTimeout = time.Minute
	// stampStart is how long after a start what the process before left has to wait
	// for its timestamp: not for as long as one that never ends may, or a server
	// that is restarted more often would have none.
	stampStart = time.Minute
	// Timestamps that failed are tried again, less and less often.
	stampRetryMin = 10 * time.Second
	stampRetryMax = 10 * time.Minute
	// retainEvery is how often Run looks for files that have reached their age.
	retainEvery = time.Hour
)

// stamping marks the context of Config.Stamp.
type stamping struct{}

// Run timestamps the log and removes files that have reached their age, until
// ctx ends; it returns nil then. Its failures are shown by State and tried
// again. The log works without Run, but for both. End Run before Close.
func (l *Log) Run(ctx context.Context) error {
	var backoff time.Duration
	wait := l.cfg.StampEvery
	l.mu.Lock()
	if l.state.Unstamped > 0 {
		wait = 0
	} else if l.news > 0 {
		wait = min(wait, stampStart)
	}
	l.mu.Unlock()
	stamp, retain := time.NewTimer(wait), time.NewTimer(0)
	defer stamp.Stop()
	defer retain.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retain.C:
			l.retain(ctx)
			retain.Reset(retainEvery)
			continue
		case <-l.stampDue:
			if backoff > 0 {
				continue // the timer says when to try again
			}
		case <-stamp.C:
		}
		if l.stamp(ctx) == nil {
			backoff = 0
			stamp.Reset(l.cfg.StampEvery)
		} else {
			backoff = min(max(2*backoff, stampRetryMin), stampRetryMax)
			stamp.Reset(min(backoff, l.cfg.StampEvery))
		}
	}
}

// stamp has the last record timestamped, if there is anything new. No lock is
// held meanwhile: the authority may append its own token here.
func (l *Log) stamp(ctx context.Context) error {
	if l.cfg.Stamp == nil {
		return nil
	}
	l.mu.Lock()
	at, news := link{l.state.Seq, l.state.Head}, l.news
	due := l.state.Unstamped > 0 || news > 0
	l.mu.Unlock()
	if !due {
		return nil
	}
	token, err := l.askStamp(ctx, at)
	if err == nil {
		err = l.append(ctx, &Stamp{Seq: at.n, Head: at.head, Token: token})
	}
	if err != nil {
		err = fmt.Errorf("audit: timestamp over record %d: %w", at.n, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.StampErr = err
	if err == nil {
		l.news -= news
	}
	return err
}

func (l *Log) askStamp(ctx context.Context, at link) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, stamping{}, true), stampTimeout)
	defer cancel()
	token, err := l.cfg.Stamp(ctx, at.head[:])
	switch {
	case err != nil:
		return nil, err
	case len(token) == 0:
		return nil, errors.New("no token")
	case len(token) > MaxStamp:
		return nil, fmt.Errorf("a token of %d bytes, at most %d are recorded", len(token), MaxStamp)
	}
	return token, nil
}

// retain removes the files whose every record is older than the retention, from
// the oldest on, as long as a timestamp covers them. That a file is removed is
// on record before it is.
func (l *Log) retain(ctx context.Context) {
	for l.cfg.Retention > 0 && ctx.Err() == nil {
		more, err := l.retainOne(ctx)
		l.mu.Lock()
		l.state.RetainErr = err
		l.mu.Unlock()
		if !more {
			return
		}
	}
}

// retainOne says whether there may be another file to remove.
func (l *Log) retainOne(ctx context.Context) (bool, error) {
	now, err := l.cfg.RetentionClock(ctx)
	if err != nil {
		return false, fmt.Errorf("audit: nothing is removed: %w", err)
	}
	p, ok, err := l.oldest(now)
	if !ok || err != nil {
		return false, err
	}
	if err := l.remove(ctx, p); err != nil {
		return false, fmt.Errorf("audit: removing %s: %w", p.name, err)
	}
	return true, nil
}

// oldest returns the oldest file, if it is to be removed.
func (l *Log) oldest(now time.Time) (past, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.past) == 0 {
		return past{}, false, nil
	}
	p := l.past[0]
	if p.first == 0 || p.until.IsZero() {
		// No later one may go before it, and so all are kept, for ever.
		return p, false, fmt.Errorf("audit: nothing is removed: when %s begins or ends cannot be read; save it, and take it out of the folder while the server is stopped", p.name)
	}
	stamped := l.cfg.Stamp == nil || p.end.n <= l.state.Stamped
	return p, stamped && now.Sub(p.until) > l.cfg.Retention, nil
}

func (l *Log) remove(ctx context.Context, p past) error {
	err := l.append(ctx, &Removed{Segment: p.number, Name: p.name, First: p.first, Last: p.end.n, Head: p.end.head})
	if err != nil {
		return err
	}
	if err := l.disk.Remove(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.disk.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.past = l.past[1:]
	l.state.LastRemoved = p.name
	l.state.Segments = len(l.past) + 1
	return nil
}
