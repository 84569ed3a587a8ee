package pki

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A form is a kind of content that files hold in PEM or DER.
type form struct {
	noun   string
	labels []string // of PEM, the usual one first
}

var (
	formCertificate = form{"certificate", []string{"CERTIFICATE"}}
	formRequest     = form{"certificate request", []string{"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}} // RFC 7468, 7
	formPublicKey   = form{"public key", []string{"PUBLIC KEY"}}
)

// split returns the DER of what a file in PEM or concatenated DER holds.
func (f form) split(data []byte, limit int) ([][]byte, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%d octets, want at most %d", len(data), MaxFileSize)
	}
	if len(data) > 0 && data[0] == 0x30 { // SEQUENCE; PEM would be the text "0"
		return f.splitDER(data, limit)
	}
	return f.splitPEM(data, limit)
}

// one returns the DER of a file that holds one thing, of MaxCertificateSize at
// most.
func (f form) one(data []byte) ([]byte, error) {
	blocks, err := f.split(data, 1)
	if err != nil {
		return nil, err
	}
	if n := len(blocks[0]); n > MaxCertificateSize {
		return nil, fmt.Errorf("%d octets, want at most %d", n, MaxCertificateSize)
	}
	return blocks[0], nil
}

func (f form) tooMany(limit int) error {
	if limit == 1 {
		return fmt.Errorf("more than one %s", f.noun)
	}
	return fmt.Errorf("more than %d %ss", limit, f.noun)
}

// encode writes DER as PEM.
func (f form) encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: f.labels[0], Bytes: der})
}

// splitDER cuts concatenated SEQUENCEs apart.
func (f form) splitDER(data []byte, limit int) ([][]byte, error) {
	var blocks [][]byte
	for s := cryptobyte.String(data); !s.Empty(); {
		var der cryptobyte.String
		if !s.ReadASN1Element(&der, cbasn1.SEQUENCE) {
			return nil, fmt.Errorf("%s %d: not a SEQUENCE in DER", f.noun, len(blocks)+1)
		}
		if len(blocks) == limit {
			return nil, f.tooMany(limit)
		}
		if err := f.otherDER(der); err != nil {
			return nil, err
		}
		blocks = append(blocks, der)
	}
	return blocks, nil
}

// oidPKCS7 is the content of the arc 1.2.840.113549.1.7, under which all
// PKCS #7 and CMS content types are that a file may hold.
const oidPKCS7 = "\x2a\x86\x48\x86\xf7\x0d\x01\x07"

// otherDER returns an error for the things besides what is wanted that an
// operator may hold in DER, as far as their first elements tell.
func (f form) otherDER(der cryptobyte.String) error {
	var body, first, algorithm cryptobyte.String
	var tag cbasn1.Tag
	if !der.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadAnyASN1(&first, &tag) {
		return nil
	}
	switch {
	case tag == cbasn1.OBJECT_IDENTIFIER && strings.HasPrefix(string(first), oidPKCS7):
		return fmt.Errorf(pkcs7Hint, f.noun)
	case tag != cbasn1.INTEGER:
		return nil
	case string(first) == "\x03" && body.PeekASN1Tag(cbasn1.SEQUENCE): // PFX
		return fmt.Errorf(pkcs12Hint, f.noun)
	case string(first) == "\x00" && body.PeekASN1Tag(cbasn1.INTEGER), // PKCS #1
		string(first) == "\x01" && body.PeekASN1Tag(cbasn1.OCTET_STRING): // SEC 1
		return ErrPrivateKey
	case string(first) == "\x00" || string(first) == "\x01": // PKCS #8, if the algorithm follows
		if body.ReadASN1(&algorithm, cbasn1.SEQUENCE) && algorithm.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) {
			return ErrPrivateKey
		}
	}
	return nil
}

const (
	pkcs7Hint  = "this is PKCS #7 or CMS, want a PEM %s: convert it with openssl pkcs7 -print_certs"
	pkcs12Hint = "this is PKCS #12 and may hold a private key, want a PEM %s: convert it with openssl pkcs12 -nokeys"
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)

// splitPEM returns the content of each block. The reader in
// encoding/pem skips a damaged block as if it were a comment; here each BEGIN
// has to give a block.
func (f form) splitPEM(data []byte, limit int) ([][]byte, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // byte order mark of Windows editors
	var blocks [][]byte
	line := 0            // number of the current line
	start, begun := 0, 0 // offset and line of the open BEGIN; 0 for no line
	for at := 0; at < len(data); {
		next := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		text := data[at:next]
		line++
		switch begin, end := bytes.Contains(text, []byte(pemBegin)), bytes.Contains(text, []byte(pemEnd)); {
		case begin && end:
			return nil, fmt.Errorf("line %d: two PEM boundaries on one line, a line break is missing", line)
		case begin && begun != 0:
			return nil, fmt.Errorf("line %d: a PEM block begins inside that of line %d", line, begun)
		case end && begun == 0:
			return nil, fmt.Errorf("line %d: a PEM block ends that has not begun", line)
		case (begin && !bytes.HasPrefix(text, []byte(pemBegin))) || (end && !bytes.HasPrefix(text, []byte(pemEnd))):
			return nil, fmt.Errorf("line %d: the PEM boundary is not at the beginning of the line", line)
		case begin:
			start, begun = at, line
		case end:
			der, err := f.decode(data[start:next])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", begun, err)
			}
			if len(blocks) == limit {
				return nil, f.tooMany(limit)
			}
			blocks = append(blocks, der)
			begun = 0
		}
		at = next
	}
	switch {
	case begun != 0:
		return nil, fmt.Errorf("line %d: the PEM block does not end", begun)
	case len(blocks) == 0 && bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Errorf("no %s found; the file is neither PEM nor DER, or PEM saved as UTF-16", f.noun)
	case len(blocks) == 0:
		return nil, fmt.Errorf("no %s found", f.noun)
	}
	return blocks, nil
}

// decode decodes exactly one PEM block that must be of the form.
func (f form) decode(text []byte) ([]byte, error) {
	// The label is judged first: a private key that does not decode is no less
	// a private key.
	label, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte(pemBegin)), []byte("-----"))
	switch kind := string(label); {
	case strings.HasSuffix(kind, "PRIVATE KEY"):
		return nil, ErrPrivateKey
	case kind == "PKCS7" || kind == "CMS" || kind == "PKCS #7 SIGNED DATA":
		return nil, fmt.Errorf(pkcs7Hint, f.noun)
	case !slices.Contains(f.labels, kind) && len(kind) > maxNameText:
		return nil, fmt.Errorf("want a %s block", f.labels[0])
	case !slices.Contains(f.labels, kind):
		return nil, fmt.Errorf("the block is a %q, want %s", kind, f.labels[0])
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("the PEM block is damaged")
	}
	if len(block.Headers) != 0 {
		return nil, fmt.Errorf("the PEM block has headers, which a %s does not (RFC 7468, 2)", f.noun)
	}
	return block.Bytes, nil
}
