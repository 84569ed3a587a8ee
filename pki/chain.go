package pki

import (
	"crypto/x509"
	"encoding/pem"
)

// EncodeChain writes certificates in PEM, in the given order, without comments.
func EncodeChain(chain []*x509.Certificate) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
