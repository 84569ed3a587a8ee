package verify

import (
	"bytes"
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// maxDirectoryNames bounds the directoryNames that are permitted by one CA,
// excluded by it, and names of one certificate below it. One or two of each are
// usual, and each pair is compared.
const maxDirectoryNames = 16

// constrained reports whether a CA of the chain has name constraints that a
// directoryName of a certificate below it breaks. crypto/x509 knows those for DNS, IP,
// mail and URI; ones for directoryName it refuses where they are critical, as
// RFC 5280, 4.2.1.10 has them, and otherwise ignores. Being the only names that
// an authority's certificate need have, they are checked here.
func constrained(chain []*x509.Certificate) bool {
	for i := 1; i < len(chain); i++ {
		n := extension(chain[i], 2, 5, 29, 30)
		if n < 0 {
			continue
		}
		permitted, excluded, ok := subtrees(chain[i].Extensions[n].Value)
		if !ok {
			return true
		}
		for j, below := range chain[:i] {
			// RFC 5280, 6.1.3 (b): not those that a CA issues to itself.
			if j > 0 && bytes.Equal(below.RawIssuer, below.RawSubject) {
				continue
			}
			names := directoryNames(below)
			if len(permitted)+len(excluded) > 0 && len(names) > maxDirectoryNames {
				return true
			}
			for _, name := range names {
				if len(permitted) > 0 && !within(name, permitted) || within(name, excluded) {
					return true
				}
			}
		}
	}
	return false
}

// subtrees returns the directoryNames of name constraints. It reports false for
// what it cannot read.
//
//	NameConstraints ::= SEQUENCE {
//	  permittedSubtrees [0] GeneralSubtrees OPTIONAL,
//	  excludedSubtrees  [1] GeneralSubtrees OPTIONAL }
//	GeneralSubtree ::= SEQUENCE {
//	  base         GeneralName,
//	  minimum  [0] BaseDistance DEFAULT 0,
//	  maximum  [1] BaseDistance OPTIONAL }
func subtrees(value []byte) (permitted, excluded [][]byte, ok bool) {
	s := cryptobyte.String(value)
	var body cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() {
		return nil, nil, false
	}
	for n, out := range []*[][]byte{&permitted, &excluded} {
		var list cryptobyte.String
		var present bool
		if !body.ReadOptionalASN1(&list, &present, asn1.Tag(n).ContextSpecific().Constructed()) {
			return nil, nil, false
		}
		for !list.Empty() {
			var subtree cryptobyte.String
			var base []byte
			if !list.ReadASN1(&subtree, asn1.SEQUENCE) || !der.Element(&subtree, &base) {
				return nil, nil, false
			}
			if base[0] != der.Context(4) {
				continue
			}
			// RFC 5280, 4.2.1.10: minimum and maximum are not used.
			name := directoryName(base)
			if name == nil || !subtree.Empty() || len(*out) == maxDirectoryNames {
				return nil, nil, false
			}
			*out = append(*out, name)
		}
	}
	return permitted, excluded, body.Empty()
}

// directoryNames returns the subject of cert and the directoryNames among its
// subjectAltNames.
func directoryNames(cert *x509.Certificate) [][]byte {
	names := [][]byte{cert.RawSubject}
	n := extension(cert, 2, 5, 29, 17)
	if n < 0 {
		return names
	}
	s := cryptobyte.String(cert.Extensions[n].Value)
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) {
		return names // crypto/x509 has refused it
	}
	var el []byte
	for !list.Empty() && der.Element(&list, &el) {
		if name := directoryName(el); name != nil {
			names = append(names, name)
		}
	}
	return names
}

// within reports whether one of the bases is the beginning of name.
func within(name []byte, bases [][]byte) bool {
	for _, base := range bases {
		if beginsWith(name, base) {
			return true
		}
	}
	return false
}
