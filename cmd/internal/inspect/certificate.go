package inspect

import (
	"bytes"
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

// A Certificate describes a certificate. It is part of the JSON of every
// command that shows one.
type Certificate struct {
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

// DescribeCertificate says what c holds.
func DescribeCertificate(c *x509.Certificate) Certificate {
	sum := sha256.Sum256(c.Raw)
	return Certificate{
		Subject:      c.Subject.String(),
		Issuer:       c.Issuer.String(),
		SerialNumber: tsp.NewInteger(c.SerialNumber).Hex(),
		NotBefore:    c.NotBefore.UTC(),
		NotAfter:     c.NotAfter.UTC(),
		Key:          KeyName(c.PublicKey),
		SHA256:       hex.EncodeToString(sum[:]),
	}
}

// DescribeChain says what each certificate of a chain holds.
func DescribeChain(chain []*x509.Certificate) []Certificate {
	out := make([]Certificate, len(chain))
	for i, c := range chain {
		out[i] = DescribeCertificate(c)
	}
	return out
}

// Validity is the time of validity in words, by days.
func (c *Certificate) Validity() string {
	return fmt.Sprintf("valid %s to %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
}

// KeyName is the kind of a public key in words, such as "ECDSA P-256".
func KeyName(pub crypto.PublicKey) string {
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

// A TokenCertificate is one that came with a token.
type TokenCertificate struct {
	Certificate
	// Signer says that the token names this certificate as the signer's.
	Signer bool `json:"signer"`
	// Error says why the certificate could not be read; all but the
	// fingerprint is empty then.
	Error string `json:"error,omitempty"`
}

func tokenCertificate(der []byte, s *tsp.SignerInfo) TokenCertificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		sum := sha256.Sum256(der)
		return TokenCertificate{Certificate: Certificate{SHA256: hex.EncodeToString(sum[:])}, Error: err.Error()}
	}
	out := TokenCertificate{Certificate: DescribeCertificate(c)}
	if s.SubjectKeyID != nil {
		out.Signer = bytes.Equal(s.SubjectKeyID, c.SubjectKeyId)
	} else {
		out.Signer = bytes.Equal(s.Issuer, c.RawIssuer) && s.Serial.Equal(tsp.NewInteger(c.SerialNumber))
	}
	return out
}

// growCertificates hangs each certificate below its issuer.
func (t *Token) growCertificates(n *Node) {
	if len(t.Certificates) == 0 {
		n.Add("certificates: none")
		return
	}
	top := n.Add(fmt.Sprintf("certificates: %d", len(t.Certificates)))
	placed := make([]*Node, len(t.Certificates))
	var place func(i int, path map[int]bool) *Node
	place = func(i int, path map[int]bool) *Node {
		if placed[i] != nil {
			return placed[i]
		}
		path[i] = true
		parent := top
		for j, c := range t.Certificates {
			if j != i && !path[j] && c.Error == "" && c.Subject == t.Certificates[i].Issuer {
				parent = place(j, path)
				break
			}
		}
		placed[i] = t.Certificates[i].grow(parent)
		return placed[i]
	}
	for i := range t.Certificates {
		place(i, map[int]bool{})
	}
}

func (c *TokenCertificate) grow(parent *Node) *Node {
	if c.Error != "" {
		return parent.Add("unreadable certificate: " + c.Error)
	}
	mark := ""
	if c.Signer {
		mark = "  ← signer"
	}
	n := parent.Add(c.Subject + mark)
	n.Add(c.Key + ", " + c.Validity())
	n.Add("SHA-256 fingerprint " + c.SHA256)
	if c.Issuer != c.Subject {
		n.Add("issued by " + c.Issuer)
	}
	return n
}
