package der

// Identifier octets of the elements that Fencepost writes.
const (
	TagBoolean         = 0x01
	TagInteger         = 0x02
	TagBitString       = 0x03
	TagOctetString     = 0x04
	TagNull            = 0x05
	TagOID             = 0x06
	TagUTF8String      = 0x0c
	TagGeneralizedTime = 0x18
	TagSequence        = 0x30
	TagSet             = 0x31
)

// Context returns the identifier octet of the constructed context-specific
// tag [n], for n below 31.
func Context(n byte) byte { return 0xa0 | n }

// HeaderLen returns the length of the header of an element with n content
// octets.
func HeaderLen(n int) int {
	switch {
	case n < 1<<7:
		return 2
	case n < 1<<8:
		return 3
	case n < 1<<16:
		return 4
	case n < 1<<24:
		return 5
	}
	return 6
}

// Len returns the length of an element with n content octets, header included.
func Len(n int) int { return HeaderLen(n) + n }

// AppendHeader appends the header of an element with n content octets.
func AppendHeader(b []byte, tag byte, n int) []byte {
	switch {
	case n < 1<<7:
		return append(b, tag, byte(n))
	case n < 1<<8:
		return append(b, tag, 0x81, byte(n))
	case n < 1<<16:
		return append(b, tag, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(b, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Append appends the element with the given tag whose content is the
// concatenation of parts.
func Append(b []byte, tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b = AppendHeader(b, tag, n)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// Make returns a new element with the given tag whose content is the
// concatenation of parts.
func Make(tag byte, parts ...[]byte) []byte { return Append(nil, tag, parts...) }

// AppendInt appends v as an INTEGER.
func AppendInt(b []byte, v int64) []byte {
	n := 1
	for x := v; x > 127 || x < -128; x >>= 8 {
		n++
	}
	b = append(b, TagInteger, byte(n))
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}
