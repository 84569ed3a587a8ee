package interop

import (
	"testing"
)

// TestClientPeer: our client and our verifier with sigstore's timestamp-server.
func TestClientPeer(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
	}{
		{"leaf only", nil},
		{"whole chain", []string{"--include-chain-in-response"}},
		{"status 201", []string{"--use-http-201"}},
	} {
		t.Run(test.name, func(t *testing.T) { testClient(t, startPeer(t, test.flags...)) })
	}
}

// TestClientPeerKeys: each kind of key in the hands of the peer, with a chain that "cert create" made.
func TestClientPeerKeys(t *testing.T) {
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) { testClient(t, startPeerKey(t, keyType, "sha256")) })
	}
	// RFC 8419, 3.1: Ed25519 goes with SHA-512, which the peer must be told.
	t.Run("ed25519", func(t *testing.T) { testClient(t, startPeerKey(t, "ed25519", "sha512")) })
	t.Run("ed25519 with SHA-256", func(t *testing.T) {
		a, w := startPeerKey(t, "ed25519", "sha256"), scratch(t)
		w.write(t, "data", []byte("the data"))
		w.create(t, a, "data", "data.tsr")
		w.rejects(t, a, reasonAlgorithm, "data.tsr", "data")
	})
}

// TestClientOpenSSL: our client and our verifier with OpenSSL's responder.
func TestClientOpenSSL(t *testing.T) {
	for _, test := range []struct{ keyType, digest string }{
		{"p256", "sha256"}, {"p384", "sha384"}, {"p521", "sha512"}, {"rsa2048", "sha256"}, {"rsa4096", "sha512"},
	} {
		t.Run(test.keyType+" "+test.digest, func(t *testing.T) { testClient(t, startResponder(t, test.keyType, test.digest)) })
	}
}

// testClient asks for timestamps with our client, in every form, and has our verifier and OpenSSL judge
// them, good and tampered.
func testClient(t *testing.T, a *tsa) {
	t.Helper()
	for _, hash := range []string{"sha256", "sha384", "sha512"} {
		w := scratch(t)
		w.write(t, "data", []byte("the data of "+t.Name()))
		w.write(t, "other", []byte("other data"))
		w.create(t, a, "data", "plain.tsr", "--hash", hash)
		w.create(t, a, "data", "trusted.tsr", "--hash", hash, "--roots", a.root, "--intermediates", a.intermediates)
		w.create(t, a, "data", "bare.tst", "--hash", hash, "--token")
		w.create(t, a, "data", "nonce.tsr", "--hash", hash, "--no-nonce")
		for _, name := range []string{"plain.tsr", "trusted.tsr", "bare.tst", "nonce.tsr"} {
			w.verifies(t, a, name, "data")
			w.rejects(t, a, reasonImprint, name, "other")
			w.write(t, "broken", flip(w.read(t, name), 10))
			w.rejects(t, a, reasonSignature, "broken", "data")
		}
		stranger := *a
		stranger.root = foreignRoot(t, w)
		w.rejects(t, &stranger, reasonUntrusted, "plain.tsr", "data")
		r := w.refuse(t, []string{reasonUntrusted}, createArgs(a, "data", "untrusted.tsr", "--roots", stranger.root)...)
		if r.code != 1 {
			t.Fatalf("want exit status 1, got: %v", r)
		}
	}
}
