package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits on what is read.
const (
	// MaxChainLength is the greatest number of certificates in a chain. Chains
	// in use have two to four, with cross-certificates five; putting them in
	// order takes up to the square of the number in signature checks.
	MaxChainLength = 10

	// MaxCertificates is the greatest number of certificates in a file that is
	// not a chain. The root programs of browsers have some 150.
	MaxCertificates = 1000

	// MaxFileSize is the longest input, in octets: room for MaxCertificates of
	// the usual two kilobytes, in base64, with some text before each.
	MaxFileSize = 4 << 20

	// MaxCertificateSize is the longest single certificate, in octets. One with
	// an SLH-DSA signature, the largest in sight, has about 50,000.
	MaxCertificateSize = 1 << 16
)

// ErrPrivateKey is returned, wrapped, for input that holds a private key. Such
// a file was about to be used as if it were public.
var ErrPrivateKey = errors.New("a private key is in the file: keep keys and certificates apart")

// ParseChain reads one certificate chain, in PEM or as concatenated DER
// certificates, and returns it leaf first.
//
// Text between PEM blocks is a comment (RFC 7468, 2). A chain that is not leaf
// first is put in order where there is only one way to do so: each certificate
// must be issued, by name and signature, by one other, and none may be left
// over. What is in order already only has to match by name; whether it is any
// good is for Check to say. A single certificate is a chain. The input may hold
// MaxChainLength certificates and nothing else: private keys (ErrPrivateKey),
// requests, CRLs and PKCS #7 and #12 containers are refused by name.
func ParseChain(data []byte) ([]*x509.Certificate, error) {
	certs, err := parseCertificates(data, MaxChainLength)
	if err == nil {
		certs, err = order(certs)
	}
	if err != nil {
		return nil, fmt.Errorf("pki: reading certificate chain: %w", err)
	}
	return certs, nil
}

// ParseCertificates reads certificates that need not form a chain, such as a
// set of roots, in the order of the file. It accepts what ParseChain does, up
// to MaxCertificates of them, and leaves out exact copies.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	certs, err := parseCertificates(data, MaxCertificates)
	if err != nil {
		return nil, fmt.Errorf("pki: reading certificates: %w", err)
	}
	seen := make(map[string]bool, len(certs))
	kept := certs[:0]
	for _, c := range certs {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// EncodeChain writes certificates in PEM, in the given order, without comments.
func EncodeChain(chain []*x509.Certificate) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func parseCertificates(data []byte, limit int) ([]*x509.Certificate, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%d octets, want at most %d", len(data), MaxFileSize)
	}
	var blocks [][]byte
	var err error
	if len(data) > 0 && data[0] == 0x30 { // SEQUENCE; PEM would be the text "0"
		blocks, err = splitDER(data, limit)
	} else {
		blocks, err = splitPEM(data, limit)
	}
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, 0, len(blocks))
	for i, der := range blocks {
		if len(der) > MaxCertificateSize {
			return nil, fmt.Errorf("certificate %d: %d octets, want at most %d", i+1, len(der), MaxCertificateSize)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %s", i+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// splitDER cuts concatenated SEQUENCEs apart.
func splitDER(data []byte, limit int) ([][]byte, error) {
	var blocks [][]byte
	for s := cryptobyte.String(data); !s.Empty(); {
		var der cryptobyte.String
		if !s.ReadASN1Element(&der, cbasn1.SEQUENCE) {
			return nil, fmt.Errorf("certificate %d: not a SEQUENCE in DER", len(blocks)+1)
		}
		if len(blocks) == limit {
			return nil, fmt.Errorf("more than %d certificates", limit)
		}
		if err := otherDER(der); err != nil {
			return nil, err
		}
		blocks = append(blocks, der)
	}
	return blocks, nil
}

// oidPKCS7 is the content of the arc 1.2.840.113549.1.7, under which all
// PKCS #7 and CMS content types are that a file may hold.
const oidPKCS7 = "\x2a\x86\x48\x86\xf7\x0d\x01\x07"

// otherDER returns an error for the things besides a certificate that an
// operator may hold in DER, as far as their first elements tell.
func otherDER(der cryptobyte.String) error {
	var body, first, algorithm cryptobyte.String
	var tag cbasn1.Tag
	if !der.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadAnyASN1(&first, &tag) {
		return nil
	}
	switch {
	case tag == cbasn1.OBJECT_IDENTIFIER && strings.HasPrefix(string(first), oidPKCS7):
		return errors.New(pkcs7Hint)
	case tag != cbasn1.INTEGER:
		return nil
	case string(first) == "\x03" && body.PeekASN1Tag(cbasn1.SEQUENCE): // PFX
		return errors.New(pkcs12Hint)
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
	pkcs7Hint  = "this is PKCS #7 or CMS, want PEM certificates: convert it with openssl pkcs7 -print_certs"
	pkcs12Hint = "this is PKCS #12 and may hold a private key, want PEM certificates: convert it with openssl pkcs12 -nokeys"
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)

// splitPEM returns the content of each CERTIFICATE block. The reader in
// encoding/pem skips a damaged block as if it were a comment; here each BEGIN
// has to give a block.
func splitPEM(data []byte, limit int) ([][]byte, error) {
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
			der, err := decodeBlock(data[start:next])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", begun, err)
			}
			if len(blocks) == limit {
				return nil, fmt.Errorf("more than %d certificates", limit)
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
		return nil, errors.New("no certificate found; the file is neither PEM nor DER, or PEM saved as UTF-16")
	case len(blocks) == 0:
		return nil, errors.New("no certificate found")
	}
	return blocks, nil
}

// decodeBlock decodes exactly one PEM block that must be a certificate.
func decodeBlock(text []byte) ([]byte, error) {
	// The label is judged first: a private key that does not decode is no less
	// a private key.
	label, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte(pemBegin)), []byte("-----"))
	switch kind := string(label); {
	case strings.HasSuffix(kind, "PRIVATE KEY"):
		return nil, ErrPrivateKey
	case kind == "PKCS7" || kind == "CMS" || kind == "PKCS #7 SIGNED DATA":
		return nil, errors.New(pkcs7Hint)
	case kind != "CERTIFICATE" && len(kind) > maxNameText:
		return nil, errors.New("want a CERTIFICATE block")
	case kind != "CERTIFICATE":
		return nil, fmt.Errorf("the block is a %q, want CERTIFICATE", kind)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("the PEM block is damaged")
	}
	if len(block.Headers) != 0 {
		return nil, errors.New("the PEM block has headers, which certificates do not (RFC 7468, 2)")
	}
	return block.Bytes, nil
}
