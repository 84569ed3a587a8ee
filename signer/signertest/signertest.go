// Package signertest holds every [signer.Signer] to the same promises. A key
// backend, wherever its keys live, runs it in its own tests, RSA keys included
// where it has them:
//
//	func TestConformance(t *testing.T) {
//		signertest.Run(t, func(t *testing.T) signer.Signer { return open(t) })
//	}
//
// It makes some hundred signatures and needs no network of its own. What a
// backend does when its service misbehaves is the other half, [RunFaults].
package signertest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/signer"
)

// Run runs the suite, each check as a subtest with a signer of its own from
// open. Whether the signers share a key does not matter.
func Run(t *testing.T, open func(t *testing.T) signer.Signer) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// RunPSS demands what [Run] lets a signer refuse: that its RSA key, of 2048 bits
// or more, makes PSS signatures with SHA-256, SHA-384 and SHA-512. The Notary
// Project takes one of the three, by the size of the key.
func RunPSS(t *testing.T, open func(t *testing.T) signer.Signer) {
	t.Helper()
	t.Run("RSA-PSS is made", func(t *testing.T) {
		if err := checkMakesPSS(t.Context(), open(t)); err != nil {
			t.Error(err)
		}
	})
}

func checkMakesPSS(ctx context.Context, s signer.Signer) error {
	for _, hash := range hashes {
		if err := signer.Prove(ctx, s, signer.PSS.Options(hash)); err != nil {
			return fmt.Errorf("with %v: %w", hash, err)
		}
	}
	return nil
}

// A check returns what a signer does wrong. It is a function of its own,
// without a testing.T, so that a test can see it fail.
type check struct {
	name string
	run  func(ctx context.Context, s signer.Signer) error
}

var checks = []check{
	{"public key is stable", checkPublic},
	{"signatures verify", checkSignatures},
	{"RSA-PSS", checkPSS},
	{"unfit digest or options refused", checkRefusals},
	{"digest unchanged", checkDigestUnchanged},
	{"context", checkContext},
	{"concurrent use", checkConcurrency},
	{"certificate", checkCertificate},
	{"proof", checkProof},
}

// hashes are those that a key may be asked to sign; crypto/x509 links them all.
var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// message is what the suite signs, the i-th of many.
func message(i int) []byte { return fmt.Appendf(nil, "fencepost signertest message %d", i) }

// input returns what Sign is given for a message: its digest, or with hash 0
// the message itself.
func input(hash crypto.Hash, msg []byte) []byte {
	if hash == 0 {
		return msg
	}
	h := hash.New()
	h.Write(msg)
	return h.Sum(nil)
}

// usual returns what a signer is given where the check is not about the
// options.
func usual(s signer.Signer) (crypto.SignerOpts, crypto.Hash, error) {
	opts, err := signer.UsualOptions(s)
	if err != nil {
		return nil, 0, err
	}
	return opts, opts.HashFunc(), nil
}

// verify checks a signature with the standard library.
func verify(pub crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) error {
	ok := false
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(pub, digest, signature)
	case *rsa.PublicKey:
		if pss, isPSS := opts.(*rsa.PSSOptions); isPSS {
			ok = rsa.VerifyPSS(pub, opts.HashFunc(), digest, signature, pss) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(pub, opts.HashFunc(), digest, signature) == nil
		}
	case ed25519.PublicKey:
		ok = ed25519.Verify(pub, digest, signature)
	}
	if !ok {
		return fmt.Errorf("a signature with %v does not verify under the public key (%T)", opts.HashFunc(), pub)
	}
	return nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func checkPublic(ctx context.Context, s signer.Signer) error {
	first := s.Public()
	opts, hash, err := usual(s)
	if err != nil {
		return err
	}
	before, err := x509.MarshalPKIXPublicKey(first)
	if err != nil {
		return fmt.Errorf("encode the public key: %w", err)
	}
	if _, err := s.Sign(ctx, input(hash, message(0)), opts); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if !sameKey(first, s.Public()) {
		return errors.New("two calls of Public returned different keys")
	}
	after, err := x509.MarshalPKIXPublicKey(s.Public())
	if err != nil || !bytes.Equal(before, after) {
		return errors.New("the encoding of the public key changed")
	}
	return nil
}

