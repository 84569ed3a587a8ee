package nts

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of extension fields (RFC 8915, 7.5).
const (
	fieldUniqueID      = 0x0104
	fieldCookie        = 0x0204
	fieldPlaceholder   = 0x0304
	fieldAuthenticator = 0x0404
)

const (
	headerSize = 48 // of NTP, before the first extension field (RFC 5905, 7.3)
	fieldHead  = 4  // type and length of a field

	// minField is the least length of a field (RFC 7822, 3). Within the
	// encrypted part a field may be shorter: no MAC can be mistaken for it.
	minField = 16

	// maxFields is the most fields that are read of a packet, or of its
	// encrypted part: a unique identifier, an authenticator, 8 cookies, and room
	// for what others invent.
	maxFields = 32

	// idSize is the size of a unique identifier (RFC 8915, 5.3: 32 at least).
	idSize = 32

	// nonceSize is the size of our nonces: with 16 octets no padding must be
	// added for the server's (RFC 8915, 5.6).
	nonceSize = 16

	// maxPacket is the longest request, as UDP payload: 1280 octets, less the
	// headers of IPv6 and UDP.
	maxPacket = 1280 - 40 - 8
)

// A field is an extension field (RFC 7822, 3), padding included.
type field struct {
	kind  uint16
	value []byte
}

// append adds the field, padded with zeros to a multiple of 4 octets and to
// the least length.
func (f field) append(b []byte) []byte {
	size := max(minField, (fieldHead+len(f.value)+3)/4*4)
	b = binary.BigEndian.AppendUint16(b, f.kind)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, f.value...)
	return append(b, make([]byte, size-fieldHead-len(f.value))...)
}

// nextField takes the first field off b, which must be at least least octets
// long.
func nextField(b []byte, least int) (f field, rest []byte, err error) {
	if len(b) < fieldHead {
		return field{}, nil, fmt.Errorf("extension field of %d octets", len(b))
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < least || size%4 != 0 || size > len(b) {
		return field{}, nil, fmt.Errorf("extension field %#04x: length %d, of %d octets left", binary.BigEndian.Uint16(b), size, len(b))
	}
	return field{kind: binary.BigEndian.Uint16(b), value: b[fieldHead:size]}, b[size:], nil
}

// An authenticator is the value of the field of that name (RFC 8915, 5.6).
type authenticator struct {
	nonce, ciphertext []byte
	padding           int // octets after the ciphertext's own padding
}

func (a authenticator) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.nonce)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.ciphertext)))
	b = append(b, a.nonce...)
	b = append(b, make([]byte, -len(a.nonce)&3)...)
	b = append(b, a.ciphertext...)
	return append(b, make([]byte, -len(a.ciphertext)&3+a.padding)...)
}

func parseAuthenticator(value []byte) (authenticator, error) {
	if len(value) < 4 {
		return authenticator{}, fmt.Errorf("authenticator of %d octets", len(value))
	}
	nonce, ciphertext := int(binary.BigEndian.Uint16(value)), int(binary.BigEndian.Uint16(value[2:]))
	body := value[4:]
	start := nonce + -nonce&3
	end := start + ciphertext + -ciphertext&3
	if nonce == 0 || end > len(body) {
		return authenticator{}, fmt.Errorf("authenticator of %d octets with a nonce of %d and a ciphertext of %d", len(value), nonce, ciphertext)
	}
	a := authenticator{nonce: body[:nonce], ciphertext: body[start : start+ciphertext], padding: len(body) - end}
	if !zeros(body[nonce:start]) || !zeros(body[start+ciphertext:]) {
		return authenticator{}, errors.New("authenticator with a padding that is not zero")
	}
	return a, nil
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// A query is what makes one request and its answer belong together. It is for
// one request only.
type query struct {
	id           [idSize]byte
	nonce        [nonceSize]byte
	cookie       []byte
	placeholders int
	c2s, s2c     *SIV
}

// seal adds the fields of a request to its header (RFC 8915, 5.7).
func (q *query) seal(header []byte) []byte {
	b := bytes.Clone(header)
	b = field{fieldUniqueID, q.id[:]}.append(b)
	b = field{fieldCookie, q.cookie}.append(b)
	placeholder := field{fieldPlaceholder, make([]byte, len(q.cookie))} // as long as a cookie (RFC 8915, 5.5)
	for range q.placeholders {
		b = placeholder.append(b)
	}
	a := authenticator{nonce: q.nonce[:], ciphertext: q.c2s.Seal(nil, b, q.nonce[:])}
	return field{fieldAuthenticator, a.append(nil)}.append(b)
}

// room is how many placeholders for cookies like this one a request has room
// for.
func room(cookie []byte) int {
	one := len(field{fieldCookie, cookie}.append(nil))
	fixed := headerSize + fieldHead + idSize + fieldHead + 4 + nonceSize + 16
	return max(0, (maxPacket-fixed)/one-1)
}

var (
	// errNAK: the server does not know the cookie any more (RFC 8915, 5.7).
	errNAK = errors.New("the server does not take the cookie (NTSN)")

	// errStray: no answer to this request; whoever sent it does not know its
	// unique identifier.
	errStray = errors.New("not an answer to this request")

	errNoAuthenticator = errors.New("an answer that is not authenticated")
)

// open returns the cookies of a packet that answers the request and was
// authenticated by the server. With any error nothing of the packet may be
// believed; errNAK is a hint that others could have sent who saw the request.
//
// What follows the authenticator is not authenticated, and not looked at
// (RFC 8915, 5.6).
func (q *query) open(packet []byte) (cookies [][]byte, err error) {
	if len(packet) < headerSize {
		return nil, errStray
	}
	var ids int
	rest := packet[headerSize:]
	for n := 0; len(rest) > 0; n++ {
		before := packet[:len(packet)-len(rest)]
		var f field
		if f, rest, err = nextField(rest, minField); err == nil && n == maxFields {
			err = fmt.Errorf("more than %d extension fields", maxFields)
		}
		switch {
		case err != nil && ids == 0:
			return nil, errStray
		case err != nil:
			return nil, err
		}
		switch f.kind {
		case fieldUniqueID:
			if ids++; subtle.ConstantTimeCompare(f.value, q.id[:]) != 1 {
				return nil, errStray
			}
		case fieldAuthenticator:
			if ids != 1 {
				return nil, errStray
			}
			return q.decrypt(before, f.value)
		}
	}
	switch {
	case ids != 1:
		return nil, errStray
	case packet[1] == 0 && string(packet[12:16]) == "NTSN": // RFC 8915, 5.7
		return nil, errNAK
	}
	return nil, errNoAuthenticator
}

// decrypt opens an authenticator over the part of the packet before it.
func (q *query) decrypt(before, value []byte) (cookies [][]byte, err error) {
	a, err := parseAuthenticator(value)
	if err != nil {
		return nil, err
	}
	plaintext, err := q.s2c.Open(a.ciphertext, before, a.nonce)
	if err != nil {
		return nil, err
	}
	for n := 0; len(plaintext) > 0; n++ {
		if n == maxFields {
			return nil, fmt.Errorf("more than %d encrypted extension fields", maxFields)
		}
		var f field
		if f, plaintext, err = nextField(plaintext, fieldHead); err != nil {
			return nil, fmt.Errorf("encrypted: %w", err)
		}
		if f.kind != fieldCookie {
			continue
		}
		if len(f.value) == 0 || len(f.value) > maxCookie {
			return nil, fmt.Errorf("encrypted: cookie of %d octets", len(f.value))
		}
		cookies = append(cookies, f.value)
	}
	return cookies, nil
}
