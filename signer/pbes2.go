package signer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/scrypt"
)

// What a key derivation may cost. The parameters stand in the file, which may
// be anyone's; the cost is known before it is paid.
const (
	// maxIterations bounds PBKDF2. OWASP asked for 600 000 with SHA-256 in
	// 2023; ten million take up to 4 seconds.
	maxIterations = 10_000_000

	// maxScryptMemory bounds 128*N*r, in bytes. It is twice what OWASP asks
	// for and what the strongest setting of Cosign's keys takes.
	maxScryptMemory = 256 << 20

	// maxScryptWork bounds N*r*p: twice the work at the largest memory,
	// about a second.
	maxScryptWork = 1 << 22

	// maxScryptFactor bounds r and p each, so that their product cannot
	// overflow and the buffers that grow with it stay small. 8 and 1 are
	// what everyone uses.
	maxScryptFactor = 64

	// maxSalt bounds a salt, in bytes; 8 to 32 are usual.
	maxSalt = 1024
)

// approvedSaltSize is the shortest salt of an approved derivation (NIST SP
// 800-132, 5.1), in octets. OpenSSL before 3.2 writes 8.
const approvedSaltSize = 16

// What encryptPKCS8 uses: OWASP's count and the approved salt.
const (
	writeIterations = 600_000
	writeSaltSize   = approvedSaltSize
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}

	oidHMACWithSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACWithSHA224 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}
	oidHMACWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}

	oidDESEDE3CBC = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}

	// PBES1 and the schemes of PKCS #12 begin with these arcs.
	oidPKCS5     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}
	oidPKCS12PBE = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1}
)

// A blockCipher is one that CBC runs over.
type blockCipher struct {
	new     func(key []byte) (cipher.Block, error)
	keySize int
	ivSize  int
}

var (
	desEDE3 = blockCipher{des.NewTripleDESCipher, 24, des.BlockSize}
	aes128  = blockCipher{aes.NewCipher, 16, aes.BlockSize}
	aes192  = blockCipher{aes.NewCipher, 24, aes.BlockSize}
	aes256  = blockCipher{aes.NewCipher, 32, aes.BlockSize}
)

// decryptPKCS8 returns the PKCS #8 key inside an encrypted one.
//
//	EncryptedPrivateKeyInfo ::= SEQUENCE {
//	  encryptionAlgorithm  EncryptionAlgorithmIdentifier,
//	  encryptedData        OCTET STRING
//	}
//
// RFC 5958, 3. The only algorithm is PBES2 (RFC 8018, 6.2):
//
//	PBES2-params ::= SEQUENCE {
//	  keyDerivationFunc AlgorithmIdentifier {{PBES2-KDFs}},
//	  encryptionScheme  AlgorithmIdentifier {{PBES2-Encs}}
//	}
func decryptPKCS8(der []byte, cfg Config) ([]byte, error) {
	in := cryptobyte.String(der)
	var seq, algorithm, data, params, kdf, scheme cryptobyte.String
	var oid, kdfOID, schemeOID asn1.ObjectIdentifier
	switch {
	case !in.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE):
		return nil, errors.New("encrypted PKCS #8: not a SEQUENCE")
	case !in.Empty():
		return nil, errors.New("encrypted PKCS #8: trailing data")
	case !seq.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid):
		return nil, errors.New("encrypted PKCS #8: malformed encryptionAlgorithm")
	case !seq.ReadASN1(&data, cryptobyte_asn1.OCTET_STRING):
		return nil, errors.New("encrypted PKCS #8: malformed encryptedData")
	case !seq.Empty():
		return nil, errors.New("encrypted PKCS #8: unknown field after encryptedData")
	case !oid.Equal(oidPBES2):
		return nil, wrongScheme(oid)
	case !algorithm.ReadASN1(&params, cryptobyte_asn1.SEQUENCE) || !algorithm.Empty():
		return nil, errors.New("PBES2: malformed parameters")
	case !params.ReadASN1(&kdf, cryptobyte_asn1.SEQUENCE) || !kdf.ReadASN1ObjectIdentifier(&kdfOID):
		return nil, errors.New("PBES2: malformed keyDerivationFunc")
	case !params.ReadASN1(&scheme, cryptobyte_asn1.SEQUENCE) || !scheme.ReadASN1ObjectIdentifier(&schemeOID):
		return nil, errors.New("PBES2: malformed encryptionScheme")
	case !params.Empty():
		return nil, errors.New("PBES2: unknown field after encryptionScheme")
	}
	c, iv, err := readScheme(schemeOID, scheme)
	if err != nil {
		return nil, fmt.Errorf("PBES2: %w", err)
	}
	if len(data) == 0 || len(data)%c.ivSize != 0 {
		return nil, fmt.Errorf("PBES2: encryptedData of %d bytes; want a multiple of %d", len(data), c.ivSize)
	}
	derive, err := readKDF(kdfOID, kdf, c.keySize)
	if err != nil {
		return nil, fmt.Errorf("PBES2: %w", err)
	}
	passphrase, err := cfg.passphrase()
	if err != nil {
		return nil, err
	}
	key, err := derive(passphrase)
	if err != nil {
		return nil, fmt.Errorf("PBES2: %w", err)
	}
	return decryptCBC(c, key, iv, data)
}

