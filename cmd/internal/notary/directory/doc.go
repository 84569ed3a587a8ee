// Package directory finds the configuration directory of the commands that
// sign and verify artifacts, and reads the files in it. The layout is that of
// Notation, whose own directory works as it is:
//
//	config.json              registries without TLS, credential helpers, the usual envelope
//	signingkeys.json         keys by name
//	trustpolicy.oci.json     the trust policy for images
//	trustpolicy.json         the same under its old name; the other one wins
//	trustpolicy.blob.json    the trust policy for files
//	truststore/x509/...      see package truststore
//
// As in Notation, none of the files may be a symbolic link: what a link names
// can be exchanged by whoever owns its target. Unlike in Notation, a mistake in
// one of them is named with its line.
package directory
