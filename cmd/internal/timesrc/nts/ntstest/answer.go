package ntstest

import (
	"encoding/binary"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
)

func (s *Server) serveNTP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.ntp.ReadFrom(buf)
		if err != nil {
			return
		}
		received := s.now()
		question := append([]byte(nil), buf[:n]...)
		for _, packet := range s.answer(question, received) {
			if _, err := s.ntp.WriteTo(packet, from); err != nil {
				return
			}
		}
	}
}

func (s *Server) now() time.Time {
	if now := s.config().Now; now != nil {
		return now()
	}
	return time.Now()
}

// A question, taken apart.
type question struct {
	id, cookie   []byte
	placeholders int
	before       []byte // what is authenticated
	nonce, tag   []byte
}

func parseQuestion(p []byte) (q question, err error) {
	if len(p) < 48 || p[0] != 0x23 || len(p)%4 != 0 {
		return q, errQuestion
	}
	for at := 48; at < len(p); {
		if len(p)-at < 16 {
			return q, errQuestion
		}
		kind, size := binary.BigEndian.Uint16(p[at:]), int(binary.BigEndian.Uint16(p[at+2:]))
		if size < 16 || size%4 != 0 || at+size > len(p) || q.before != nil {
			return q, errQuestion
		}
		value := p[at+4 : at+size]
		switch kind {
		case UniqueIdentifier:
			if q.id != nil || len(value) < 32 {
				return q, errQuestion
			}
			q.id = value
		case NTSCookie:
			if q.cookie != nil {
				return q, errQuestion
			}
			q.cookie = value
		case CookiePlaceholder: // RFC 8915, 5.5: as long as the cookie
			if len(value) != len(q.cookie) {
				return q, errQuestion
			}
			q.placeholders++
		case Authenticator: // a nonce of 16 octets and a tag of 16, nothing encrypted
			if len(value) != 36 || binary.BigEndian.Uint32(value) != 16<<16|16 {
				return q, errQuestion
			}
			q.before, q.nonce, q.tag = p[:at], value[4:20], value[20:]
		default:
			return q, errQuestion
		}
		at += size
	}
	if q.id == nil || q.cookie == nil || q.before == nil {
		return q, errQuestion
	}
	return q, nil
}

// answer returns what is to be sent for a question.
func (s *Server) answer(p []byte, received time.Time) [][]byte {
	cfg := s.config()
	q, err := parseQuestion(p)
	s.mu.Lock()
	s.counts.Questions++
	k := s.keys[string(q.cookie)]
	switch {
	case err != nil:
		s.counts.Unauthentic++
	case k == nil:
		s.counts.Unknown++
	case k.used:
		s.counts.Reused++
	}
	if k != nil {
		k.used = true
	}
	s.mu.Unlock()
	if err != nil {
		return nil
	}

	r := &Reply{UniqueID: q.id}
	r.Header[0] = 0x24 // version 4, server
	copy(r.Header[24:], p[40:48])
	if k == nil { // RFC 8915, 5.7
		copy(r.Header[12:], "NTSN")
		putTime(r.Header[32:], received)
		putTime(r.Header[40:], s.now())
	} else {
		if _, err := k.c2s.Open(q.tag, q.before, q.nonce); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.counts.Unauthentic++
			return nil
		}
		r.Key = k.s2c
		for range 1 + q.placeholders {
			r.Cookies = append(r.Cookies, s.cookie(k))
		}
		r.Header[1] = 1
		r.Header[3] = 0xe9 // 2^-23 s
		copy(r.Header[12:], "TEST")
		putTime(r.Header[16:], received.Add(-time.Second))
		putTime(r.Header[32:], received)
		putTime(r.Header[40:], s.now())
	}
	if cfg.Reply != nil {
		cfg.Reply(r)
	}
	s.mu.Lock()
	s.counts.Cookies += len(r.Cookies)
	s.mu.Unlock()
	packet := r.encode()
	if cfg.Packets != nil {
		return cfg.Packets(p, packet)
	}
	return [][]byte{packet}
}

func (r *Reply) encode() []byte {
	b := append([]byte(nil), r.Header[:]...)
	if r.UniqueID != nil {
		b = appendField(b, Field{UniqueIdentifier, r.UniqueID})
	}
	for _, f := range r.Plain {
		b = appendField(b, f)
	}
	if r.Key != nil {
		var plaintext []byte
		for _, c := range r.Cookies {
			plaintext = appendField(plaintext, Field{NTSCookie, c})
		}
		b = appendField(b, Field{Authenticator, seal(r.Key, b, plaintext)})
	}
	for _, f := range r.After {
		b = appendField(b, f)
	}
	return b
}

// seal makes the value of an authenticator (RFC 8915, 5.6).
func seal(key *nts.SIV, before, plaintext []byte) []byte {
	nonce := []byte("nonce of 16 byte")
	ciphertext := key.Seal(plaintext, before, nonce)
	v := binary.BigEndian.AppendUint16(nil, uint16(len(nonce)))
	v = binary.BigEndian.AppendUint16(v, uint16(len(ciphertext)))
	v = append(v, nonce...)
	v = append(v, ciphertext...)
	for len(v)%4 != 0 {
		v = append(v, 0)
	}
	return v
}

func appendField(b []byte, f Field) []byte {
	size := 4 + len(f.Value)
	for size%4 != 0 || size < 16 {
		size++
	}
	b = binary.BigEndian.AppendUint16(b, f.Type)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, f.Value...)
	return append(b, make([]byte, size-4-len(f.Value))...)
}

// putTime writes an NTP timestamp (RFC 5905, 6).
func putTime(b []byte, t time.Time) {
	const since1900 = 2208988800
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+since1900))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}
