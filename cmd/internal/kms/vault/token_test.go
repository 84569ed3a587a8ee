package vault_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A pipes is a listener in memory, whose connections a synctest bubble can
// see through.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A bubble is a fake with a key "tsa" in a synctest bubble, where a day takes
// no time.
type bubble struct {
	*vaultfake.Server
	t       *testing.T
	pipes   *pipes
	mu      sync.Mutex
	reports []error
}

func inBubble(t *testing.T, f func(t *testing.T, b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{Server: vaultfake.New(), t: t, pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		createKey(t, b.Server, "tsa", "ecdsa-p256")
		server := &http.Server{Handler: b.Server}
		go server.Serve(b.pipes)
		defer server.Close()
		f(t, b)
	})
}

// open opens the key; the test closes it, within the bubble.
func (b *bubble) open(e env) *vault.Key {
	b.t.Helper()
	e["VAULT_ADDR"] = "http://vault.example"
	cfg := vault.WithDial(vault.Config{LookupEnv: e.lookup, Report: b.report}, b.pipes.dial)
	key, err := vault.Open(b.t.Context(), uri(b.t, "hashivault://tsa"), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

func (b *bubble) report(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, err)
}

func (b *bubble) reported() []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reports
}

func (b *bubble) prove(key signer.Signer, when string) {
	b.t.Helper()
	if err := signer.Prove(b.t.Context(), key, nil); err != nil {
		b.t.Errorf("%s: %v", when, err)
	}
}

func (b *bubble) file(token string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "token")
	b.write(path, token)
	return path
}

// write replaces a file as an agent does: by rename.
func (b *bubble) write(path, token string) {
	b.t.Helper()
	if err := os.WriteFile(path+".new", []byte(token+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		b.t.Fatal(err)
	}
}

func TestRenewal(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		key := b.open(env{"VAULT_TOKEN": b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true})})
		defer key.Close()
		// Before two thirds of the hour have passed.
		time.Sleep(40*time.Minute - time.Second)
		synctest.Wait()
		if n := b.Calls(vaultfake.OnRenew); n != 1 {
			t.Errorf("%d renewals before two thirds of the life of the token; want 1", n)
		}
		time.Sleep(100 * time.Hour)
		b.prove(key, "after 100 hours with a token of one")
		if n := b.Calls(vaultfake.OnRenew); n < 150 || n > 250 {
			t.Errorf("%d renewals in 100 hours; want about 200", n)
		}
		if r := b.reported(); len(r) != 0 {
			t.Errorf("reported: %v", r)
		}
	})
}

// A renewal that fails for a while is tried again while there is time.
func TestRenewalRecovers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		key := b.open(env{"VAULT_TOKEN": b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true})})
		defer key.Close()
		b.Inject(vaultfake.Fault{On: vaultfake.OnRenew, Times: 3, Status: 500, Body: `{"errors":["internal error"]}`})
		time.Sleep(3 * time.Hour)
		b.prove(key, "after three failures")
		if r := b.reported(); len(r) != 3 || !strings.Contains(r[0].Error(), "500") {
			t.Errorf("reported: %v; want the three failures", r)
		}
	})
}

// What is no answer to a renewal is a failure, too.
func TestRenewalGarbage(t *testing.T) {
	for _, body := range []string{"[", "{}"} {
		inBubble(t, func(t *testing.T, b *bubble) {
			key := b.open(env{"VAULT_TOKEN": b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true})})
			defer key.Close()
			b.Inject(vaultfake.Fault{On: vaultfake.OnRenew, Times: 1, Body: body})
			time.Sleep(3 * time.Hour)
			b.prove(key, "after an answer "+body)
			if r := b.reported(); len(r) != 1 || fault.KindOf(r[0]) != fault.Malformed {
				t.Errorf("reported: %v; want one answer that is malformed", r)
			}
		})
	}
}

// A server that hangs does not stop the goroutine, nor does Close wait for it.
func TestRenewalHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		key := b.open(env{"VAULT_TOKEN": b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true})})
		b.Inject(vaultfake.Fault{On: vaultfake.OnRenew, Hang: true})
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if r := b.reported(); len(r) != 1 || !errors.Is(r[0], context.DeadlineExceeded) {
			t.Errorf("reported: %v; want one call that did not end in time", r)
		}
		time.Sleep(14*time.Minute + time.Second) // the second attempt is under way
		start := time.Now()
		if err := key.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v", d)
		}
		b.Clear()
	})
}

// At the end of what the server gives, the file is read, without waiting for
// the token to be refused.
func TestRenewalAtItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		token vaultfake.Token
	}{
		{"maximal life", vaultfake.Token{TTL: time.Hour, MaxTTL: 90 * time.Minute, Renewable: true}},
		{"not renewable", vaultfake.Token{TTL: 90 * time.Minute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				path := b.file(b.AddToken(tt.token))
				key := b.open(env{"VAULT_TOKEN_FILE": path})
				defer key.Close()
				time.Sleep(80 * time.Minute)
				if r := b.reported(); len(r) == 0 || !strings.Contains(r[0].Error(), "the token from "+path+" expires at") {
					t.Errorf("reported: %v; want that the token ends", r)
				}
				b.write(path, b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true}))
				time.Sleep(10*time.Minute - time.Second)
				lookups := b.Calls(vaultfake.OnLookup)
				b.prove(key, "with the token from the file")
				if n := b.Calls(vaultfake.OnLookup); n != lookups || n != 2 {
					t.Errorf("%d lookups, then %d; want one of each token, none of them for the signature", lookups, n)
				}
				time.Sleep(10 * time.Hour)
				b.prove(key, "the token from the file, renewed")
			})
		})
	}
}