func wrongScheme(oid asn1.ObjectIdentifier) error {
	under := func(arc asn1.ObjectIdentifier) bool {
		return len(oid) == len(arc)+1 && oid[:len(arc)].Equal(arc)
	}
	if under(oidPKCS5) || under(oidPKCS12PBE) {
		return fmt.Errorf("encrypted PKCS #8: the scheme %s is obsolete (openssl pkcs8 -topk8 -v2 aes-256-cbc converts the key)", oidName(oid))
	}
	return fmt.Errorf("encrypted PKCS #8: unknown scheme %s; want PBES2", oidName(oid))
}

func readScheme(oid asn1.ObjectIdentifier, params cryptobyte.String) (blockCipher, []byte, error) {
	var c blockCipher
	switch {
	case oid.Equal(oidAES128CBC):
		c = aes128
	case oid.Equal(oidAES192CBC):
		c = aes192
	case oid.Equal(oidAES256CBC):
		c = aes256
	case oid.Equal(oidDESEDE3CBC):
		if err := approved("triple DES"); err != nil {
			return c, nil, err
		}
		c = desEDE3
	default:
		return c, nil, fmt.Errorf("unknown cipher %s; want AES-CBC or DES-EDE3-CBC", oidName(oid))
	}
	var iv []byte
	if !params.ReadASN1Bytes(&iv, cryptobyte_asn1.OCTET_STRING) || !params.Empty() || len(iv) != c.ivSize {
		return c, nil, errors.New("malformed initialisation vector")
	}
	return c, iv, nil
}

// readKDF returns the key derivation, its cost checked and not yet paid.
func readKDF(oid asn1.ObjectIdentifier, params cryptobyte.String, keySize int) (func(passphrase []byte) ([]byte, error), error) {
	var seq cryptobyte.String
	if !params.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE) || !params.Empty() {
		return nil, errors.New("malformed parameters of the key derivation")
	}
	switch {
	case oid.Equal(oidPBKDF2):
		return readPBKDF2(seq, keySize)
	case oid.Equal(oidScrypt):
		return readScrypt(seq, keySize)
	}
	return nil, fmt.Errorf("unknown key derivation %s; want PBKDF2 or scrypt", oidName(oid))
}

