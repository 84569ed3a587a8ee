package envelope

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The major types of CBOR (RFC 8949, 3.1).
const (
	majorUnsigned = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
	majorTag      = 6
	majorSimple   = 7
)

// tags says whether an item may have any in it.
type tags int

const (
	// tagsRefused is for what go-cose reads without: all but what is signed.
	tagsRefused tags = iota
	tagsAllowed
)

// head reads the head of the first item: its major type, the argument and the
// length of the head.
func head(in []byte) (major byte, n uint64, size int, err error) {
	if len(in) == 0 {
		return 0, 0, 0, fail(ReasonMalformed, "CBOR ends too early")
	}
	major, info := in[0]>>5, in[0]&0x1f
	switch {
	case info < 24:
		return major, uint64(info), 1, nil
	case info == 31:
		return 0, 0, 0, fail(ReasonMalformed, "CBOR of indefinite length")
	case info > 27:
		return 0, 0, 0, fail(ReasonMalformed, "CBOR with the reserved head %#02x", in[0])
	}
	size = 1 + 1<<(info-24)
	if len(in) < size {
		return 0, 0, 0, fail(ReasonMalformed, "CBOR ends too early")
	}
	var full [8]byte
	copy(full[8-(size-1):], in[1:size])
	n = binary.BigEndian.Uint64(full[:])
	if major == majorSimple && info == 24 && n < 32 {
		return 0, 0, 0, fail(ReasonMalformed, "CBOR with the simple value %d in two bytes", n)
	}
	return major, n, size, nil
}

// item returns the length of the first item, which is well-formed (RFC 8949,
// appendix C) and nested in at most depth levels. Nothing is allocated for it,
// whatever lengths it claims.
func item(in []byte, depth int, t tags) (int, error) {
	major, n, size, err := head(in)
	if err != nil {
		return 0, err
	}
	inner := uint64(0)
	switch major {
	case majorBytes, majorText:
		if n > uint64(len(in)-size) {
			return 0, fail(ReasonMalformed, "CBOR ends too early: a string of %d bytes in %d", n, len(in)-size)
		}
		if major == majorText && !utf8.Valid(in[size:size+int(n)]) {
			return 0, fail(ReasonMalformed, "CBOR text that is not UTF-8")
		}
		return size + int(n), nil
	case majorArray:
		inner = n
	case majorMap:
		if n > math.MaxUint64/2 {
			return 0, fail(ReasonMalformed, "CBOR ends too early: a map of %d pairs", n)
		}
		inner = 2 * n
	case majorTag:
		if t == tagsRefused {
			return 0, fail(ReasonMalformed, "CBOR with the tag %d", n)
		}
		inner = 1
	default:
		return size, nil
	}
	if depth == 0 {
		return 0, fail(ReasonMalformed, "CBOR with more than %d levels", maxDepth)
	}
	if inner > uint64(len(in)-size) { // each has a byte at least
		return 0, fail(ReasonMalformed, "CBOR ends too early: %d items in %d bytes", inner, len(in)-size)
	}
	for range inner {
		length, err := item(in[size:], depth-1, t)
		if err != nil {
			return 0, err
		}
		size += length
	}
	return size, nil
}

// A pair is one of a CBOR map, with its place in it.
type pair struct {
	label label
	value []byte // as encoded
	at    span   // of the whole pair
	from  int    // of the value
}

// pairs returns those of a map with text and numbers as labels (RFC 9052, 1.4),
// none of them twice. The map has to be all there is.
func pairs(in []byte, t tags) ([]pair, error) {
	if length, err := item(in, maxDepth, t); err != nil {
		return nil, err
	} else if length != len(in) {
		return nil, fail(ReasonMalformed, "%d bytes after its end", len(in)-length)
	}
	major, n, i, err := head(in)
	switch {
	case err != nil:
		return nil, err
	case major != majorMap:
		return nil, fail(ReasonMalformed, "not a map")
	case n > maxMembers:
		return nil, fail(ReasonMalformed, "%d pairs; at most %d are read", n, maxMembers)
	}
	out := make([]pair, n)
	seen := make(map[label]bool, n)
	for k := range out {
		key, err := item(in[i:], maxDepth, t)
		if err != nil {
			return nil, err
		}
		value, err := item(in[i+key:], maxDepth, t)
		if err != nil {
			return nil, err
		}
		p := pair{at: span{i, i + key + value}, from: i + key, value: in[i+key : i+key+value]}
		if p.label, err = readLabel(in[i : i+key]); err != nil {
			return nil, err
		}
		if seen[p.label] {
			return nil, fail(ReasonMalformed, "the label %.100q is there twice", p.label)
		}
		seen[p.label] = true
		out[k], i = p, i+key+value
	}
	return out, nil
}

func readLabel(in []byte) (label, error) {
	if in[0]>>5 == majorText {
		s, err := readText(in)
		return text(s), err
	}
	n, err := readInt(in)
	if err != nil {
		return label{}, fail(ReasonMalformed, "a label that is neither text nor a number of 64 bits")
	}
	return label{number: n}, nil
}

// The read functions are for one item that is well-formed.

func readInt(in []byte) (int64, error) {
	major, n, _, err := head(in)
	switch {
	case err != nil:
		return 0, err
	case major > majorNegative || n > math.MaxInt64:
		return 0, fail(ReasonMalformed, "not a number of 64 bits")
	case major == majorNegative:
		return -1 - int64(n), nil
	}
	return int64(n), nil
}

func readText(in []byte) (string, error) {
	major, _, size, err := head(in)
	if err != nil {
		return "", err
	}
	if major != majorText {
		return "", fail(ReasonMalformed, "not text")
	}
	return string(in[size:]), nil
}

func readBytes(in []byte) ([]byte, error) {
	major, _, size, err := head(in)
	if err != nil {
		return nil, err
	}
	if major != majorBytes {
		return nil, fail(ReasonMalformed, "not a byte string")
	}
	return in[size:], nil
}

// readArray returns the elements, each encoded, at most limit.
func readArray(in []byte, limit int, t tags) ([][]byte, error) {
	major, n, i, err := head(in)
	switch {
	case err != nil:
		return nil, err
	case major != majorArray:
		return nil, fail(ReasonMalformed, "not an array")
	case n > uint64(limit):
		return nil, fail(ReasonMalformed, "an array of %d; at most %d are read", n, limit)
	}
	out := make([][]byte, n)
	for k := range out {
		length, err := item(in[i:], maxDepth, t)
		if err != nil {
			return nil, err
		}
		out[k], i = in[i:i+length], i+length
	}
	return out, nil
}

// appendHead appends the shortest head (RFC 8949, 4.2.1).
func appendHead(out []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(out, major|byte(n))
	case n <= math.MaxUint8:
		return append(out, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, major|27), n)
}
