package verify_test

import "crypto/x509"

func certs(c ...*x509.Certificate) []*x509.Certificate { return c }
