package countersign

import "crypto/x509"

// SystemRootsOf is SystemRoots on an operating system, without variables.
func SystemRootsOf(goos string) ([]*x509.Certificate, error) {
	return systemRoots(goos, func(string) string { return "" })
}
