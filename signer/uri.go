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
	SchemeExec       Scheme = "exec"       // a program that signs
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
//	tink:/etc/tsa/keyset.json?key=gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k
//	tink:/etc/tsa/keyset.json?key=hcvault://vault:8200/transit/keys/k&token-file=/run/secrets/vault
//	exec:/usr/lib/tsa/sign?arg=--slot&arg=2&env=TSA_SLOT
//	awskms:///alias/tsa                    and the like: see Rest
//
// Characters with a meaning in URIs (RFC 3986), such as ? # and %, are percent
// encoded in paths and values. A plus sign stands for itself. The paths of tink
// and exec are absolute: what is started, or trusted, does not depend on where
// this process was.
type URI struct {
	Scheme Scheme

	// Path is the key file of a file URI, the keyset of a tink URI, and the
	// program of an exec URI.
	Path string

	// PassphraseFile is the file with the passphrase of a file URI, and
	// PassphraseEnv the environment variable; at most one is set.
	PassphraseFile, PassphraseEnv string

	// KeyType is the kind of key of a memory URI.
	KeyType KeyType

	// WrappingKey is the key that decrypts the keyset of a tink URI, in Tink's
	// own words: gcp-kms://, aws-kms:// or hcvault:// and what follows.
	WrappingKey string

	// TokenFile is the file with the Vault token for a WrappingKey of hcvault,
	// and TokenEnv the environment variable; at most one is set.
	TokenFile, TokenEnv string

	// Args are the first arguments of the program of an exec URI, and Env the
	// environment variables that it gets beside those that every program does.
	Args, Env []string

	// Rest is what follows the colon in a URI of any other scheme, unchanged.
	Rest string
}

// maxURI bounds a key URI, in bytes: file names of Linux have at most 4096,
// and each byte may be percent encoded.
const maxURI = 16 << 10

