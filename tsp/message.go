package tsp

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// A Form is how the DER of a message was wrapped.
type Form string

// The forms that [ParseAny] takes.
const (
	FormDER    Form = "DER" // or BER
	FormPEM    Form = "PEM"
	FormBase64 Form = "base64"
)

// A Message is a request, a response or a token. One of the three is not nil.
type Message struct {
	Form     Form
	Request  *Request
	Response *Response
	Token    *Token
}

// ParseAny parses a request, a response or a bare token, in DER or BER, in PEM
// under whatever label, or in base64, and tells which it was. White space
// around PEM and base64 is let pass. Its error wraps [ErrMalformed] or is a
// [*Rejection] for a request that is not well formed.
func ParseAny(in []byte) (*Message, error) {
	if len(in) > 2*MaxMessage {
		return nil, fmt.Errorf("tsp: %w: %d bytes long, at most %d are read", ErrMalformed, len(in), 2*MaxMessage)
	}
	m := &Message{Form: FormDER}
	if len(in) > 0 && in[0] != 0x30 {
		var err error
		if in, m.Form, err = unwrap(in); err != nil {
			return nil, fmt.Errorf("tsp: %w: %w", ErrMalformed, err)
		}
	}
	kind, err := sniff(in)
	if err != nil {
		return nil, fmt.Errorf("tsp: %w: %w", ErrMalformed, err)
	}
	switch kind {
	case "request":
		m.Request, err = ParseRequest(in)
	case "response":
		m.Response, err = ParseResponse(in)
	default:
		m.Token, err = ParseToken(in)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// TimeStampToken returns the token of m: that of a granted response, or the
// bare one. It returns the [*Rejection] of a refusal as the error.
func (m *Message) TimeStampToken() (*Token, error) {
	switch {
	case m.Token != nil:
		return m.Token, nil
	case m.Response != nil && m.Response.Token != nil:
		return m.Response.Token, nil
	case m.Response != nil && m.Response.Rejection != nil:
		return nil, m.Response.Rejection
	}
	return nil, errors.New("tsp: there is no token in the message")
}

// unwrap takes the DER out of PEM or base64.
func unwrap(in []byte) ([]byte, Form, error) {
	text := bytes.TrimSpace(in)
	if bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		// Nobody writes headers here, and millions of them would fill a map.
		if bytes.IndexByte(text, ':') >= 0 {
			return nil, "", errors.New("PEM block has headers, or bytes after it")
		}
		block, rest := pem.Decode(text)
		switch {
		case block == nil:
			return nil, "", errors.New("PEM block is malformed")
		case strings.Contains(block.Type, "PRIVATE KEY"), block.Type == "CERTIFICATE", block.Type == "PUBLIC KEY":
			return nil, "", fmt.Errorf("PEM block holds a %s, not a timestamp", strings.ToLower(block.Type))
		case len(bytes.TrimSpace(rest)) > 0:
			return nil, "", errors.New("bytes after the PEM block")
		}
		return block.Bytes, FormPEM, nil
	}
	clean := make([]byte, 0, len(text))
	for _, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n', '=':
		case '-':
			clean = append(clean, '+')
		case '_':
			clean = append(clean, '/')
		default:
			clean = append(clean, c)
		}
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	if err != nil || n == 0 || out[0] != 0x30 {
		return nil, "", errors.New("neither DER nor PEM nor base64 of a timestamp message")
	}
	return out[:n], FormBase64, nil
}

// sniff tells the messages apart by their first fields: a request begins with
// its version and an imprint, a response with a status in a SEQUENCE, a token
// with the identifier of its content type.
func sniff(in []byte) (string, error) {
	// Only the outermost headers are read here; BER may have them indefinite.
	first := firstInside(in)
	switch der.Tag(first) {
	case asn1.OBJECT_IDENTIFIER:
		return "token", nil
	case asn1.SEQUENCE:
		return "response", nil
	case asn1.INTEGER:
		var v cryptobyte.String
		if first.ReadASN1(&v, asn1.INTEGER) && der.Tag(first) == asn1.OBJECT_IDENTIFIER {
			return "", errors.New("a bare TSTInfo, which nobody signed")
		}
		return "request", nil
	}
	return "", errors.New("not a timestamp request, response or token")
}

// firstInside returns what follows the header of the element that in begins
// with, nil when that is not a SEQUENCE.
func firstInside(in []byte) cryptobyte.String {
	if len(in) < 2 || in[0] != 0x30 {
		return nil
	}
	skip := 2
	if in[1] > 0x80 {
		skip += int(in[1] & 0x7f)
	}
	if skip > len(in) {
		return nil
	}
	return cryptobyte.String(in[skip:])
}
