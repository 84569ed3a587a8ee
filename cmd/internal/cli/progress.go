package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressDelay is how long a job runs before it says how far it is: what is
// done within a second needs no such line.
const progressDelay = time.Second

// progressEvery is how often the line changes.
const progressEvery = 200 * time.Millisecond

// Progress is one line on a terminal that says how far a job is. It appears
// after a second, on a terminal only, and vanishes when the job ends. Its
// methods may be called from any goroutine, and on a nil Progress.
type Progress struct {
	w     io.Writer // nil: not a terminal
	label string
	total int64
	now   func() time.Time

	mu    sync.Mutex
	done  int64
	next  time.Time
	shown bool
	ended bool
}

// Progress begins a job of total steps; 0 means that the total is not known.
// End must be called.
func (e *Env) Progress(label string, total int64) *Progress {
	p := &Progress{label: label, total: total, now: time.Now}
	if e.StderrTerminal && !e.JSON && e.Getenv("TERM") != "dumb" {
		p.w = e.Stderr
	}
	p.next = p.now().Add(progressDelay)
	return p
}

// Add says that n more steps are done.
func (p *Progress) Add(n int64) {
	if p == nil || p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	now := p.now()
	if p.ended || now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	p.shown = true
	if p.total > 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d (%d%%)", p.label, p.done, p.total, p.done*100/p.total)
	} else {
		fmt.Fprintf(p.w, "\r\x1b[K%s: %d", p.label, p.done)
	}
}

// End removes the line.
func (p *Progress) End() {
	if p == nil || p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown && !p.ended {
		io.WriteString(p.w, "\r\x1b[K")
	}
	p.ended = true
}

// Reader counts the bytes read from r as steps.
func (p *Progress) Reader(r io.Reader) io.Reader { return &progressReader{p, r} }

type progressReader struct {
	p *Progress
	r io.Reader
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.Add(int64(n))
	return n, err
}
