package interop

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// startPeer starts sigstore's timestamp-server with further flags. It always opens port 2112 for metrics,
// so that one runs at a time.
func startPeer(t *testing.T, flags ...string) *tsa {
	t.Helper()
	port := freePort(t)
	base := "http://127.0.0.1:" + port
	argv := []string{theirs(t, peers.TimestampServer), "serve", "--host", "127.0.0.1", "--port", port, "--disable-ntp-monitoring"}
	scratch(t).serve(t, base+"/ping", append(argv, flags...)...)
	return newTSA(t, base, chainAt(t, base))
}

// startPeerKey starts it with a key of the given type, a chain that our "cert create" made, and the digest
// that it is to sign with.
func startPeerKey(t *testing.T, keyType, digest string) *tsa {
	t.Helper()
	w := scratch(t)
	w.certCreate(t, keyType, "tsa")
	return startPeer(t, "--timestamp-signer", "file", "--timestamp-signer-hash", digest,
		"--file-signer-key-path", w.path("tsa/key.pem"), "--certificate-chain-path", w.path("tsa/chain.pem"))
}
