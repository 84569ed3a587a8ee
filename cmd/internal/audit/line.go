package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"
)

// MaxLine is the longest line, in bytes, the newline included. The longest
// record, a stamp, is below, and a reader holds no more than that in memory.
const MaxLine = 64 << 10

// A Hash is one of the chain, a SHA-256.
type Hash [sha256.Size]byte

// hashLen is the length of a hash in the file.
const hashLen = 43

// String returns the hash as it is in the file: base64url without padding.
func (h Hash) String() string { return string(appendHash(nil, &h)) }

// MarshalText returns what String does.
func (h Hash) MarshalText() ([]byte, error) { return appendHash(nil, &h), nil }

// ParseHash reads what String returns.
func ParseHash(s string) (Hash, error) {
	h, err := parseHash([]byte(s))
	if err != nil {
		return h, fmt.Errorf("audit: %w", err)
	}
	return h, nil
}

func appendHash(b []byte, h *Hash) []byte { return base64.RawURLEncoding.AppendEncode(b, h[:]) }

func parseHash(b []byte) (h Hash, err error) {
	if len(b) != hashLen {
		return h, fmt.Errorf("a hash of %d characters, want %d", len(b), hashLen)
	}
	if bytes.ContainsAny(b, "\r\n") { // which base64 reads over
		return h, errors.New("a hash with a newline")
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(h[:], b); err != nil {
		return Hash{}, fmt.Errorf("a hash that is not base64url: %w", err)
	}
	return h, nil
}

// frame names the members that every record has.
var frame = []string{"n", "synced", "time", "kind", "hash"}

// tailLen is how much of a line the hash takes, with the end of the object.
const tailLen = len(`,"hash":"`) + hashLen + len(`"}`)

// A link is where a chain has got to: the number and the hash of a record.
type link struct {
	n    uint64
	head Hash
}

// A group is what the records that are written together have in common.
type group struct {
	synced uint64        // the last record that is on the disk already
	time   [timeLen]byte // of recording
	digest hash.Hash     // SHA-256
	sum    [sha256.Size]byte
}

func newGroup() *group { return &group{digest: sha256.New()} }

// begin sets what the lines from now on say.
func (g *group) begin(synced uint64, now time.Time) error {
	b, ok := appendTime(g.time[:0], now)
	if !ok {
		return fmt.Errorf("the clock shows the year %d", now.UTC().Year())
	}
	g.synced = synced
	copy(g.time[:], b)
	return nil
}

// appendLine writes the line of a body, as encode makes it, and moves the link.
func (g *group) appendLine(b, body []byte, at *link) []byte {
	start := len(b)
	at.n++
	b = append(b, `{"n":`...)
	b = strconv.AppendUint(b, at.n, 10)
	b = append(b, `,"synced":`...)
	b = strconv.AppendUint(b, g.synced, 10)
	b = append(b, `,"time":"`...)
	b = append(b, g.time[:]...)
	b = append(b, `","kind":"`...)
	b = append(b, body...)
	g.digest.Reset()
	g.digest.Write(at.head[:])
	g.digest.Write(b[start:])
	copy(at.head[:], g.digest.Sum(g.sum[:0]))
	b = append(b, `,"hash":"`...)
	b = appendHash(b, &at.head)
	return append(b, "\"}\n"...)
}

// maxFrame is the most that appendLine adds to a body.
const maxFrame = len(`{"n":18446744073709551615,"synced":18446744073709551615,"time":"","kind":"`) + timeLen + tailLen + len("\n")

// encode appends what is particular to a record: its kind and its members.
func encode(c *coder, rec Record) error {
	c.buf = append(c.buf, rec.Kind()...)
	c.buf = append(c.buf, '"')
	rec.fields(c)
	switch {
	case c.err != nil:
		return fmt.Errorf("audit: record of kind %s: %w", rec.Kind(), c.err)
	case len(c.buf)+maxFrame > MaxLine:
		return fmt.Errorf("audit: record of kind %s: %d bytes, more than fit into a line", rec.Kind(), len(c.buf))
	}
	return nil
}

// An Entry is a record as it stands in a file.
type Entry struct {
	File   string // its name
	Line   int    // from 1
	Offset int64  // of the line, in bytes

	Seq    uint64    // the number of the record, from 1, running on over files
	Synced uint64    // the last record that was on the disk when this one was written
	Time   time.Time // when it was recorded
	Kind   Kind
	Record Record // nil if the kind is one of a later version
	Hash   Hash   // as the line says
	// Chained says that the hash is right: it follows from the line and from
	// the record before. What is not chained was altered, or follows something
	// that was.
	Chained bool

	// Raw is the line without its newline. It is overwritten when the function
	// that was given the entry returns.
	Raw []byte
}

// follows says whether the line's hash is that of a record after at.
func (e *Entry) follows(at link) bool {
	if e.Seq != at.n+1 {
		return false
	}
	d := sha256.New()
	d.Write(at.head[:])
	d.Write(e.Raw[:len(e.Raw)-tailLen])
	return Hash(d.Sum(nil)) == e.Hash
}

// parse reads a line without its newline. It takes nothing that appendLine
// would have written otherwise, but for members and kinds of later versions.
func (e *Entry) parse(raw []byte) error {
	e.Raw, e.Chained = raw, false
	switch {
	case len(raw) >= MaxLine:
		return errTooLong
	case len(raw) < len(`{"n":`)+tailLen || !bytes.HasPrefix(raw, []byte(`{"n":`)):
		return errors.New("not a record")
	}
	body, tail := raw[1:len(raw)-tailLen], raw[len(raw)-tailLen:]
	if !bytes.HasPrefix(tail, []byte(`,"hash":"`)) || !bytes.HasSuffix(tail, []byte(`"}`)) {
		return errors.New("the record does not end with its hash")
	}
	var err error
	if e.Hash, err = parseHash(tail[len(`,"hash":"`) : len(tail)-len(`"}`)]); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	c := coder{reading: true, buf: body[len(`"n":`):]}
	if e.Seq, c.buf, err = readUint(c.buf); err != nil {
		return fmt.Errorf("n: %w", err)
	}
	var kind string
	c.count("synced", &e.Synced)
	c.time("time", &e.Time)
	c.text("kind", &kind)
	if c.err != nil {
		return c.err
	}
	if e.Seq == 0 || e.Synced >= e.Seq {
		return fmt.Errorf("n: record %d, with %d on the disk already", e.Seq, e.Synced)
	}
	e.Kind = Kind(kind)
	c.names = c.names[:0]
	if e.Record = newRecord(e.Kind); e.Record != nil {
		e.Record.fields(&c)
	}
	c.rest()
	return c.err
}

var errTooLong = fmt.Errorf("a line of more than %d bytes", MaxLine)
