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
