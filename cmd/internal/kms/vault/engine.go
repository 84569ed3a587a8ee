package vault

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

const (
	opOpen = "open the key"
	opRead = "read the key"
	opSign = "sign"
)

// An engine is one key name in one transit engine, whether there is such a key
// or not.
type engine struct {
	*client
	tokens *tokens
	mount  string
	key    string
	tool   string // the command to name in hints
}

// defaultMount is where the transit engine is unless somebody says otherwise.
const defaultMount = "transit"

// newEngine reads the URI, the environment and the token. It asks the server
// nothing.
func newEngine(ctx context.Context, u signer.URI, cfg Config) (*engine, error) {
	e := &engine{tool: "vault"}
	switch u.Scheme {
	case signer.SchemeHashiVault:
	case signer.SchemeOpenBao:
		e.tool = "bao"
	default:
		return nil, fault.New(fault.Malformed, opOpen, "scheme %q; want %s or %s", u.Scheme, signer.SchemeHashiVault, signer.SchemeOpenBao)
	}
	name, ok := strings.CutPrefix(u.Rest, "//")
	if !ok || !validName(name) {
		return nil, fault.New(fault.Malformed, opOpen, "key URI: not of the form %s://KEY", u.Scheme).
			WithHint("KEY is the name of a transit key: letters, digits, _ and, inside, - and . (the mount goes into TRANSIT_SECRET_ENGINE_PATH)")
	}
	e.key, e.mount = name, defaultMount
	if cfg.LookupEnv != nil {
		if v, _ := cfg.LookupEnv("TRANSIT_SECRET_ENGINE_PATH"); v != "" {
			e.mount = strings.Trim(v, "/")
		}
	}
	for segment := range strings.SplitSeq(e.mount, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return nil, fault.New(fault.Malformed, opOpen, "TRANSIT_SECRET_ENGINE_PATH: an empty segment, or one of dots").
				WithHint("write the path of the mount as in: %s secrets list", e.tool)
		}
	}
	var err error
	if e.client, err = newClient(cfg.LookupEnv, cfg.dial); err != nil {
		return nil, err
	}
	if e.tokens, err = newTokens(ctx, cfg.LookupEnv); err != nil {
		return nil, err
	}
	return e, nil
}

