package countersign

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Limits on the system's certificate store. That of Debian has 150 roots in
// some 220 KiB.
const (
	maxStoreFile  = 16 << 20
	maxStoreFiles = 4096
	maxStoreRoots = 4096
)

// SystemRoots returns the roots of the operating system's certificate store, so
// far as they pass [CheckRoot]. getenv is [os.Getenv] or like it: the variables
// SSL_CERT_FILE and SSL_CERT_DIR name other places than the usual, as they do
// for OpenSSL and Go.
//
// These roots were chosen for web servers. A trust store with them believes
// every authority that any of them certifies, and there is nothing that tells
// which those are; for a signature that has to last, name the root of the
// authority.
//
// On macOS and Windows the store cannot be listed, which is an error. Its error
// is an [*Error].
func SystemRoots(getenv func(name string) string) ([]*x509.Certificate, error) {
	return systemRoots(runtime.GOOS, getenv)
}

func systemRoots(goos string, getenv func(name string) string) ([]*x509.Certificate, error) {
	s := systemStore(goos)
	if file := getenv("SSL_CERT_FILE"); file != "" {
		s.files = []string{file}
	}
	if dirs := getenv("SSL_CERT_DIR"); dirs != "" {
		s.dirs = strings.Split(dirs, ":")
	}
	if len(s.files)+len(s.dirs) == 0 {
		return nil, fail(ReasonRoot, "put the authority's root certificate into a trust store of the type tsa",
			"the certificate store of this operating system (%s) cannot be listed", goos)
	}
	return s.roots()
}

// A store is where a system keeps its roots.
type store struct {
	files []string // the first that can be read counts
	dirs  []string // all of them do
}

// systemStore returns the places that crypto/x509 looks at.
func systemStore(goos string) store {
	switch goos {
	case "linux":
		return store{
			files: []string{
				"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo
				"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
				"/etc/ssl/ca-bundle.pem",                            // openSUSE
				"/etc/pki/tls/cacert.pem",                           // OpenELEC
				"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7
				"/etc/ssl/cert.pem",                                 // Alpine
			},
			dirs: []string{"/etc/ssl/certs", "/etc/pki/tls/certs"},
		}
	case "freebsd", "openbsd", "netbsd", "dragonfly":
		return store{
			files: []string{
				"/usr/local/etc/ssl/cert.pem", "/etc/ssl/cert.pem", // FreeBSD, OpenBSD
				"/usr/local/share/certs/ca-root-nss.crt", "/etc/openssl/certs/ca-certificates.crt", // DragonFly, NetBSD
			},
			dirs: []string{"/etc/ssl/certs", "/usr/local/share/certs", "/etc/openssl/certs"},
		}
	case "solaris", "illumos":
		return store{
			files: []string{"/etc/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cacert.pem"},
			dirs:  []string{"/etc/certs/CA"},
		}
	case "aix":
		return store{files: []string{"/var/ssl/certs/ca-bundle.crt"}, dirs: []string{"/var/ssl/certs"}}
	}
	return store{}
}

// roots reads the store.
func (s store) roots() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	var first error
	note := func(err error) {
		if first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
	}
	seen := map[string]bool{}
	for _, file := range s.files {
		data, err := readStore(file)
		if err == nil {
			out = appendRoots(out, seen, data)
			break
		}
		note(err)
	}
	for _, dir := range s.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			note(err)
			continue
		}
		for _, entry := range entries[:min(len(entries), maxStoreFiles)] {
			path := filepath.Join(dir, entry.Name())
			// Most entries are links by hash to others of the same directory.
			if target, err := os.Readlink(path); err == nil && !strings.Contains(target, "/") {
				continue
			}
			if data, err := readStore(path); err == nil {
				out = appendRoots(out, seen, data)
			}
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case first != nil:
		return nil, &Error{Reason: ReasonRoot, Detail: fmt.Sprintf("the certificate store of the system: %v", first), Err: first}
	}
	return nil, fail(ReasonRoot, "install the package ca-certificates, or name a file in $SSL_CERT_FILE",
		"the certificate store of the system has no roots (looked for in %s)", strings.Join(append(s.files, s.dirs...), ", "))
}

// readStore reads one file, whole.
func readStore(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxStoreFile+1))
	if err == nil && len(data) > maxStoreFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxStoreFile)
	}
	return data, err
}

// appendRoots adds the roots of a file in PEM. What is no certificate, or no
// root for timestamps, is left out: stores have some of either, that are no
// concern of ours.
func appendRoots(out []*x509.Certificate, seen map[string]bool, data []byte) []*x509.Certificate {
	for len(out) < maxStoreRoots {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || seen[string(block.Bytes)] {
			continue
		}
		seen[string(block.Bytes)] = true
		cert, err := x509.ParseCertificate(bytes.Clone(block.Bytes))
		if err == nil && CheckRoot(cert) == nil {
			out = append(out, cert)
		}
	}
	return out
}
