//go:build unix

package peerserver_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// hangUp sends SIGHUP to this process and so to the server under test.
func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestHangup renews the key of a running server: half of a new identity leaves
// it as it is, a whole one is taken.
func TestHangup(t *testing.T) {
	key, chain, _ := identity(t, pkitest.Options{}, nil)
	nextKey, nextChain, _ := identity(t, pkitest.Options{Key: pkitest.P384}, nil)
	r := start(t, nil, quiet("--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", chain, "--announce", "0")...)
	before := publishedChain(t, r.urls[0])
	await := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.log.String(), text); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in the log:\n%s", text, r.log)
			}
		}
	}
	for _, step := range []struct{ from, to, want string }{
		{nextKey, key, "reload failed, all stays as it was"},
		{nextChain, chain, "msg=reloaded"},
	} {
		if same := publishedChain(t, r.urls[0])[0]; !same.Equal(before[0]) {
			t.Fatalf("before %s the chain is that of %v", step.want, same.Subject)
		}
		if err := os.Rename(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		hangUp(t)
		await(step.want)
	}
	if after := publishedChain(t, r.urls[0]); after[0].Equal(before[0]) {
		t.Error("the chain is still the old one")
	}
}

// TestHangupMemory has nothing to read again, and must survive.
func TestHangupMemory(t *testing.T) {
	r := start(t, nil, quiet()...)
	before := publishedChain(t, r.urls[0])
	hangUp(t)
	time.Sleep(50 * time.Millisecond)
	if status, _ := get(t, http.DefaultClient, r.urls[0]+"/ping"); status != 200 {
		t.Errorf("/ping: %d", status)
	}
	if after := publishedChain(t, r.urls[0]); !after[0].Equal(before[0]) {
		t.Error("another key signs")
	}
}