// Of a token that may not look itself up nothing is known, and it is used
// until it is refused.
func TestUnknownLife(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		path := b.file(b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true, Paths: []string{"transit/"}}))
		key := b.open(env{"VAULT_TOKEN_FILE": path})
		defer key.Close()
		time.Sleep(59 * time.Minute)
		b.prove(key, "before its end")
		time.Sleep(2 * time.Minute)
		digest := sha256.Sum256(nil)
		_, err := key.Sign(t.Context(), digest[:], crypto.SHA256)
		check(t, err, wantFault{fault.Credentials, "the token from " + path + " is not accepted", "put a new token into " + path})
		b.write(path, b.AddToken(vaultfake.Token{}))
		b.prove(key, "after a new token was written")
		if n := b.Calls(vaultfake.OnRenew); n != 0 {
			t.Errorf("%d renewals of a token of which nothing is known", n)
		}
	})
}

// While the server cannot say how long a new token lives, it is asked again.
func TestLookupAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		old := b.AddToken(vaultfake.Token{})
		path := b.file(old)
		key := b.open(env{"VAULT_TOKEN_FILE": path})
		defer key.Close()
		b.write(path, b.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true}))
		b.Revoke(old)
		b.Inject(vaultfake.Fault{On: vaultfake.OnLookup, Times: 5, Status: 500, Body: `{"errors":[]}`})
		b.prove(key, "with the new token")
		time.Sleep(10 * time.Hour)
		b.prove(key, "ten hours later")
	})
}

// A token that is refused is read again from where it came, within the call.
func TestReadAgain(t *testing.T) {
	home := os.Getenv("HOME")
	write := func(t *testing.T, path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	file := filepath.Join(t.TempDir(), "token")
	program := filepath.Join(t.TempDir(), "helper")
	variables := env{}
	for _, tt := range []struct {
		name string
		put  func(t *testing.T, v *vaultfake.Server, token string)
		env  env // nil: variables
	}{
		{"VAULT_TOKEN_FILE", func(t *testing.T, _ *vaultfake.Server, token string) { write(t, file, token+"\n", 0o600) }, env{"VAULT_TOKEN_FILE": file}},
		{"~/.vault-token", func(t *testing.T, _ *vaultfake.Server, token string) {
			write(t, filepath.Join(home, ".vault-token"), token, 0o600)
		}, env{}},
		{"token helper", func(t *testing.T, _ *vaultfake.Server, token string) {
			write(t, program, "#!/bin/sh\n[ \"$1\" = get ] && echo "+token+"\n", 0o700)
			write(t, filepath.Join(home, ".vault"), "token_helper = \""+program+"\"\n", 0o600)
		}, env{}},
		{"environment of a test", func(_ *testing.T, _ *vaultfake.Server, token string) { variables["VAULT_TOKEN"] = token }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := vaultfake.Start(t)
			createKey(t, v, "tsa", "ecdsa-p256")
			e := tt.env
			if e == nil {
				e = variables
			}
			e["VAULT_ADDR"] = v.URL
			old := v.AddToken(vaultfake.Token{})
			tt.put(t, v, old)
			key := openWith(t, "tsa", vault.Config{LookupEnv: e.lookup})
			v.Revoke(old)
			tt.put(t, v, v.Root)
			digest := sha256.Sum256(nil)
			// All of them at once: one reads, the others use what it found.
			errs := make([]error, 16)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, errs[i] = key.Sign(t.Context(), digest[:], crypto.SHA256) })
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
		})
	}
}

// A token that stays refused is an error that says where to put another.
func TestExpired(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	token := v.AddToken(vaultfake.Token{})
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	fixed := openWith(t, "tsa", vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL, "BAO_TOKEN": token}.lookup})
	read := openWith(t, "tsa", vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL, "BAO_TOKEN_FILE": path}.lookup})
	v.Revoke(token)
	digest := sha256.Sum256(nil)
	_, err := fixed.Sign(t.Context(), digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Credentials, "the token from BAO_TOKEN is not accepted", "VAULT_TOKEN_FILE, which is read again"})
	_, err = read.Sign(t.Context(), digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Credentials, "the token from " + path, "put a new token into " + path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = read.Sign(t.Context(), digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Credentials, "and for another one: read the token: BAO_TOKEN_FILE", "put a new token into " + path})
}

// The token helper is a program, and may do as it likes.
func TestHelperErrors(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	dir := t.TempDir()
	vaultFile := filepath.Join(dir, "vault.hcl")
	t.Setenv("VAULT_CONFIG_PATH", vaultFile)
	program := filepath.Join(dir, "helper")
	for _, tt := range []struct {
		name, file, program string
		want                wantFault
	}{
		{"unknown setting", "nope = \"true\"", "", wantFault{fault.Credentials, "vault.hcl", "~/.vault"}},
		{"no such program", "token_helper = \"/nonexistent\"", "", wantFault{fault.Credentials, "token helper", ""}},
		{"fails", "token_helper = \"" + program + "\"", "#!/bin/sh\necho locked >&2\nexit 3\n", wantFault{fault.Credentials, "exit status 3: locked", "by hand"}},
		{"says nothing", "token_helper = \"" + program + "\"", "#!/bin/sh\n", wantFault{fault.Credentials, "empty", "nothing else"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(vaultFile, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.program != "" {
				if err := os.WriteFile(program, []byte(tt.program), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			_, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL}.lookup})
			check(t, err, tt.want)
		})
	}
	t.Run("hangs", func(t *testing.T) {
		if err := os.WriteFile(vaultFile, []byte("token_helper = \""+program+"\""), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := vault.Open(ctx, uri(t, "hashivault://tsa"), vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL}.lookup})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v; want one that wraps %v", err, context.DeadlineExceeded)
		}
	})
}
