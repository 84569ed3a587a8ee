package signer

import (
	"crypto/fips140"
	"fmt"
)

// An unapprovedError is that FIPS 140-3 does not approve how a key file is
// encrypted. Go refuses some of it with fips140=only, by a panic; we refuse it
// whenever the mode is on, because whoever asks for the mode asks for this.
type unapprovedError struct{ what string }

func (e *unapprovedError) Error() string {
	mode := "on"
	if fips140.Enforced() {
		mode = "only"
	}
	return fmt.Sprintf("the key is encrypted with %s, which FIPS 140-3 does not approve, and this program runs with fips140=%s", e.what, mode)
}

// Advice says what to do about it.
func (e *unapprovedError) Advice() string {
	return "keep the key as PKCS #8, encrypted with AES under PBKDF2 with HMAC-SHA-256 and a salt of 16 octets or more (\"fencepost key create\" writes it so), or not encrypted in a file that only this user can read"
}

// approved refuses what FIPS 140-3 does not approve while the mode is on.
func approved(what string) error {
	if !fips140.Enabled() {
		return nil
	}
	return &unapprovedError{what}
}