// checkSignatures: a signer must accept the hash that goes with its key. It
// may accept others, and what it then returns must be a signature. RSA-PSS is a
// check of its own.
func checkSignatures(ctx context.Context, s signer.Signer) error {
	pub := s.Public()
	usually, own, err := usual(s)
	if err != nil {
		return err
	}
	if own == 0 {
		for _, msg := range [][]byte{{}, message(1), bytes.Repeat(message(1), 100)} {
			signature, err := s.Sign(ctx, msg, own)
			if err != nil {
				return fmt.Errorf("sign a message of %d bytes: %w", len(msg), err)
			}
			if err := verify(pub, msg, signature, own); err != nil {
				return err
			}
		}
		return nil
	}
	options := []crypto.SignerOpts{usually}
	for _, hash := range hashes {
		if hash != usually {
			options = append(options, hash)
		}
	}
	for i, opts := range options {
		signature, err := s.Sign(ctx, input(opts.HashFunc(), message(1)), opts)
		if err != nil {
			if i == 0 {
				return fmt.Errorf("the key's own hash, %v, is refused: %w", own, err)
			}
			if signature != nil {
				return fmt.Errorf("%v: a signature came with the error %q", opts, err)
			}
			continue
		}
		if err := verifyThis(pub, signature, opts); err != nil {
			return err
		}
	}
	return nil
}

// verifyThis checks a signature of message 1.
func verifyThis(pub crypto.PublicKey, signature []byte, opts crypto.SignerOpts) error {
	if err := verify(pub, input(opts.HashFunc(), message(1)), signature, opts); err != nil {
		return err
	}
	if verify(pub, input(opts.HashFunc(), message(2)), signature, opts) == nil {
		return errors.New("a signature verifies for another message")
	}
	return nil
}

// checkPSS: what the Notary Project signs with, each hash with a salt of its
// own length. A signer whose service cannot, and so one that is tied to PSS and
// is asked for PKCS #1 v1.5, refuses with an error that wraps
// errors.ErrUnsupported and has an Advice method: what to do instead. Keys of
// other kinds refuse PSS.
func checkPSS(ctx context.Context, s signer.Signer) error {
	pub := s.Public()
	_, own, err := usual(s)
	if err != nil {
		return err
	}
	if _, ok := pub.(*rsa.PublicKey); !ok {
		opts := &rsa.PSSOptions{Hash: own, SaltLength: rsa.PSSSaltLengthEqualsHash}
		signature, err := s.Sign(ctx, input(own, message(1)), opts)
		if err == nil || signature != nil {
			return fmt.Errorf("PSS options with a key that is not RSA: got %d bytes and error %v; want an error alone", len(signature), err)
		}
		return nil
	}
	if _, err := signs(ctx, s, signer.PKCS1v15, own); err != nil {
		return err
	}
	if does, err := signs(ctx, s, signer.PSS, own); err != nil || !does {
		return err
	}
	for _, hash := range hashes {
		for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, hash.Size()} {
			signature, err := s.Sign(ctx, input(hash, message(1)), &rsa.PSSOptions{Hash: hash, SaltLength: salt})
			switch {
			case err != nil && signature != nil:
				return fmt.Errorf("RSA-PSS with %v: a signature came with the error %q", hash, err)
			case err != nil && hash == own:
				return fmt.Errorf("RSA-PSS with %v and a salt of %d: %w", hash, salt, err)
			case err != nil:
				continue
			}
			if err := verifyThis(pub, signature, signer.PSS.Options(hash)); err != nil {
				return fmt.Errorf("RSA-PSS: %w", err)
			}
		}
	}
	return nil
}

// signs reports whether an RSA key signs with a padding. It is an error if that
// is not what it says of itself, and if it refuses in a way that helps nobody.
func signs(ctx context.Context, s signer.Signer, p signer.Padding, hash crypto.Hash) (bool, error) {
	opts := p.Options(hash)
	signature, err := s.Sign(ctx, input(hash, message(1)), opts)
	if err == nil {
		if !signer.Offers(s, p) {
			return true, fmt.Errorf("signed with the padding %s, although tied to another", p)
		}
		return true, verifyThis(s.Public(), signature, opts)
	}
	t, tied := s.(signer.Tied)
	var advice interface{ Advice() string }
	switch {
	case signature != nil:
		return false, fmt.Errorf("the padding %s: a signature came with the error %q", p, err)
	case tied && slices.Contains(t.Paddings(), p):
		return false, fmt.Errorf("the key offers the padding %s: %w", p, err)
	case !errors.Is(err, errors.ErrUnsupported):
		return false, fmt.Errorf("the padding %s is refused with an error that does not wrap errors.ErrUnsupported: %w", p, err)
	case !errors.As(err, &advice) || advice.Advice() == "":
		return false, fmt.Errorf("the padding %s is refused without advice: %w", p, err)
	}
	return false, nil
}

