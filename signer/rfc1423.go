package signer

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

func isRFC1423(b *pem.Block) bool {
	return b.Headers["Proc-Type"] != "" || b.Headers["DEK-Info"] != ""
}

// decryptRFC1423 decrypts a PEM block that is encrypted under its headers (RFC
// 1423, 1.1), with the ciphers and the key derivation that OpenSSL added. The
// derivation is a few rounds of MD5, and nothing authenticates the text; such
// files are read because they exist, and never written.
func decryptRFC1423(b *pem.Block, cfg Config) ([]byte, error) {
	if got := b.Headers["Proc-Type"]; got != "4,ENCRYPTED" {
		return nil, fmt.Errorf("PEM encryption: Proc-Type is %.40q; want 4,ENCRYPTED", got)
	}
	name, hexIV, ok := strings.Cut(b.Headers["DEK-Info"], ",")
	if !ok {
		return nil, errors.New("PEM encryption: malformed DEK-Info")
	}
	var c blockCipher
	switch name {
	case "AES-128-CBC":
		c = aes128
	case "AES-192-CBC":
		c = aes192
	case "AES-256-CBC":
		c = aes256
	case "DES-EDE3-CBC":
		c = desEDE3
	default:
		return nil, fmt.Errorf("PEM encryption: unknown cipher %.40q; want AES-CBC or DES-EDE3-CBC", name)
	}
	iv, err := hex.DecodeString(hexIV)
	if err != nil || len(iv) != c.ivSize {
		return nil, errors.New("PEM encryption: malformed initialisation vector")
	}
	if len(b.Bytes) == 0 || len(b.Bytes)%c.ivSize != 0 {
		return nil, fmt.Errorf("PEM encryption: %d bytes; want a multiple of %d", len(b.Bytes), c.ivSize)
	}
	if err := approved("a key derived by MD5 (RFC 1423)"); err != nil {
		return nil, err
	}
	passphrase, err := cfg.passphrase()
	if err != nil {
		return nil, err
	}
	return decryptCBC(c, bytesToKey(passphrase, iv[:8], c.keySize), iv, b.Bytes)
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and one round.
func bytesToKey(passphrase, salt []byte, size int) []byte {
	var key, sum []byte
	for len(key) < size {
		h := md5.New()
		h.Write(sum)
		h.Write(passphrase)
		h.Write(salt)
		sum = h.Sum(nil)
		key = append(key, sum...)
	}
	return key[:size]
}