// validName reports whether s has the form of a transit key's name, which is
// also that of the URI: \w(([\w-.]+)?\w)?
func validName(s string) bool {
	word := func(b byte) bool {
		return b == '_' || '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
	}
	if s == "" || !word(s[0]) || !word(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !word(s[i]) && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return true
}

// where names the key in messages.
func (e *engine) where() string {
	return fmt.Sprintf("transit key %q at %s, mount %q", e.key, e.shown, e.mount)
}

func (e *engine) keyPath() string { return e.mount + "/keys/" + e.key }

// configCommand is what an operator types to change a setting of the key.
func (e *engine) configCommand(setting string) string {
	return fmt.Sprintf("%s write %s/config %s", e.tool, e.keyPath(), setting)
}

// A keyInfo is the part of a key's description that decides what it can sign.
type keyInfo struct {
	Type            string                     `json:"type"`
	Derived         bool                       `json:"derived"`
	SupportsSigning bool                       `json:"supports_signing"`
	LatestVersion   int                        `json:"latest_version"`
	MinDecryption   int                        `json:"min_decryption_version"`
	MinEncryption   int                        `json:"min_encryption_version"`
	Versions        map[string]json.RawMessage `json:"keys"`
}

// readKey returns the description of the key. A key or mount that is not there
// is fault.NotFound.
func (e *engine) readKey(ctx context.Context) (*keyInfo, error) {
	body, err := e.do(ctx, e.tokens.current(), request{op: opRead, method: http.MethodGet, path: e.keyPath(), limit: maxKeyAnswer})
	if err != nil {
		return nil, e.explainKey(err)
	}
	var answer struct {
		Data *keyInfo `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, e.malformed(opRead, fmt.Errorf("the description of the key: %w", err))
	}
	if answer.Data == nil || answer.Data.Type == "" {
		return nil, e.malformed(opRead, errors.New("the description of the key: no type"))
	}
	return answer.Data, nil
}

// explainKey adds to an error about a key what only the engine knows.
func (e *engine) explainKey(err error) error {
	status, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	says := func(text string) bool { return strings.Contains(status.text, text) }
	renewed := func(kind fault.Kind) *fault.Error { return fault.New(kind, f.Op, "%s: %w", e.where(), status) }
	switch {
	case status.foreign:
		return err
	case status.status == http.StatusNotFound && says("no handler for route"):
		return renewed(fault.NotFound).WithHint("there is no secrets engine at %q: enable one with \"%s secrets enable -path=%s transit\", or name the mount in TRANSIT_SECRET_ENGINE_PATH", e.mount, e.tool, e.mount)
	case status.status == http.StatusNotFound && says("unsupported path"), status.status == http.StatusMethodNotAllowed:
		return renewed(fault.Unfit).WithHint("the secrets engine at %q is not transit: name the mount of one that is in TRANSIT_SECRET_ENGINE_PATH", e.mount)
	case status.status == http.StatusNotFound, says("key not found"):
		return renewed(fault.NotFound).WithHint("make the key with \"%s write -f %s type=ecdsa-p256\", or name another one", e.tool, e.keyPath())
	// Vault 1.13 answers the next three with the status 500, as if it were ill.
	case says("less than the minimum encryption key version"):
		return renewed(fault.Unfit).WithHint("allow older versions with %q, or use a certificate for a newer one", e.configCommand("min_encryption_version=0"))
	case says("no such key version"):
		return renewed(fault.NotFound).WithHint("the version is archived: %q brings it back", e.configCommand("min_decryption_version=1"))
	case says("higher than the latest key version"):
		return renewed(fault.NotFound).WithHint("another key has taken the place of the one that was opened: restore that, or restart with a certificate for the new one")
	case says("does not support signing"):
		return renewed(fault.Unfit).WithHint("make a key of a type that signs, such as ecdsa-p256")
	case f.Kind == fault.Unfit:
		return renewed(fault.Unfit)
	}
	return err
}

// version returns the version of a key that has the public key that is wanted,
// or the latest one if want is nil.
func (e *engine) version(info *keyInfo, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	unfit := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Unfit, opOpen, "%s: %w", e.where(), fmt.Errorf(format, args...))
	}
	if !info.SupportsSigning {
		return nil, 0, unfit("a key of type %.40q does not sign", info.Type).
			WithHint("make a key of type ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072 or rsa-4096")
	}
	if info.Derived {
		return nil, 0, unfit("a derived key has no public key of its own").WithHint("make a key without derived=true")
	}
	number := info.LatestVersion
	var public crypto.PublicKey
	if want == nil {
		raw, ok := info.Versions[strconv.Itoa(number)]
		if !ok {
			return nil, 0, e.malformed(opRead, fmt.Errorf("the description of the key: its latest version %d is not in it", number))
		}
		var err error
		if public, err = publicKey(raw); err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("version %d: %w", number, err))
		}
	} else {
		var err error
		if public, number, err = e.find(info, want); err != nil {
			return nil, 0, err
		}
	}
	if _, err := signer.HashFor(public); err != nil {
		return nil, 0, unfit("%w", err).WithHint("make a key of another type, such as ecdsa-p256")
	}
	if number < info.MinEncryption {
		return nil, 0, unfit("version %d is below min_encryption_version %d, so the engine does not sign with it", number, info.MinEncryption).
			WithHint("allow older versions with %q, or use a certificate for a newer one", e.configCommand("min_encryption_version=0"))
	}
	return public, number, nil
}

// find looks for a public key among the versions of a key, the newest first.
func (e *engine) find(info *keyInfo, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	wanted, ok := want.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, 0, fault.New(fault.Unfit, opOpen, "a public key of type %T is wanted", want)
	}
	var numbers []int
	for name := range maps.Keys(info.Versions) {
		n, err := strconv.Atoi(name)
		if err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("the description of the key: a version %.20q", name))
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		public, err := publicKey(info.Versions[strconv.Itoa(n)])
		if err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("version %d: %w", n, err))
		}
		if wanted.Equal(public) {
			return public, n, nil
		}
	}
	err := fault.New(fault.Unfit, opOpen, "%s: none of its versions (%s) has the public key that is wanted", e.where(), ranges(numbers))
	if info.MinDecryption > 1 {
		return nil, 0, err.WithHint("versions below %d are archived: %q brings them back", info.MinDecryption, e.configCommand("min_decryption_version=1"))
	}
	return nil, 0, err.WithHint("the certificate belongs to another key: name that key, or have a certificate made for this one")
}

// ranges writes sorted numbers as in "1-3, 7".
func ranges(numbers []int) string {
	if len(numbers) == 0 {
		return "none"
	}
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// publicKey reads the description of one version: PEM, but for Ed25519 the 32
// bytes in base64.
func publicKey(raw json.RawMessage) (crypto.PublicKey, error) {
	var version struct {
		Name      string `json:"name"`
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("its description: %w", err)
	}
	if version.Name == "ed25519" {
		key, err := decodeBase64(version.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("public key: not %d bytes in base64", ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(key), nil
	}
	block, rest := pem.Decode([]byte(version.PublicKey))
	if block == nil || block.Type != "PUBLIC KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("public key: not one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return key, nil
}

// decodeBase64 decodes what is not empty and has one form only: without line
// ends, which the standard library would skip.
func decodeBase64(s string) ([]byte, error) {
	switch {
	case s == "":
		return nil, errors.New("empty")
	case strings.ContainsAny(s, "\r\n"):
		return nil, errors.New("a line end in base64")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// A signRequest is what is sent for one signature.
type signRequest struct {
	body    []byte
	suffix  string // of the path: the hash, with its slash
	version int
}

// newSignRequest writes the body of a request. Its digest and options have
// been checked.
func newSignRequest(digest []byte, opts crypto.SignerOpts, isRSA bool, version int) (signRequest, error) {
	r := signRequest{version: version}
	b := make([]byte, 0, 200+base64.StdEncoding.EncodedLen(len(digest)))
	b = append(b, `{"input":"`...)
	b = base64.StdEncoding.AppendEncode(b, digest)
	b = append(b, `","key_version":`...)
	b = strconv.AppendInt(b, int64(version), 10)
	switch opts.HashFunc() {
	case crypto.SHA256:
		r.suffix = "/sha2-256"
	case crypto.SHA384:
		r.suffix = "/sha2-384"
	default:
		// Ed25519, too, whose own hash it is: the engine does not look at it
		// there, and one line in a policy then serves every type of key.
		r.suffix = "/sha2-512"
	}
	if opts.HashFunc() != 0 {
		b = append(b, `,"prehashed":true,"marshaling_algorithm":"asn1"`...)
	}
	if isRSA {
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			salt := strconv.Itoa(pss.SaltLength)
			switch {
			case pss.SaltLength == rsa.PSSSaltLengthAuto:
				salt = "auto"
			case pss.SaltLength == rsa.PSSSaltLengthEqualsHash:
				salt = "hash"
			case pss.SaltLength < 0:
				return signRequest{}, fault.New(fault.Unsupported, opSign, "a PSS salt of %d bytes", pss.SaltLength)
			}
			b = append(b, `,"signature_algorithm":"pss","salt_length":"`+salt+`"`...)
		} else {
			// Without it the engine makes PSS signatures.
			b = append(b, `,"signature_algorithm":"pkcs1v15"`...)
		}
	}
	r.body = append(b, '}')
	return r, nil
}

// sign makes one signature with one token.
func (e *engine) sign(ctx context.Context, token string, r signRequest) ([]byte, error) {
	body, err := e.do(ctx, token, request{op: opSign, method: http.MethodPost, path: e.mount + "/sign/" + e.key + r.suffix, body: r.body})
	if err != nil {
		return nil, e.explainKey(err)
	}
	signature, err := parseSignature(body, r.version)
	if err != nil {
		return nil, e.malformed(opSign, err)
	}
	return signature, nil
}

// parseSignature reads "vault:vN:BASE64" from an answer, where N is the
// version that was asked for.
func parseSignature(body []byte, version int) ([]byte, error) {
	var answer struct {
		Data struct {
			Signature string `json:"signature"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	const prefix = "vault:v"
	rest, ok := strings.CutPrefix(answer.Data.Signature, prefix)
	number, encoded, found := strings.Cut(rest, ":")
	if !ok || !found {
		return nil, fmt.Errorf("signature: %.20q; want the form %sN:BASE64", answer.Data.Signature, prefix)
	}
	if number != strconv.Itoa(version) {
		return nil, fmt.Errorf("signature: made with version %.20q; want version %d", number, version)
	}
	signature, err := decodeBase64(encoded)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return signature, nil
}
