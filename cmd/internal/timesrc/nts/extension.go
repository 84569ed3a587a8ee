package nts

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// refusalWait is how long an answer is still waited for after one that
	// says that the cookie is not taken, which anybody can send who saw the
	// question (RFC 8915, 5.7).
	refusalWait = 250 * time.Millisecond

	// maxRejected is how many packets are thrown away before the question is
	// given up, at a few microseconds each: someone floods the port.
	maxRejected = 1000
)

// An extension protects one question, and checks its answer. It is what package
// ntp sees of this one.
type extension struct {
	query     *query
	authentic bool     // the answer was authenticated
	cookies   [][]byte // that it brought
	refused   bool     // an answer said that the cookie is not taken
	rejected  error    // what was wrong with an answer that could be ours
	count     int      // packets thrown away
}

// ProcessQuery adds the fields to the packet, which is complete: the random
// transmit timestamp is in it, and nothing comes after the authenticator.
func (x *extension) ProcessQuery(buf *bytes.Buffer) error {
	if buf.Len() != headerSize {
		return fmt.Errorf("nts: internal error: a question of %d octets", buf.Len())
	}
	sealed := x.query.seal(buf.Bytes())
	buf.Write(sealed[headerSize:])
	return nil
}

// ProcessResponse is the check that counts: no answer is measured by that does
// not pass it.
func (x *extension) ProcessResponse(packet []byte) error {
	cookies, err := x.query.open(packet)
	if err != nil {
		return err
	}
	x.authentic, x.cookies = true, nil
	for _, c := range cookies {
		x.cookies = append(x.cookies, bytes.Clone(c))
	}
	return nil
}

// A filter throws away what is not authentic and waits on (RFC 8915, 5.7), so
// that a forged packet which comes first does not take the place of the answer.
type filter struct {
	net.Conn
	extension *extension
}

func (f *filter) Read(p []byte) (int, error) {
	x := f.extension
	for {
		n, err := f.Conn.Read(p)
		if err != nil {
			return 0, err
		}
		_, err = x.query.open(p[:n])
		if err == nil {
			return n, nil
		}
		if errors.Is(err, errNAK) && !x.refused {
			x.refused = true
			if err := f.SetReadDeadline(time.Now().Add(refusalWait)); err != nil {
				return 0, err
			}
		}
		if !errors.Is(err, errStray) {
			x.rejected = err
		}
		if x.count++; x.count > maxRejected {
			return 0, fmt.Errorf("%d packets and no authentic answer, the last: %w", x.count, err)
		}
	}
}
