package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strconv"
	"time"
)

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// minRSABits is the shortest RSA modulus accepted: 112 bits of security (NIST
// SP 800-131A), and the least that any timestamp verifier in use still takes.
const minRSABits = 2048

// keyFault says why a public key is too weak or of a kind unknown here; empty
// when it is neither.
func keyFault(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return fmt.Sprintf("RSA with %d bits, want at least %d", k.N.BitLen(), minRSABits)
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Sprintf("ECDSA on %s, want P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case nil:
		return "of an unknown kind, want RSA, ECDSA or Ed25519"
	default:
		return fmt.Sprintf("of an unknown kind (%T), want RSA, ECDSA or Ed25519", pub)
	}
	return ""
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// hasPathLen reports whether a parsed CA certificate limits the path below it;
// see x509.Certificate.MaxPathLenZero.
func hasPathLen(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero)
}

// maxNameText is the longest name printed in a message: a hostile certificate
// must not fill the screen.
const maxNameText = 200

// subjectText returns the subject as text, the serial number when it is empty.
func subjectText(c *x509.Certificate) string {
	s := c.Subject.String()
	if s == "" {
		s = fmt.Sprintf("serial %x", c.SerialNumber)
	}
	return shorten(s)
}

// name returns the subject for messages, quoted.
func name(c *x509.Certificate) string { return strconv.Quote(subjectText(c)) }

func shorten(s string) string {
	if len(s) > maxNameText {
		return s[:maxNameText] + "..."
	}
	return s
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