// readPBKDF2 reads the parameters of PBKDF2.
//
//	PBKDF2-params ::= SEQUENCE {
//	  salt           CHOICE { specified OCTET STRING, otherSource AlgorithmIdentifier },
//	  iterationCount INTEGER (1..MAX),
//	  keyLength      INTEGER (1..MAX) OPTIONAL,
//	  prf            AlgorithmIdentifier {{PBKDF2-PRFs}} DEFAULT algid-hmacWithSHA1
//	}
//
// RFC 8018, A.2.
func readPBKDF2(seq cryptobyte.String, keySize int) (func(passphrase []byte) ([]byte, error), error) {
	var salt []byte
	var iterations int64
	if !readSalt(&seq, &salt) {
		return nil, errors.New("PBKDF2: malformed salt")
	}
	if !seq.ReadASN1Integer(&iterations) {
		return nil, errors.New("PBKDF2: malformed iterationCount")
	}
	if iterations < 1 || iterations > maxIterations {
		return nil, fmt.Errorf("PBKDF2: %d iterations; want 1 to %d", iterations, maxIterations)
	}
	if err := readKeyLength(&seq, keySize); err != nil {
		return nil, fmt.Errorf("PBKDF2: %w", err)
	}
	prf := oidHMACWithSHA1
	if !seq.Empty() {
		var algorithm cryptobyte.String
		if !seq.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&prf) ||
			!algorithm.Empty() && !isNull(algorithm) || !seq.Empty() {
			return nil, errors.New("PBKDF2: malformed prf")
		}
	}
	var h func() hash.Hash
	switch {
	case prf.Equal(oidHMACWithSHA1):
		if err := approved("a key derived by HMAC with SHA-1"); err != nil {
			return nil, err
		}
		h = sha1.New
	case prf.Equal(oidHMACWithSHA224):
		h = sha256.New224
	case prf.Equal(oidHMACWithSHA256):
		h = sha256.New
	case prf.Equal(oidHMACWithSHA384):
		h = sha512.New384
	case prf.Equal(oidHMACWithSHA512):
		h = sha512.New
	default:
		return nil, fmt.Errorf("PBKDF2: unknown prf %s; want HMAC with SHA-1 or SHA-2", oidName(prf))
	}
	if len(salt) < approvedSaltSize {
		if err := approved(fmt.Sprintf("a key derived with a salt of %d octets", len(salt))); err != nil {
			return nil, err
		}
	}
	return func(passphrase []byte) ([]byte, error) {
		return pbkdf2.Key(h, string(passphrase), salt, int(iterations), keySize)
	}, nil
}

// readScrypt reads the parameters of scrypt.
//
//	scrypt-params ::= SEQUENCE {
//	  salt                     OCTET STRING,
//	  costParameter            INTEGER (1..MAX),
//	  blockSize                INTEGER (1..MAX),
//	  parallelizationParameter INTEGER (1..MAX),
//	  keyLength                INTEGER (1..MAX) OPTIONAL
//	}
//
// RFC 7914, 7.1.
func readScrypt(seq cryptobyte.String, keySize int) (func(passphrase []byte) ([]byte, error), error) {
	var salt []byte
	var n, r, p int64
	if !readSalt(&seq, &salt) {
		return nil, errors.New("scrypt: malformed salt")
	}
	if !seq.ReadASN1Integer(&n) || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&p) {
		return nil, errors.New("scrypt: malformed cost")
	}
	if err := readKeyLength(&seq, keySize); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	if !seq.Empty() {
		return nil, errors.New("scrypt: unknown field after keyLength")
	}
	cost := scryptCost{n, r, p}
	if err := cost.check(); err != nil {
		return nil, err
	}
	if err := approved("a key derived by scrypt"); err != nil {
		return nil, err
	}
	return func(passphrase []byte) ([]byte, error) {
		return cost.key(passphrase, salt, keySize)
	}, nil
}

func readSalt(in *cryptobyte.String, salt *[]byte) bool {
	return in.ReadASN1Bytes(salt, cryptobyte_asn1.OCTET_STRING) && len(*salt) <= maxSalt
}

// readKeyLength reads an optional key length, which must be the cipher's.
func readKeyLength(in *cryptobyte.String, keySize int) error {
	if !in.PeekASN1Tag(cryptobyte_asn1.INTEGER) {
		return nil
	}
	var n int64
	if !in.ReadASN1Integer(&n) {
		return errors.New("malformed keyLength")
	}
	if n != int64(keySize) {
		return fmt.Errorf("keyLength %d; the cipher's is %d", n, keySize)
	}
	return nil
}

// A scryptCost is the cost of scrypt as it stands in a file.
type scryptCost struct{ n, r, p int64 }

