// Package program opens exec: keys: a program on this machine that signs, for
// a key that nothing else here can reach.
//
// The URI names it, exec:/usr/lib/tsa/sign?arg=--slot&arg=2&env=TSA_SLOT, by
// its absolute path. It is started anew for each signature, directly: no shell,
// no search along PATH.
//
// # Protocol
//
// The last arguments, after those of the URI, say what is wanted:
//
//	PROGRAM ARGS... public
//
// writes the public key to standard output, as PEM of the type PUBLIC KEY
// (SubjectPublicKeyInfo, RFC 5280, 4.1).
//
//	PROGRAM ARGS... sign sha256
//	PROGRAM ARGS... sign sha384
//	PROGRAM ARGS... sign sha512
//
// reads a digest made with that hash from standard input, its 32, 48 or 64
// bytes as they are and then the end, and writes the signature to standard
// output, its bytes as they are: ECDSA-Sig-Value in DER (RFC 3279, 2.2.3), or
// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). The digest is not hashed again.
//
//	PROGRAM ARGS... sign pss-sha256
//	PROGRAM ARGS... sign pss-sha384
//	PROGRAM ARGS... sign pss-sha512
//
// are the same for RSASSA-PSS (RFC 8017, 8.1), with MGF1 of that hash and a salt
// of its length. A program for timestamps need not know them, and fails.
//
//	PROGRAM ARGS... sign none
//
// is the same for Ed25519 (RFC 8032), and reads the message itself.
//
// The exit status is 0 if that was done. 75, the EX_TEMPFAIL of sysexits.h, says
// that the same call may succeed in a moment, and it is made again while there
// is time. Every other status is a failure, and what the program wrote to
// standard error, up to 1 kB, is quoted in the log.
//
// The program runs in the root folder. Its environment holds PATH, HOME, LANG,
// LC_ALL and TZ, where this process has them, and the variables that the URI
// names with env, all of which must be set. It is killed, with all that it
// started in its process group, when the time for a signature is over. Several
// may run at once.
//
// # Trust
//
// Whoever can write to the program can sign. One that others than its owner can
// write to is refused, and so is one whose owner is neither root nor the user
// of this process. The folders above it are not looked at: whoever can write to
// one of them can put another program there between that check and the start.
// Arguments are visible to every user of the machine: secrets go into a file or
// a variable.
package program

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Config is what Open needs besides the URI.
type Config struct {
	// LookupEnv finds the environment variables that the program gets. Nil:
	// there are none.
	LookupEnv func(string) (string, bool)
}

// A Key is a program that signs. Its methods may be called from several
// goroutines at once.
type Key struct {
	command command
	public  crypto.PublicKey
}

const (
	opOpen = "open key"
	opSign = "sign"
)

const (
	// maxPublic bounds a public key in PEM, in bytes: RSA of 8192 bits takes
	// 1500, and a comment may stand above it.
	maxPublic = 16 << 10

	// maxSignature bounds a signature: RSA of 8192 bits takes 1024 bytes.
	maxSignature = 4 << 10
)

// Open asks the program for its public key; nothing is signed. ctx bounds the
// opening only. Errors are of the type *fault.Error, or wrap that of ctx.
func Open(ctx context.Context, u signer.URI, cfg Config) (*Key, error) {
	c, err := newCommand(u, cfg)
	if err != nil {
		return nil, err
	}
	out, err := c.run(ctx, call{op: opOpen, words: []string{"public"}, limit: maxPublic})
	if err != nil {
		return nil, err
	}
	pub, err := parsePublic(out)
	if err != nil {
		return nil, fault.New(fault.Malformed, opOpen, "%s public: %w", c.path, err).
			WithHint("the program has to write its public key as PEM to standard output: -----BEGIN PUBLIC KEY-----")
	}
	if _, err := signer.HashFor(pub); err != nil {
		return nil, fault.New(fault.Unfit, opOpen, "%s public: %w", c.path, err)
	}
	return &Key{command: c, public: pub}, nil
}

// parsePublic reads one public key in PEM and nothing else.
func parsePublic(data []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("no PEM on standard output")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("PEM of the type %.40q; want PUBLIC KEY", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something follows the public key")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// Public returns the public key that the program named when it was opened.
func (k *Key) Public() crypto.PublicKey { return k.public }

// HonoursContext returns false: the program is killed when ctx ends, and may
// outlive that while it waits for a device.
func (k *Key) HonoursContext() bool { return false }

// Close does nothing: no program is running between signatures.
func (k *Key) Close() error { return nil }

// Sign implements [signer.Signer], PSS with a salt as long as the hash.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", opSign, err)
	}
	if err := signer.CheckDigest(k.public, digest, opts); err != nil {
		return nil, err
	}
	name := hashNames[opts.HashFunc()]
	pss, isPSS := opts.(*rsa.PSSOptions)
	if isPSS {
		if pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != opts.HashFunc().Size() {
			return nil, fault.New(fault.Unsupported, opSign, "%s: a PSS salt that is not as long as the hash", k.command.path).
				WithHint("ask for a salt as long as the hash")
		}
		name = "pss-" + name
	}
	signature, err := k.command.run(ctx, call{op: opSign, words: []string{"sign", name}, input: digest, limit: maxSignature})
	if err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok && isPSS && f.Kind == fault.Unfit && f.Hint != "" {
			f.Hint += ", and see whether it knows how to make RSA-PSS signatures at all"
		}
		return nil, err
	}
	if err := checkForm(k.public, signature); err != nil {
		return nil, fault.New(fault.Malformed, opSign, "%s sign %s: %w", k.command.path, name, err).
			WithHint("the program has to write the bytes of the signature to standard output, without PEM, base64 or a line end")
	}
	return signature, nil
}

var hashNames = map[crypto.Hash]string{0: "none", crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}

// checkForm refuses what cannot be a signature. Whether it is the right one is
// for others to find out.
func checkForm(pub crypto.PublicKey, signature []byte) error {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if len(signature) != pub.Size() {
			return fmt.Errorf("%d bytes; a signature of this RSA key has %d", len(signature), pub.Size())
		}
	case ed25519.PublicKey:
		if len(signature) != ed25519.SignatureSize {
			return fmt.Errorf("%d bytes; an Ed25519 signature has %d", len(signature), ed25519.SignatureSize)
		}
	case *ecdsa.PublicKey:
		input, inner := cryptobyte.String(signature), cryptobyte.String(nil)
		r, s := new(big.Int), new(big.Int)
		if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
			!inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
			return fmt.Errorf("%d bytes that are no ECDSA-Sig-Value in DER (RFC 3279, 2.2.3)", len(signature))
		}
	}
	return nil
}

// inherited are the variables that every program gets: what finding libraries,
// reading a folder of one's own and writing messages takes.
var inherited = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ"}

// environment is that of the program.
func environment(u signer.URI, cfg Config) ([]string, error) {
	lookup := cfg.LookupEnv
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	env := []string{} // nil would mean all that this process has
	for _, name := range inherited {
		if value, ok := lookup(name); ok && !slices.Contains(u.Env, name) {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range u.Env {
		value, ok := lookup(name)
		if !ok {
			return nil, fault.New(fault.Credentials, opOpen, "%s: the environment variable %s, which its URI names, is not set", u.Path, name).
				WithHint("set it for this process, or take env=%s out of the key", name)
		}
		env = append(env, name+"="+value)
	}
	return env, nil
}

var _ signer.Signer = (*Key)(nil)
