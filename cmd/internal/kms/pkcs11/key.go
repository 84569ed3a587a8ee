//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A Key is a private key in a token. Its methods may be called from several
// goroutines at once.
type Key struct {
	place
	public crypto.PublicKey

	mu     sync.Mutex
	conn   *connection // nil after a failed try to get one
	tries  uint64      // to get a connection, that came to an end
	failed error       // of the last try
	busy   int         // calls of Sign
	closed bool
}

// A place is where a key is, or is to be.
type place struct {
	m   *module
	u   URI
	cfg Config
}

// Open logs in to the token, finds the key that u names and its public half.
// It signs nothing. Each error is a *fault.Error, or wraps that of ctx, which
// is looked at between calls of the module.
func Open(ctx context.Context, u signer.URI, cfg Config) (*Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", opOpen, err)
	}
	p, err := find(opOpen, u, cfg)
	if err != nil {
		return nil, err
	}
	return p.open(ctx)
}

// find parses u and gets the module, which the caller releases.
func find(op string, u signer.URI, cfg Config) (place, error) {
	if u.Scheme != signer.SchemePKCS11 {
		return place{}, fault.New(fault.Malformed, op, "a URI of the scheme %.20q; want pkcs11", string(u.Scheme))
	}
	uri, err := ParseURI(u.Rest)
	if err != nil {
		return place{}, err
	}
	m, err := use(op, uri.ModulePath)
	return place{m, uri, cfg}, err
}

// open releases the module if it fails.
func (p place) open(ctx context.Context) (*Key, error) {
	k := &Key{place: p}
	err := p.m.take(ctx)
	if err == nil {
		k.conn, k.public, _, err = k.connect(ctx, opOpen)
		p.m.give()
	}
	if err != nil {
		p.m.release()
		return nil, explain(opOpen, err, "use %s", p.m.path)
	}
	return k, nil
}

// connect logs in and finds the key. If the token was not found, or failed
// then, gone is true. The caller has the turn.
func (k *Key) connect(ctx context.Context, op string) (conn *connection, pub crypto.PublicKey, gone bool, err error) {
	epoch := k.m.now()
	gone = true
	err = k.m.call(epoch, func() error {
		t, err := k.m.findToken(op, k.u)
		if err != nil {
			return err
		}
		gone = false
		conn = newConnection(k.m, epoch, t, k.cfg.Sessions)
		return nil
	})
	if err != nil {
		return nil, nil, gone, err
	}
	<-conn.permit
	s, err := conn.open()
	if err != nil {
		return nil, nil, lost(err) || unwell(err), explain(op, err, "open a session with %s", conn.token.name())
	}
	err = k.m.call(epoch, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.login(op, conn.token, s); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var o object
		var err error
		o, pub, err = k.m.findKey(op, s, conn.token, k.u, k.public)
		conn.key = o.handle
		return err
	})
	conn.put(s)
	if err != nil {
		conn.close()
		return nil, nil, lost(err) || unwell(err), err
	}
	return conn, pub, false, nil
}

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.public }

// HonoursContext returns false: a call of the module that hangs, hangs Sign.
func (k *Key) HonoursContext() bool { return false }

// Sign implements [signer.Signer]. ctx is looked at before each call of the
// module, and while it waits for a session. An error is a *fault.Error, an
// unfit digest, or wraps that of ctx.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", opSign, err)
	}
	if err := signer.CheckDigest(k.public, digest, opts); err != nil {
		return nil, err
	}
	todo, err := plan(k.public, digest, opts)
	if err != nil {
		return nil, err
	}
	conn, tries, err := k.enter()
	if err != nil {
		return nil, err
	}
	defer k.leave()
	if conn != nil {
		signature, err := k.sign(ctx, conn, todo)
		if !lost(err) && !unwell(err) {
			return signature, err
		}
	}
	if conn, err = k.reopen(ctx, conn, tries); err != nil {
		return nil, err
	}
	return k.sign(ctx, conn, todo)
}

