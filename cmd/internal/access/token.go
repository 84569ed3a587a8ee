package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

const (
	// MinToken is the shortest API token, in characters: 128 random bits in
	// base64 have as many, and no other limit is needed against guessing.
	MinToken = 22
	// MaxToken is the longest API token, in characters, so that little is
	// hashed for a stranger.
	MaxToken = 256
	// maxUser is the longest user of Basic before the token, in bytes. Nothing
	// is made of it.
	maxUser = 128
	// maxBasic is the longest user and token of Basic, in bytes, rounded up to
	// what base64 codes at once.
	maxBasic = (maxUser + 1 + MaxToken + 2) / 3 * 3
	// tokenBytes is how much chance [NewToken] takes.
	tokenBytes = 32
	// tokenPrefix lets people and scanners for secrets know what it is.
	tokenPrefix = "fencepost_"
)

// A Digest is the SHA-256 of an API token: what a server keeps of it, and no
// secret.
type Digest [sha256.Size]byte

// ParseDigest reads 64 hexadecimal digits, as sha256sum prints them.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	if len(text) != hex.EncodedLen(len(d)) {
		return Digest{}, fmt.Errorf("digest of a token has %d characters, not %d hexadecimal digits", len(text), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], []byte(text)); err != nil {
		return Digest{}, fmt.Errorf("digest of a token: %w", err)
	}
	return d, nil
}

// UnmarshalText reads what [ParseDigest] does.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// String returns 64 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// TokenDigest returns the digest of a token. It fails if clients could not send
// it, or others might guess it: a token has [MinToken] to [MaxToken] characters,
// which are those of base64 and of RFC 6750, 2.1. The error does not repeat it.
func TokenDigest(token string) (Digest, error) {
	if len(token) < MinToken || len(token) > MaxToken {
		return Digest{}, fmt.Errorf("token has %d characters, not %d to %d", len(token), MinToken, MaxToken)
	}
	for i := range len(token) {
		if c := token[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("-._~+/=", c) >= 0) {
			return Digest{}, fmt.Errorf("token has a character that clients cannot send, at position %d: letters, digits and -._~+/= are allowed", i+1)
		}
	}
	return sha256.Sum256([]byte(token)), nil
}

// NewToken draws a token of 256 bits. The digest is for the configuration, the
// token for the client; nothing keeps it.
func NewToken() (token string, digest Digest) {
	var b [tokenBytes]byte
	rand.Read(b[:]) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return token, sha256.Sum256([]byte(token))
}

// credential is what became of a request's Authorization.
type credential int

const (
	credentialNone  credential = iota // there is none
	credentialKnown                   // it is the token of a client
	credentialWrong                   // it is anything else
)

// tokens finds clients by their tokens.
type tokens map[Digest]int

// find returns the client whose token a request carries.
func (t tokens) find(h http.Header) (client int, c credential) {
	values := h["Authorization"]
	if len(values) == 0 {
		return 0, credentialNone
	}
	if len(values) > 1 { // not a list (RFC 9110, 11.6.2): who knows which one others have read
		return 0, credentialWrong
	}
	// The token is copied to where it can be decoded and hashed without
	// allocating for a stranger.
	var buf [maxBasic]byte
	token, ok := bearer(values[0], &buf)
	if !ok || len(token) < MinToken || len(token) > MaxToken {
		return 0, credentialWrong
	}
	i, ok := t[sha256.Sum256(token)]
	if !ok {
		return 0, credentialWrong
	}
	return i, credentialKnown
}

// bearer returns the token in a value of Authorization: all of Bearer (RFC 6750,
// 2.1), or the password of Basic (RFC 7617, 2). It lies in buf.
func bearer(value string, buf *[maxBasic]byte) ([]byte, bool) {
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok {
		return nil, false
	}
	rest = strings.Trim(rest, " ") // RFC 9110, 11.4: one or more
	if strings.EqualFold(scheme, "Bearer") {
		return buf[:copy(buf[:], rest)], len(rest) <= len(buf)
	}
	var coded [maxBasic / 3 * 4]byte
	if !strings.EqualFold(scheme, "Basic") || len(rest) > len(coded) {
		return nil, false
	}
	n, err := base64.StdEncoding.Decode(buf[:], coded[:copy(coded[:], rest)])
	if err != nil {
		return nil, false
	}
	user := bytes.IndexByte(buf[:n], ':') // the first one ends the user
	if user < 0 {
		return nil, false
	}
	return buf[user+1 : n], true
}
