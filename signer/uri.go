package signer

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Scheme is the part of a key URI before the colon; it says where a key
// lives.
type Scheme string

// The schemes. This package opens the keys of the first two; for the others a
// [URI] carries what follows the colon, in the words of the service.
const (
	SchemeFile       Scheme = "file"       // a PEM file
	SchemeMemory     Scheme = "memory"     // a new key that dies with the process
	SchemeAWSKMS     Scheme = "awskms"     // AWS Key Management Service
	SchemeGCPKMS     Scheme = "gcpkms"     // Google Cloud KMS
	SchemeAzureKMS   Scheme = "azurekms"   // Azure Key Vault
	SchemeHashiVault Scheme = "hashivault" // the transit engine of HashiCorp Vault
	SchemeOpenBao    Scheme = "openbao"    // the transit engine of OpenBao
	SchemeTink       Scheme = "tink"       // an encrypted Tink keyset
	SchemePKCS11     Scheme = "pkcs11"     // a token, RFC 7512
	SchemeExec       Scheme = "exec"       // a key service plugin, run as a program
)

// Schemes returns all schemes.
func Schemes() []Scheme {
	return []Scheme{SchemeFile, SchemeMemory, SchemeAWSKMS, SchemeGCPKMS, SchemeAzureKMS,
		SchemeHashiVault, SchemeOpenBao, SchemeTink, SchemePKCS11, SchemeExec}
}

// A URI names a key and, for one that is encrypted, where its passphrase is.
// It never contains a secret itself.
//
//	file:/etc/tsa/key.pem                  file:key.pem, relative to the working directory
//	file:/etc/tsa/key.pem?passphrase-file=/run/secrets/tsa
//	file:/etc/tsa/key.pem?passphrase-env=TSA_PASSPHRASE
//	memory:p256                            see [KeyTypes]
//	awskms:///alias/tsa                    and the like: see Rest
//
// Characters with a meaning in URIs (RFC 3986), such as ? # and %, are percent
// encoded in paths and values. A plus sign stands for itself.
type URI struct {
	Scheme Scheme

	// Path is the key file of a file URI.
	Path string

	// PassphraseFile is the file with the passphrase of a file URI, and
	// PassphraseEnv the environment variable; at most one is set.
	PassphraseFile, PassphraseEnv string

	// KeyType is the kind of key of a memory URI.
	KeyType KeyType

	// Rest is what follows the colon in a URI of any other scheme, unchanged.
	Rest string
}

// maxURI bounds a key URI, in bytes: file names of Linux have at most 4096,
// and each byte may be percent encoded.
const maxURI = 16 << 10

const (
	paramPassphraseFile = "passphrase-file"
	paramPassphraseEnv  = "passphrase-env"
)

// ParseURI parses a key URI. It refuses unknown schemes and parameters, and a
// secret in the URI, such as the pin-value of a PKCS #11 URI. Its errors do
// not quote what could be one.
func ParseURI(s string) (URI, error) {
	u, err := parseURI(s)
	if err != nil {
		return URI{}, fmt.Errorf("signer: key URI: %w", err)
	}
	return u, nil
}

func parseURI(s string) (URI, error) {
	if len(s) > maxURI {
		return URI{}, fmt.Errorf("%d bytes; want at most %d", len(s), maxURI)
	}
	name, rest, ok := strings.Cut(s, ":")
	if !ok {
		return URI{}, errors.New("no scheme; a key file is written as file:PATH")
	}
	scheme := Scheme(strings.ToLower(name))
	if !slices.Contains(Schemes(), scheme) {
		return URI{}, fmt.Errorf("unknown scheme %.20q", name)
	}
	var u URI
	var err error
	switch scheme {
	case SchemeFile:
		u, err = parseFileURI(rest)
	case SchemeMemory:
		u.KeyType, err = parseKeyType(rest)
	default:
		u.Rest, err = rest, checkRest(scheme, rest)
	}
	if err != nil {
		return URI{}, fmt.Errorf("%s: %w", scheme, err)
	}
	u.Scheme = scheme
	return u, nil
}

