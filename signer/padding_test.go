package signer_test

import (
	"crypto"
	"crypto/rsa"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// tied is a signer that says what its service ties it to.
type tied struct {
	signer.Signer
	hashes   []crypto.Hash
	paddings []signer.Padding
}

func (t tied) Hashes() []crypto.Hash      { return t.hashes }
func (t tied) Paddings() []signer.Padding { return t.paddings }

func TestUsualOptions(t *testing.T) {
	rsaKey, ec := testKey(t, "rsa2048"), testKey(t, "p384")
	for _, tt := range []struct {
		name         string
		signer       signer.Signer
		hash         crypto.Hash
		pss          bool // in the options
		v15, offered bool // what is offered: PKCS #1 v1.5, PSS
	}{
		{"RSA", rsaKey, crypto.SHA256, false, true, true},
		{"RSA, tied to nothing", tied{Signer: rsaKey}, crypto.SHA256, false, true, true},
		{"RSA, SHA-512 alone", tied{rsaKey, []crypto.Hash{crypto.SHA512}, nil}, crypto.SHA512, false, true, true},
		{"RSA, SHA-512 first", tied{rsaKey, []crypto.Hash{crypto.SHA512, crypto.SHA256}, nil}, crypto.SHA256, false, true, true},
		{"RSA, PSS alone", tied{rsaKey, nil, []signer.Padding{signer.PSS}}, crypto.SHA256, true, false, true},
		{"RSA, PSS with SHA-512", tied{rsaKey, []crypto.Hash{crypto.SHA512}, []signer.Padding{signer.PSS}}, crypto.SHA512, true, false, true},
		{"RSA, PSS first", tied{rsaKey, nil, []signer.Padding{signer.PSS, signer.PKCS1v15}}, crypto.SHA256, false, true, true},
		{"RSA, PKCS #1 v1.5", tied{rsaKey, nil, []signer.Padding{signer.PKCS1v15}}, crypto.SHA256, false, true, false},
		{"EC", ec, crypto.SHA384, false, false, false},
		{"EC, tied to nothing", tied{Signer: ec}, crypto.SHA384, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, err := signer.UsualOptions(tt.signer)
			if err != nil {
				t.Fatal(err)
			}
			pss, isPSS := opts.(*rsa.PSSOptions)
			if opts.HashFunc() != tt.hash || isPSS != tt.pss || isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash {
				t.Errorf("got %#v; want %v, PSS %t", opts, tt.hash, tt.pss)
			}
			if v15, pss := signer.Offers(tt.signer, signer.PKCS1v15), signer.Offers(tt.signer, signer.PSS); v15 != tt.v15 || pss != tt.offered {
				t.Errorf("offers PKCS #1 v1.5 %t and PSS %t; want %t and %t", v15, pss, tt.v15, tt.offered)
			}
		})
	}
}
