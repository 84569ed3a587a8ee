package vault_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestUnixSocket(t *testing.T) {
	v := vaultfake.New()
	createKey(t, v, "tsa", "ecdsa-p256")
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: v}
	go server.Serve(listener)
	defer server.Close()
	key := openWith(t, "tsa", vault.Config{LookupEnv: env{"VAULT_ADDR": "unix://" + path, "VAULT_TOKEN": v.Root}.lookup})
	if err := signer.Prove(t.Context(), key, nil); err != nil {
		t.Error(err)
	}
}

// As many connections are kept as there are signatures under way.
func TestConnectionsAreKept(t *testing.T) {
	const inFlight, rounds = 64, 10
	v := vaultfake.New()
	createKey(t, v, "tsa", "ecdsa-p256")
	var connections atomic.Int64
	h := httptest.NewUnstartedServer(v)
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	h.Start()
	defer h.Close()
	v.URL = h.URL
	key := open(t, v, "tsa")
	digest := sha256.Sum256(nil)
	for range rounds {
		var wg sync.WaitGroup
		for range inFlight {
			wg.Go(func() {
				if _, err := key.Sign(t.Context(), digest[:], crypto.SHA256); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	// A connection that is just coming back is not idle yet when the next
	// round begins, so a few more are made than are kept.
	if n := connections.Load(); n > 2*inFlight {
		t.Errorf("%d connections for %d signatures, %d at once", n, inFlight*rounds, inFlight)
	}
}

// A hole swallows what is written to a connection and answers nothing, as a
// firewall does that has forgotten it.
type hole struct {
	net.Conn
	open   *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (h *hole) Write(p []byte) (int, error) {
	if h.open.Load() {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func (h *hole) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if h.open.Load() {
		<-h.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (h *hole) Close() error {
	h.once.Do(func() { close(h.closed) })
	return h.Conn.Close()
}

// An HTTP/2 connection that has died without a word is replaced, although it
// is never idle.
func TestDeadConnectionIsReplaced(t *testing.T) {
	donor := httptest.NewTLSServer(nil) // whose certificate is borrowed
	certificate := donor.TLS.Certificates
	donor.Close()
	synctest.Test(t, func(t *testing.T) {
		v := vaultfake.New()
		createKey(t, v, "tsa", "ecdsa-p256")
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		var protocol atomic.Value
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			protocol.Store(r.Proto)
			v.ServeHTTP(w, r)
		})}
		server.TLSConfig = donor.TLS.Clone()
		server.TLSConfig.Certificates, server.TLSConfig.NextProtos = certificate, []string{"h2", "http/1.1"}
		go server.ServeTLS(p, "", "")
		defer server.Close()
		var swallow atomic.Bool
		var dials atomic.Int64
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := p.dial(ctx, network, address)
			if err != nil || dials.Add(1) > 1 {
				return c, err
			}
			return &hole{Conn: c, open: &swallow, closed: make(chan struct{})}, nil
		}
		e := env{"VAULT_ADDR": "https://vault.example", "VAULT_TOKEN": v.Root, "VAULT_SKIP_VERIFY": "true"}
		key, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), vault.WithDial(vault.Config{LookupEnv: e.lookup}, dial))
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		if got := protocol.Load(); got != "HTTP/2.0" {
			t.Fatalf("the protocol is %v; this test is about HTTP/2.0", got)
		}
		swallow.Store(true)
		digest := sha256.Sum256(nil)
		sign := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := key.Sign(ctx, digest[:], crypto.SHA256)
			return err
		}
		if err := sign(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("over a dead connection: got error %v; want one that wraps %v", err, context.DeadlineExceeded)
		}
		for range 20 {
			time.Sleep(time.Second)
			if err = sign(); err == nil {
				return
			}
		}
		t.Errorf("after 20 s still on the dead connection: %v", err)
	})
}