// parseFileURI reads what follows the colon (RFC 8089, and a path without a
// leading slash beyond that).
func parseFileURI(rest string) (URI, error) {
	if strings.Contains(rest, "#") {
		return URI{}, errors.New("a fragment; a # in a path is written %23")
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(path, "//"); ok {
		host, _, _ := strings.Cut(after, "/")
		if host != "" && !strings.EqualFold(host, "localhost") {
			return URI{}, errors.New("a host; a relative path is written without slashes before it, an absolute one with one or three")
		}
		path = after[len(host):]
	}
	var u URI
	var err error
	if u.Path, err = unescape(path); err != nil {
		return URI{}, fmt.Errorf("path: %w", err)
	}
	if !hasQuery {
		return u, nil
	}
	for param := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(param, "=")
		var field *string
		switch name {
		case paramPassphraseFile:
			field = &u.PassphraseFile
		case paramPassphraseEnv:
			field = &u.PassphraseEnv
		default:
			return URI{}, fmt.Errorf("unknown parameter %.40q", name)
		}
		if *field != "" {
			return URI{}, fmt.Errorf("parameter %s twice", name)
		}
		if *field, err = unescape(value); err != nil {
			return URI{}, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	if u.PassphraseFile != "" && u.PassphraseEnv != "" {
		return URI{}, fmt.Errorf("both %s and %s", paramPassphraseFile, paramPassphraseEnv)
	}
	return u, nil
}

func unescape(s string) (string, error) {
	out, err := url.PathUnescape(s)
	switch {
	case err != nil:
		return "", errors.New("malformed percent encoding")
	case out == "":
		return "", errors.New("empty")
	case strings.Contains(out, "\x00"):
		return "", errors.New("a NUL byte")
	}
	return out, nil
}

// checkRest holds for every scheme that is opened elsewhere: there is
// something, it is printable, and there is no secret in it that has a name of
// its own.
func checkRest(scheme Scheme, rest string) error {
	if strings.Trim(rest, "/") == "" {
		return errors.New("no key")
	}
	for i := range len(rest) {
		if rest[i] <= ' ' || rest[i] > '~' {
			return errors.New("white space, or a byte that is not printable ASCII")
		}
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		authority, _, _ := strings.Cut(after, "/")
		if strings.Contains(authority, "@") {
			return errors.New("credentials in the URI")
		}
	}
	if scheme == SchemePKCS11 {
		for attribute := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(";?&", r) }) {
			name, _, _ := strings.Cut(attribute, "=")
			if name, err := url.PathUnescape(name); err != nil || strings.EqualFold(name, "pin-value") {
				return errors.New("pin-value; give the PIN in a file, with pin-source")
			}
		}
	}
	return nil
}

// String returns the URI, in a form that [ParseURI] reads back to the same
// value.
func (u URI) String() string {
	var b strings.Builder
	b.WriteString(string(u.Scheme))
	b.WriteByte(':')
	switch u.Scheme {
	case SchemeMemory:
		b.WriteString(string(u.KeyType))
	case SchemeFile:
		if strings.HasPrefix(u.Path, "/") {
			b.WriteString("//")
		}
		b.WriteString((&url.URL{Path: u.Path}).EscapedPath())
		switch {
		case u.PassphraseFile != "":
			b.WriteString("?" + paramPassphraseFile + "=" + escapeValue(u.PassphraseFile))
		case u.PassphraseEnv != "":
			b.WriteString("?" + paramPassphraseEnv + "=" + escapeValue(u.PassphraseEnv))
		}
	default:
		b.WriteString(u.Rest)
	}
	return b.String()
}

// escapeValue escapes a value of a query and leaves its slashes readable.
func escapeValue(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(s))
}
