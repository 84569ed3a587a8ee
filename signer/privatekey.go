package signer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The parsers here are stricter than those of crypto/x509, which ignore what
// follows a key and do not compare its public half.

var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}

	oidP256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384 = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
	oidP521 = asn1.ObjectIdentifier{1, 3, 132, 0, 35}
)

// otherNames are algorithms and curves that are refused by name.
var otherNames = map[string]string{
	"1.2.840.10040.4.1":     "DSA",
	"1.2.840.113549.1.1.10": "RSASSA-PSS",
	"1.3.101.110":           "X25519",
	"1.3.101.111":           "X448",
	"1.3.101.113":           "Ed448",
	"1.2.840.10045.3.1.1":   "P-192",
	"1.3.132.0.33":          "P-224",
	"1.3.132.0.10":          "secp256k1",
	"1.3.36.3.3.2.8.1.1.7":  "brainpoolP256r1",
	"1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
	"1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}

// maxOIDText is how much of the dotted form of a hostile OID is printed.
const maxOIDText = 60

func oidName(oid asn1.ObjectIdentifier) string {
	dotted := oid.String()
	if name, ok := otherNames[dotted]; ok {
		return name + " (" + dotted + ")"
	}
	if len(dotted) > maxOIDText {
		return dotted[:maxOIDText] + "..."
	}
	return dotted
}

func curveOf(oid asn1.ObjectIdentifier) (elliptic.Curve, error) {
	switch {
	case oid.Equal(oidP256):
		return elliptic.P256(), nil
	case oid.Equal(oidP384):
		return elliptic.P384(), nil
	case oid.Equal(oidP521):
		return elliptic.P521(), nil
	}
	return nil, fmt.Errorf("EC key on the curve %s; want P-256, P-384 or P-521", oidName(oid))
}

// parsePKCS8 reads a PKCS #8 private key.
//
//	OneAsymmetricKey ::= SEQUENCE {
//	  version                   Version,             -- v1(0), v2(1)
//	  privateKeyAlgorithm       PrivateKeyAlgorithmIdentifier,
//	  privateKey                PrivateKey,          -- OCTET STRING
//	  attributes            [0] Attributes OPTIONAL,
//	  ...,
//	  [[2: publicKey        [1] PublicKey OPTIONAL ]],  -- BIT STRING
//	  ...
//	}
//
// RFC 5958, 2. Attributes are ignored.
func parsePKCS8(der []byte) (crypto.Signer, error) {
	in := cryptobyte.String(der)
	var seq, algorithm, private, attributes, public cryptobyte.String
	var version int64
	var oid asn1.ObjectIdentifier
	var hasPublic bool
	switch {
	case !in.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE):
		return nil, errors.New("PKCS #8: not a SEQUENCE")
	case !in.Empty():
		return nil, errors.New("PKCS #8: trailing data")
	case !seq.ReadASN1Integer(&version):
		return nil, errors.New("PKCS #8: malformed version")
	case version != 0 && version != 1:
		return nil, fmt.Errorf("PKCS #8: version %d; want 0 or 1", version)
	case !seq.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid):
		return nil, errors.New("PKCS #8: malformed privateKeyAlgorithm")
	case !seq.ReadASN1(&private, cryptobyte_asn1.OCTET_STRING):
		return nil, errors.New("PKCS #8: malformed privateKey")
	case !seq.ReadOptionalASN1(&attributes, nil, cryptobyte_asn1.Tag(0).ContextSpecific().Constructed()):
		return nil, errors.New("PKCS #8: malformed attributes")
	case !seq.ReadOptionalASN1(&public, &hasPublic, cryptobyte_asn1.Tag(1).ContextSpecific()):
		return nil, errors.New("PKCS #8: malformed publicKey")
	case hasPublic && version == 0:
		return nil, errors.New("PKCS #8: publicKey in version 0")
	case !seq.Empty():
		return nil, errors.New("PKCS #8: unknown field after the key")
	}
	key, err := parsePKCS8Key(oid, algorithm, private)
	if err != nil {
		return nil, fmt.Errorf("PKCS #8: %w", err)
	}
	if hasPublic {
		var unused uint8
		if !public.ReadUint8(&unused) || unused != 0 {
			return nil, errors.New("PKCS #8: malformed publicKey")
		}
		if !samePublic(key, public) {
			return nil, fmt.Errorf("PKCS #8: %w", errMismatch)
		}
	}
	return key, nil
}

