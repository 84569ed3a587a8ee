package oid

import (
	"crypto"
	"fmt"
)

// Content octets of the hash algorithm identifiers.
const (
	MD5        = "\x2a\x86\x48\x86\xf7\x0d\x02\x05"     // 1.2.840.113549.2.5
	SHA1       = "\x2b\x0e\x03\x02\x1a"                 // 1.3.14.3.2.26
	SHA224     = "\x60\x86\x48\x01\x65\x03\x04\x02\x04" // 2.16.840.1.101.3.4.2.4
	SHA256     = "\x60\x86\x48\x01\x65\x03\x04\x02\x01" // 2.16.840.1.101.3.4.2.1
	SHA384     = "\x60\x86\x48\x01\x65\x03\x04\x02\x02" // 2.16.840.1.101.3.4.2.2
	SHA512     = "\x60\x86\x48\x01\x65\x03\x04\x02\x03" // 2.16.840.1.101.3.4.2.3
	SHA512_224 = "\x60\x86\x48\x01\x65\x03\x04\x02\x05" // 2.16.840.1.101.3.4.2.5
	SHA512_256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x06" // 2.16.840.1.101.3.4.2.6
	SHA3_224   = "\x60\x86\x48\x01\x65\x03\x04\x02\x07" // 2.16.840.1.101.3.4.2.7
	SHA3_256   = "\x60\x86\x48\x01\x65\x03\x04\x02\x08" // 2.16.840.1.101.3.4.2.8
	SHA3_384   = "\x60\x86\x48\x01\x65\x03\x04\x02\x09" // 2.16.840.1.101.3.4.2.9
	SHA3_512   = "\x60\x86\x48\x01\x65\x03\x04\x02\x0a" // 2.16.840.1.101.3.4.2.10
)

// Hash returns the hash function that content octets name, 0 when they name
// none that Go has a number for. Knowing a hash is not trusting it: MD5 and
// SHA-1 are here so that they can be refused by name.
func Hash(content []byte) crypto.Hash {
	switch string(content) {
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	case SHA3_256:
		return crypto.SHA3_256
	case SHA3_384:
		return crypto.SHA3_384
	case SHA3_512:
		return crypto.SHA3_512
	case MD5:
		return crypto.MD5
	case SHA1:
		return crypto.SHA1
	case SHA224:
		return crypto.SHA224
	case SHA512_224:
		return crypto.SHA512_224
	case SHA512_256:
		return crypto.SHA512_256
	case SHA3_224:
		return crypto.SHA3_224
	}
	return 0
}

// OfHash returns the content octets of the identifier of h, "" when there is
// none in the table.
func OfHash(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return SHA256
	case crypto.SHA384:
		return SHA384
	case crypto.SHA512:
		return SHA512
	case crypto.SHA3_256:
		return SHA3_256
	case crypto.SHA3_384:
		return SHA3_384
	case crypto.SHA3_512:
		return SHA3_512
	case crypto.MD5:
		return MD5
	case crypto.SHA1:
		return SHA1
	case crypto.SHA224:
		return SHA224
	case crypto.SHA512_224:
		return SHA512_224
	case crypto.SHA512_256:
		return SHA512_256
	case crypto.SHA3_224:
		return SHA3_224
	}
	return ""
}

// HashName returns the name of h for people. It has an answer for any number;
// [crypto.Hash.String] has none but for those that it knows.
func HashName(h crypto.Hash) string {
	if OfHash(h) == "" {
		return fmt.Sprintf("hash number %d", uint(h))
	}
	return h.String()
}

// Strong reports whether h is good enough for a timestamp: SHA-2 or SHA-3
// with 256 bits or more (ETSI TS 119 312; CSBR 6.8 forbids SHA-1).
func Strong(h crypto.Hash) bool {
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512,
		crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512:
		return true
	}
	return false
}

// Scheme is the way in which a signature is made.
type Scheme int

// The signature schemes that tokens are signed with.
const (
	PKCS1v15 Scheme = iota + 1
	PSS
	ECDSA
	Ed25519
)

// Content octets of the signature algorithm identifiers.
const (
	RSAEncryption   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" // 1.2.840.113549.1.1.1
	SHA1WithRSA     = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05" // 1.2.840.113549.1.1.5
	RSAPSS          = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" // 1.2.840.113549.1.1.10
	SHA256WithRSA   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b" // 1.2.840.113549.1.1.11
	SHA384WithRSA   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" // 1.2.840.113549.1.1.12
	SHA512WithRSA   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" // 1.2.840.113549.1.1.13
	ECPublicKey     = "\x2a\x86\x48\xce\x3d\x02\x01"         // 1.2.840.10045.2.1
	ECDSAWithSHA1   = "\x2a\x86\x48\xce\x3d\x04\x01"         // 1.2.840.10045.4.1
	ECDSAWithSHA256 = "\x2a\x86\x48\xce\x3d\x04\x03\x02"     // 1.2.840.10045.4.3.2
	ECDSAWithSHA384 = "\x2a\x86\x48\xce\x3d\x04\x03\x03"     // 1.2.840.10045.4.3.3
	ECDSAWithSHA512 = "\x2a\x86\x48\xce\x3d\x04\x03\x04"     // 1.2.840.10045.4.3.4
	PureEd25519     = "\x2b\x65\x70"                         // 1.3.101.112
)

// A Signature says how a signature algorithm identifier is to be read.
type Signature struct {
	Scheme Scheme
	// Hash is the hash that the identifier fixes. It is 0 where the identifier
	// leaves it open: rsaEncryption (the SignerInfo's digest algorithm
	// decides), RSASSA-PSS (its parameters decide) and Ed25519 (none).
	Hash crypto.Hash
}

// SignatureAlgorithm returns the meaning of a signature algorithm identifier.
// It reports false for one that a token must not be signed with, SHA-1 and
// the bare id-ecPublicKey among them.
func SignatureAlgorithm(content []byte) (Signature, bool) {
	switch string(content) {
	case ECDSAWithSHA256:
		return Signature{ECDSA, crypto.SHA256}, true
	case ECDSAWithSHA384:
		return Signature{ECDSA, crypto.SHA384}, true
	case ECDSAWithSHA512:
		return Signature{ECDSA, crypto.SHA512}, true
	case RSAEncryption:
		return Signature{PKCS1v15, 0}, true
	case SHA256WithRSA:
		return Signature{PKCS1v15, crypto.SHA256}, true
	case SHA384WithRSA:
		return Signature{PKCS1v15, crypto.SHA384}, true
	case SHA512WithRSA:
		return Signature{PKCS1v15, crypto.SHA512}, true
	case RSAPSS:
		return Signature{PSS, 0}, true
	case PureEd25519:
		return Signature{Ed25519, 0}, true
	}
	return Signature{}, false
}
