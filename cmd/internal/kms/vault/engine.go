package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
