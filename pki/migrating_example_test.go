package pki_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// newTimestampingCertWithChain is signer.NewTimestampingCertWithChain of
// sigstore/timestamp-authority.
func newTimestampingCertWithChain(key *signer.Key) ([]*x509.Certificate, error) {
	root, err := signer.Generate(signer.P256)
	if err != nil {
		return nil, err
	}
	intermediate, err := signer.Generate(signer.P256)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return pki.CreateChain(pki.ChainConfig{
		Role:            pki.RoleTSA,
		Subject:         pkix.Name{Organization: []string{"local"}, CommonName: "Test TSA"},
		RootKey:         signer.Crypto(ctx, root),
		IntermediateKey: signer.Crypto(ctx, intermediate),
		LeafKey:         key.Public(),
	})
}

// What signer.NewTimestampingCertWithChain(key) of
// sigstore/timestamp-authority does: a chain for a key, whose CAs are
// forgotten.
func ExampleCreateChain_newTimestampingCertWithChain() {
	key, err := signer.Generate(signer.P256)
	if err != nil {
		log.Fatal(err)
	}
	chain, err := newTimestampingCertWithChain(key)
	if err != nil {
		log.Fatal(err)
	}
	for _, cert := range chain {
		fmt.Println(cert.Subject.CommonName)
	}
	// Output:
	// Test TSA
	// Test TSA Issuing CA
	// Test TSA Root CA
}

// What x509.VerifyCertChain(certs, signer, enforceIntermediateEku) of
// sigstore/timestamp-authority does. Its error says which rule was broken.
func ExampleCheck_verifyCertChain() {
	verifyCertChain := func(certs []*x509.Certificate, key *signer.Key, enforceIntermediateEKU bool) error {
		return pki.Check(certs, pki.CheckOptions{
			Role:                   pki.RoleTSA,
			PublicKey:              key.Public(),
			EnforceIntermediateEKU: enforceIntermediateEKU,
		}).Err()
	}

	key, err := signer.Generate(signer.P256)
	if err != nil {
		log.Fatal(err)
	}
	chain, err := newTimestampingCertWithChain(key)
	if err != nil {
		log.Fatal(err)
	}
	other, err := signer.Generate(signer.P256)
	if err != nil {
		log.Fatal(err)
	}
	for _, test := range []struct {
		chain []*x509.Certificate
		key   *signer.Key
	}{{chain, key}, {chain, other}, {chain[:1], key}, {chain[1:], key}} {
		err := verifyCertChain(test.chain, test.key, true)
		var broken *pki.ChainError
		if errors.As(err, &broken) {
			fmt.Println(broken.Finding.Rule)
		} else {
			fmt.Println(err)
		}
	}
	// Output:
	// <nil>
	// leaf-key
	// chain-length
	// leaf-ca
}
