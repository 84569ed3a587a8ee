package tsptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
)

// GenerateForge returns a Forge with new P-256 keys and a chain that began to
// be valid two years ago, for use outside tests.
func GenerateForge() (*Forge, error) {
	f, err := generate("Hostile Test TSA")
	if err != nil {
		return nil, fmt.Errorf("tsptest: making a chain: %w", err)
	}
	other, err := generate("Other Test TSA")
	if err != nil {
		return nil, fmt.Errorf("tsptest: making a chain: %w", err)
	}
	f.Other = other.Identity
	return f, nil
}

func generate(name string) (*Forge, error) {
	var keys [3]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	root, intermediate, leaf := keys[0], keys[1], keys[2]
	subject := pkix.Name{Organization: []string{"Hostile tests"}, CommonName: name}
	notBefore := time.Now().AddDate(-2, 0, 0)
	chain, err := pki.CreateChain(pki.ChainConfig{
		Role: pki.RoleTSA, Subject: subject, NotBefore: notBefore,
		RootKey: root, IntermediateKey: intermediate, LeafKey: leaf.Public(),
	})
	if err != nil {
		return nil, err
	}
	f := &Forge{Identity: Identity{Chain: raw(chain...), Key: leaf}}
	reissued, err := pki.CreateLeaf(pki.Config{
		Role: pki.RoleTSA, Subject: subject, PublicKey: leaf.Public(), NotBefore: notBefore,
		Issuer: chain[1], IssuerKey: intermediate,
	})
	if err != nil {
		return nil, err
	}
	f.Reissued = reissued.Raw
	f.CRL, err = pki.CreateCRL(pki.CRLConfig{Issuer: chain[1], IssuerKey: intermediate, Number: big.NewInt(1)})
	return f, err
}

func raw(certificates ...*x509.Certificate) [][]byte {
	var out [][]byte
	for _, c := range certificates {
		out = append(out, c.Raw)
	}
	return out
}
