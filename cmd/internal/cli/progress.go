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
	env   *Env // nil: not a terminal
	label string
	total int64
	now   func() time.Time

	mu    sync.Mutex
	done  int64
	next  time.Time
	ended bool
}

// Progress begins a job of total steps; 0 means that the total is not known.
// End must be called.
func (e *Env) Progress(label string, total int64) *Progress {
	p := &Progress{label: label, total: total, now: time.Now}
	if e.StderrTerminal && !e.JSON && e.Getenv("TERM") != "dumb" {
		p.env = e
	}
	p.next = p.now().Add(progressDelay)
	return p
}

// Add says that n more steps are done.
func (p *Progress) Add(n int64) {
	if p == nil || p.env == nil {
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
	line := fmt.Sprintf("%s: %d", p.label, p.done)
	if p.total > 0 {
		line += fmt.Sprintf(" of %d (%d%%)", p.total, p.done*100/p.total)
	}
	p.env.showProgress(line)
}

// End removes the line.
func (p *Progress) End() {
	if p == nil || p.env == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.env.hideProgress()
	}
	p.ended = true
}

// clearLine goes to the beginning of the line and erases it.
const clearLine = "\r\x1b[K"

func (e *Env) showProgress(line string) {
	e.terminal.Lock()
	defer e.terminal.Unlock()
	e.progress = true
	io.WriteString(e.Stderr, clearLine+Printable(line))
}

// hideProgress makes room for a line of another kind.
func (e *Env) hideProgress() {
	e.terminal.Lock()
	defer e.terminal.Unlock()
	if e.progress {
		e.progress = false
		io.WriteString(e.Stderr, clearLine)
	}
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
