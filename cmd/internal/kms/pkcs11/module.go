//go:build cgo

package pkcs11

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// errStale means that the module was initialised anew since a session was
// opened; nothing of before is valid.
var errStale = errors.New("the module was started again")

const (
	// restartEvery bounds how often a module is started again in search of a
	// token: it ends the sessions of every key of the module. The pause doubles
	// up to restartSeldom while that does not help, so that a standby key in
	// another token is left in peace.
	restartEvery  = time.Second
	restartSeldom = 15 * time.Second

	// drainFor bounds how long a restart waits for calls under way to end. A
	// call that hangs must not hang everyone.
	drainFor = 2 * time.Second
)

// A module is a library in this process, and whether C_Initialize was called.
// All keys of the library share it, since the library keeps one state per
// process.
type module struct {
	path string
	api  cryptoki

	// turn is held, by whoever put something in, while a token is looked for
	// and logged in to. It is no mutex: waiting for it ends with a context.
	turn chan struct{}

	// session is held while one is opened or closed. The module of TPMs gives
	// two callers at once the same one.
	session sync.Mutex

	mu      sync.Mutex
	users   int           // open keys, those still closing included
	calls   int           // calls of the library under way
	epoch   uint64        // one more with each C_Initialize
	up      bool          // initialised, and not about to end
	drained chan struct{} // closed when calls is 0; nil if nobody waits
	last    time.Time     // of the last restart
	pause   time.Duration // until the next one may be

	pins map[string]pins // by token; only with turn held
}

// pins are what a token said about PINs, as hashes: those that it refused since
// it accepted one, and the last one that it accepted. Each refusal was a try of
// the token, which has few, so that there are never many.
type pins struct {
	refused  [][sha256.Size]byte
	accepted [sha256.Size]byte
}

// modules are the libraries of this process, by the path of their file. It is
// the one mutable variable of the package: C_Initialize is per process (PKCS
// #11, C_Initialize), so that what was initialised has to be known to the whole
// process. A library is never unloaded, which many do not survive.
var modules struct {
	sync.Mutex
	byPath map[string]*module
}

// use returns the module at path, initialised, and counts one more user. The
// caller releases it.
func use(op, path string) (*module, error) {
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // as in file:/C:/x
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, op, "the PKCS #11 module %s: %w", path, because(err)).
			WithHint("install the token's library, or mend module-path")
	}
	if info, err := os.Stat(real); err == nil && !info.Mode().IsRegular() {
		return nil, fault.New(fault.Malformed, op, "the PKCS #11 module %s is not a file", path).
			WithHint("module-path names the library itself, not its directory")
	}
	m := load(path, real)
	if m == nil {
		return nil, fault.New(fault.Malformed, op, "the PKCS #11 module %s cannot be loaded", path).
			WithHint("see with ldd %s whether it is a library of this machine's architecture and has all that it needs", path)
	}
	if err := m.acquire(op); err != nil {
		return nil, err
	}
	return m, nil
}

// load returns the module of a file, nil if it is none.
func load(path, real string) *module {
	modules.Lock()
	defer modules.Unlock()
	if m := modules.byPath[real]; m != nil {
		return m
	}
	ctx := p11.New(real)
	if ctx == nil {
		return nil
	}
	if modules.byPath == nil {
		modules.byPath = map[string]*module{}
	}
	m := newModule(path, ctx)
	modules.byPath[real] = m
	return m
}

func newModule(path string, api cryptoki) *module {
	return &module{path: path, api: api, turn: make(chan struct{}, 1), pins: map[string]pins{}}
}

// acquire counts one more user, and initialises for the first.
func (m *module) acquire(op string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == 0 {
		if err := m.initialize(); err != nil {
			return fault.New(fault.Unreachable, op, "the PKCS #11 module %s does not start: %w", m.path, namedError{err}).
				WithHint("see whether its configuration is found and readable by this user (for SoftHSM, the variable SOFTHSM2_CONF and the token directory)")
		}
		m.last, m.pause = time.Time{}, 0 // there is nobody to be left in peace
	}
	m.users++
	return nil
}

// release counts one user less, and finalises after the last. The last has no
// call under way.
func (m *module) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users--; m.users == 0 && m.up {
		m.up = false
		// There is nobody left to tell about an error.
		_ = guard(m.api.Finalize)
	}
}

func (m *module) initialize() error {
	err := guard(m.api.Initialize)
	if err != nil && !is(err, p11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		return err
	}
	m.up = true
	m.epoch++
	return nil
}

// call runs f, which calls the library, if the library still is in the epoch
// that f's handles are of. What f panics with is an error.
func (m *module) call(epoch uint64, f func() error) error {
	m.mu.Lock()
	if !m.up || m.epoch != epoch {
		m.mu.Unlock()
		return errStale
	}
	m.calls++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		if m.calls--; m.calls == 0 && m.drained != nil {
			close(m.drained)
			m.drained = nil
		}
		m.mu.Unlock()
	}()
	return guard(f)
}

// guard makes an error of a panic: the binding indexes what the library says.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Malformed, "", "the PKCS #11 module returned nonsense: %v", r).
				WithHint("the module is broken, or not for this machine; look for a newer one")
		}
	}()
	return f()
}

// now returns the epoch.
func (m *module) now() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
}

func (m *module) openSession(slot, flags uint) (p11.SessionHandle, error) {
	m.session.Lock()
	defer m.session.Unlock()
	return m.api.OpenSession(slot, flags)
}

func (m *module) closeSession(s p11.SessionHandle) error {
	m.session.Lock()
	defer m.session.Unlock()
	return m.api.CloseSession(s)
}

// take waits for the turn to look for tokens.
func (m *module) take(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the token: %w", ctx.Err())
	}
}

func (m *module) give() { <-m.turn }

// restart ends the library and starts it again, for some see only then that a
// token has come back. Every key of the library then opens its sessions anew.
// The caller has the turn.
func (m *module) restart(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < m.pause {
		return errors.New("the module was started again a moment ago")
	}
	if m.up {
		m.up = false // no new calls
		if m.calls > 0 {
			drained := make(chan struct{})
			m.drained = drained
			m.mu.Unlock()
			err := drain(ctx, drained)
			m.mu.Lock()
			if m.calls > 0 {
				m.drained = nil
				m.up = true
				return err
			}
		}
	}
	m.last, m.pause = time.Now(), min(max(2*m.pause, restartEvery), restartSeldom)
	// Should it fail, C_Initialize says so.
	_ = guard(m.api.Finalize)
	return m.initialize()
}

// settled says that a restart has helped: the token is there.
func (m *module) settled() {
	m.mu.Lock()
	m.pause = restartEvery
	m.mu.Unlock()
}

func drain(ctx context.Context, drained chan struct{}) error {
	timer := time.NewTimer(drainFor)
	defer timer.Stop()
	select {
	case <-drained:
		return nil
	case <-timer.C:
		return errors.New("a call of the module has not returned")
	case <-ctx.Done():
		return ctx.Err()
	}
}
