package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"

	"github.com/fencepost-tsa/fencepost/pki"
)

// Make the chain of a timestamp authority, write it, read it back and check it
// against the key that will sign.
func Example() {
	var keys []*ecdsa.PrivateKey // root, intermediate, leaf; in practice the last is in an HSM
	for range 3 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		keys = append(keys, key)
	}
	chain, err := pki.CreateChain(pki.ChainConfig{
		Role:    pki.RoleTSA,
		Subject: pkix.Name{Country: []string{"XX"}, Organization: []string{"Example"}, CommonName: "Example TSA 1"},
		RootKey: keys[0], IntermediateKey: keys[1], LeafKey: keys[2].Public(),
	})
	if err != nil {
		log.Fatal(err)
	}
	file := pki.EncodeChain(chain)

	chain, err = pki.ParseChain(file)
	if err != nil {
		log.Fatal(err)
	}
	for _, cert := range chain {
		fmt.Println(cert.Subject.CommonName)
	}
	report := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: keys[2].Public()})
	fmt.Println(report.Err())
	report = pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: keys[1].Public()})
	fmt.Println(report.Err())
	// Output:
	// Example TSA 1
	// Example TSA 1 Issuing CA
	// Example TSA 1 Root CA
	// <nil>
	// pki: certificate 1 of the chain, "CN=Example TSA 1,O=Example,C=XX": it certifies another public key than that of the signer (leaf-key; EN 319 421, TIS-7.6.4)
}

// Ask a CA for the certificate of an issuing CA, and be that CA: it takes the
// key and the name, and decides the rest.
func ExampleCreateRequest() {
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	req, err := pki.CreateRequest(pki.RequestConfig{
		Role:    pki.RoleCA,
		Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "Example Signing CA"},
		Key:     newKey(),
	})
	if err != nil {
		log.Fatal(err)
	}
	file := pki.EncodeRequest(req)

	rootKey := newKey()
	root, err := pki.CreateRoot(pki.Config{
		Role: pki.RoleCA, Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "Example Root CA"}, IssuerKey: rootKey,
	})
	if err != nil {
		log.Fatal(err)
	}
	asked, err := pki.ParseRequest(file)
	if err != nil {
		log.Fatal(err) // also when the one who asks does not have the key
	}
	issued, err := pki.CreateIntermediate(pki.Config{
		Role: pki.RoleCA, RawSubject: asked.RawSubject, PublicKey: asked.PublicKey, Issuer: root, IssuerKey: rootKey,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(issued.Subject, issued.IsCA)
	fmt.Println(pki.Check([]*x509.Certificate{issued, root}, pki.CheckOptions{Role: pki.RoleCA}).Err())
	// Output:
	// CN=Example Signing CA,O=Example true
	// <nil>
}
