package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api/cliconfig"
	"github.com/hashicorp/vault/api/tokenhelper"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const opToken = "read the token"

// maxToken bounds a token, in bytes. A batch token carries its policies and
// metadata and takes some hundred; HTTP servers take headers of this much.
const maxToken = 16 << 10

// A token and where it came from.
type token struct {
	value  string
	origin string // for messages: a variable, a file, a program
	// fixed says that the origin cannot change while the process lives.
	fixed bool
}

// tokens holds the token in use.
type tokens struct {
	env   environment
	inUse atomic.Pointer[token]
	// reading is a mutex that a context can end the wait for.
	reading chan struct{}
	// changed receives when another token has come into use.
	changed chan struct{}
}

// newTokens reads the first token.
func newTokens(ctx context.Context, env environment) (*tokens, error) {
	t := &tokens{env: env, reading: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	first, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	t.inUse.Store(first)
	return t, nil
}

func (t *tokens) current() string { return t.inUse.Load().value }

// refresh is called when old was refused or is about to expire. It returns
// another token if there is one by now: because somebody else was here before,
// or because it stands where old came from.
func (t *tokens) refresh(ctx context.Context, old string) (value string, changed bool, err error) {
	select {
	case t.reading <- struct{}{}:
		defer func() { <-t.reading }()
	case <-ctx.Done():
		return "", false, fmt.Errorf("%s: %w", opToken, ctx.Err())
	}
	if now := t.current(); now != old {
		return now, true, nil
	}
	next, err := t.read(ctx)
	if err != nil {
		return "", false, err
	}
	if next.value == old {
		return "", false, nil
	}
	t.inUse.Store(next)
	select {
	case t.changed <- struct{}{}:
	default:
	}
	return next.value, true, nil
}

// read reads the token from the first place where there is one: the
// environment, a file that it names, the token helper.
func (t *tokens) read(ctx context.Context) (*token, error) {
	if value, variable := t.env.get("TOKEN"); value != "" {
		return newToken(value, variable, true)
	}
	if path, variable := t.env.get("TOKEN_FILE"); path != "" {
		data, err := readTokenFile(path)
		if err != nil {
			return nil, fault.New(fault.Credentials, opToken, "%s: %w", variable, err).
				WithHint("have the agent write the token there, readable by this program, or unset %s", variable)
		}
		return newToken(data, path, false)
	}
	return fromHelper(ctx)
}

func readTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	return string(data), nil
}

// newToken checks what was read. It never quotes it.
func newToken(value, origin string, fixed bool) (*token, error) {
	value = strings.TrimSpace(value)
	problem := ""
	switch {
	case value == "":
		problem = "empty"
	case len(value) > maxToken:
		problem = fmt.Sprintf("more than %d bytes", maxToken)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		problem = "white space, or a character that is not printable ASCII"
	}
	if problem != "" {
		return nil, fault.New(fault.Credentials, opToken, "the token in %s: %s", origin, problem).
			WithHint("put a token there and nothing else")
	}
	return &token{value: value, origin: origin, fixed: fixed}, nil
}

// helperPatience is how long a token helper that was told to end may keep its
// output open.
const helperPatience = time.Second

// fromHelper asks the token helper of Vault's own command.
func fromHelper(ctx context.Context) (*token, error) {
	helper, err := defaultHelper()
	if err != nil {
		return nil, fault.New(fault.Credentials, opToken, "VAULT_TOKEN and VAULT_TOKEN_FILE are not set, and the token helper: %w", flatError{err}).
			WithHint("set VAULT_TOKEN_FILE to the file with the token, or mend ~/.vault")
	}
	external, ok := helper.(*tokenhelper.ExternalTokenHelper)
	if !ok {
		const origin = "~/.vault-token"
		value, err := helper.Get()
		if err == nil && strings.TrimSpace(value) == "" {
			err = errors.New("no such file, or it is empty")
		}
		if err != nil {
			return nil, fault.New(fault.Credentials, opToken, "VAULT_TOKEN and VAULT_TOKEN_FILE are not set, and %s: %w", origin, err).
				WithHint("set VAULT_TOKEN_FILE to the file with the token, or log in with \"vault login\"")
		}
		return newToken(value, origin, false)
	}
	// The library's own way of running it takes no context.
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, external.BinaryPath, append(external.Args, "get")...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = external.Env, &stdout, &stderr, helperPatience
	if err := cmd.Run(); err != nil {
		if ended := ctx.Err(); ended != nil {
			return nil, fmt.Errorf("%s: the token helper %s: %w", opToken, external.BinaryPath, ended)
		}
		return nil, fault.New(fault.Credentials, opToken, "the token helper %s: %w: %s", external.BinaryPath, err, oneLine(stderr.String())).
			WithHint("run \"%s get\" by hand", external.BinaryPath)
	}
	return newToken(stdout.String(), "the token helper "+external.BinaryPath, false)
}

// defaultHelper finds the token helper. The library panics when there is no
// home directory.
func defaultHelper() (h tokenhelper.TokenHelper, err error) {
	defer func() {
		if r := recover(); r != nil {
			h, err = nil, fmt.Errorf("%v", r)
		}
	}()
	return cliconfig.DefaultTokenHelper()
}
