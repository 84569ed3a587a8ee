//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// logout ends every login, as a token does that was started again.
func (f *fake) logout() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tokens {
		t.in = false
	}
}

// drop ends every session as well.
func (f *fake) drop() {
	f.logout()
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.sessions)
}

func (f *fake) counts() (logins, inits, sessions int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins, f.inits, len(f.sessions)
}

// A lost session costs one login, within the call that met it.
func TestLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(f *fake, token *fakeToken)
	}{
		{"sessions", func(f *fake, _ *fakeToken) { f.drop() }},
		{"login", func(f *fake, _ *fakeToken) { f.logout() }},
		{"key handle", func(f *fake, token *fakeToken) {
			token.objects[0].handle += 100
			f.logout() // so that a login is needed in any case
		}},
		{"token pulled out and put back", func(f *fake, _ *fakeToken) {
			f.drop()
			var once sync.Once
			f.fail = func(call string) (err error) {
				if call == "SignInit" {
					once.Do(func() { err = p11.Error(p11.CKR_DEVICE_REMOVED) })
				}
				return err
			}
		}},
		{"module finalised by somebody else", func(f *fake, _ *fakeToken) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.up = false
		}},
		{"token in another slot", func(f *fake, token *fakeToken) {
			f.drop()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.tokens = map[uint]*fakeToken{7: token}
		}},
		{"token only seen after a start", func(f *fake, token *fakeToken) {
			f.drop()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.tokens = map[uint]*fakeToken{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			k := openAt(t, m, "token=tsa;object=k")
			if err := sign(t, k); err != nil {
				t.Fatal(err)
			}
			tt.lose(f, token)
			if err := sign(t, k); err != nil {
				t.Fatal(err)
			}
			if err := sign(t, k); err != nil {
				t.Fatal(err)
			}
			if logins, _, sessions := f.counts(); logins != 2 || sessions != 1 {
				t.Errorf("%d logins and %d sessions; want 2 and 1", logins, sessions)
			}
		})
	}
}

// What stays lost is tried once in each call, and says why.
func TestStaysLost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lose    func(f *fake, token *fakeToken)
		kind    fault.Kind
		message string
		logins  int // of three calls
	}{
		{"login refused again and again", func(f *fake, _ *fakeToken) { failOn(f, "SignInit", p11.CKR_USER_NOT_LOGGED_IN) },
			fault.Credentials, "CKR_USER_NOT_LOGGED_IN", 1 + 3},
		{"token gone", func(f *fake, _ *fakeToken) { f.drop(); delete(f.next, 1); delete(f.tokens, 1) },
			fault.NotFound, "no token that is initialised", 1},
		{"key gone", func(f *fake, token *fakeToken) { f.logout(); token.objects = nil },
			fault.NotFound, `no private key labelled "k"`, 1 + 3},
		{"another key", func(f *fake, token *fakeToken) {
			f.logout()
			token.objects = nil
			f.key(t, token, "k", "\x01", signer.P256)
		}, fault.Unfit, `the key "k" (id 01) of the token "tsa" is another key than the one that was opened`, 1 + 3},
		{"PIN changed", func(f *fake, token *fakeToken) { f.logout(); token.pin = "4321" },
			fault.Credentials, "PIN", 1 + 1}, // and not tried a second time
		{"token locked", func(f *fake, token *fakeToken) { f.logout(); token.tries = 0 },
			fault.Locked, `the token "tsa" is locked`, 1},
		{"device gone", func(f *fake, _ *fakeToken) { f.drop(); failOn(f, "OpenSession", p11.CKR_DEVICE_REMOVED) },
			fault.NotFound, "CKR_DEVICE_REMOVED", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			k := openAt(t, m, "token=tsa;object=k")
			want := k.Public()
			tt.lose(f, token)
			for range 3 {
				checkFault(t, sign(t, k), tt.kind, tt.message, "")
			}
			if logins, inits, _ := f.counts(); logins != tt.logins || inits > 2 {
				t.Errorf("%d logins, %d starts; want %d, and at most 2", logins, inits, tt.logins)
			}
			if k.Public() != want {
				t.Error("the public key changed")
			}
		})
	}
}

