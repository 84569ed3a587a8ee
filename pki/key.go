package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strconv"
	"time"
)

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

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
