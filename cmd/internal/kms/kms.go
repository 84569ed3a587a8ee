// Package kms opens the keys of the programs, wherever they live, by URI.
//
//	key, err := kms.Open(ctx, uri, kms.Config{LookupEnv: os.LookupEnv})
//	...
//	err = signer.Prove(ctx, key, hash)
//	...
//	signature, err := key.Sign(ctx, digest, hash)
//	...
//	err = key.Close()
//
// There is one table from scheme to backend, in this package. Nothing
// registers itself, and a scheme that is not in it is one error that names
// those that are.
//
// # Keys outside the process
//
// A key management service, a token or a program may be slow, gone, or answer
// never. A [Key] puts the same rules around all of them:
//
//   - A signature takes at most Limits.Timeout, waiting and trying again
//     included.
//   - At most Limits.Concurrency signatures are under way. A call that was
//     given up and cannot be cancelled, as with PKCS #11, keeps its place until
//     it returns: a service that hangs is not sent more and more.
//   - Only a fault that may pass by itself ([fault.Kind.Temporary]) is tried
//     again.
//
// A key in the memory of this process has none of that: its Sign is that of
// the package signer.
//
// # Trust
//
// What a service returns is not checked here. Whoever uses a key proves it once
// with [signer.Prove], and checks every signature before it is released.
package kms

import (
	"crypto"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Config is what Open and Create need besides the URI.
type Config struct {
	// LookupEnv finds the environment variables that a URI names, and those of
	// the services that we read ourselves. Nil: there are none.
	LookupEnv func(name string) (string, bool)
	// Passphrase returns the passphrase of an encrypted key file whose URI names
	// none. Nil: such a key is an error.
	Passphrase func() ([]byte, error)
	// AllowProgram lets exec URIs start their program. False refuses them: a
	// configuration file may name a program, a command line or a request may not.
	AllowProgram bool
	// Want is the public key of the certificate that the key is for. Of a Vault
	// key the version that has it is opened, after a rotation too. That the key
	// is the wanted one is for the caller to check. Nil: the latest version.
	Want crypto.PublicKey
	// Report is told, by a goroutine of the key, what will keep it from signing
	// if nobody acts, such as a Vault token that cannot be renewed. Nil: nobody
	// is.
	Report func(error)
	// Cloud is what tests give to the services' libraries; programs leave it
	// zero. Its LookupEnv is not used.
	Cloud cloud.Config
	// Limits are those of keys outside the process.
	Limits Limits
	// Observe is told of each attempt to sign outside the process. It is called
	// from the goroutine that signs and must not block. Nil: nobody is.
	Observe func(Event)
}

// Limits bound the work of a key outside the process. What is zero or less has
// its default.
type Limits struct {
	// Timeout is how long a signature may take, waiting for a place and trying
	// again included. Default: 10 s.
	Timeout time.Duration
	// Concurrency is how many signatures may be under way at once, abandoned ones
	// included. Zero stands for [DefaultConcurrency].
	Concurrency int
	// Attempts is how often a signature is tried, the first time included.
	// Default: 3.
	Attempts int
}

const (
	// defaultTimeout is longer than any service takes that works, and shorter
	// than the patience of clients, 30 s and more.
	defaultTimeout = 10 * time.Second
	// DefaultConcurrency keeps every service busy, and is less than what they
	// refuse as too much.
	DefaultConcurrency = 64
	// defaultAttempts outlasts the fail-over of a service behind a load balancer.
	defaultAttempts = 3
)

func (l Limits) complete() Limits {
	if l.Timeout <= 0 {
		l.Timeout = defaultTimeout
	}
	if l.Concurrency <= 0 {
		l.Concurrency = DefaultConcurrency
	}
	if l.Attempts <= 0 {
		l.Attempts = defaultAttempts
	}
	return l
}

// An Event is one attempt to sign outside the process.
type Event struct {
	// Duration is how long the attempt took, waiting for a place included.
	Duration time.Duration
	// Err is why it failed, nil if it did not.
	Err error
	// Attempt counts from 1.
	Attempt int
	// Abandoned says that the attempt was given up while the service had it, and
	// that it still has its place.
	Abandoned bool
	// Op is [OpSign].
	Op string
}

// OpSign is the operation of an [Event].
const OpSign = "sign"

func (c Config) signer() signer.Config {
	return signer.Config{LookupEnv: c.LookupEnv, Passphrase: c.Passphrase}
}