// The token comes back after calls have failed.
func TestRecovers(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "token=tsa;object=k")
	f.drop()
	failOn(f, "GetSlotList", p11.CKR_DEVICE_ERROR)
	for range 2 {
		checkFault(t, sign(t, k), fault.Unreachable, "CKR_DEVICE_ERROR", "")
	}
	f.fail = nil
	if err := sign(t, k); err != nil {
		t.Fatal(err)
	}
}

// Modules of HSMs that were away fail for ever, in no way that says so: some
// until there is a new session, some until they are started again.
func TestUnwell(t *testing.T) {
	for _, tt := range []struct {
		name          string
		until         func(f *fake) bool // true: it works again
		calls         int                // that may fail
		logins, inits int
	}{
		{"new session", func(f *fake) bool { logins, _, _ := f.counts(); return logins > 1 }, 0, 2, 1},
		{"new start", func(f *fake) bool { _, inits, _ := f.counts(); return inits > 1 }, 1, 3, 2},
	} {
		for _, code := range []uint{p11.CKR_DEVICE_ERROR, p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED} {
			t.Run(tt.name+"/"+p11.Error(code).Error(), func(t *testing.T) {
				f, m, _ := oneKey(t, signer.P256)
				k := openAt(t, m, "token=tsa;object=k")
				if err := sign(t, k); err != nil {
					t.Fatal(err)
				}
				f.fail = func(call string) error {
					if call == "SignInit" && !tt.until(f) {
						return p11.Error(code)
					}
					return nil
				}
				for range tt.calls {
					checkFault(t, sign(t, k), fault.Unreachable, namedError{p11.Error(code)}.Error(), "")
				}
				if err := sign(t, k); err != nil {
					t.Fatal(err)
				}
				if logins, inits, sessions := f.counts(); logins != tt.logins || inits != tt.inits || sessions != 1 {
					t.Errorf("%d logins, %d starts, %d sessions; want %d, %d and 1", logins, inits, sessions, tt.logins, tt.inits)
				}
			})
		}
	}
}

// A module may leave the operation open that failed.
func TestOperationLeftOpen(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	failOn(f, "Sign", p11.CKR_DEVICE_ERROR)
	checkFault(t, sign(t, k), fault.Unreachable, "CKR_DEVICE_ERROR", "")
	f.fail = nil
	for range 2 {
		if err := sign(t, k); err != nil {
			t.Fatal(err)
		}
	}
	// One to begin with, one to see whether that helps, and one afterwards.
	if logins, _, sessions := f.counts(); logins != 3 || sessions != 1 {
		t.Errorf("%d logins and %d sessions; want 3 and 1", logins, sessions)
	}
}

// Sessions are opened and closed one after the other.
func TestSessionsOpenedInTurn(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	var under, opened atomic.Int64
	f.fail = func(call string) error {
		switch call {
		case "OpenSession":
			if under.Add(1) > 1 {
				t.Error("two sessions are being opened")
			}
			opened.Add(1)
			time.Sleep(time.Millisecond)
			under.Add(-1)
		case "Sign":
			time.Sleep(time.Millisecond) // so that more than one is needed
		}
		return nil
	}
	for _, err := range many(func() error { return sign(t, k) }) {
		if err != nil {
			t.Error(err)
		}
	}
	if opened.Load() < 2 {
		t.Errorf("%d sessions were opened", opened.Load())
	}
}

