package pki

import (
	"bytes"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// order returns the chain leaf first, or says why there is no such order or
// more than one.
func order(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	for i, c := range certs {
		for j := range i {
			if bytes.Equal(c.Raw, certs[j].Raw) {
				return nil, fmt.Errorf("certificates %d and %d are the same, %s", j+1, i+1, name(c))
			}
		}
	}
	if inOrder(certs) {
		return certs, nil
	}

	// parents[i] are the indices of those that issued certificate i. The leaf
	// is the one that issued no other.
	parents := make([][]int, len(certs))
	isParent := make([]bool, len(certs))
	for i, child := range certs {
		for j, parent := range certs {
			if i != j && issued(parent, child) {
				parents[i] = append(parents[i], j)
				isParent[j] = true
			}
		}
	}
	leaf := -1
	for i := range certs {
		switch {
		case isParent[i]:
		case leaf >= 0:
			return nil, fmt.Errorf("not one chain: neither certificate %d, %s, nor certificate %d, %s, issued any other in the file",
				leaf+1, name(certs[leaf]), i+1, name(certs[i]))
		default:
			leaf = i
		}
	}
	if leaf < 0 {
		return nil, errors.New("the certificates issued one another in a circle: none is the leaf")
	}

	used := make([]bool, len(certs))
	chain := []*x509.Certificate{certs[leaf]}
	used[leaf] = true
	for at := leaf; len(parents[at]) > 0; {
		if len(parents[at]) > 1 {
			return nil, fmt.Errorf("the order is not clear: certificates %s both issued certificate %d, %s",
				list(certs, parents[at]), at+1, name(certs[at]))
		}
		at = parents[at][0]
		if used[at] {
			return nil, fmt.Errorf("certificate %d, %s, is its own issuer by way of others", at+1, name(certs[at]))
		}
		used[at] = true
		chain = append(chain, certs[at])
	}
	for i, c := range certs {
		if !used[i] {
			return nil, fmt.Errorf("certificate %d, %s, does not belong to the chain of certificate %d, %s",
				i+1, name(c), leaf+1, name(certs[leaf]))
		}
	}
	return chain, nil
}

// inOrder reports whether each certificate carries its successor's name as
// that of its issuer. Signatures are left to Check, which has better words for
// a bad one than "not a chain".
func inOrder(certs []*x509.Certificate) bool {
	for i := range len(certs) - 1 {
		if !bytes.Equal(certs[i].RawIssuer, certs[i+1].RawSubject) {
			return false
		}
	}
	// A file that begins with the root could pass when all names are the same.
	return len(certs) == 1 || !bytes.Equal(certs[0].RawIssuer, certs[0].RawSubject)
}

// issued reports whether parent issued child: by name, and by signature where
// crypto/x509 can verify it. For MD5, SHA-1 and algorithms unknown to it the
// key identifiers have to do.
func issued(parent, child *x509.Certificate) bool {
	if !bytes.Equal(parent.RawSubject, child.RawIssuer) {
		return false
	}
	var err error
	// The order of a file proves nothing, so SHA-1 may be asked for it in every
	// mode of FIPS 140-3; crypto/x509 would panic.
	fips140.WithoutEnforcement(func() {
		err = parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
	})
	var insecure x509.InsecureAlgorithmError
	if errors.As(err, &insecure) || errors.Is(err, x509.ErrUnsupportedAlgorithm) {
		return len(child.AuthorityKeyId) == 0 || len(parent.SubjectKeyId) == 0 || bytes.Equal(child.AuthorityKeyId, parent.SubjectKeyId)
	}
	return err == nil
}

// list writes certificates as `1, "CN=A", and 2, "CN=B"`.
func list(certs []*x509.Certificate, indices []int) string {
	var parts []string
	for _, i := range indices {
		parts = append(parts, fmt.Sprintf("%d, %s", i+1, name(certs[i])))
	}
	return strings.Join(parts, ", and ")
}
