package tsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // hashes that an imprint is made with
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// maxDigest is the longest hashedMessage that is parsed: no hash function in
// use has more than 64 octets.
const maxDigest = 128

// An Imprint is what is stamped: a hash algorithm and a digest.
//
//	MessageImprint ::= SEQUENCE {
//	  hashAlgorithm AlgorithmIdentifier,
//	  hashedMessage OCTET STRING }
type Imprint struct {
	// Hash is the hash function, 0 when a parsed imprint names one that this
	// package does not know. That it is known does not mean that it is strong.
	Hash   crypto.Hash
	Digest []byte

	// algorithm is the AlgorithmIdentifier as it came: NULL and absent
	// parameters both occur, and "MUST have the same value" in the answer
	// (RFC 3161, 2.4.2). Nil in an imprint made here.
	algorithm []byte
}

// NewImprint returns the imprint of data that was hashed before. The hash must
// be SHA-2 or SHA-3 with at least 256 bits, and the digest of its length.
func NewImprint(h crypto.Hash, digest []byte) (Imprint, error) {
	if !oid.Strong(h) {
		return Imprint{}, fmt.Errorf("tsp: %s is not a hash to stamp with: use SHA-256, SHA-384, SHA-512 or SHA-3", oid.HashName(h))
	}
	if len(digest) != h.Size() {
		return Imprint{}, fmt.Errorf("tsp: digest is %d bytes long, %v needs %d", len(digest), h, h.Size())
	}
	return Imprint{Hash: h, Digest: bytes.Clone(digest)}, nil
}

// ReadImprint hashes everything that r has. It holds little of it in memory.
func ReadImprint(h crypto.Hash, r io.Reader) (Imprint, error) {
	if !oid.Strong(h) {
		return NewImprint(h, nil)
	}
	w := h.New()
	if _, err := io.Copy(w, r); err != nil {
		return Imprint{}, fmt.Errorf("tsp: hashing: %w", err)
	}
	return NewImprint(h, w.Sum(nil))
}

// Algorithm returns the identifier of the hash algorithm.
func (m Imprint) Algorithm() x509.OID {
	id, _ := oid.Public(m.algorithmOID())
	return id
}

// AlgorithmName returns "SHA-256" and the like, the dotted identifier of an
// algorithm without a name.
func (m Imprint) AlgorithmName() string {
	if m.Hash != 0 {
		return oid.HashName(m.Hash)
	}
	return oid.Dotted(m.algorithmOID())
}

func (m Imprint) algorithmOID() []byte {
	if m.algorithm == nil {
		return []byte(oid.OfHash(m.Hash))
	}
	s := cryptobyte.String(m.algorithm)
	var a cms.Algorithm
	cms.ReadAlgorithm(&s, &a)
	return a.OID
}

// Equal reports whether both imprints have the same algorithm and digest. Hash
// parameters that are absent and ones that are NULL are the same (RFC 5754, 2),
// but with a hash that is not known, whose parameters could mean anything.
func (m Imprint) Equal(o Imprint) bool {
	if m.Hash != o.Hash || !bytes.Equal(m.Digest, o.Digest) {
		return false
	}
	return m.Hash != 0 || bytes.Equal(m.algorithm, o.algorithm)
}

// RawAlgorithm returns the DER of the AlgorithmIdentifier: as it came in a
// parsed imprint, with NULL parameters, as most clients send them, in one made
// by [NewImprint].
func (m Imprint) RawAlgorithm() []byte {
	if m.algorithm != nil {
		return m.algorithm
	}
	return der.Make(der.TagSequence,
		der.Make(der.TagOID, []byte(oid.OfHash(m.Hash))), der.Make(der.TagNull))
}

// errHashParameters is told apart because it is refused as badAlg, not
// badDataFormat.
var errHashParameters = errors.New("messageImprint: hashAlgorithm has parameters that are neither absent nor NULL")

// readImprint reads a MessageImprint. It checks the length of the digest where
// the algorithm is known, and nothing else about either (RFC 3161, 2.1).
func readImprint(s *cryptobyte.String, m *Imprint) error {
	var body, digest cryptobyte.String
	var a cms.Algorithm
	if !s.ReadASN1(&body, asn1.SEQUENCE) {
		return errors.New("messageImprint: not a SEQUENCE")
	}
	if !cms.ReadAlgorithm(&body, &a) {
		return errors.New("messageImprint: malformed hashAlgorithm")
	}
	if !a.AbsentOrNull() {
		return errHashParameters
	}
	if !body.ReadASN1(&digest, asn1.OCTET_STRING) || !body.Empty() {
		return errors.New("messageImprint: malformed hashedMessage")
	}
	m.Hash, m.Digest, m.algorithm = oid.Hash(a.OID), digest, a.Raw
	switch {
	case m.Hash != 0 && len(digest) != m.Hash.Size():
		return fmt.Errorf("messageImprint: digest is %d bytes long, %v needs %d", len(digest), m.Hash, m.Hash.Size())
	case len(digest) == 0:
		return errors.New("messageImprint: digest is empty")
	case len(digest) > maxDigest:
		return fmt.Errorf("messageImprint: digest is %d bytes long, at most %d are read", len(digest), maxDigest)
	}
	return nil
}

func (m Imprint) marshal() ([]byte, error) {
	if m.algorithm == nil && oid.OfHash(m.Hash) == "" {
		return nil, errors.New("messageImprint: no hash algorithm")
	}
	if m.Hash != 0 && len(m.Digest) != m.Hash.Size() {
		return nil, fmt.Errorf("messageImprint: digest is %d bytes long, %v needs %d", len(m.Digest), m.Hash, m.Hash.Size())
	}
	return der.Make(der.TagSequence, m.RawAlgorithm(), der.Make(der.TagOctetString, m.Digest)), nil
}