// many runs f in 64 goroutines and returns their errors.
func many(f func() error) (errs []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 64 {
		wg.Go(func() {
			<-start
			err := f()
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func TestManyLost(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "token=tsa;object=k")
	for round := range 5 {
		f.drop()
		for _, err := range many(func() error { return sign(t, k) }) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if logins, _, sessions := f.counts(); logins != round+2 || sessions > defaultSessions {
			t.Errorf("round %d: %d logins, %d sessions", round, logins, sessions)
		}
	}
}

// Two keys of a token, as in a rotation: the first is closed while the second
// signs.
func TestRotation(t *testing.T) {
	f, m, token := oneKey(t, signer.P256)
	f.key(t, token, "next", "\x02", signer.P256)
	first := openAt(t, m, "object=k")
	second := openAt(t, m, "object=next")
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				if err := sign(t, second); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 50 {
		if err := sign(t, first); err != nil {
			t.Error(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	checkFault(t, sign(t, first), fault.Unfit, "the key is closed", "")
	if err := sign(t, second); err != nil {
		t.Error(err)
	}
	stop.Store(true)
	wg.Wait()
	if _, inits, _ := f.counts(); inits != 1 || f.finals != 0 {
		t.Errorf("%d starts, %d ends; want 1 and 0", inits, f.finals)
	}
	second.Close()
	second.Close()
	if _, _, sessions := f.counts(); sessions != 0 || f.finals != 1 {
		t.Errorf("%d sessions left, %d ends; want 0 and 1", sessions, f.finals)
	}
	// And once more from the beginning.
	if err := sign(t, openAt(t, m, "object=k")); err != nil {
		t.Error(err)
	}
}

// A module that was started again for one key's sake does not hurt the other.
func TestRestartWithOthers(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	other := f.token(2, "other")
	f.key(t, other, "o", "\x01", signer.P256)
	first, second := openAt(t, m, "token=tsa"), openAt(t, m, "token=other")
	f.mu.Lock()
	delete(f.tokens, 1) // and seen after the next start
	f.mu.Unlock()
	failSign(f, p11.CKR_TOKEN_NOT_PRESENT)
	if err := sign(t, first); err != nil {
		t.Error(err)
	}
	if err := sign(t, second); err != nil {
		t.Error(err)
	}
	if _, inits, _ := f.counts(); inits != 2 {
		t.Errorf("%d starts; want 2", inits)
	}
}

// failSign has the next signature fail.
func failSign(f *fake, code p11.Error) {
	var once sync.Once
	f.fail = func(call string) (err error) {
		if call == "SignInit" {
			once.Do(func() { err = code })
		}
		return err
	}
}

// hang has signatures wait until the returned function is called, and returns
// a channel that tells of each that waits.
func hang(f *fake) (waiting chan struct{}, release func()) {
	waiting, gate := make(chan struct{}, 100), make(chan struct{})
	f.fail = func(call string) error {
		if call == "Sign" {
			waiting <- struct{}{}
			<-gate
		}
		return nil
	}
	return waiting, sync.OnceFunc(func() { close(gate) })
}

// A module may hang. Then Close returns, and what it holds goes when the last
// call has come back.
func TestCloseWhileSigning(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	waiting, release := hang(f)
	defer release()
	done := make(chan error)
	go func() {
		_, err := k.Sign(context.Background(), testDigest[:], crypto.SHA256)
		done <- err
	}()
	<-waiting
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if _, _, sessions := f.counts(); sessions != 1 || f.finals != 0 {
		t.Errorf("%d sessions, %d ends while one signs; want 1 and 0", sessions, f.finals)
	}
	release()
	if err := <-done; err != nil {
		t.Errorf("the signature under way: %v", err)
	}
	if _, _, sessions := f.counts(); sessions != 0 || f.finals != 1 {
		t.Errorf("%d sessions, %d ends afterwards; want 0 and 1", sessions, f.finals)
	}
}

// Sessions are bounded, and waiting for one ends with the context.
func TestSessionsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit func(cfg *Config, token *fakeToken)
	}{
		{"by configuration", func(cfg *Config, _ *fakeToken) { cfg.Sessions = 2 }},
		{"by what the token says", func(_ *Config, token *fakeToken) { token.info.MaxSessionCount = 2 }},
		{"by what the token does", func(_ *Config, token *fakeToken) { token.sessions = 2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			p := at(t, m, "object=k")
			tt.limit(&p.cfg, token)
			k, err := p.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			waiting, release := hang(f)
			defer release()
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if err := sign(t, k); err != nil {
						t.Error(err)
					}
				})
				<-waiting
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := k.Sign(ctx, testDigest[:], crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with every session in use: %v; want the context's error", err)
			}
			release()
			wg.Wait()
			for _, err := range many(func() error { return sign(t, k) }) {
				if err != nil {
					t.Error(err)
				}
			}
			if f.most != 2 {
				t.Errorf("%d sessions at once; want 2", f.most)
			}
		})
	}
}

// A call that hangs does not keep others from a token that came back.
func TestLostWhileOneHangs(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	waiting, release := hang(f)
	done := make(chan error)
	go func() {
		_, err := k.Sign(context.Background(), testDigest[:], crypto.SHA256)
		done <- err
	}()
	<-waiting
	f.fail = nil
	f.logout()
	if err := sign(t, k); err != nil {
		t.Error(err)
	}
	release()
	if err := <-done; err != nil {
		t.Errorf("the call that hung: %v", err)
	}
	k.Close()
	if _, _, sessions := f.counts(); sessions != 0 {
		t.Errorf("%d sessions left", sessions)
	}
}

// A restart waits for calls under way, not for ever, and not into them.
func TestRestartWaits(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	waiting, release := hang(f)
	defer release()
	done := make(chan error)
	go func() {
		_, err := k.Sign(context.Background(), testDigest[:], crypto.SHA256)
		done <- err
	}()
	<-waiting
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.restart(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("restart while a call hangs: %v", err)
	}
	if f.finals != 0 {
		t.Error("finalised under a call")
	}
	restarted := make(chan error)
	go func() { restarted <- m.restart(t.Context()) }()
	for m.call(m.now(), func() error { return nil }) == nil {
		time.Sleep(time.Millisecond)
	}
	release()
	if err := <-restarted; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := m.restart(t.Context()); err == nil {
		t.Error("started again twice within a moment")
	}
	f.fail = nil
	if err := sign(t, k); err != nil {
		t.Error(err)
	}
}

// The search for a token that stays away becomes rarer, for the sake of the
// other tokens of its module.
func TestRestartsBecomeRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m, _ := oneKey(t, signer.P256)
		other := f.token(2, "other")
		f.key(t, other, "o", "\x01", signer.P256)
		away, standby := openAt(t, m, "token=tsa"), openAt(t, m, "token=other")
		back := f.next[1]
		delete(f.tokens, 1)
		delete(f.next, 1)
		f.drop()
		for range 60 {
			checkFault(t, sign(t, away), fault.NotFound, "no token of", "")
			if err := sign(t, standby); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		// At 0, 1, 3, 7, 15, 30 and 45 seconds, after the first start.
		if _, inits, _ := f.counts(); inits != 1+7 {
			t.Errorf("%d starts; want 8", inits)
		}
		f.next[1] = back
		time.Sleep(restartSeldom)
		if err := sign(t, away); err != nil {
			t.Error(err)
		}
		if m.pause != restartEvery {
			t.Errorf("after a restart that helped, the pause is %v", m.pause)
		}
		standby.Close()
		away.Close()
	})
}

func TestContext(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	k := openAt(t, m, "object=k")
	if k.HonoursContext() {
		t.Error("it says that it honours a context")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, signer.URI{}, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if err := Create(ctx, signer.URI{}, signer.P256, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	// In want of a turn.
	if err := m.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := at(t, m, "object=k").open(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open without a turn: %v", err)
	}
	p := at(t, m, "object=new")
	if err := p.create(short, signer.P256); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create without a turn: %v", err)
	}
	p.m.release()
	f.drop()
	if _, err := k.Sign(short, testDigest[:], crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sign, lost, without a turn: %v", err)
	}
	m.give()
	if err := sign(t, k); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
