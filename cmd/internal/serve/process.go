package serve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
)

// A Process is what outlasts a reload: the clock, which must not forget what
// time it has been, and the record of issue.
//
// It is the [clock.Source] of all authorities. A reload that names another
// clock gives it to those that issue already, too: if each authority had its
// own, a clock that was set back would be believed again with the next key.
type Process struct {
	log    *slog.Logger
	events *metrics.Events
	clock  atomic.Pointer[inUse]

	lost  atomic.Bool // no token is issued, for want of the time
	turn  sync.Mutex  // held while lost changes, and until that is recorded
	since time.Time   // when it was lost

	offset atomic.Int64 // of the clock, as the last round measured it, in nanoseconds

	mu     sync.Mutex
	conf   *config.Config          // the first one
	clocks map[string]*Clock       // those in use, or about to be
	silent map[string]bool         // time servers that did not answer when last asked
	group  *errgroup.Group         // of Run; nil before
	ctx    context.Context         // of group
	tracer *tracing.Tracer         // nil: nothing is traced
	traced bool                    // what the configuration says about traces was done
	opened bool                    // what it says about the record of issue was done
	trail  *trail                  // nil: there is no record of issue
	tsa    atomic.Pointer[tsa.TSA] // stamps the record of issue

	auditFails atomic.Bool
}

// NewProcess returns a Process without a clock and a record of issue, which
// [Load] gives it. A nil log is told nothing.
func NewProcess(log *slog.Logger) *Process {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Process{log: log, events: metrics.NewEvents(), clocks: make(map[string]*Clock), silent: make(map[string]bool)}
}

// inUse is a clock for tokens that promise an accuracy.
type inUse struct {
	*Clock
	accuracy time.Duration
}

// errNoClock is the answer of a Process before it was given a clock.
var errNoClock = fmt.Errorf("%w: no clock was named", clock.ErrUnknown)

// Now asks the clock in use. Before it answers it has noted that no token can
// be issued any more for want of the time, or that they can be again.
func (p *Process) Now(ctx context.Context) (clock.Reading, error) {
	c := p.clock.Load()
	if c == nil {
		return clock.Reading{}, errNoClock
	}
	r, err := c.guard.Now(ctx)
	if lost := err != nil || r.Bound > c.accuracy; lost != p.lost.Load() && ctx.Err() == nil {
		p.turns(lost, c, r, err)
	}
	return r, err
}

// turns notes that the time was lost or found.
func (p *Process) turns(lost bool, c *inUse, r clock.Reading, err error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if lost == p.lost.Load() {
		return
	}
	rec := &audit.Clock{Event: audit.ClockLost, State: r.State.String(), Bound: r.Bound}
	if c.monitor != nil {
		rec.Offset = time.Duration(p.offset.Load()) // as it was when it was last known
		if s := c.monitor.Status(); s.State == clock.StateSynchronised {
			rec.Offset = s.Offset
		}
	}
	attrs := []slog.Attr{slog.Float64("offset_s", rec.Offset.Seconds()), slog.Float64("bound_s", r.Bound.Seconds())}
	switch {
	case err != nil:
		rec.Detail = err.Error()
		attrs = append(attrs, slog.String("detail", rec.Detail))
	case lost:
		rec.Detail = "the error bound is above the accuracy " + c.accuracy.String()
		attrs = append(attrs, slog.String("detail", rec.Detail))
	}
	if lost {
		p.since = time.Now()
		p.events.ClockLost()
		p.log.LogAttrs(context.Background(), slog.LevelError, "clock lost, nothing is issued", attrs...)
	} else {
		rec.Event = audit.ClockRecovered
		p.log.LogAttrs(context.Background(), slog.LevelWarn, "clock recovered", append(attrs, slog.Duration("after", time.Since(p.since)))...)
	}
	p.note(rec)
	p.lost.Store(lost)
}

