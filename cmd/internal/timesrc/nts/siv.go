package nts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
)

// sivKeySize is the key size of AEAD_AES_SIV_CMAC_256 in octets: an AES-128 key
// for S2V and another for the counter mode (RFC 5297, 6.1).
const sivKeySize = 32

// sivMaxData is how many strings of associated data S2V takes beside the
// plaintext: its doublings repeat after as many strings as a block has bits,
// less one (RFC 5297, 2.4 and 2.6).
const sivMaxData = 8*aes.BlockSize - 2

// ErrNotAuthentic is the error of [SIV.Open]: these octets were not sealed with
// this key and this associated data.
var ErrNotAuthentic = errors.New("nts: not authentic")

// A SIV seals and opens with AEAD_AES_SIV_CMAC_256 (RFC 5297, 6.1), the one
// algorithm that every NTS server has (RFC 8915, 5.1). Its methods may be
// called from several goroutines at once.
type SIV struct {
	mac, ctr cipher.Block
	k1, k2   [aes.BlockSize]byte // CMAC's subkeys, for a whole last block and for a padded one
}

// NewSIV returns a SIV for a key of 32 octets.
func NewSIV(key []byte) (*SIV, error) {
	if len(key) != sivKeySize {
		return nil, fmt.Errorf("nts: key of %d octets, AEAD_AES_SIV_CMAC_256 takes %d", len(key), sivKeySize)
	}
	s := new(SIV)
	var err error
	if s.mac, err = aes.NewCipher(key[:sivKeySize/2]); err != nil {
		return nil, fmt.Errorf("nts: %w", err)
	}
	if s.ctr, err = aes.NewCipher(key[sivKeySize/2:]); err != nil {
		return nil, fmt.Errorf("nts: %w", err)
	}
	s.mac.Encrypt(s.k1[:], s.k1[:])
	double(&s.k1)
	s.k2 = s.k1
	double(&s.k2)
	return s, nil
}

// Seal encrypts plaintext and authenticates it together with data, each string
// by itself and in this order; a nonce is the last of them (RFC 5297, 3). The
// result is 16 octets longer than plaintext. It panics if data are more than
// 126 strings.
func (s *SIV) Seal(plaintext []byte, data ...[]byte) []byte {
	v := s.s2v(data, plaintext)
	sealed := make([]byte, len(v)+len(plaintext))
	copy(sealed, v[:])
	s.crypt(sealed[len(v):], plaintext, v)
	return sealed
}

// Open returns the plaintext of what [SIV.Seal] made with the same data, or
// [ErrNotAuthentic].
func (s *SIV) Open(sealed []byte, data ...[]byte) ([]byte, error) {
	if len(sealed) < aes.BlockSize {
		return nil, ErrNotAuthentic
	}
	v := [aes.BlockSize]byte(sealed)
	plaintext := make([]byte, len(sealed)-len(v))
	s.crypt(plaintext, sealed[len(v):], v)
	t := s.s2v(data, plaintext)
	if subtle.ConstantTimeCompare(t[:], v[:]) != 1 {
		clear(plaintext) // RFC 5297, 2.7: it must not be released
		return nil, ErrNotAuthentic
	}
	return plaintext, nil
}

// crypt is AES in counter mode. The two bits are cleared so that the counter
// may be added to in parts of 32 or 64 bits (RFC 5297, 2.5).
func (s *SIV) crypt(dst, src []byte, v [aes.BlockSize]byte) {
	v[8] &= 0x7f
	v[12] &= 0x7f
	cipher.NewCTR(s.ctr, v[:]).XORKeyStream(dst, src)
}

// s2v makes one block of several strings (RFC 5297, 2.4). The last is the
// plaintext, so there is always one.
func (s *SIV) s2v(data [][]byte, last []byte) [aes.BlockSize]byte {
	if len(data) > sivMaxData {
		panic(fmt.Sprintf("nts: internal error: %d strings of associated data", len(data)))
	}
	d := s.cmac(make([]byte, aes.BlockSize))
	for _, str := range data {
		double(&d)
		t := s.cmac(str)
		subtle.XORBytes(d[:], d[:], t[:])
	}
	if len(last) >= aes.BlockSize {
		t := slices.Clone(last)
		end := t[len(t)-aes.BlockSize:]
		subtle.XORBytes(end, end, d[:])
		return s.cmac(t)
	}
	double(&d)
	subtle.XORBytes(d[:], d[:], last)
	d[len(last)] ^= 0x80
	return s.cmac(d[:])
}

// cmac is AES-CMAC (RFC 4493, 2.4).
func (s *SIV) cmac(m []byte) (x [aes.BlockSize]byte) {
	for ; len(m) > len(x); m = m[len(x):] {
		subtle.XORBytes(x[:], x[:], m)
		s.mac.Encrypt(x[:], x[:])
	}
	subtle.XORBytes(x[:], x[:], m)
	if len(m) == len(x) {
		subtle.XORBytes(x[:], x[:], s.k1[:])
	} else {
		x[len(m)] ^= 0x80
		subtle.XORBytes(x[:], x[:], s.k2[:])
	}
	s.mac.Encrypt(x[:], x[:])
	return x
}

// double multiplies by x in GF(2^128), in constant time (RFC 5297, 2.3).
func double(b *[aes.BlockSize]byte) {
	carry := b[0] >> 7
	for i := range len(b) - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[len(b)-1] = b[len(b)-1]<<1 ^ 0x87&-carry
}
