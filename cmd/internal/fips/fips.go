// Package fips says what Go's FIPS 140-3 mode means for this program, and
// refuses in words what the mode forbids before the cryptography does so in its
// own.
//
// The mode is chosen where the process starts, by the variable
// GODEBUG=fips140=on or =only, or by the default that the program was built
// with (GOFIPS140). It is not a setting of ours, and nothing here changes it:
//
//	off   Go's cryptography as it is.
//	on    the Go Cryptographic Module tests itself at the start, draws its
//	      randomness from an approved generator, and TLS offers only what is
//	      approved. Keys and key files that are not approved are refused by us.
//	only  whatever else is not approved fails as well, by an error or a panic of
//	      Go's. Go calls it a best effort, for tests; some libraries do not work
//	      in it.
//
// That the module is the validated one is decided when the program is built
// (GOFIPS140=v1.0.0); [Module] says which it is. A key in a service or a device
// signs there: whether that is validated, no mode of this process can tell.
//
// [CheckKey] and [CheckNTS] return a *[Error], which names the mode and knows
// the cure. How a key file may be encrypted is for package signer, and what TLS
// offers for crypto/tls.
package fips

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"fmt"
)

// A Mode is one of Go's FIPS 140-3 modes.
type Mode string

// The modes.
const (
	Off  Mode = "off"
	On   Mode = "on"
	Only Mode = "only"
)

// Modes returns all modes.
func Modes() []Mode { return []Mode{Off, On, Only} }

// Current returns the mode of this process, which does not change.
func Current() Mode {
	switch {
	case !fips140.Enabled():
		return Off
	case fips140.Enforced():
		return Only
	}
	return On
}

// Module returns the version of the Go Cryptographic Module that this program
// was built with, such as "v1.0.0", or "latest" for the one of its Go release,
// which is not validated.
func Module() string { return fips140.Version() }

// String returns the mode and the module on one line.
func String() string {
	m := Current()
	if m == Off {
		return string(m)
	}
	return fmt.Sprintf("%s, Go Cryptographic Module %s", m, Module())
}

// An Error is that something is not approved.
type Error struct {
	What string // such as "an RSA key of 1024 bits"
	Mode Mode
	cure string
}

// Error names the mode.
func (e *Error) Error() string {
	return fmt.Sprintf("%s is not approved by FIPS 140-3, and this program runs with fips140=%s", e.What, e.Mode)
}

// Advice says what to do about it.
func (e *Error) Advice() string { return e.cure }

// The smallest approved RSA key, in bits (NIST SP 800-131A, 3), and the least
// public exponent is one above this (FIPS 186-5, A.1.1).
const (
	minRSABits      = 2048
	maxWeakExponent = 1 << 16
)

// CheckKey refuses a key that must not sign in the mode of this process. Every
// kind that this program makes may: ECDSA on P-256, P-384 and P-521, RSA of 2048
// bits or more, Ed25519 (FIPS 186-5).
func CheckKey(key crypto.PublicKey) error {
	mode := Current()
	if mode == Off {
		return nil
	}
	what := unapproved(key)
	if what == "" {
		return nil
	}
	return &Error{What: what, Mode: mode, cure: "use a key of ECDSA on P-256, P-384 or P-521, of RSA with 2048, 3072 or 4096 bits and the exponent 65537, or of Ed25519"}
}

// unapproved says what kind of a key that is which is not approved, "" of one
// that is.
func unapproved(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < minRSABits || bits%2 == 1:
			return fmt.Sprintf("an RSA key of %d bits", bits)
		case k.E <= maxWeakExponent || k.E%2 == 0:
			return fmt.Sprintf("an RSA key with the exponent %d", k.E)
		}
		return ""
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return ""
		}
		return fmt.Sprintf("a key on the curve %s", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return ""
	}
	return fmt.Sprintf("a key of the kind %T", key)
}

// CheckNTS refuses authenticated network time with fips140=only: its
// AEAD_AES_SIV_CMAC_256 (RFC 8915, 5.1) is not approved, and Go does not do what
// it is made of. With fips140=on it is used, since time that is not
// authenticated would not be better.
func CheckNTS() error {
	if Current() != Only {
		return nil
	}
	return &Error{What: "network time security (NTS)", Mode: Only, cure: "run with fips140=on, or take the time from the kernel, or by NTP from servers on a network that you trust"}
}
