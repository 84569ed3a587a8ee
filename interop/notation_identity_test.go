package interop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An identity is somebody who signs: a key, and a chain of root, intermediate and leaf in the Notary Project's
// profile.
type identity struct {
	key, chain string // PEM files
	root       []byte // PEM
	leaf, ca   *x509.Certificate
	caKey      crypto.Signer
}

// newIdentity makes one whose leaf is valid from an hour ago, and from now on for so long.
func newIdentity(t *testing.T, keyType string, life time.Duration) *identity {
	t.Helper()
	return bentIdentity(t, keyType, func(leaf *x509.Certificate) { leaf.NotAfter = time.Now().Add(life) })
}

// bentIdentity makes one and lets its leaf be changed before it is issued.
func bentIdentity(t *testing.T, keyType string, bend func(leaf *x509.Certificate)) *identity {
	t.Helper()
	w := scratch(t)
	now := time.Now()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial),
			Subject: pkix.Name{Country: []string{"US"}, Province: []string{"WA"},
				Organization: []string{"Fencepost Interop"}, CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	rootKey, caKey, key := newKey(t, "p256"), newKey(t, "p256"), newKey(t, keyType)
	root := certify(t, template(1, "Root"), nil, rootKey, rootKey)
	ca := certify(t, template(2, "CA"), root, caKey, rootKey)
	end := template(3, "Signer")
	end.IsCA = false
	end.KeyUsage, end.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	bend(end)
	leaf := certify(t, end, ca, key, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{
		key:   w.write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		chain: w.write(t, "chain.pem", bytes.Join([][]byte{pemOf(leaf), pemOf(ca), pemOf(root)}, nil)),
		root:  pemOf(root),
		leaf:  leaf,
		ca:    ca,
		caKey: caKey,
	}
}

// newKey makes a key of one of our types.
func newKey(t *testing.T, keyType string) crypto.Signer {
	t.Helper()
	curves := map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}
	sizes := map[string]int{"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}
	var key crypto.Signer
	var err error
	if curve, ok := curves[keyType]; ok {
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else if size, ok := sizes[keyType]; ok {
		key, err = rsa.GenerateKey(rand.Reader, size)
	} else {
		t.Fatalf("no key is of type %s", keyType)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify issues a certificate; that of no issuer is self-signed.
func certify(t *testing.T, template, issuer *x509.Certificate, key, issuerKey crypto.Signer) *x509.Certificate {
	t.Helper()
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A trust is what a verifier trusts, and how: one statement for all images, and the same for all files.
type trust struct {
	ca, tsa         []byte // the roots in the stores ca:signers and tsa:stampers, in PEM; without roots no store
	authority       []byte // the same in signingAuthority:signers
	level           string // strict if empty
	override        map[string]string
	verifyTimestamp string
	identities      []string // any if empty; nobody where the level is skip
}

// A statement is one of a trust policy document.
type statement struct {
	Name         string       `json:"name"`
	Scopes       []string     `json:"registryScopes,omitempty"`
	Global       bool         `json:"globalPolicy,omitempty"`
	Verification verification `json:"signatureVerification"`
	Stores       []string     `json:"trustStores,omitempty"`
	Identities   []string     `json:"trustedIdentities,omitempty"`
}

type verification struct {
	Level           string            `json:"level"`
	Override        map[string]string `json:"override,omitempty"`
	VerifyTimestamp string            `json:"verifyTimestamp,omitempty"`
}

// config writes a configuration directory of Notation's and returns it.
func (tr trust) config(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	st := statement{Name: "all", Identities: tr.identities,
		Verification: verification{Level: tr.level, Override: tr.override, VerifyTimestamp: tr.verifyTimestamp}}
	if tr.level == "" {
		st.Verification.Level = "strict"
	}
	if len(st.Identities) == 0 && tr.level != "skip" {
		st.Identities = []string{"*"}
	}
	if tr.ca != nil {
		st.Stores = append(st.Stores, "ca:signers")
		write("truststore/x509/ca/signers/root.pem", tr.ca)
	}
	if tr.authority != nil {
		st.Stores = append(st.Stores, "signingAuthority:signers")
		write("truststore/x509/signingAuthority/signers/root.pem", tr.authority)
	}
	if tr.tsa != nil {
		st.Stores = append(st.Stores, "tsa:stampers")
		write("truststore/x509/tsa/stampers/root.pem", tr.tsa)
	}
	images, files := st, st
	images.Scopes, files.Global = []string{"*"}, true
	for name, st := range map[string]statement{"trustpolicy.json": images, "trustpolicy.blob.json": files} {
		data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []statement{st}})
		if err != nil {
			t.Fatal(err)
		}
		write(name, data)
	}
	return dir
}

// rootPEM is the root of an authority, as a trust store has it.
func (a *tsa) rootPEM() []byte { return pemOf(a.certificates[len(a.certificates)-1]) }
