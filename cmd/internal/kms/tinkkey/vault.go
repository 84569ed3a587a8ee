package tinkkey

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A vaultKey is a key of the transit engine of Vault.
type vaultKey struct {
	aead      tink.AEAD
	client    *api.Client
	transport *boundTransport
	address   string // https://host:port
	path      string // transit/keys/k, the mount may have slashes of its own
	token     string // where the token is from
}

var vaultPath = regexp.MustCompile(`^/[^/]+(/[^/]+)*/keys/[^/]+$`)

func openVault(u signer.URI, cfg Config) (wrappingKey, error) {
	parsed, err := url.Parse(u.WrappingKey)
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" || !vaultPath.MatchString(parsed.EscapedPath()) {
		return nil, fault.New(fault.Malformed, opWrapping, "%.200q is not a key of Vault's transit engine", u.WrappingKey).
			WithHint("write hcvault://HOST:PORT/transit/keys/KEY")
	}
	token, source, err := vaultToken(u, cfg)
	if err != nil {
		return nil, err
	}
	k := &vaultKey{address: "https://" + parsed.Host, path: parsed.EscapedPath()[1:], token: source}
	if plain, ok := cfg.lookup("VAULT_ADDR"); ok && strings.TrimRight(plain, "/") == "http://"+parsed.Host {
		k.address = "http://" + parsed.Host
	}
	if err := k.connect(token); err != nil {
		// It would quote the address, which may hold a password.
		if _, ok := errors.AsType[*url.Error](err); ok {
			err = errors.New("VAULT_PROXY_ADDR is not a URL")
		}
		return nil, fault.New(fault.Malformed, opWrapping, "settings for Vault: %s", clip(err)).
			WithHint("check the environment variables that begin with VAULT_")
	}
	client, err := hcvault.NewClientWithAEADOptions(u.WrappingKey, k.client.Logical(), hcvault.WithLegacyContextParamater())
	if err == nil {
		k.aead, err = client.GetAEAD(u.WrappingKey)
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, opWrapping, "%s: %s", u.WrappingKey, clip(err))
	}
	return k, nil
}

func (cfg Config) lookup(name string) (string, bool) {
	if cfg.LookupEnv == nil {
		return "", false
	}
	return cfg.LookupEnv(name)
}

// retryPause is how long a server that is not well is left alone before it is
// asked again.
const retryPause = 300 * time.Millisecond

// connect makes a client of Vault's own, since that of Tink's old constructor
// knows neither a private CA nor a context. What belongs to an address or to
// answers of another kind is not taken from the environment.
func (k *vaultKey) connect(token string) error {
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return cfg.Error
	}
	cfg.Address, cfg.AgentAddress, cfg.SRVLookup = k.address, "", false
	// Short waits, whatever Retry-After says: whoever asked is waiting, and may
	// ask again.
	cfg.Backoff = func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return retryPause }
	k.transport = &boundTransport{next: cfg.HttpClient.Transport, ctx: context.Background()}
	cfg.HttpClient.Transport = k.transport
	cfg.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if k.transport.ctx.Err() != nil || errors.Is(err, errRedirect) {
			return false, err
		}
		return api.DefaultRetryPolicy(ctx, resp, err)
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return err
	}
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.SetToken(token)
	k.client = client
	return nil
}

// maxToken bounds a Vault token, in bytes. Those of HashiCorp's hosted service
// are the longest, with some hundred.
const maxToken = 4 << 10

// vaultToken returns the token and says where it is from.
func vaultToken(u signer.URI, cfg Config) (token, source string, err error) {
	const op = "read the Vault token"
	switch {
	case u.TokenFile != "":
		source = "the file " + u.TokenFile
		data, err := readToken(u.TokenFile)
		if err != nil {
			return "", "", fault.New(fault.Credentials, op, "%w", err).WithHint("token-file names a file with the token and nothing else")
		}
		token = string(bytes.TrimSpace(data))
	case u.TokenEnv != "":
		source = "the environment variable " + u.TokenEnv
		token, _ = cfg.lookup(u.TokenEnv)
	default:
		source = "the environment variable VAULT_TOKEN"
		token, _ = cfg.lookup("VAULT_TOKEN")
	}
	switch {
	case token == "":
		return "", "", fault.New(fault.Credentials, op, "there is none for %s: %s has none", u.WrappingKey, source).
			WithHint("name a file with token-file= or a variable with token-env= in the key URI, or set VAULT_TOKEN")
	case len(token) > maxToken:
		return "", "", fault.New(fault.Credentials, op, "%s has more than %d bytes", source, maxToken).WithHint("is it the file with the token?")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", "", fault.New(fault.Credentials, op, "%s has white space, or characters that are not printable ASCII, in it", source).
			WithHint("the token stands alone, on one line")
	}
	return token, source, nil
}

func readToken(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*maxToken))
}

// EncryptWithContext implements [tink.AEADWithContext].
func (k *vaultKey) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	k.transport.ctx = ctx
	return k.aead.Encrypt(plaintext, associatedData)
}

// DecryptWithContext implements [tink.AEADWithContext].
func (k *vaultKey) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	k.transport.ctx = ctx
	return k.aead.Decrypt(ciphertext, associatedData)
}