func checkRefusals(ctx context.Context, s signer.Signer) error {
	usually, own, err := usual(s)
	if err != nil {
		return err
	}
	digest := input(own, message(3))
	type call struct {
		name   string
		digest []byte
		opts   crypto.SignerOpts
	}
	calls := []call{{"no options", digest, nil}}
	if own == 0 {
		for _, hash := range hashes {
			calls = append(calls, call{"a hash with a key that hashes by itself", input(hash, message(3)), hash})
		}
	} else {
		calls = append(calls,
			call{"an empty digest", nil, usually},
			call{"a digest one byte short", digest[:len(digest)-1], usually},
			call{"a digest one byte long", append(bytes.Clone(digest), 0), usually},
			call{"a message instead of a digest", message(3), usually},
			call{"no hash function", digest, crypto.Hash(0)},
			call{"SHA-1", make([]byte, 20), crypto.SHA1})
	}
	for _, c := range calls {
		signature, err := s.Sign(ctx, c.digest, c.opts)
		if err == nil {
			return fmt.Errorf("%s: signed; want an error", c.name)
		}
		if signature != nil {
			return fmt.Errorf("%s: a signature came with the error %q", c.name, err)
		}
	}
	return nil
}

func checkDigestUnchanged(ctx context.Context, s signer.Signer) error {
	opts, hash, err := usual(s)
	if err != nil {
		return err
	}
	digest := input(hash, message(4))
	// Spare capacity, into which a careless append would write.
	buffer := append(bytes.Clone(digest), 0xa5, 0xa5, 0xa5, 0xa5)
	whole := bytes.Clone(buffer)
	first, err := s.Sign(ctx, buffer[:len(digest)], opts)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if !bytes.Equal(buffer, whole) {
		return errors.New("the digest, or what stands behind it, was changed")
	}
	kept := bytes.Clone(first)
	clear(buffer)
	other := input(hash, message(5))
	if _, err := s.Sign(ctx, other, opts); err != nil {
		return fmt.Errorf("sign again: %w", err)
	}
	if !bytes.Equal(first, kept) {
		return errors.New("a later call changed the signature of an earlier one")
	}
	return nil
}

// patience is how long a signer may take to notice that its context ended.
const patience = 5 * time.Second

func checkContext(ctx context.Context, s signer.Signer) error {
	opts, hash, err := usual(s)
	if err != nil {
		return err
	}
	digest := input(hash, message(6))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	expired, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{cancelled, context.Canceled}, {expired, context.DeadlineExceeded}} {
		start := time.Now()
		signature, err := s.Sign(c.ctx, digest, opts)
		if !errors.Is(err, c.want) {
			return fmt.Errorf("sign with a context that has ended: got error %v; want one that wraps %v", err, c.want)
		}
		if signature != nil {
			return errors.New("a signature came with the context's error")
		}
		if d := time.Since(start); d > patience {
			return fmt.Errorf("sign with a context that has ended took %v", d)
		}
	}
	if _, err := s.Sign(ctx, digest, opts); err != nil {
		return fmt.Errorf("sign after a call that was cancelled: %w", err)
	}
	return nil
}

// callers is how many goroutines use a signer at once.
const callers = 64

func checkConcurrency(ctx context.Context, s signer.Signer) error {
	pub := s.Public()
	opts, hash, err := usual(s)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failures := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			digest := input(hash, message(i))
			signature, err := s.Sign(ctx, digest, opts)
			switch {
			case err != nil:
				failures[i] = fmt.Errorf("sign: %w", err)
			case !sameKey(pub, s.Public()):
				failures[i] = errors.New("two calls of Public returned different keys")
			default:
				failures[i] = verify(pub, digest, signature, opts)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// certificateAlgorithms are those that crypto/x509 does not choose for an RSA
// key by itself.
var certificateAlgorithms = map[signer.Padding]map[crypto.Hash]x509.SignatureAlgorithm{
	signer.PKCS1v15: {crypto.SHA384: x509.SHA384WithRSA, crypto.SHA512: x509.SHA512WithRSA},
	signer.PSS:      {crypto.SHA256: x509.SHA256WithRSAPSS, crypto.SHA384: x509.SHA384WithRSAPSS, crypto.SHA512: x509.SHA512WithRSAPSS},
}

// checkCertificate: through [signer.Crypto] the key serves crypto/x509.
func checkCertificate(ctx context.Context, s signer.Signer) error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "signertest"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<31, 0),
	}
	opts, hash, err := usual(s)
	if err != nil {
		return err
	}
	if _, ok := s.Public().(*rsa.PublicKey); ok {
		padding := signer.PKCS1v15
		if _, ok := opts.(*rsa.PSSOptions); ok {
			padding = signer.PSS
		}
		template.SignatureAlgorithm = certificateAlgorithms[padding][hash]
	}
	key := signer.Crypto(ctx, s)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("create a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parse the certificate: %w", err)
	}
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
}

// checkProof: what a program asks of every key before it relies on it.
func checkProof(ctx context.Context, s signer.Signer) error {
	return signer.Prove(ctx, s, nil)
}
