package nts

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// newQuery is a question whose every octet is known.
func newQuery(t testing.TB) *query {
	q := &query{
		cookie:       bytes.Repeat([]byte{0xc0}, 100),
		placeholders: 2,
		c2s:          newSIV(t, bytes.Repeat([]byte{1}, 32)),
		s2c:          newSIV(t, bytes.Repeat([]byte{2}, 32)),
	}
	copy(q.id[:], bytes.Repeat([]byte{0x1d}, idSize))
	copy(q.nonce[:], bytes.Repeat([]byte{0x0c}, nonceSize))
	return q
}

// An answer in parts, so that each can be changed.
type answer struct {
	header    [headerSize]byte
	before    []field
	encrypted []byte
	key       *SIV // nil: no authenticator
	after     []byte
}

func goodAnswer(q *query) *answer {
	a := &answer{before: []field{{fieldUniqueID, q.id[:]}}, key: q.s2c}
	a.header[0], a.header[1] = 0x24, 1
	a.encrypted = field{fieldCookie, bytes.Repeat([]byte{7}, 100)}.append(nil)
	a.encrypted = field{fieldCookie, bytes.Repeat([]byte{8}, 100)}.append(a.encrypted)
	return a
}

func (a *answer) encode() []byte {
	b := bytes.Clone(a.header[:])
	for _, f := range a.before {
		b = f.append(b)
	}
	if a.key != nil {
		nonce := []byte("sixteen octets..")
		b = field{fieldAuthenticator, authenticator{nonce: nonce, ciphertext: a.key.Seal(a.encrypted, b, nonce)}.append(nil)}.append(b)
	}
	return append(b, a.after...)
}