// mustExist reads the key, because encrypting makes it where it is not there
// and the token may do that: a name with a typing error would become a key.
// A token that may not read keys says nothing about them.
func (k *vaultKey) mustExist(ctx context.Context, op string) error {
	k.transport.ctx = ctx
	secret, err := k.client.Logical().ReadWithContext(ctx, k.path)
	switch answer, ok := errors.AsType[*api.ResponseError](err); {
	case ok && answer.StatusCode == http.StatusForbidden:
		return nil
	case err != nil:
		return k.fault(ctx, op, err)
	case secret == nil:
		return k.notFound(op)
	}
	return nil
}

func (k *vaultKey) notFound(op string) error {
	return fault.New(fault.NotFound, op, "Vault at %s has no key %s", k.address, k.path).
		WithHint("vault write -f %s makes it, once the transit engine is mounted; check the namespace as well", k.path)
}

func (k *vaultKey) fault(ctx context.Context, op string, err error) error {
	if f := ended(ctx, op, err); f != nil {
		return f
	}
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return k.noAnswer(op, err)
	}
	words := clip(errors.New(strings.Join(answer.Errors, "; ")))
	said := fmt.Sprintf("Vault at %s, key %s, answers %d: %s", k.address, k.path, answer.StatusCode, words)
	switch code := answer.StatusCode; {
	case code == http.StatusForbidden:
		return k.forbidden(ctx, op, said)
	case code == http.StatusNotFound, strings.Contains(words, "key not found"):
		return k.notFound(op)
	case code == http.StatusServiceUnavailable && strings.Contains(words, "sealed"):
		return fault.New(fault.Locked, op, "%s", said).WithHint("unseal it: vault operator unseal")
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusPreconditionFailed:
		return fault.New(fault.Unreachable, op, "%s", said)
	case answer.RawError && strings.Contains(words, "HTTPS server"):
		return fault.New(fault.Malformed, op, "%s", said).WithHint("VAULT_ADDR says http://, and the server speaks TLS")
	case code == http.StatusBadRequest && strings.Contains(words, "not supported for key type"):
		return fault.New(fault.Unfit, op, "%s", said).WithHint("a wrapping key is of a type that encrypts, such as aes256-gcm96")
	case code == http.StatusBadRequest && strings.Contains(words, "key derivation"):
		return fault.New(fault.Unfit, op, "%s", said).WithHint("a wrapping key is one that was made without derived=true")
	case code == http.StatusBadRequest && strings.Contains(words, "disallowed by policy"):
		return fault.New(fault.Unfit, op, "%s", said).WithHint("the version of the key that encrypted the keyset is retired: lower its min_decryption_version")
	case code == http.StatusBadRequest && !answer.RawError:
		return wrongKey(op, "hcvault key "+k.path+" at "+k.address, words)
	}
	return fault.New(fault.Malformed, op, "%s", said)
}

// forbidden tells a token that is no good from one that may not do this: Vault
// says 403 to both, and every good token may look itself up.
func (k *vaultKey) forbidden(ctx context.Context, op, said string) error {
	_, err := k.client.Auth().Token().LookupSelfWithContext(ctx)
	if answer, ok := errors.AsType[*api.ResponseError](err); ok && answer.StatusCode == http.StatusForbidden {
		return fault.New(fault.Credentials, op, "%s; the token in %s is not valid, or not any more", said, k.token).
			WithHint("get a new token and put it where the old one is")
	}
	i := strings.LastIndex(k.path, "keys/")
	mount, name := k.path[:i], k.path[i+len("keys/"):]
	return fault.New(fault.Denied, op, "%s", said).
		WithHint("give the token a policy with the capability update on %sdecrypt/%s, and on %sencrypt/%s to make keysets", mount, name, mount, name)
}

// noAnswer is an error without an answer of Vault.
func (k *vaultKey) noAnswer(op string, err error) error {
	e, ok := errors.AsType[*url.Error](err)
	if !ok {
		return fault.New(fault.Malformed, op, "Vault at %s does not answer as Vault does: %s", k.address, clip(err))
	}
	if errors.Is(err, errRedirect) {
		return fault.New(fault.Malformed, op, "Vault at %s: %w", k.address, e.Err).
			WithHint("see what stands between this machine and Vault")
	}
	words := clip(e.Err)
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fault.New(fault.Malformed, op, "the server at %s speaks plain HTTP, not TLS", k.address).
			WithHint("set VAULT_ADDR=http://%s if that is meant: the token and the keyset then cross the network in the clear", strings.TrimPrefix(k.address, "https://"))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.New(fault.Malformed, op, "Vault at %s: %s", k.address, words).WithHint("name the file of its CA in VAULT_CACERT")
	}
	return fault.New(fault.Unreachable, op, "Vault at %s: %s", k.address, words).
		WithHint("check that Vault runs there and that the network lets this machine through")
}

func (k *vaultKey) close() {
	if t, ok := k.transport.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// maxAnswer bounds what is read of an answer of Vault, in bytes: a keyset, and
// a little around it.
const maxAnswer = 4 * maxKeyset

// A boundTransport bounds requests in time, by the context of the call under
// way, which Tink's interface does not hand down, and their answers in size.
type boundTransport struct {
	next http.RoundTripper
	ctx  context.Context
}

// errRedirect is a redirection by something else than a standby node, which
// answers 307. Vault's library would follow it, and take the token along.
var errRedirect = errors.New("a redirection, and not that of a standby node")

// RoundTrip implements [http.RoundTripper].
func (t *boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusFound {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: %s", errRedirect, http.StatusText(resp.StatusCode))
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
