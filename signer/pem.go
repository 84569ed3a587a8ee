package signer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrPassphrase means that a key could not be decrypted with the given
	// passphrase. Most forms cannot tell that from a damaged file.
	ErrPassphrase = errors.New("wrong passphrase, or a damaged key file")

	// ErrNoPassphrase means that a key is encrypted and no passphrase was
	// given.
	ErrNoPassphrase = errors.New("the key is encrypted and no passphrase was given")
)

const (
	// maxFile bounds a key file. An RSA key of 8192 bits, encrypted, takes 7
	// kB of PEM, and 30 kB with the text that openssl can put above it.
	maxFile = 64 << 10

	// maxPassphrase bounds a passphrase, in bytes. OpenSSL takes 1024.
	maxPassphrase = 4096
)

// Config says how keys are read. The zero Config reads keys that are not
// encrypted.
type Config struct {
	// Passphrase returns the passphrase of an encrypted key, of at most 4096
	// bytes; the empty one is a passphrase, too. It is called at most once,
	// and only for a key that is encrypted. If it is nil, such a key is
	// [ErrNoPassphrase].
	Passphrase func() ([]byte, error)

	// LookupEnv looks up an environment variable, as os.LookupEnv does, for
	// [Open] with a URI that says passphrase-env. If it is nil, such a URI is
	// an error.
	LookupEnv func(name string) (string, bool)
}

func (c Config) passphrase() ([]byte, error) {
	if c.Passphrase == nil {
		return nil, ErrNoPassphrase
	}
	p, err := c.Passphrase()
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	if len(p) > maxPassphrase {
		return nil, fmt.Errorf("passphrase of %d bytes; want at most %d", len(p), maxPassphrase)
	}
	return p, nil
}

// Types of PEM blocks (RFC 7468, 10 and 11; RFC 5915, 4).
const (
	typePKCS8     = "PRIVATE KEY"
	typeEncrypted = "ENCRYPTED PRIVATE KEY"
	typePKCS1     = "RSA PRIVATE KEY"
	typeSEC1      = "EC PRIVATE KEY"
	typeECParams  = "EC PARAMETERS"
	typeSigstore  = "ENCRYPTED SIGSTORE PRIVATE KEY"
	typeCosign    = "ENCRYPTED COSIGN PRIVATE KEY"
)

// ParsePEM reads a private key from a PEM file of at most 64 KiB. The file
// holds one key; text above it is ignored, and so is the block of EC
// parameters that openssl ecparam writes there. A second key, a certificate,
// or anything else that is not white space is refused.
//
// An error wraps [ErrNoPassphrase] if the key is encrypted and cfg offers no
// passphrase, and [ErrPassphrase] if the passphrase is wrong. An encrypted key
// whose derivation would cost more than some seconds or 256 MiB is refused.
func ParsePEM(data []byte, cfg Config) (*Key, error) {
	k, err := parsePEM(data, cfg)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return k, nil
}

func parsePEM(data []byte, cfg Config) (*Key, error) {
	block, err := oneBlock(data)
	if err != nil {
		return nil, err
	}
	k, err := parseBlock(block, cfg)
	if err != nil {
		return nil, err
	}
	return newKey(k)
}

// oneBlock returns the block of the only key in the file.
func oneBlock(data []byte) (*pem.Block, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("key file of more than %d bytes", maxFile)
	}
	if len(data) > 0 && data[0] == 0x30 { // the tag of a SEQUENCE
		return nil, errors.New("the key is DER; want PEM (openssl pkey -inform DER converts it)")
	}
	begins := bytes.Count(data, []byte("-----BEGIN "))
	if begins == 0 {
		return nil, errors.New("no PEM block")
	}
	var blocks []*pem.Block
	rest := data
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	// pem.Decode skips a block that is malformed, and would go on to the next.
	if len(blocks) != begins {
		return nil, errors.New("malformed PEM block")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("trailing data after the PEM block")
	}
	if len(blocks) == 2 && blocks[0].Type == typeECParams && blocks[1].Type == typeSEC1 {
		blocks = blocks[1:]
	}
	if len(blocks) > 1 {
		return nil, fmt.Errorf("%d PEM blocks, the first a %.40q and the second a %.40q; want one private key and nothing else",
			len(blocks), blocks[0].Type, blocks[1].Type)
	}
	return blocks[0], nil
}

func parseBlock(b *pem.Block, cfg Config) (crypto.Signer, error) {
	if b.Type != typePKCS1 && b.Type != typeSEC1 && isRFC1423(b) {
		return nil, fmt.Errorf("PEM encryption (RFC 1423) of a %.40q; want it of a %q or %q", b.Type, typePKCS1, typeSEC1)
	}
	der := b.Bytes
	var err error
	switch b.Type {
	case typePKCS8:
		return parsePKCS8(der)
	case typeEncrypted:
		der, err = decryptPKCS8(der, cfg)
	case typeSigstore, typeCosign:
		der, err = decryptSigstore(der, cfg)
	case typePKCS1, typeSEC1:
		if isRFC1423(b) {
			if der, err = decryptRFC1423(b, cfg); err != nil {
				return nil, err
			}
		}
		if b.Type == typePKCS1 {
			return parsePKCS1(der)
		}
		return parseSEC1(der, nil)
	default:
		return nil, wrongType(b.Type)
	}
	if err != nil {
		return nil, err
	}
	return parsePKCS8(der)
}

func wrongType(name string) error {
	switch {
	case name == "CERTIFICATE", name == "TRUSTED CERTIFICATE", name == "X509 CERTIFICATE":
		return errors.New("this is a certificate; want a private key")
	case strings.HasSuffix(name, "PUBLIC KEY"):
		return errors.New("this is a public key; want a private key")
	case name == "OPENSSH PRIVATE KEY":
		return errors.New("this is an OpenSSH key; ssh-keygen -p -m PKCS8 converts it")
	case name == typeECParams:
		return errors.New("EC parameters without a key")
	}
	return fmt.Errorf("PEM block of type %.40q; want a private key", name)
}

// MarshalPEM returns the private key as PEM, in PKCS #8 (RFC 5958). With a
// passphrase it is encrypted with AES-256-CBC under PBKDF2 with HMAC-SHA-256
// and 600 000 iterations (RFC 8018, PBES2), which takes about 0.1 s and can be
// read by OpenSSL 1.1 and newer. With a nil passphrase it is not encrypted. An
// empty passphrase that is not nil is an error, and so is a key that is not
// [InProcess].
func MarshalPEM(k *Key, passphrase []byte) ([]byte, error) {
	out, err := marshalPEM(k, passphrase)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return out, nil
}

func marshalPEM(k *Key, passphrase []byte) ([]byte, error) {
	switch {
	case !k.local:
		return nil, errors.New("the private key is not in this process and cannot be written")
	case passphrase != nil && len(passphrase) == 0:
		return nil, errors.New("the passphrase is empty")
	case len(passphrase) > maxPassphrase:
		return nil, fmt.Errorf("passphrase of %d bytes; want at most %d", len(passphrase), maxPassphrase)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, err
	}
	if passphrase == nil {
		return pem.EncodeToMemory(&pem.Block{Type: typePKCS8, Bytes: der}), nil
	}
	if der, err = encryptPKCS8(der, passphrase); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeEncrypted, Bytes: der}), nil
}