func TestOpen(t *testing.T) {
	q := newQuery(t)
	for _, test := range []struct {
		name   string
		change func(*answer)
	}{
		{"plain", func(*answer) {}},
		{"unknown fields", func(a *answer) { a.before = append(a.before, field{0x2005, []byte("hello")}) }},
		{"cookies outside are not taken", func(a *answer) {
			a.before = append(a.before, field{fieldCookie, make([]byte, 100)})
			a.after = field{fieldCookie, make([]byte, 100)}.append(nil)
		}},
		{"what follows is not read", func(a *answer) { a.after = []byte{1, 2, 3} }},
		{"a short field within", func(a *answer) { a.encrypted = append(a.encrypted, 0x20, 0x05, 0, 4) }},
		{"NTSN, authenticated all the same", func(a *answer) { a.header[1] = 0; copy(a.header[12:], "NTSN") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := goodAnswer(q)
			test.change(a)
			cookies, err := q.open(a.encode())
			if err != nil || len(cookies) != 2 || cookies[0][0] != 7 || cookies[1][99] != 8 {
				t.Errorf("open = %x, %v", cookies, err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	q := newQuery(t)
	many := func(n int) (out []field) {
		for range n {
			out = append(out, field{0x2005, nil})
		}
		return out
	}
	for _, test := range []struct {
		name   string
		change func(*answer)
		err    error  // or
		text   string // any
	}{
		{"no unique identifier", func(a *answer) { a.before = nil }, errStray, ""},
		{"other unique identifier", func(a *answer) { a.before = []field{{fieldUniqueID, make([]byte, 32)}} }, errStray, ""},
		{"longer unique identifier", func(a *answer) { a.before = []field{{fieldUniqueID, append(bytes.Clone(q.id[:]), 0, 0, 0, 0)}} }, errStray, ""},
		{"two unique identifiers", func(a *answer) { a.before = append(a.before, a.before[0]) }, errStray, ""},
		{"unique identifier behind", func(a *answer) { a.after = a.before[0].append(nil); a.before = nil }, errStray, ""},
		{"stripped", func(a *answer) { a.key = nil }, errNoAuthenticator, ""},
		{"nothing but a header", func(a *answer) { a.key, a.before = nil, nil }, errStray, ""},
		{"other key", func(a *answer) { a.key = q.c2s }, ErrNotAuthentic, ""},
		{"forgotten cookie", func(a *answer) { a.key = nil; a.header[1] = 0; copy(a.header[12:], "NTSN") }, errNAK, ""},
		{"forged NTSN", func(a *answer) { a.key, a.before, a.header[1] = nil, nil, 0; copy(a.header[12:], "NTSN") }, errStray, ""},
		{"RATE, not authenticated", func(a *answer) { a.key = nil; a.header[1] = 0; copy(a.header[12:], "RATE") }, errNoAuthenticator, ""},
		{"too many fields", func(a *answer) { a.before = append(a.before, many(maxFields)...) }, nil, "more than 32 extension fields"},
		{"too many fields within", func(a *answer) {
			for range maxFields + 1 {
				a.encrypted = field{0x2005, nil}.append(a.encrypted)
			}
		}, nil, "more than 32 encrypted"},
		{"long cookie", func(a *answer) { a.encrypted = field{fieldCookie, make([]byte, 1000)}.append(nil) }, nil, "cookie of 1000"},
		{"cookie of nothing", func(a *answer) { a.encrypted = []byte{2, 4, 0, 4} }, nil, "cookie of 0"},
		{"broken field within", func(a *answer) { a.encrypted = append(a.encrypted, 2, 4, 0, 99) }, nil, "length 99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := goodAnswer(q)
			test.change(a)
			cookies, err := q.open(a.encode())
			if err == nil || cookies != nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("open = %x, %v; want %v %q", cookies, err, test.err, test.text)
			}
		})
	}
	// Whatever bit is changed up to the end of the authenticator, and wherever
	// the packet is cut, it is not taken.
	whole := goodAnswer(q).encode()
	for i := range 8 * len(whole) {
		p := bytes.Clone(whole)
		p[i/8] ^= 1 << (i % 8)
		if cookies, err := q.open(p); err == nil || cookies != nil {
			t.Fatalf("with bit %d of octet %d changed: %x", i%8, i/8, cookies)
		}
	}
	for i := range whole {
		if cookies, err := q.open(whole[:i]); err == nil || cookies != nil {
			t.Fatalf("cut to %d octets: %x", i, cookies)
		}
	}
}

func TestParseAuthenticator(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"nothing", ""},
		{"no nonce", "00000010" + strings.Repeat("00", 16)},
		{"nonce beyond the end", "00140010" + strings.Repeat("00", 16)},
		{"ciphertext beyond the end", "00100011" + strings.Repeat("00", 32)},
		{"padding of the nonce", "00010004" + "aa000001" + "bbbbbbbb"},
		{"padding of the ciphertext", "00040001" + "aaaaaaaa" + "bb010000"},
		{"padding at the end", "00040004" + "aaaaaaaa" + "bbbbbbbb" + "00000001"},
	} {
		if a, err := parseAuthenticator(unhex(t, test.value)); err == nil || a.nonce != nil {
			t.Errorf("%s: parseAuthenticator = %+v, %v", test.name, a, err)
		}
	}
}

// The packet of a question, octet by octet as far as it is not encrypted
// (RFC 8915, 5.3 to 5.7).
func TestSeal(t *testing.T) {
	q := newQuery(t)
	header := bytes.Repeat([]byte{0x23}, headerSize)
	b := q.seal(header)
	want := bytes.Join([][]byte{
		header,
		{1, 4, 0, 36}, q.id[:],
		{2, 4, 0, 104}, q.cookie,
		{3, 4, 0, 104}, make([]byte, 100),
		{3, 4, 0, 104}, make([]byte, 100),
	}, nil)
	if !bytes.HasPrefix(b, want) {
		t.Fatalf("seal = %x, want first %x", b, want)
	}
	rest := b[len(want):]
	if !bytes.HasPrefix(rest, append([]byte{4, 4, 0, 40, 0, 16, 0, 16}, q.nonce[:]...)) || len(rest) != 40 {
		t.Fatalf("authenticator %x", rest)
	}
	if _, err := q.c2s.Open(rest[24:], want, q.nonce[:]); err != nil {
		t.Errorf("the authenticator is not over all before it: %v", err)
	}
}

func TestRoom(t *testing.T) {
	for _, size := range []int{1, 12, 13, 100, 104, 140, 141, 250, 511, maxCookie} {
		q := newQuery(t)
		q.cookie = make([]byte, size)
		q.placeholders = room(q.cookie)
		if n := len(q.seal(make([]byte, headerSize))); n > maxPacket {
			t.Errorf("cookies of %d octets: %d placeholders make %d octets, more than %d", size, q.placeholders, n, maxPacket)
		}
		q.placeholders++
		if n := len(q.seal(make([]byte, headerSize))); n <= maxPacket {
			t.Errorf("cookies of %d octets: there is room for %d placeholders", size, q.placeholders)
		}
	}
}

func FuzzFields(f *testing.F) {
	q := newQuery(f)
	f.Add(goodAnswer(q).encode()[headerSize:])
	f.Add(q.seal(make([]byte, headerSize))[headerSize:])
	f.Add([]byte{1, 4, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{4, 4, 0, 16, 0, 1, 0, 1, 5, 0, 0, 0, 5, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		rest := data
		for len(rest) > 0 {
			var one field
			var err error
			if one, rest, err = nextField(rest, minField); err != nil {
				break
			}
			again = one.append(again)
			if one.kind != fieldAuthenticator {
				continue
			}
			if a, err := parseAuthenticator(one.value); err == nil && !bytes.Equal(a.append(nil), one.value) {
				t.Fatalf("authenticator %x was read as %+v", one.value, a)
			}
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("%x was read as %x", data, again)
		}
		// Nobody can make an answer without the key.
		if bytes.HasPrefix(data, goodAnswer(q).encode()[headerSize:]) {
			return
		}
		packet := append(goodAnswer(q).header[:], data...)
		if cookies, err := q.open(packet); err == nil || cookies != nil {
			t.Fatalf("open(%x) = %x", packet, cookies)
		}
	})
}

// What the server encrypts is parsed as well, and the server may be anyone.
func FuzzEncrypted(f *testing.F) {
	q := newQuery(f)
	f.Add(goodAnswer(q).encrypted)
	f.Add([]byte{2, 4, 0, 4})
	f.Add([]byte{0x20, 5, 0, 8, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		if len(plaintext) > 60000 {
			return
		}
		a := goodAnswer(q)
		a.encrypted = plaintext
		cookies, err := q.open(a.encode())
		if err != nil && cookies != nil {
			t.Fatalf("open = %x, %v", cookies, err)
		}
		var total int
		for _, c := range cookies {
			if total += fieldHead + len(c); len(c) == 0 || len(c) > maxCookie {
				t.Fatalf("cookie of %d octets", len(c))
			}
		}
		if total > len(plaintext) {
			t.Fatalf("cookies of %d octets out of %d", total, len(plaintext))
		}
	})
}
