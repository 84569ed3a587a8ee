package tsphttp

import (
	"errors"
	"io"
)

// smallBody is the size of the buffers that request bodies are read into
// first. A request has some 40 to 200 octets.
const smallBody = 2 << 10

// errTooLarge is the cause of a 413.
var errTooLarge = errors.New("body is longer than the limit")

// readBody reads r to its end into buf, or into a larger buffer that grows
// with what has really arrived, whatever length was announced. It reads at
// most limit+1 octets.
func readBody(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	buf = buf[:0:min(int64(cap(buf)), limit+1)]
	for {
		if len(buf) == cap(buf) {
			if int64(len(buf)) > limit {
				return nil, errTooLarge
			}
			bigger := make([]byte, len(buf), min(2*int64(cap(buf)), limit+1))
			copy(bigger, buf)
			buf = bigger
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			if int64(len(buf)) > limit {
				return nil, errTooLarge
			}
			if err == io.EOF {
				return buf, nil
			}
			return nil, err
		}
	}
}