func (c scryptCost) check() error {
	if c.r < 1 || c.r > maxScryptFactor || c.p < 1 || c.p > maxScryptFactor {
		return fmt.Errorf("scrypt: r=%d and p=%d; want 1 to %d each", c.r, c.p, maxScryptFactor)
	}
	if c.n < 2 || c.n&(c.n-1) != 0 {
		return fmt.Errorf("scrypt: N=%d; want a power of two", c.n)
	}
	if c.n > maxScryptMemory/(128*c.r) {
		return fmt.Errorf("scrypt: N=%d and r=%d take more than %d MiB of memory", c.n, c.r, maxScryptMemory>>20)
	}
	if c.n*c.r*c.p > maxScryptWork {
		return fmt.Errorf("scrypt: N=%d, r=%d and p=%d cost too much; want a product of at most %d", c.n, c.r, c.p, maxScryptWork)
	}
	return nil
}

func (c scryptCost) key(passphrase, salt []byte, size int) ([]byte, error) {
	return scrypt.Key(passphrase, salt, int(c.n), int(c.r), int(c.p), size)
}

// decryptCBC decrypts data, whose length is a positive multiple of the block
// size, and removes the padding (RFC 1423, 1.1). A result that has no proper
// padding or is no private key at all is [ErrPassphrase]: about one wrong
// passphrase in 256 leaves something that looks like padding.
func decryptCBC(c blockCipher, key, iv, data []byte) ([]byte, error) {
	block, err := c.new(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > c.ivSize {
		return nil, ErrPassphrase
	}
	for _, b := range out[len(out)-pad:] {
		if int(b) != pad {
			return nil, ErrPassphrase
		}
	}
	out = out[:len(out)-pad]
	// All three private keys (PKCS #1, PKCS #8, SEC 1) are a SEQUENCE that
	// begins with a version.
	in := cryptobyte.String(out)
	var seq cryptobyte.String
	var version int64
	if !in.ReadASN1(&seq, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) {
		return nil, ErrPassphrase
	}
	return out, nil
}

// encryptPKCS8 returns the EncryptedPrivateKeyInfo of a PKCS #8 key.
func encryptPKCS8(der, passphrase []byte) ([]byte, error) {
	c := aes256
	random := make([]byte, writeSaltSize+c.ivSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	salt, iv := random[:writeSaltSize], random[writeSaltSize:]
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt, writeIterations, c.keySize)
	if err != nil {
		return nil, err
	}
	block, err := c.new(key)
	if err != nil {
		return nil, err
	}
	pad := c.ivSize - len(der)%c.ivSize
	data := make([]byte, len(der)+pad)
	copy(data, der)
	for i := len(der); i < len(data); i++ {
		data[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	var b cryptobyte.Builder
	sequence := func(b *cryptobyte.Builder, f func(b *cryptobyte.Builder)) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, f)
	}
	sequence(&b, func(b *cryptobyte.Builder) { // EncryptedPrivateKeyInfo
		sequence(b, func(b *cryptobyte.Builder) { // encryptionAlgorithm
			b.AddASN1ObjectIdentifier(oidPBES2)
			sequence(b, func(b *cryptobyte.Builder) { // PBES2-params
				sequence(b, func(b *cryptobyte.Builder) { // keyDerivationFunc
					b.AddASN1ObjectIdentifier(oidPBKDF2)
					sequence(b, func(b *cryptobyte.Builder) { // PBKDF2-params
						b.AddASN1OctetString(salt)
						b.AddASN1Int64(writeIterations)
						sequence(b, func(b *cryptobyte.Builder) { // prf
							b.AddASN1ObjectIdentifier(oidHMACWithSHA256)
							b.AddASN1NULL()
						})
					})
				})
				sequence(b, func(b *cryptobyte.Builder) { // encryptionScheme
					b.AddASN1ObjectIdentifier(oidAES256CBC)
					b.AddASN1OctetString(iv)
				})
			})
		})
		b.AddASN1OctetString(data)
	})
	return b.Bytes()
}
