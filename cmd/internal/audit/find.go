package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Query says which records are looked for: those that everything set applies
// to. The zero Query finds all.
type Query struct {
	// From and To bound the time: that in the token for tokens, that of recording
	// for others. Both are included; zero means no bound.
	From, To time.Time
	// Kind is that of the record. "" means any, but only tokens if one of the
	// following is set that only they have.
	Kind Kind
	// Key is the name of the key, of a token or an event of a key.
	Key string
	// Serial is that of a token in hexadecimal, with or without 0x, colons and
	// leading zeros.
	Serial string
	// Digest is the imprint of a token in hexadecimal.
	Digest string
	// ClockBoundAbove finds tokens that were issued while the clock could be
	// wrong by more. 0 means any.
	ClockBoundAbove time.Duration
	// Certificate is the SHA-256 of a signing certificate in hexadecimal.
	Certificate string
	// Client is who asked, as it was recorded.
	Client string
	// Token is the SHA-256 of a token's DER in hexadecimal.
	Token string
}

// Find calls f with each record that q describes, in the order of recording,
// until f returns an error, which Find returns then. It reads a file only if it
// can have such a record, and relies on the seal for that. Whether an entry can
// be relied upon is for [Verify] to say; Entry.Chained says a little.
func Find(ctx context.Context, dir string, q Query, f func(*Entry) error) error {
	d, err := newFolder(dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer d.Close()
	return find(ctx, d, q, f)
}

func find(ctx context.Context, d folder, q Query, f func(*Entry) error) error {
	m, err := q.matcher()
	if err != nil {
		return err
	}
	return walk(ctx, d, func(s segment) bool { return m.wanted(d, s) }, func(e *Entry) error {
		if m.matches(e) {
			return f(e)
		}
		return nil
	})
}

// A matcher is a query that was understood.
type matcher struct {
	Query
	serial, digest, certificate, token []byte
	tokens                             bool // nothing else can match
}

func (q Query) matcher() (*matcher, error) {
	m := &matcher{Query: q}
	for _, x := range []struct {
		name, text string
		to         *[]byte
		size       int // 0: any
	}{
		{"serial number", q.Serial, &m.serial, 0},
		{"digest", q.Digest, &m.digest, 0},
		{"certificate", q.Certificate, &m.certificate, 32},
		{"token", q.Token, &m.token, 32},
	} {
		if x.text == "" {
			continue
		}
		b, err := unhex(x.text)
		if err != nil {
			return nil, fmt.Errorf("audit: %s %.80q: %w", x.name, x.text, err)
		}
		if x.size > 0 && len(b) != x.size {
			return nil, fmt.Errorf("audit: %s: %d octets, want %d", x.name, len(b), x.size)
		}
		*x.to = b
	}
	if q.ClockBoundAbove < 0 {
		return nil, fmt.Errorf("audit: a bound of %v", q.ClockBoundAbove)
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return nil, errors.New("audit: the time ends before it begins")
	}
	m.serial = trimZeros(m.serial)
	m.tokens = q.Serial != "" || q.Digest != "" || q.Client != "" || q.Certificate != "" || q.Token != "" || q.ClockBoundAbove > 0
	return m, nil
}

// unhex reads hexadecimal as programs print it.
func unhex(s string) ([]byte, error) {
	s = strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(s))
	s = strings.TrimPrefix(s, "0x")
	if len(s)%2 == 1 {
		s = "0" + s
	}
	b, err := hex.DecodeString(s)
	if err == nil && len(b) == 0 {
		err = errors.New("no digits")
	}
	if err != nil {
		return nil, fmt.Errorf("not hexadecimal: %w", err)
	}
	return b, nil
}

// trimZeros makes two ways to write a serial number one.
func trimZeros(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func (m *matcher) matches(e *Entry) bool {
	if m.Kind != "" && e.Kind != m.Kind {
		return false
	}
	t, ok := e.Record.(*Token)
	if !ok {
		k, isKey := e.Record.(*Key)
		return !m.tokens && (m.Key == "" || isKey && k.Key == m.Key) && m.within(e.Time)
	}
	return m.within(t.GenTime) &&
		(m.Key == "" || t.Key == m.Key) &&
		(m.serial == nil || string(trimZeros(t.Serial)) == string(m.serial)) &&
		(m.digest == nil || string(t.Digest) == string(m.digest)) &&
		(m.certificate == nil || string(t.Certificate[:]) == string(m.certificate)) &&
		(m.token == nil || string(t.TokenSHA256[:]) == string(m.token)) &&
		(m.Client == "" || t.Client == m.Client) &&
		(m.ClockBoundAbove == 0 || t.ClockBound > m.ClockBoundAbove)
}

func (m *matcher) within(t time.Time) bool {
	return (m.From.IsZero() || !t.Before(m.From)) && (m.To.IsZero() || !t.After(m.To))
}

// wanted says whether a file can have something within the time.
func (m *matcher) wanted(d folder, s segment) bool {
	if m.From.IsZero() && m.To.IsZero() {
		return true
	}
	seal, err := readSeal(d, s)
	if err != nil || seal == nil {
		return true // reading it will tell
	}
	return (m.To.IsZero() || !seal.Earliest.After(m.To)) && (m.From.IsZero() || !seal.Latest.Before(m.From))
}

// readSeal returns the seal of a file, nil if it has none.
func readSeal(d folder, s segment) (*Seal, error) {
	r, err := d.Read(s.name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	// The last line is short, and one that is not is no seal.
	const enough = 1 << 10
	b := make([]byte, min(size, enough))
	if _, err := r.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	text, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return nil, nil
	}
	text = text[strings.LastIndexByte(text, '\n')+1:]
	var e Entry
	if e.parse([]byte(text)) != nil {
		return nil, nil
	}
	seal, _ := e.Record.(*Seal)
	return seal, nil
}