func parsePKCS8Key(oid asn1.ObjectIdentifier, params, private cryptobyte.String) (crypto.Signer, error) {
	switch {
	case oid.Equal(oidRSA):
		// RFC 3279, 2.3.1 wants NULL; some writers leave it out.
		if !params.Empty() && !isNull(params) {
			return nil, errors.New("RSA key with parameters")
		}
		return parsePKCS1(private)
	case oid.Equal(oidEC):
		curve, err := readCurve(&params)
		if err != nil {
			return nil, err
		}
		if !params.Empty() {
			return nil, errors.New("EC key: trailing data after the curve")
		}
		return parseSEC1(private, curve)
	case oid.Equal(oidEd25519):
		// RFC 8410, 3: the parameters are absent. 7: CurvePrivateKey ::= OCTET STRING
		if !params.Empty() {
			return nil, errors.New("Ed25519 key with parameters")
		}
		var seed cryptobyte.String
		if !private.ReadASN1(&seed, cryptobyte_asn1.OCTET_STRING) || !private.Empty() || len(seed) != ed25519.SeedSize {
			return nil, errors.New("malformed Ed25519 key")
		}
		return ed25519.NewKeyFromSeed(seed), nil
	}
	return nil, fmt.Errorf("key algorithm %s; want RSA, EC or Ed25519", oidName(oid))
}

// samePublic compares the public key that belongs to a private key with one
// that stood beside it, in the form of a subjectPublicKey.
func samePublic(key crypto.Signer, public []byte) bool {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return bytes.Equal(public, x509.MarshalPKCS1PublicKey(&key.PublicKey))
	case *ecdsa.PrivateKey:
		return samePoint(key, public)
	case ed25519.PrivateKey:
		return bytes.Equal(public, key.Public().(ed25519.PublicKey))
	}
	return false
}

func isNull(in cryptobyte.String) bool {
	return bytes.Equal(in, []byte{byte(cryptobyte_asn1.NULL), 0})
}

// readCurve reads ECParameters (RFC 5480, 2.1.1), of which only namedCurve is
// allowed: parameters given by value were a way to forge keys (CVE-2020-0601).
func readCurve(in *cryptobyte.String) (elliptic.Curve, error) {
	var oid asn1.ObjectIdentifier
	if in.PeekASN1Tag(cryptobyte_asn1.SEQUENCE) {
		return nil, errors.New("EC key with explicit curve parameters; want a named curve")
	}
	if !in.ReadASN1ObjectIdentifier(&oid) {
		return nil, errors.New("EC key: malformed curve")
	}
	return curveOf(oid)
}

// parseSEC1 reads an EC private key. The curve is the one of the structure
// around it, or nil; then the key itself must name one.
//
//	ECPrivateKey ::= SEQUENCE {
//	  version        INTEGER { ecPrivkeyVer1(1) } (ecPrivkeyVer1),
//	  privateKey     OCTET STRING,
//	  parameters [0] ECParameters {{ NamedCurve }} OPTIONAL,
//	  publicKey  [1] BIT STRING OPTIONAL
//	}
//
// RFC 5915, 3.
func parseSEC1(der []byte, curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	in := cryptobyte.String(der)
	var seq, private, params, public cryptobyte.String
	var version int64
	var hasParams, hasPublic bool
	switch {
	case !in.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE):
		return nil, errors.New("EC key: not a SEQUENCE")
	case !in.Empty():
		return nil, errors.New("EC key: trailing data")
	case !seq.ReadASN1Integer(&version):
		return nil, errors.New("EC key: malformed version")
	case version != 1:
		return nil, fmt.Errorf("EC key: version %d; want 1", version)
	case !seq.ReadASN1(&private, cryptobyte_asn1.OCTET_STRING):
		return nil, errors.New("EC key: malformed privateKey")
	case !seq.ReadOptionalASN1(&params, &hasParams, cryptobyte_asn1.Tag(0).ContextSpecific().Constructed()):
		return nil, errors.New("EC key: malformed parameters")
	case !seq.ReadOptionalASN1(&public, &hasPublic, cryptobyte_asn1.Tag(1).ContextSpecific().Constructed()):
		return nil, errors.New("EC key: malformed publicKey")
	case !seq.Empty():
		return nil, errors.New("EC key: unknown field after the key")
	}
	if hasParams {
		inner, err := readCurve(&params)
		if err != nil {
			return nil, err
		}
		if !params.Empty() {
			return nil, errors.New("EC key: trailing data after the curve")
		}
		if curve != nil && curve != inner {
			return nil, errors.New("EC key names two different curves")
		}
		curve = inner
	}
	if curve == nil {
		return nil, errors.New("EC key without a curve")
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, fitScalar(private, curve))
	if err != nil {
		return nil, fmt.Errorf("EC key: malformed privateKey: %w", err)
	}
	if hasPublic {
		var point []byte
		if !public.ReadASN1BitStringAsBytes(&point) || !public.Empty() {
			return nil, errors.New("EC key: malformed publicKey")
		}
		if !samePoint(key, point) {
			return nil, fmt.Errorf("EC key: %w", errMismatch)
		}
	}
	return key, nil
}

