package serve

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
)

// maxRequestID is the longest identifier taken from a client, in characters: a
// UUID has 36, a trace context 55.
const maxRequestID = 128

// identify returns the identifier of a request, the client's own if it sent
// one that is fit for a log, and leaves it in the request's header for those
// who come after. The slice is shared with the answer.
func (s *Server) identify(h http.Header) []string {
	if values := h[s.idHeader]; len(values) == 1 && validID(values[0]) {
		return values
	}
	// It has to be different from others, not hard to guess.
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], raw[:])
	values := []string{string(text[:])}
	h[s.idHeader] = values
	return values
}

func validID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@', c == '|':
		default:
			return false
		}
	}
	return true
}
