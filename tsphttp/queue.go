package tsphttp

import (
	"context"
	"errors"
	"sync/atomic"
)

// errQueueFull is the cause of a 503.
var errQueueFull = errors.New("all slots are taken and the queue is full")

// A queue lets a limited number of requests through to the Responder at once
// and a limited number wait.
type queue struct {
	slots   chan struct{}
	waiting atomic.Int64
	max     int64
}

func newQueue(concurrent, waiting int) *queue {
	return &queue{slots: make(chan struct{}, concurrent), max: int64(waiting)}
}

// tryEnter takes a slot if one is free.
func (q *queue) tryEnter() bool {
	select {
	case q.slots <- struct{}{}:
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
	if q.waiting.Add(1) > q.max {
		return errQueueFull
	}
	select {
	case q.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) leave() { <-q.slots }
