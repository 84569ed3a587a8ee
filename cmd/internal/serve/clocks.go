package serve

import (
	"fmt"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
)

// Clocks are the guards of the clocks that a program has read. An Authority
// guards its own clock, but another takes its place with each reload and each
// stamping key: if each began anew, a clock that was set back would be believed
// again as soon as a file changes. Only another clock, by the configuration, or
// another process does begin anew.
//
// The zero value is ready for use.
type Clocks struct {
	mu     sync.Mutex
	guards map[string]*clock.Guard
}

// nameOf tells clocks apart.
func nameOf(c *config.Clock) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%+v", *c)
}

// anyBound lets every reading pass that an authority may accept: each has a
// limit of its own.
const anyBound = 24 * time.Hour

// guard returns the guard of a clock, which is made when it is first asked for.
// What is configured is nil for the clock of a key in memory.
func (c *Clocks) guard(configured *config.Clock, source clock.Source) (*clock.Guard, error) {
	if c == nil {
		c = new(Clocks)
	}
	name := nameOf(configured)
	c.mu.Lock()
	defer c.mu.Unlock()
	if g, ok := c.guards[name]; ok {
		return g, nil
	}
	g, err := clock.NewGuard(clock.GuardConfig{Source: source, Limit: anyBound})
	if err != nil {
		return nil, err
	}
	if c.guards == nil {
		c.guards = make(map[string]*clock.Guard)
	}
	c.guards[name] = g
	return g, nil
}
