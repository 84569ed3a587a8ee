package tsphttp

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Waiting longer is of no use when there are more requests than signatures:
// those that wait longest are then the next to be answered, and their clients
// the next to give up, so that a long queue has the key sign for nobody. So the
// queue is bounded by the time that it takes, which is known from how long those
// before have held their slots, and only besides by a number.

// errQueueFull is the cause of a 503.
var errQueueFull = errors.New("all slots are taken and the queue is full")

const (
	// holdWeight is the part of one request in the average of how long they hold
	// their slots. A dozen that are quick, or slow, turn it.
	holdWeight = 8
	// maxRetry is the longest wait that is asked of clients, in seconds: as long
	// as our own client lets itself be told ([DefaultMaxRetryAfter]).
	maxRetry = int(DefaultMaxRetryAfter / time.Second)
)

// A queue lets a limited number of requests through to the Responder at once
// and a limited number wait.
type queue struct {
	slots   chan struct{}
	waiting atomic.Int64
	max     int64
	maxWait time.Duration // 0: as long as it takes
	hold    atomic.Int64  // how long a slot is held, on average, in nanoseconds
	full    atomic.Int64  // since when requests are refused, in nanoseconds of the clock; 0: none is
	epoch   time.Time     // when that clock was zero
}

func newQueue(concurrent, waiting int, maxWait time.Duration) *queue {
	return &queue{slots: make(chan struct{}, concurrent), max: int64(waiting), maxWait: maxWait, epoch: time.Now()}
}

// tryEnter takes a slot if one is free.
func (q *queue) tryEnter() bool {
	select {
	case q.slots <- struct{}{}:
		if q.full.Load() != 0 {
			q.full.Store(0)
		}
		return true
	default:
		return false
	}
}

// enter waits for a slot. It returns errQueueFull at once when there is no
// room to wait, and the error of ctx when that ends first, as it does when the
// client hangs up. The caller gives a slot back with leave.
func (q *queue) enter(ctx context.Context) error {
	defer q.waiting.Add(-1)
	// One may always wait, however long the others before took: that is how it
	// is noticed that they do not any more.
	if n := q.waiting.Add(1); n > q.max || n > 1 && q.maxWait > 0 && q.turn(n) > q.maxWait {
		q.full.CompareAndSwap(0, int64(max(time.Since(q.epoch), 1)))
		return errQueueFull
	}
	select {
	case q.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn is how long the nth in the queue will have to wait.
func (q *queue) turn(n int64) time.Duration {
	return time.Duration(float64(n) * float64(q.hold.Load()) / float64(cap(q.slots)))
}

// leave gives back a slot that was held for so long.
func (q *queue) leave(held time.Duration) {
	<-q.slots
	old := q.hold.Load()
	average := old + (int64(held)-old)/holdWeight
	if old == 0 {
		average = int64(held)
	}
	// Of two that leave at the same moment one may not count.
	q.hold.CompareAndSwap(old, average)
}

// retryAfter is when a client that was refused may ask again, in seconds: when
// those that wait have been answered, and as much later as requests have been
// refused for by now. So each is told about twice as much as the last time, and
// they come back spread over half as much again.
func (q *queue) retryAfter() int {
	wait := q.turn(q.waiting.Load())
	if since := q.full.Load(); since != 0 {
		wait += time.Since(q.epoch) - time.Duration(since)
	}
	seconds := min(int(wait/time.Second)+1, maxRetry)
	return min(seconds+rand.IntN(seconds/2+2), maxRetry)
}
