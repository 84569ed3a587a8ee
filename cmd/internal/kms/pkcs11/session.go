//go:build cgo

package pkcs11

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	p11 "github.com/miekg/pkcs11"
)

// defaultSessions is as many as signatures are let be under way elsewhere;
// beyond some tens, no token gets faster.
const defaultSessions = 64

// A connection is one login to a token: sessions of it, and the handle of the
// key that they share. It is given up as a whole when the token was lost.
type connection struct {
	m     *module
	epoch uint64 // of the module, for which the handles are valid
	token token
	key   p11.ObjectHandle

	idle   chan p11.SessionHandle
	permit chan struct{} // one for each session that may still be opened
	gone   chan struct{} // closed by close
	signed atomic.Bool   // it has made a signature
	stuck  atomic.Bool   // the module failed before it made one

	mu     sync.Mutex
	opened int // sessions, idle or not
	closed bool
}

// newConnection starts with the session that logged in. While it is open, the
// login lasts.
func newConnection(m *module, epoch uint64, t token, bound int) *connection {
	if bound <= 0 {
		bound = defaultSessions
	}
	// 0 stands for "effectively infinite", all ones for "unknown".
	if n := t.info.MaxSessionCount; n != p11.CK_EFFECTIVELY_INFINITE && n != p11.CK_UNAVAILABLE_INFORMATION {
		bound = int(min(uint(bound), n))
	}
	c := &connection{
		m: m, epoch: epoch, token: t,
		idle:   make(chan p11.SessionHandle, bound),
		permit: make(chan struct{}, bound),
		gone:   make(chan struct{}),
	}
	for range bound {
		c.permit <- struct{}{}
	}
	return c
}

// with runs f with a session of its own. An error of ctx is returned as it is;
// what lost is for it means that the connection is of no more use.
func (c *connection) with(ctx context.Context, f func(s p11.SessionHandle) error) error {
	s, err := c.get(ctx)
	if err != nil {
		return err
	}
	err = c.m.call(c.epoch, func() error { return f(s) })
	c.put(s)
	return err
}

// get returns an idle session, a new one, or whichever comes back first.
func (c *connection) get(ctx context.Context) (p11.SessionHandle, error) {
	for {
		select {
		case s := <-c.idle:
			return s, nil
		default:
		}
		select {
		case s := <-c.idle:
			return s, nil
		case <-c.gone:
			return 0, errStale
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for a session: %w", ctx.Err())
		case <-c.permit:
		}
		s, err := c.open()
		if err == nil {
			return s, nil
		}
		c.mu.Lock()
		waits := c.opened > 0 && is(err, p11.CKR_SESSION_COUNT)
		c.mu.Unlock()
		if !waits {
			c.permit <- struct{}{}
			return 0, err
		}
		// The token has fewer sessions than it said: the permit is not given
		// back, and one of the sessions that there are is waited for.
	}
}

// open opens a session, for which the caller has a permit. Sessions are read
// only: that suffices for signing, and works with a write-protected token.
func (c *connection) open() (p11.SessionHandle, error) {
	var s p11.SessionHandle
	err := c.m.call(c.epoch, func() (err error) {
		s, err = c.m.openSession(c.token.slot, p11.CKF_SERIAL_SESSION)
		return err
	})
	if err == nil {
		c.mu.Lock()
		c.opened++
		c.mu.Unlock()
	}
	return s, err
}

// put gives a session back. After a failed signature it is as good as before:
// that ends the operation (PKCS #11, C_Sign). Where it does not, the next one
// finds the connection lost.
func (c *connection) put(s p11.SessionHandle) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.idle <- s
	}
	c.mu.Unlock()
	if closed {
		c.end(s)
	}
}

// end closes a session. With the last one of the process the token logs the
// process out; other keys of the token keep their own.
func (c *connection) end(s p11.SessionHandle) {
	// The session may be gone already.
	_ = c.m.call(c.epoch, func() error { return c.m.closeSession(s) })
}

// close ends the idle sessions now and each other one when it comes back.
func (c *connection) close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	close(c.gone)
	c.mu.Unlock()
	for {
		select {
		case s := <-c.idle:
			c.end(s)
		default:
			return
		}
	}
}