func (k *Key) sign(ctx context.Context, c *connection, todo operation) ([]byte, error) {
	var raw []byte
	err := c.with(ctx, func(s p11.SessionHandle) (err error) {
		if err = k.m.api.SignInit(s, []*p11.Mechanism{todo.mechanism}, c.key); err == nil {
			raw, err = k.m.api.Sign(s, todo.data)
		}
		return err
	})
	if err != nil {
		if unwell(err) && !c.signed.Load() {
			c.stuck.Store(true)
		}
		err = explain(opSign, err, "%s with %s of %s", todo.name, k.u.keyText(), c.token.name())
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Unsupported && todo.mechanism.Mechanism == p11.CKM_RSA_PKCS_PSS {
			f.Hint = "the token makes no RSA-PSS signatures of a digest, with which the Notary Project has RSA keys sign: take a key on P-256, or another token"
		}
		return nil, err
	}
	c.signed.Store(true)
	signature, err := finish(k.public, raw)
	if err != nil {
		return nil, fault.New(fault.Malformed, opSign, "%s with %s of %s: %w", todo.name, k.u.keyText(), c.token.name(), err).
			WithHint("the token or its module is broken; it has to return what PKCS #11 says for the mechanism")
	}
	return signature, nil
}

// keyText is how a URI calls its key.
func (u URI) keyText() string {
	switch {
	case u.Object != "":
		return fmt.Sprintf("the key %q", u.Object)
	case u.ID != "":
		return fmt.Sprintf("the key with the id %x", u.ID)
	}
	return "the key"
}

// reopen returns a connection other than old, which was lost; nil stands for
// one that was lost before. Of several calls at once, one connects, and the
// others get what it got, so that a token that refuses is asked once.
func (k *Key) reopen(ctx context.Context, old *connection, tries uint64) (*connection, error) {
	if err := k.m.take(ctx); err != nil {
		return nil, explain(opSign, err, "wait")
	}
	defer k.m.give()
	k.mu.Lock()
	conn, failed, others := k.conn, k.failed, k.tries != tries
	k.mu.Unlock()
	switch {
	case conn != nil && conn != old:
		return conn, nil
	case others && failed != nil:
		return nil, failed
	}
	if old != nil {
		old.close()
		if old.stuck.Load() {
			// Logging in anew did not help. It still may if this fails.
			_ = k.m.restart(ctx)
		}
	}
	conn, _, gone, err := k.connect(ctx, opSign)
	if gone && ctx.Err() == nil && k.m.restart(ctx) == nil {
		if conn, _, gone, err = k.connect(ctx, opSign); !gone {
			k.m.settled()
		}
	}
	if err != nil {
		err = explain(opSign, err, "log in to the token again")
	}
	k.mu.Lock()
	k.conn = conn
	if ctx.Err() == nil { // else it is this call's own failure
		k.tries++
		k.failed = err
	}
	k.mu.Unlock()
	return conn, err
}

// enter counts a call of Sign.
func (k *Key) enter() (*connection, uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, 0, fault.New(fault.Unfit, opSign, "the key is closed")
	}
	k.busy++
	return k.conn, k.tries, nil
}

func (k *Key) leave() {
	k.mu.Lock()
	k.busy--
	end := k.closed && k.busy == 0
	k.mu.Unlock()
	if end {
		k.end()
	}
}

// Close ends the sessions of the key, and the login if no other key has one.
// Signatures under way are finished first; Close does not wait for them, since
// a module may never return.
func (k *Key) Close() error {
	k.mu.Lock()
	end := !k.closed && k.busy == 0
	k.closed = true
	k.mu.Unlock()
	if end {
		k.end()
	}
	return nil
}

func (k *Key) end() {
	if k.conn != nil {
		k.conn.close()
	}
	k.m.release()
}

var _ signer.Signer = (*Key)(nil)
