package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A CertificateMatch says which client certificates are meant, among those that
// the authorities of the listener vouch for.
type CertificateMatch struct {
	Kind  MatchKind
	Value string // as ParseCertificateMatch has it
}

// A MatchKind is what of a certificate is compared. It is always equal or not;
// there are no wildcards.
type MatchKind int

const (
	// MatchURI compares a URI among the subject's alternative names. A SPIFFE ID
	// only counts in a certificate that has no other URI (SPIFFE X.509-SVID, 2).
	MatchURI MatchKind = iota + 1
	// MatchDNS compares a DNS name among them, in whatever case.
	MatchDNS
	// MatchCN compares the subject's common name.
	MatchCN
	// MatchCertificate compares the SHA-256 of the certificate.
	MatchCertificate
	// MatchKey compares the SHA-256 of the subjectPublicKeyInfo, which outlives
	// the certificate where a new one is made for the same key.
	MatchKey
	matchKinds
)

// matchPrefixes are written before the value.
var matchPrefixes = [matchKinds]string{
	MatchURI: "uri:", MatchDNS: "dns:", MatchCN: "cn:", MatchCertificate: "sha256:", MatchKey: "key-sha256:",
}

// ParseCertificateMatch reads uri:spiffe://example.org/ci, dns:ci.example.org,
// cn:ci, sha256:HEX (of the certificate) or key-sha256:HEX (of its
// subjectPublicKeyInfo). HEX may have colons, as openssl writes it.
func ParseCertificateMatch(text string) (CertificateMatch, error) {
	for kind := MatchURI; kind < matchKinds; kind++ {
		if value, ok := strings.CutPrefix(text, matchPrefixes[kind]); ok {
			value, err := matchValue(kind, value)
			if err != nil {
				return CertificateMatch{}, fmt.Errorf("%q: %w", text, err)
			}
			return CertificateMatch{Kind: kind, Value: value}, nil
		}
	}
	return CertificateMatch{}, fmt.Errorf("%q has none of uri:, dns:, cn:, sha256: and key-sha256: in front", text)
}

// matchValue checks a value and brings it into the one form that is compared.
func matchValue(kind MatchKind, value string) (string, error) {
	if value == "" {
		return "", errors.New("value is missing")
	}
	switch kind {
	case MatchURI:
		u, err := url.Parse(value)
		if err != nil || u.Scheme == "" {
			return "", errors.New("not a URI with a scheme")
		}
		if u.Scheme == "spiffe" && (u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "") {
			return "", errors.New("not a SPIFFE ID such as spiffe://example.org/ci")
		}
		return u.String(), nil
	case MatchDNS:
		if strings.Contains(value, "*") {
			return "", errors.New("wildcards are not supported, list the names")
		}
		for i := range len(value) {
			if c := value[i]; c <= ' ' || c >= 0x7f {
				return "", errors.New("not a DNS name, which is ASCII: write xn-- for others")
			}
		}
		return strings.ToLower(value), nil
	case MatchCertificate, MatchKey:
		raw, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if err != nil || len(raw) != sha256.Size {
			return "", fmt.Errorf("not the %d hexadecimal digits of a SHA-256", hex.EncodedLen(sha256.Size))
		}
		return hex.EncodeToString(raw), nil
	}
	return value, nil
}

// UnmarshalText reads what [ParseCertificateMatch] does.
func (m *CertificateMatch) UnmarshalText(text []byte) error {
	parsed, err := ParseCertificateMatch(string(text))
	if err == nil {
		*m = parsed
	}
	return err
}

// String returns what [ParseCertificateMatch] reads.
func (m CertificateMatch) String() string {
	if m.Kind < MatchURI || m.Kind >= matchKinds {
		return fmt.Sprintf("unknown-%d:%s", m.Kind, m.Value)
	}
	return matchPrefixes[m.Kind] + m.Value
}

// certificates find clients by their certificates.
type certificates struct {
	clients map[CertificateMatch]int
	kinds   [matchKinds]bool // which ones occur, so that nothing is hashed in vain
}

// add fails if another client has the same match.
func (c *certificates) add(m CertificateMatch, client int) error {
	m, err := ParseCertificateMatch(m.String())
	if err != nil {
		return err
	}
	if other, ok := c.clients[m]; ok && other != client {
		return fmt.Errorf("%s belongs to another client as well", m)
	}
	if c.clients == nil {
		c.clients = map[CertificateMatch]int{}
	}
	c.clients[m], c.kinds[m.Kind] = client, true
	return nil
}

// find returns the client that a verified certificate belongs to: the first one
// configured, where several would fit.
func (c *certificates) find(cert *x509.Certificate) (client int, ok bool) {
	try := func(kind MatchKind, value string) {
		if i, found := c.clients[CertificateMatch{kind, value}]; found && (!ok || i < client) {
			client, ok = i, true
		}
	}
	if c.kinds[MatchURI] {
		for _, u := range cert.URIs {
			if u.Scheme != "spiffe" || len(cert.URIs) == 1 {
				try(MatchURI, u.String())
			}
		}
	}
	if c.kinds[MatchDNS] {
		for _, name := range cert.DNSNames {
			try(MatchDNS, strings.ToLower(name))
		}
	}
	if c.kinds[MatchCN] {
		try(MatchCN, cert.Subject.CommonName)
	}
	if c.kinds[MatchCertificate] {
		try(MatchCertificate, hexSHA256(cert.Raw))
	}
	if c.kinds[MatchKey] {
		try(MatchKey, hexSHA256(cert.RawSubjectPublicKeyInfo))
	}
	return client, ok
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