// The parameters of file, tink and exec URIs.
const (
	paramPassphraseFile = "passphrase-file"
	paramPassphraseEnv  = "passphrase-env"
	paramKey            = "key"
	paramTokenFile      = "token-file"
	paramTokenEnv       = "token-env"
	paramArg            = "arg"
	paramEnv            = "env"
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
		return URI{}, fmt.Errorf("unknown scheme %.20q; want one of %s", name, schemeList())
	}
	var u URI
	var err error
	switch scheme {
	case SchemeFile:
		u, err = parseFileURI(rest)
	case SchemeTink:
		u, err = parseTinkURI(rest)
	case SchemeExec:
		u, err = parseExecURI(rest)
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

func schemeList() string {
	var words []string
	for _, s := range Schemes() {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}

func parseFileURI(rest string) (URI, error) {
	var u URI
	path, params, err := splitPath(rest)
	if err != nil {
		return URI{}, err
	}
	u.Path = path
	for _, p := range params {
		switch p.name {
		case paramPassphraseFile:
			err = p.once(&u.PassphraseFile)
		case paramPassphraseEnv:
			err = p.once(&u.PassphraseEnv)
		default:
			err = p.unknown()
		}
		if err != nil {
			return URI{}, err
		}
	}
	if u.PassphraseFile != "" && u.PassphraseEnv != "" {
		return URI{}, fmt.Errorf("both %s and %s", paramPassphraseFile, paramPassphraseEnv)
	}
	return u, nil
}

// wrappingHCVault is the scheme of a wrapping key in Vault, the only one that
// takes a token from us.
const wrappingHCVault = "hcvault://"

func parseTinkURI(rest string) (URI, error) {
	var u URI
	path, params, err := splitAbsolute(rest)
	if err != nil {
		return URI{}, err
	}
	u.Path = path
	for _, p := range params {
		switch p.name {
		case paramKey:
			err = p.once(&u.WrappingKey)
		case paramTokenFile:
			err = p.once(&u.TokenFile)
		case paramTokenEnv:
			if err = p.once(&u.TokenEnv); err == nil && !isVariable(u.TokenEnv) {
				err = fmt.Errorf("parameter %s: not the name of an environment variable", paramTokenEnv)
			}
		default:
			err = p.unknown()
		}
		if err != nil {
			return URI{}, err
		}
	}
	switch {
	case u.WrappingKey == "":
		return URI{}, errors.New("no wrapping key; ?" + paramKey + "= names it: gcp-kms://, aws-kms:// or hcvault:// and what follows")
	case u.TokenFile != "" && u.TokenEnv != "":
		return URI{}, fmt.Errorf("both %s and %s", paramTokenFile, paramTokenEnv)
	case u.TokenFile != "" && !isAbsolute(u.TokenFile):
		return URI{}, fmt.Errorf("parameter %s: a relative path; write it in full, beginning with a slash", paramTokenFile)
	case (u.TokenFile != "" || u.TokenEnv != "") && !strings.HasPrefix(u.WrappingKey, wrappingHCVault):
		return URI{}, errors.New("a token is for a wrapping key of " + wrappingHCVault + " only")
	}
	if err := checkWrappingKey(u.WrappingKey); err != nil {
		return URI{}, fmt.Errorf("parameter %s: %w", paramKey, err)
	}
	return u, nil
}

func checkWrappingKey(key string) error {
	for _, prefix := range []string{"gcp-kms://", "aws-kms://", wrappingHCVault} {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			return checkRest(SchemeTink, "//"+rest)
		}
	}
	return errors.New("not a key of gcp-kms://, aws-kms:// or hcvault://")
}

func parseExecURI(rest string) (URI, error) {
	var u URI
	path, params, err := splitAbsolute(rest)
	if err != nil {
		return URI{}, err
	}
	u.Path = path
	for _, p := range params {
		switch {
		case p.name == paramArg:
			u.Args = append(u.Args, p.value) // an empty argument is one
		case p.name != paramEnv:
			return URI{}, p.unknown()
		case !isVariable(p.value):
			return URI{}, fmt.Errorf("parameter %s: not the name of an environment variable", paramEnv)
		case slices.Contains(u.Env, p.value):
			return URI{}, fmt.Errorf("parameter %s=%s twice", paramEnv, p.value)
		default:
			u.Env = append(u.Env, p.value)
		}
	}
	return u, nil
}

// isVariable accepts the names that a POSIX shell does.
func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isAbsolute takes the paths of Windows for absolute everywhere, so that one
// configuration reads the same on every machine.
func isAbsolute(path string) bool {
	drive := len(path) > 2 && 'a' <= path[0]|0x20 && path[0]|0x20 <= 'z' && path[1] == ':' && (path[2] == '/' || path[2] == '\\')
	return drive || strings.HasPrefix(path, "/")
}

// A param is one parameter of a query, its value without percent encoding.
type param struct{ name, value string }

func (p param) unknown() error { return fmt.Errorf("unknown parameter %.40q", p.name) }

// once sets a field that a URI has at most once, and never empty.
func (p param) once(field *string) error {
	switch {
	case *field != "":
		return fmt.Errorf("parameter %s twice", p.name)
	case p.value == "":
		return fmt.Errorf("parameter %s: empty", p.name)
	}
	*field = p.value
	return nil
}

func splitAbsolute(rest string) (string, []param, error) {
	path, params, err := splitPath(rest)
	if err == nil && !isAbsolute(path) {
		err = errors.New("a relative path; write it in full, beginning with a slash")
	}
	return path, params, err
}

// splitPath reads what follows the colon in the URI of a file (RFC 8089, and
// a path without a leading slash beyond that), and its query.
func splitPath(rest string) (string, []param, error) {
	if strings.Contains(rest, "#") {
		return "", nil, errors.New("a fragment; a # in a path is written %23")
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(path, "//"); ok {
		host, _, _ := strings.Cut(after, "/")
		if host != "" && !strings.EqualFold(host, "localhost") {
			return "", nil, errors.New("a host; a relative path is written without slashes before it, an absolute one with one or three")
		}
		path = after[len(host):]
	}
	path, err := unescape(path)
	if err == nil && path == "" {
		err = errors.New("empty")
	}
	if err != nil {
		return "", nil, fmt.Errorf("path: %w", err)
	}
	if !hasQuery {
		return path, nil, nil
	}
	var params []param
	for one := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return "", nil, fmt.Errorf("parameter %.40q without a value", name)
		}
		if value, err = unescape(value); err != nil {
			return "", nil, fmt.Errorf("parameter %.40q: %w", name, err)
		}
		params = append(params, param{name, value})
	}
	return path, params, nil
}

func unescape(s string) (string, error) {
	out, err := url.PathUnescape(s)
	switch {
	case err != nil:
		return "", errors.New("malformed percent encoding")
	case strings.Contains(out, "\x00"):
		return "", errors.New("a NUL byte")
	}
	return out, nil
}

// checkRest holds for every scheme that is in the words of its service: there is
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
	case SchemeFile, SchemeTink, SchemeExec:
		if strings.HasPrefix(u.Path, "/") {
			b.WriteString("//")
		}
		b.WriteString((&url.URL{Path: u.Path}).EscapedPath())
		separator := "?"
		for _, p := range u.params() {
			b.WriteString(separator + p.name + "=" + escapeValue(p.value))
			separator = "&"
		}
	default:
		b.WriteString(u.Rest)
	}
	return b.String()
}

// params returns the parameters that are set.
func (u URI) params() []param {
	var all []param
	for _, p := range []param{
		{paramPassphraseFile, u.PassphraseFile}, {paramPassphraseEnv, u.PassphraseEnv},
		{paramKey, u.WrappingKey}, {paramTokenFile, u.TokenFile}, {paramTokenEnv, u.TokenEnv},
	} {
		if p.value != "" {
			all = append(all, p)
		}
	}
	for _, arg := range u.Args {
		all = append(all, param{paramArg, arg})
	}
	for _, name := range u.Env {
		all = append(all, param{paramEnv, name})
	}
	return all
}

// escapeValue escapes a value of a query and leaves its slashes and colons
// readable.
func escapeValue(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%3A", ":").Replace(url.QueryEscape(s))
}