// use makes c the clock of the process, for tokens that promise this accuracy.
// Others that are not needed any more end.
func (p *Process) use(c *Clock, accuracy time.Duration) {
	if accuracy == 0 {
		accuracy = authority.DefaultAccuracy
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock.Store(&inUse{c, accuracy})
	for name, other := range p.clocks {
		if other != c {
			other.end()
			delete(p.clocks, name)
		}
	}
}

// watchClock is how often the clock is asked while nobody else does, so that a
// loss is noted, and the operator told, when it happens.
const watchClock = time.Second

// Run runs the clocks and what the record of issue does in the background,
// until ctx ends.
func (p *Process) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	p.mu.Lock()
	p.group, p.ctx = group, ctx
	for _, c := range p.clocks {
		p.start(c)
	}
	t, tracer := p.trail, p.tracer
	p.mu.Unlock()
	if t != nil {
		group.Go(func() error { return t.log.Run(ctx) })
	}
	if tracer != nil {
		group.Go(func() error { return tracer.Run(ctx) })
	}
	group.Go(func() error {
		ticker := time.NewTicker(watchClock)
		defer ticker.Stop()
		for {
			_, _ = p.Now(ctx) // which notes it
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	})
	return group.Wait()
}

// background does what Run does until the function that it returns is called,
// which is when the last request has been answered.
func (p *Process) background(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.LogAttrs(ctx, slog.LevelError, "clock or record of issue not looked after any more", slog.String("detail", err.Error()))
		}
	}()
	return func() {
		cancel()
		<-done
		p.endTraces()
	}
}

// worse is an error if the clock of next would have nothing issued, where the
// one in use does not. A clock that is not used then ends.
func (p *Process) worse(ctx context.Context, next *Config) error {
	c := next.clock
	if c == nil || p.lost.Load() {
		return nil
	}
	accuracy := next.accuracy
	if accuracy == 0 {
		accuracy = authority.DefaultAccuracy
	}
	r, err := c.guard.Now(ctx)
	if err == nil && r.Bound > accuracy {
		err = fmt.Errorf("the error bound %v is above the accuracy %v", r.Bound, accuracy)
	}
	if err != nil {
		return fmt.Errorf("tsa.clock: %w", err)
	}
	return nil
}

// drop ends the clock of a configuration that is not used.
func (p *Process) drop(c *Clock) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if used := p.clock.Load(); c == nil || used != nil && used.Clock == c {
		return
	}
	c.end()
	maps.DeleteFunc(p.clocks, func(_ string, other *Clock) bool { return other == c })
}

// start has a clock run. p.mu is held, and Run has begun.
func (p *Process) start(c *Clock) {
	if c.monitor == nil || c.started {
		return
	}
	c.started = true
	ctx, cancel := context.WithCancel(p.ctx)
	c.cancel = cancel
	p.group.Go(func() error { return c.monitor.Run(ctx) })
}

// Close ends the record of issue. Run has ended, or never began.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trail == nil {
		return nil
	}
	err := p.trail.log.Close()
	p.trail = nil
	return err
}

// changed names the sections that differ from those of the first configuration
// and hold until the process ends.
func (p *Process) changed(conf *config.Config) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conf == nil {
		p.conf = conf
		return nil
	}
	var names []string
	for _, s := range []struct {
		name        string
		before, now any
	}{
		{"listen", p.conf.Listen, conf.Listen}, {"unix-mode", p.conf.UnixMode, conf.UnixMode}, {"admin", p.conf.Admin, conf.Admin},
		{"watch", p.conf.Watch, conf.Watch}, {"log", p.conf.Log, conf.Log}, {"limits", p.conf.Limits, conf.Limits},
		{"http", p.conf.HTTP, conf.HTTP}, {"traces", p.conf.Traces, conf.Traces},
	} {
		if !reflect.DeepEqual(s.before, s.now) {
			names = append(names, s.name)
		}
	}
	return names
}

// UseClock has the configuration use a clock of its Process, for tokens that
// promise this accuracy; zero is that of package authority.
//
// The first clock is in use at once, that of a reload when it has succeeded.
func (c *Config) UseClock(clock *Clock, accuracy time.Duration) {
	c.clock, c.accuracy = clock, accuracy
	if c.Process.clock.Load() == nil {
		c.Process.use(clock, accuracy)
	}
}
