package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/pkcs11"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/program"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/tinkkey"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A backend opens the keys of a scheme, and makes them. A create that is nil is
// refused with why.
type backend struct {
	open   func(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error)
	create func(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error
	why    string
}

// backends is the one table.
var backends = map[signer.Scheme]backend{
	signer.SchemeFile: {
		open: openFile, create: createFile,
	},
	signer.SchemeMemory: {
		open: func(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
			return signer.Open(ctx, u, cfg.signer())
		},
		why: "a key in memory ends with the process that makes it",
	},
	signer.SchemeExec: {
		open: openProgram,
		why:  "a program that signs makes its key by itself",
	},
	signer.SchemeAWSKMS:     {open: openCloud, create: createCloud},
	signer.SchemeGCPKMS:     {open: openCloud, create: createCloud},
	signer.SchemeAzureKMS:   {open: openCloud, create: createCloud},
	signer.SchemeHashiVault: {open: openVault, create: createVault},
	signer.SchemeOpenBao:    {open: openVault, create: createVault},
	signer.SchemeTink:       {open: openTink, create: createTink},
	signer.SchemePKCS11: {
		open: func(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
			return pkcs11.Open(ctx, u, pkcs11Config(cfg))
		},
		create: func(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
			return pkcs11.Create(ctx, u, t, pkcs11Config(cfg))
		},
	},
}

func openCloud(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
	return cloud.Open(ctx, u, cloudConfig(cfg))
}

func createCloud(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	return cloud.Create(ctx, u, t, cloudConfig(cfg))
}

func cloudConfig(cfg Config) cloud.Config {
	c := cfg.Cloud
	c.LookupEnv = cfg.LookupEnv
	return c
}

func openVault(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
	return vault.Open(ctx, u, vaultConfig(cfg))
}

func createVault(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	return vault.Create(ctx, u, t, vaultConfig(cfg))
}

func vaultConfig(cfg Config) vault.Config {
	return vault.Config{LookupEnv: cfg.LookupEnv, Want: cfg.Want, Report: cfg.Report}
}

func openTink(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
	return tinkkey.Open(ctx, u, tinkConfig(cfg))
}

func createTink(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	return tinkkey.Create(ctx, u, t, tinkConfig(cfg))
}

func tinkConfig(cfg Config) tinkkey.Config {
	return tinkkey.Config{LookupEnv: cfg.LookupEnv, GoogleOptions: cfg.Cloud.GoogleOptions}
}

func pkcs11Config(cfg Config) pkcs11.Config {
	return pkcs11.Config{LookupEnv: cfg.LookupEnv, Sessions: cfg.Limits.complete().Concurrency}
}

// Schemes returns the schemes whose keys are opened here, in alphabetical
// order.
func Schemes() []signer.Scheme {
	var all []signer.Scheme
	for s := range backends {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

const (
	opOpen   = "open key"
	opCreate = "create key"
)

func find(op string, scheme signer.Scheme) (backend, error) {
	if b, ok := backends[scheme]; ok {
		return b, nil
	}
	var words []string
	for _, s := range Schemes() {
		words = append(words, string(s))
	}
	return backend{}, fault.New(fault.Unsupported, op, "there are no keys of the scheme %.20q", string(scheme)).
		WithHint("the schemes are %s", strings.Join(words, ", "))
}

const (
	// openPatience bounds the opening of a key: a login and a few more calls,
	// each of which may take as long as a signature.
	openPatience = 30 * time.Second

	// createPatience bounds the making of a key: smart cards and TPMs look for
	// the primes of RSA for minutes.
	createPatience = 5 * time.Minute
)

// Open opens the key that a URI names, and signs nothing; [signer.Prove] does.
// ctx bounds the opening, which takes at most 30 s in any case. Errors are of
// the type *fault.Error, which knows what to do about them.
func Open(ctx context.Context, u signer.URI, cfg Config) (*Key, error) {
	b, err := find(opOpen, u.Scheme)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	s, err := patient(ctx, opOpen, u, func() (signer.Signer, error) { return b.open(ctx, u, cfg) })
	if err != nil {
		return nil, err
	}
	if err := approved(u, s.Public()); err != nil {
		return nil, errors.Join(err, closeBackend(s))
	}
	return newKey(u, s, cfg), nil
}

// approved refuses a key that the mode of this process forbids. What a service
// or a device does with its own key is not for this process to know.
func approved(u signer.URI, key crypto.PublicKey) error {
	err := fips.CheckKey(key)
	if e, ok := errors.AsType[*fips.Error](err); ok {
		return fault.New(fault.Unfit, opOpen, "%s: %w", u, err).WithHint("%s", e.Advice())
	}
	return err
}

// Create makes a new key where the URI says, and opens it. It never replaces a
// key that is there. Making it takes at most 5 min; a token that is given up
// then may have made it nevertheless.
func Create(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) (*Key, error) {
	b, err := find(opCreate, u.Scheme)
	if err != nil {
		return nil, err
	}
	if b.create == nil {
		return nil, fault.New(fault.Unsupported, opCreate, "%s: %s", u, b.why)
	}
	making, cancel := context.WithTimeout(ctx, createPatience)
	defer cancel()
	_, err = patient(making, opCreate, u, func() (signer.Signer, error) { return nil, b.create(making, u, t, cfg) })
	if err != nil {
		return nil, err
	}
	k, err := Open(ctx, u, cfg)
	if err != nil {
		return nil, fmt.Errorf("the key was made, but: %w", err)
	}
	return k, nil
}

// patient runs what may ignore ctx: a module of PKCS #11, a file on a file
// system that is gone. What comes back too late is closed.
func patient(ctx context.Context, op string, u signer.URI, f func() (signer.Signer, error)) (signer.Signer, error) {
	type result struct {
		signer signer.Signer
		err    error
	}
	done := make(chan result)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				r = result{err: fault.New(fault.Malformed, op, "%s: the client library fell over: panic: %v", u, v)}
			}
			select {
			case done <- r:
			case <-ctx.Done():
				if r.err == nil && r.signer != nil {
					closeBackend(r.signer) // nobody is left who could be told
				}
			}
		}()
		r.signer, r.err = f()
	}()
	select {
	case r := <-done:
		return r.signer, r.err
	case <-ctx.Done():
	}
	hint := "see whether the service is up, and reachable from here"
	if op == opCreate {
		hint += "; the key may have been made, or be made yet: look for it before the next try"
	}
	return nil, fault.New(fault.Unreachable, op, "%s: not done in time: %w", u, ctx.Err()).WithHint("%s", hint)
}

func openProgram(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
	if !cfg.AllowProgram {
		return nil, fault.New(fault.Unsupported, opOpen, "%s: a program is started from the configuration file only", u).
			WithHint("name it there: tsa.key, with serve --config")
	}
	return program.Open(ctx, u, program.Config{LookupEnv: cfg.LookupEnv})
}
