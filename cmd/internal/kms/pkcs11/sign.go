//go:build cgo

package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"

	p11 "github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// An operation is what the token is asked for: a mechanism, and what it gets.
type operation struct {
	mechanism *p11.Mechanism
	name      string
	data      []byte
}

// The DER of DigestInfo before the digest (RFC 8017, 9.2, note 1).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// The names of hashes in CK_RSA_PKCS_PSS_PARAMS.
var pssHash = map[crypto.Hash]struct{ hash, mgf uint }{
	crypto.SHA256: {p11.CKM_SHA256, p11.CKG_MGF1_SHA256},
	crypto.SHA384: {p11.CKM_SHA384, p11.CKG_MGF1_SHA384},
	crypto.SHA512: {p11.CKM_SHA512, p11.CKG_MGF1_SHA512},
}

// plan says how digest is signed. It was checked against the key.
func plan(pub crypto.PublicKey, digest []byte, opts crypto.SignerOpts) (operation, error) {
	hash := opts.HashFunc()
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		// The leftmost bits of a longer digest count (FIPS 186-5, 6.4.1), and
		// tokens differ in whether they cut it themselves. The orders of the
		// three curves have as many bits as their fields.
		if size := fieldSize(pub); len(digest) > size {
			digest = digest[:size]
		}
		return operation{p11.NewMechanism(p11.CKM_ECDSA, nil), "CKM_ECDSA", digest}, nil
	case ed25519.PublicKey:
		return operation{p11.NewMechanism(ckmEDDSA, nil), "CKM_EDDSA", digest}, nil
	case *rsa.PublicKey:
		pss, ok := opts.(*rsa.PSSOptions)
		if !ok {
			prefix := digestInfo[hash]
			data := append(prefix[:len(prefix):len(prefix)], digest...)
			return operation{p11.NewMechanism(p11.CKM_RSA_PKCS, nil), "CKM_RSA_PKCS", data}, nil
		}
		salt := pss.SaltLength
		switch salt {
		case rsa.PSSSaltLengthAuto: // as long as there is room for, as crypto/rsa does
			salt = (pub.N.BitLen()-1+7)/8 - 2 - hash.Size()
		case rsa.PSSSaltLengthEqualsHash:
			salt = hash.Size()
		}
		if salt < 0 {
			return operation{}, fault.New(fault.Unsupported, opSign, "a PSS salt of %d bytes", salt).
				WithHint("ask for a salt as long as the hash")
		}
		names := pssHash[hash]
		param := p11.NewPSSParams(names.hash, names.mgf, uint(salt))
		return operation{p11.NewMechanism(p11.CKM_RSA_PKCS_PSS, param), "CKM_RSA_PKCS_PSS", digest}, nil
	}
	return operation{}, fault.New(fault.Unsupported, opSign, "a key of the type %T", pub)
}

func fieldSize(pub *ecdsa.PublicKey) int { return (pub.Curve.Params().BitSize + 7) / 8 }

// finish makes a signature of what the token returned. That it has the right
// form is checked, not that it is right.
func finish(pub crypto.PublicKey, raw []byte) ([]byte, error) {
	want := 0
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		want = 2 * fieldSize(pub)
	case *rsa.PublicKey:
		want = pub.Size()
	case ed25519.PublicKey:
		want = ed25519.SignatureSize
	}
	if len(raw) != want {
		return nil, fmt.Errorf("a signature of %d bytes; want %d", len(raw), want)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return raw, nil
	}
	// r and s, of the same length (PKCS #11, 2.3.1 of the mechanisms).
	r, s := new(big.Int).SetBytes(raw[:want/2]), new(big.Int).SetBytes(raw[want/2:])
	order := key.Curve.Params().N
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return nil, fmt.Errorf("an ECDSA signature that is out of range")
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}
