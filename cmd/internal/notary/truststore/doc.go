// Package truststore keeps the certificates that signatures are verified with,
// in the layout of Notation, whose own directory works as it is:
//
//	truststore/x509/ca/NAME/*                 roots and authorities of signers
//	truststore/x509/signingAuthority/NAME/*   the same for signing authorities
//	truststore/x509/tsa/NAME/*                roots of timestamp authorities
//
// [Store.Certificates] reads a store as Notation does: whatever is in its folder
// has to be a file with certificates in PEM or DER, each of them one of an
// authority or signed by its own key, in a tsa store a root. One that is not
// makes the whole store unusable, and so do symbolic links and folders.
//
// [Store.Add] is stricter than Notation: it refuses at once what would fail at
// each verification, so that a mistake is seen by the person who makes it.
//
// # Concurrency
//
// A Store may be used by several goroutines, and a folder by several processes.
// A certificate appears in a store whole or not at all, and a store that is
// deleted disappears at once: files are made in truststore/x509 and moved, since
// every reader takes everything in the folder of a store for a certificate.
package truststore
