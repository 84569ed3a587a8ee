// Package vault signs with keys in the transit engine of HashiCorp Vault
// (hashivault://KEY) and of OpenBao (openbao://KEY).
//
//	key, err := vault.Open(ctx, u, vault.Config{LookupEnv: os.LookupEnv})
//	...
//	signature, err := key.Sign(ctx, digest, crypto.SHA256)
//
// The URI and the environment are those of sigstore's provider, which is not
// used itself: it takes no context, pins no version of the key, keeps three
// idle connections, prints with package log, and can neither renew a token nor
// read it again.
//
// # Environment
//
// Each variable has a twin that begins with BAO_ and is looked at where the
// one that begins with VAULT_ is unset or empty, whatever the scheme of the
// URI; sigstore's provider does the same with the first two.
//
//	VAULT_ADDR        the server, as https://vault.example:8200 or unix:///run/vault.sock
//	VAULT_TOKEN       the token
//	VAULT_TOKEN_FILE  the file with the token, as an agent writes it
//	VAULT_NAMESPACE   the namespace
//	VAULT_CACERT, VAULT_CACERT_BYTES, VAULT_CAPATH, VAULT_TLS_SERVER_NAME,
//	VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_SKIP_VERIFY
//	                  TLS, as in Vault's own command
//	TRANSIT_SECRET_ENGINE_PATH  where the engine is mounted; "transit" if unset
//
// VAULT_PROXY_ADDR, VAULT_HTTP_PROXY and VAULT_HEADERS have no twin: Vault's
// own library reads them. Without a token in the environment or a file, that
// library's token helper is asked: the program that ~/.vault names, or the
// file ~/.vault-token.
//
// # Versions
//
// A transit key has versions, and the one to sign with is chosen when the key
// is opened: the version with the public key that [Config] wants, or the
// latest. A rotation inside the engine changes nothing for an open key.
//
// # Tokens
//
// A token that can be renewed is renewed when half of its time has passed. One
// that is refused is read again from where it came; if another one stands
// there, the signature is made with that, within the same call.
//
// # Trust
//
// Whoever holds the token can have anything signed, for as long as it lives;
// whoever answers at the address sees the token, which is anybody in between
// with VAULT_SKIP_VERIFY. An http:// address is accepted, because an agent on
// the same machine has one. A redirection with the status 307 or 308, by which
// a standby node names the active one, is followed once and never from https to
// http; the token goes with it. Answers are bounded in size, and the signature
// in one is not verified here.
package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Config is what opening a key needs beside its URI.
type Config struct {
	// LookupEnv reads the environment. Nil: no variables, and hence no
	// address.
	LookupEnv func(string) (string, bool)

	// Want is the public key that is wanted; the version of the transit key
	// that has it is taken. Nil: the latest version.
	Want crypto.PublicKey

	// Report is told, by a goroutine of the key, that the token could not be
	// renewed, while there is still time. Nil: nobody is.
	Report func(error)

	// dial connects, in tests; nil: the network.
	dial dialFunc
}

// A Key signs with one version of a transit key. Its methods may be called
// from several goroutines at once.
type Key struct {
	engine
	public  crypto.PublicKey
	version int

	report func(error)
	closed atomic.Bool
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine that minds the token has ended
}

var _ signer.Signer = (*Key)(nil)

// errClosed is what a key that was closed says.
var errClosed = errors.New("the key is closed")

// Open opens the key that a hashivault or openbao URI names; nothing is
// signed. ctx bounds the opening only. Close ends the goroutine that Open
// starts. Errors are a *fault.Error, or wrap the context's.
func Open(ctx context.Context, u signer.URI, cfg Config) (*Key, error) {
	e, err := newEngine(ctx, u, cfg)
	if err != nil {
		return nil, err
	}
	lease, err := e.lookupSelf(ctx)
	if err != nil && !refused(err) {
		e.close()
		return nil, err
	}
	public, version, err := e.choose(ctx, cfg.Want)
	if err != nil {
		e.close()
		return nil, err
	}
	minding, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &Key{engine: *e, public: public, version: version, report: cfg.Report,
		cancel: cancel, done: make(chan struct{})}
	go k.mind(minding, lease)
	return k, nil
}

// choose returns the version of the key to sign with, and its public key.
func (e *engine) choose(ctx context.Context, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	info, err := e.readKey(ctx)
	if err != nil {
		return nil, 0, e.explain(ctx, err, nil)
	}
	return e.version(info, want)
}

// Public returns the public key of the version that was chosen.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Version returns the version of the transit key that signs.
func (k *Key) Version() int { return k.version }

// HonoursContext reports that Sign ends soon after its context does.
func (k *Key) HonoursContext() bool { return true }

// Sign implements [signer.Signer]: with PKCS #1 v1.5 for RSA, unless opts are
// [rsa.PSSOptions]. When the token is refused and another one is found, it
// tries once more. Errors are those of [signer.CheckDigest], a *fault.Error,
// or wrap the context's.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", opSign, err)
	}
	if err := signer.CheckDigest(k.public, digest, opts); err != nil {
		return nil, err
	}
	if k.closed.Load() {
		return nil, &fault.Error{Kind: fault.Unfit, Op: opSign, Err: errClosed}
	}
	_, isRSA := k.public.(*rsa.PublicKey)
	request, err := newSignRequest(digest, opts, isRSA, k.version)
	if err != nil {
		return nil, err
	}
	token := k.tokens.current()
	signature, err := k.sign(ctx, token, request)
	if !refused(err) {
		return signature, err
	}
	other, changed, readErr := k.tokens.refresh(ctx, token)
	if changed {
		signature, err = k.sign(ctx, other, request)
		if !refused(err) {
			return signature, err
		}
	}
	return nil, k.explain(ctx, err, readErr)
}

// Close ends the renewal of the token, which stays valid, and the idle
// connections. Signatures under way end as they would have; later ones fail.
// It may be called more than once.
func (k *Key) Close() error {
	k.closed.Store(true)
	k.cancel()
	<-k.done
	k.close()
	return nil
}
