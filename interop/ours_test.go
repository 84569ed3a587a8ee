package interop

import (
	"fmt"
	"testing"
)

// This file holds every command line of ours that the tests use.

// keyTypes are the kinds of keys that everybody understands.
var keyTypes = []string{"p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096"}

// startDev starts "fencepost serve --dev" and waits until it would grant a request.
func startDev(t *testing.T) *tsa {
	t.Helper()
	port, admin := freePort(t), freePort(t)
	scratch(t).serve(t, "http://127.0.0.1:"+admin+"/readyz",
		ours("fencepost"), "serve", "--dev", "--listen", "127.0.0.1:"+port, "--admin", "127.0.0.1:"+admin)
	base := "http://127.0.0.1:" + port
	return newTSA(t, base, chainAt(t, base))
}

// productionConfig is a configuration as an operator writes one; %s are the listener and the policy.
const productionConfig = `listen: [%s]
admin: "off"
tsa:
  key: file:tsa/key.pem
  chain: tsa/chain.pem
  policy: %s
  clock: {source: system, bound: 500ms}
`

// ourPolicy is the policy of what startKey starts, and of the drop-in and --dev too.
const ourPolicy = "1.3.6.1.4.1.57264.2"

// auditConfig is one with a record of issue, of short files, that the server stamps itself; %s are the two listeners
// and the policy.
const auditConfig = `listen: [%s]
admin: %s
tsa:
  key: file:tsa/key.pem
  chain: tsa/chain.pem
  policy: %s
  clock: {source: system, bound: 500ms}
audit: {dir: audit, segment: 256KiB, stamp-every: 1s}
`

// auditArgs is a command about a record of issue.
func auditArgs(verb, dir string, flags ...string) []string {
	return append([]string{ours("fencepost"), "audit", verb, dir}, flags...)
}

// startKey starts "fencepost serve --config" with a key of the given type, in a file, and a chain made by
// "cert create".
func startKey(t *testing.T, keyType string) *tsa {
	t.Helper()
	w := scratch(t)
	w.certCreate(t, keyType, "tsa")
	host := "127.0.0.1:" + freePort(t)
	config := w.write(t, "fencepost.yaml", fmt.Appendf(nil, productionConfig, host, ourPolicy))
	w.serve(t, "http://"+host+"/readyz", ours("fencepost"), "serve", "--config", config)
	return newTSA(t, "http://"+host, chainAt(t, "http://"+host))
}

// startDropIn starts our timestamp-server with further flags, which are the peer's.
func startDropIn(t *testing.T, flags ...string) *tsa {
	t.Helper()
	port := freePort(t)
	base := "http://127.0.0.1:" + port
	argv := []string{ours("timestamp-server"), "serve", "--host", "127.0.0.1", "--port", port, "--disable-ntp-monitoring"}
	scratch(t).serve(t, base+"/ping", append(argv, flags...)...)
	return newTSA(t, base, chainAt(t, base))
}

// certCreate makes a key and a chain for it in a directory: key.pem, chain.pem, root.pem.
func (w *tool) certCreate(t *testing.T, keyType, dir string) {
	t.Helper()
	w.accept(t, nil, ours("fencepost"), "cert", "create", "--role", "tsa", "--key-type", keyType, "--out", dir)
}

// createArgs is the command with which our client asks an authority for a timestamp.
func createArgs(a *tsa, file, out string, flags ...string) []string {
	argv := []string{ours("fencepost"), "timestamp", "create", "--tsa", a.url, "--out", out}
	return append(append(argv, flags...), file)
}

// create asks an authority for a timestamp of a file with our client.
func (w *tool) create(t *testing.T, a *tsa, file, out string, flags ...string) {
	t.Helper()
	w.accept(t, nil, createArgs(a, file, out, flags...)...)
}

// The words by which our verifier says why.
const (
	reasonImprint   = "imprint: "
	reasonSignature = "signature: "
	reasonAlgorithm = "signature-algorithm: "
	reasonUntrusted = "untrusted: "
)

// verifyArgs is the command with which our verifier judges a response or token.
func verifyArgs(roots, timestamp, file string, flags ...string) []string {
	argv := []string{ours("fencepost"), "timestamp", "verify", "--roots", roots, "--timestamp", timestamp}
	return append(append(argv, flags...), file)
}

// intermediateFlags names the intermediates of an authority, if there are any.
func (a *tsa) intermediateFlags() []string {
	if len(a.certificates) < 3 {
		return nil
	}
	return []string{"--intermediates", a.intermediates}
}

// verifies has our verifier accept a timestamp.
func (w *tool) verifies(t *testing.T, a *tsa, timestamp, file string) {
	t.Helper()
	w.accept(t, []string{"verified"}, verifyArgs(a.root, timestamp, file, a.intermediateFlags()...)...)
}

// rejects has our verifier refuse a timestamp, with status 1 and for the reason given.
func (w *tool) rejects(t *testing.T, a *tsa, reason, timestamp, file string) {
	t.Helper()
	r := w.refuse(t, []string{reason}, verifyArgs(a.root, timestamp, file, a.intermediateFlags()...)...)
	if r.code != 1 {
		t.Fatalf("want exit status 1, got: %v", r)
	}
}
