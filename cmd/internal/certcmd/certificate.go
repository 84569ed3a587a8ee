package certcmd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// certificateJSON describes a certificate of a chain.
type certificateJSON struct {
	// Subject and Issuer are names in the form of RFC 2253.
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// SerialNumber is hexadecimal, with 0x.
	SerialNumber string    `json:"serialNumber"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	// Key is such as "ECDSA P-256" or "RSA 3072".
	Key string `json:"key"`
	// SHA256 is the SHA-256 of the whole certificate, hexadecimal.
	SHA256 string `json:"sha256Fingerprint"`
}

func describe(c *x509.Certificate) certificateJSON {
	sum := sha256.Sum256(c.Raw)
	return certificateJSON{
		Subject:      c.Subject.String(),
		Issuer:       c.Issuer.String(),
		SerialNumber: tsp.NewInteger(c.SerialNumber).Hex(),
		NotBefore:    c.NotBefore.UTC(),
		NotAfter:     c.NotAfter.UTC(),
		Key:          keyName(c.PublicKey),
		SHA256:       hex.EncodeToString(sum[:]),
	}
}

func describeAll(chain []*x509.Certificate) []certificateJSON {
	out := make([]certificateJSON, len(chain))
	for i, c := range chain {
		out[i] = describe(c)
	}
	return out
}

func keyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown key"
}

// place names the place of certificate i of a chain.
func place(i int, c certificateJSON) string {
	switch {
	case i == 0:
		return "leaf"
	case c.Subject == c.Issuer:
		return "root"
	}
	return "intermediate"
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
