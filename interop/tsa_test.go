package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A tsa is a running timestamp authority, ours or another's, and its certificates as its users keep them.
type tsa struct {
	base          string // http://HOST:PORT
	url           string // where requests go
	chain         string // PEM file: leaf, intermediates, root
	root          string // PEM file: root
	intermediates string // PEM file: intermediates
	certificates  []*x509.Certificate
}

// newTSA describes the authority at base, with its chain in PEM, from leaf to root.
func newTSA(t *testing.T, base string, chainPEM []byte) *tsa {
	t.Helper()
	w := scratch(t)
	a := &tsa{base: base, url: base + "/api/v1/timestamp", chain: w.write(t, "chain.pem", chainPEM)}
	var blocks [][]byte
	for rest := chainPEM; ; {
		block, more := pem.Decode(rest)
		if block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		a.certificates = append(a.certificates, cert)
		blocks = append(blocks, pem.EncodeToMemory(block))
		rest = more
	}
	n := len(blocks)
	if n < 2 {
		t.Fatalf("got a chain of %d certificates, want a leaf and a root at least", n)
	}
	if last := a.certificates[n-1]; !bytes.Equal(last.RawIssuer, last.RawSubject) {
		t.Fatalf("the chain ends with %s, want a root", last.Subject)
	}
	a.root = w.write(t, "root.pem", blocks[n-1])
	a.intermediates = w.write(t, "intermediates.pem", bytes.Join(blocks[1:n-1], nil))
	return a
}

// chainAt fetches the chain of the authority at base.
func chainAt(t *testing.T, base string) []byte {
	t.Helper()
	return get(t, base+"/api/v1/timestamp/certchain")
}

// foreignCertificate makes a root certificate that has nothing to do with anybody.
func foreignCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	cert, _ := selfSigned(t, foreignTemplate())
	return cert
}

// foreignRoot leaves one in a PEM file.
func foreignRoot(t *testing.T, w *tool) string {
	t.Helper()
	return w.write(t, "foreign.pem", pemOf(foreignCertificate(t)))
}

// foreignChain leaves in a PEM file the chain, leaf and root, of an authority that does not exist.
func foreignChain(t *testing.T, w *tool) string {
	t.Helper()
	root, rootKey := selfSigned(t, foreignTemplate())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 3161, 2.3: the extended key usage is critical, which ExtKeyUsage cannot say.
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber:    big.NewInt(2),
		Subject:         pkix.Name{CommonName: "foreign leaf"},
		NotBefore:       root.NotBefore,
		NotAfter:        root.NotAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	return w.write(t, "foreign-chain.pem", append(pemOf(&x509.Certificate{Raw: der}), pemOf(root)...))
}

func foreignTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "foreign root"},
		NotAfter:              time.Now().AddDate(20, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
}

// selfSigned makes a P-256 key and a certificate for it after a template, valid since an hour ago.
func selfSigned(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(1), time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