// fitScalar brings a private scalar to the length of the curve. RFC 5915 has
// exactly that length; OpenSSL before 1.0.2 dropped leading zeros, and Java
// programs add one.
func fitScalar(raw []byte, curve elliptic.Curve) []byte {
	size := (curve.Params().N.BitLen() + 7) / 8
	if len(raw) == size {
		return raw
	}
	raw = bytes.TrimLeft(raw, "\x00")
	if len(raw) >= size {
		return raw
	}
	return append(make([]byte, size-len(raw)), raw...)
}

// samePoint reports whether point, compressed or not (SEC 1, 2.3.3), is the
// public key of key.
func samePoint(key *ecdsa.PrivateKey, point []byte) bool {
	want, err := key.PublicKey.Bytes()
	if err != nil || len(point) == 0 {
		return false
	}
	if point[0] == 4 {
		return bytes.Equal(point, want)
	}
	x := want[1 : 1+len(want)/2]
	sign := 2 + want[len(want)-1]&1
	return point[0] == sign && bytes.Equal(point[1:], x)
}

// parsePKCS1 reads an RSA private key.
//
//	RSAPrivateKey ::= SEQUENCE {
//	  version           Version,  -- two-prime(0)
//	  modulus           INTEGER,  -- n
//	  publicExponent    INTEGER,  -- e
//	  privateExponent   INTEGER,  -- d
//	  prime1            INTEGER,  -- p
//	  prime2            INTEGER,  -- q
//	  exponent1         INTEGER,  -- d mod (p-1)
//	  exponent2         INTEGER,  -- d mod (q-1)
//	  coefficient       INTEGER,  -- (inverse of q) mod p
//	  otherPrimeInfos   OtherPrimeInfos OPTIONAL
//	}
//
// RFC 8017, A.1.2. Keys of more than two primes are refused.
func parsePKCS1(der []byte) (*rsa.PrivateKey, error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var version int64
	switch {
	case !in.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE):
		return nil, errors.New("RSA key: not a SEQUENCE")
	case !in.Empty():
		return nil, errors.New("RSA key: trailing data")
	case !seq.ReadASN1Integer(&version):
		return nil, errors.New("RSA key: malformed version")
	case version != 0:
		return nil, fmt.Errorf("RSA key: version %d; want 0, of two primes", version)
	}
	// The lengths are checked before crypto/rsa calculates with the numbers.
	var bits int
	for _, field := range [...]string{"modulus", "publicExponent", "privateExponent", "prime1",
		"prime2", "exponent1", "exponent2", "coefficient"} {
		var n big.Int
		if !seq.ReadASN1Integer(&n) || n.Sign() <= 0 {
			return nil, fmt.Errorf("RSA key: malformed %s", field)
		}
		if field == "modulus" {
			bits = n.BitLen()
			if err := checkRSABits(bits); err != nil {
				return nil, err
			}
		}
		if n.BitLen() > bits {
			return nil, fmt.Errorf("RSA key: %s is longer than the modulus", field)
		}
	}
	if !seq.Empty() {
		return nil, errors.New("RSA key: unknown field after the key")
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("RSA key: %w", err)
	}
	return key, nil
}
