package der

import (
	"errors"
	"fmt"
)

// maxDepth is the deepest nesting of elements accepted. A token with a
// certificate in it has some fifteen levels; a hostile one has a million.
const maxDepth = 64

// ToDER turns one BER element into DER as far as CMS needs it: indefinite
// lengths become definite, lengths minimal, and a constructed OCTET STRING
// one primitive one. It does not sort sets and does not look into primitive
// elements, so what was signed as DER stays as it was. Input that needs no
// change is returned itself, not a copy; thus ToDER is idempotent.
//
// It works in one loop with a bounded stack. Memory is at most about twice the
// input. High tag numbers, constructed strings other than OCTET STRING,
// nesting over 64 levels and bytes after the element are errors.
func ToDER(in []byte) ([]byte, error) {
	changed, err := walk(in, nil)
	if err != nil {
		return nil, err
	}
	if !changed {
		return in[:len(in):len(in)], nil
	}
	// A definite length takes more octets than an indefinite one with its end
	// only for contents of 64 KiB and more.
	out := make([]byte, 0, len(in)+2*(len(in)>>16+maxDepth))
	if _, err := walk(in, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// A frame is a constructed element that is being read.
type frame struct {
	tag        byte
	end        int  // offset behind the content; -1 for an indefinite length
	start      int  // where its content begins in the output
	octets     bool // a constructed OCTET STRING: its parts are joined
	headerless bool // a part of one: it gets no header of its own
}

// walk reads the element in and, where out is not nil, writes it as DER. It
// reports whether the DER differs from the input.
func walk(in []byte, out *[]byte) (changed bool, err error) {
	var stack [maxDepth]frame
	depth, pos := 0, 0
	for {
		// Close what ends here.
		for depth > 0 && stack[depth-1].end == pos {
			depth--
			finish(out, stack[depth])
		}
		if depth == 0 && pos > 0 {
			if pos != len(in) {
				return false, fmt.Errorf("%d bytes after the end", len(in)-pos)
			}
			return changed, nil
		}
		limit := len(in)
		var parent *frame
		if depth > 0 {
			parent = &stack[depth-1]
			// An indefinite length inside a definite one is bounded by it.
			for i := depth - 1; i >= 0; i-- {
				if stack[i].end >= 0 {
					limit = stack[i].end
					break
				}
			}
		}
		if parent != nil && parent.end < 0 && limit-pos >= 2 && in[pos] == 0 && in[pos+1] == 0 {
			pos += 2 // end-of-contents octets
			depth--
			finish(out, stack[depth])
			continue
		}
		h, err := readHeader(in[pos:limit])
		if err != nil {
			return false, fmt.Errorf("at byte %d: %w", pos, err)
		}
		if !h.minimal || h.indefinite {
			changed = true
		}
		pos += h.size
		constructed := h.tag&0x20 != 0
		part := parent != nil && parent.octets
		if part && h.tag != TagOctetString && h.tag != TagOctetString|0x20 {
			return false, fmt.Errorf("at byte %d: tag %#02x inside a constructed OCTET STRING", pos-h.size, h.tag)
		}
		if !constructed {
			if out != nil {
				if !part {
					*out = AppendHeader(*out, h.tag, h.length)
				}
				*out = append(*out, in[pos:pos+h.length]...)
			}
			pos += h.length
			continue
		}
		f := frame{tag: h.tag, end: -1, headerless: part}
		if !h.indefinite {
			f.end = pos + h.length
		}
		if h.tag&0xc0 == 0 {
			switch h.tag &^ 0x20 {
			case TagOctetString:
				f.octets, f.tag, changed = true, TagOctetString, true
			case TagSequence &^ 0x20, TagSet &^ 0x20, 0x08: // SEQUENCE, SET, EXTERNAL
			default:
				return false, fmt.Errorf("at byte %d: constructed form of tag %#02x", pos-h.size, h.tag)
			}
		}
		if depth == maxDepth {
			return false, fmt.Errorf("at byte %d: more than %d levels of nesting", pos-h.size, maxDepth)
		}
		if out != nil {
			f.start = len(*out)
		}
		stack[depth] = f
		depth++
	}
}

// finish puts the header before the content that was written since f began.
func finish(out *[]byte, f frame) {
	if out == nil || f.headerless {
		return
	}
	b := *out
	n := len(b) - f.start
	size := HeaderLen(n)
	b = append(b, make([]byte, size)...)
	copy(b[f.start+size:], b[f.start:f.start+n])
	AppendHeader(b[:f.start], f.tag, n)
	*out = b
}

type header struct {
	tag        byte
	size       int // of the header
	length     int // of the content
	indefinite bool
	minimal    bool
}

// readHeader reads the identifier and length octets of an element whose
// content must end within in.
func readHeader(in []byte) (header, error) {
	if len(in) < 2 {
		return header{}, errors.New("element is cut off")
	}
	h := header{tag: in[0], size: 2, minimal: true}
	switch {
	case h.tag == 0:
		return header{}, errors.New("end of contents where an element should be")
	case h.tag&0x1f == 0x1f:
		return header{}, errors.New("tag number above 30")
	}
	switch l := in[1]; {
	case l < 0x80:
		h.length = int(l)
	case l == 0x80:
		if h.tag&0x20 == 0 {
			return header{}, errors.New("indefinite length of a primitive element")
		}
		h.indefinite = true
		return h, nil
	case l == 0xff: // X.690, 8.1.3.5
		return header{}, errors.New("reserved length octet FF")
	default:
		n := int(l & 0x7f)
		if len(in) < 2+n {
			return header{}, errors.New("length is cut off")
		}
		for _, b := range in[2 : 2+n] {
			if h.length > 1<<22 {
				return header{}, errors.New("length goes beyond the end")
			}
			h.length = h.length<<8 | int(b)
		}
		h.size += n
		h.minimal = h.size == HeaderLen(h.length)
	}
	if h.length > len(in)-h.size {
		return header{}, errors.New("length goes beyond the end")
	}
	return h, nil
}
