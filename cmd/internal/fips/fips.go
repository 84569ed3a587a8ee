// Package fips says which of Go's FIPS 140-3 modes this process runs in.
//
// The mode is chosen where the process starts, by the variable
// GODEBUG=fips140=on or =only, or by the default that the program was built
// with (GOFIPS140). It is not a setting of ours, and nothing here changes it:
//
//	off   Go's cryptography as it is.
//	on    the Go Cryptographic Module tests itself at the start, draws its
//	      randomness from an approved generator, and TLS offers only what is
//	      approved. The program does not refuse what is not approved elsewhere.
//	only  what is not approved fails as well. Go says of it that it is a best
//	      effort, for tests: other modules are not made for it.
//
// That the module is the validated one is decided when the program is built
// (GOFIPS140=v1.0.0); [Module] says which it is. A key in a service or a device
// signs there: whether that is validated, no mode of this process can tell.
package fips

import (
	"crypto/fips140"
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
