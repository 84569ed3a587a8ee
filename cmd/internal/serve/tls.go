package serve

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// TLSFiles names the identity of an https listener.
type TLSFiles struct {
	Certificate, Key string // PEM files, required
	ClientCA         string // PEM file; "": clients are not asked for a certificate
	// ClientAuth says whether clients need a certificate of ClientCA.
	ClientAuth ClientAuth
	// Warn is told what clients may refuse, now or soon. Nil is not called.
	Warn func(text string)
}

// ClientAuth says whether clients need a certificate.
type ClientAuth int

const (
	// ClientAuthRequired is for listeners on which nobody else is served.
	ClientAuthRequired ClientAuth = iota
	// ClientAuthOptional is for listeners that serve others too. A certificate
	// that is shown must be good all the same.
	ClientAuthOptional
)

// LoadTLS reads the identity of an https listener: TLS 1.2 and 1.3, with the
// key exchanges that Go prefers, the post-quantum ones first, and of TLS 1.2
// only suites with forward secrecy and authenticated encryption. Sessions that
// began with another identity, or when other clients were let in, cannot be
// resumed with this one.
func LoadTLS(f TLSFiles) (*tls.Config, error) {
	if f.Warn == nil {
		f.Warn = func(string) {}
	}
	cert, err := f.pair()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	f.examine(cert)
	cfg := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
	if f.ClientCA != "" {
		if cfg.ClientCAs, err = f.clientCAs(); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
		if f.ClientAuth == ClientAuthOptional {
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	// A listener hands out one such configuration after the other, and by itself
	// crypto/tls would take the tickets of all of them: their keys would be those
	// of the configuration that the listener was opened with. These are this
	// one's own, made at random and replaced each day.
	cfg.WrapSession, cfg.UnwrapSession = cfg.EncryptTicket, cfg.DecryptTicket
	return cfg, nil
}

// pair reads the certificate and its key.
func (f TLSFiles) pair() (tls.Certificate, error) {
	certPEM, err := os.ReadFile(f.Certificate)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(f.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	// A group may well read it: on many systems one does for that purpose.
	if st, err := os.Stat(f.Key); err == nil && st.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		f.Warn(fmt.Sprintf("tls: every user of this machine can read the key %s; chmod o= %s", f.Key, f.Key))
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err == nil {
		// Clients would be told that no cipher suite suits them.
		return cert, fips.CheckKey(cert.Leaf.PublicKey)
	}
	err = fmt.Errorf("certificate %s, key %s: %w", f.Certificate, f.Key, trimmed(err))
	switch {
	case !hasBlock(certPEM, "CERTIFICATE") && hasBlock(certPEM, "PRIVATE KEY") && hasBlock(keyPEM, "CERTIFICATE"):
		return cert, cli.Hint(err, "the two files are the wrong way round")
	case hasBlock(keyPEM, "ENCRYPTED PRIVATE KEY") || bytes.Contains(keyPEM, []byte("Proc-Type: 4,ENCRYPTED")):
		return cert, cli.Hint(err, "the key is encrypted, and a server has nobody to ask for the password: \"openssl pkey -in %s\" writes it without", f.Key)
	case f.fitsLater(certPEM, keyPEM):
		return cert, cli.Hint(err, "the key is that of another certificate in %s: the server's own comes first, and after each the one that issued it", f.Certificate)
	case strings.Contains(err.Error(), "does not match"):
		return cert, cli.Hint(err, "the key is that of another certificate, perhaps of the one before it was renewed")
	}
	return cert, err
}

// trimmed is an error of crypto/tls without its prefix, which is ours too.
func trimmed(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "tls: "); ok && errors.Unwrap(err) == nil {
		return errors.New(text)
	}
	return err
}

// hasBlock says whether there is a PEM block whose label ends with kind.
func hasBlock(data []byte, kind string) bool {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, kind) {
			return true
		}
		data = rest
	}
}

// fitsLater says that the key belongs to a certificate that is not the first.
func (f TLSFiles) fitsLater(certPEM, keyPEM []byte) bool {
	for {
		block, rest := pem.Decode(certPEM)
		if block == nil {
			return false
		}
		certPEM = rest
		if _, err := tls.X509KeyPair(pem.EncodeToMemory(block), keyPEM); err == nil {
			return true
		}
	}
}

// examine warns about a certificate that clients will not like.
func (f TLSFiles) examine(cert tls.Certificate) {
	leaf, now := cert.Leaf, time.Now()
	left := leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		f.Warn(fmt.Sprintf("tls: the certificate in %s expired on %s: no client will connect; renew it", f.Certificate, leaf.NotAfter.UTC().Format(time.RFC3339)))
	case now.Before(leaf.NotBefore):
		f.Warn(fmt.Sprintf("tls: the certificate in %s is not valid before %s: no client will connect until then, unless the clock of this machine is wrong", f.Certificate, leaf.NotBefore.UTC().Format(time.RFC3339)))
	case left < leaf.NotAfter.Sub(leaf.NotBefore)/lastPart:
		f.Warn(fmt.Sprintf("tls: the certificate in %s expires on %s: renew it", f.Certificate, leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		f.Warn(fmt.Sprintf("tls: the certificate in %s has no name of a server (subjectAltName), and clients go by nothing else", f.Certificate))
	}
	issuer := leaf.RawIssuer
	for i, der := range cert.Certificate[1:] {
		next, err := x509.ParseCertificate(der)
		if err != nil || !bytes.Equal(next.RawSubject, issuer) {
			f.Warn(fmt.Sprintf("tls: certificate %d in %s did not issue the one before it: clients that want them in order will not connect", i+2, f.Certificate))
			return
		}
		issuer = next.RawIssuer
	}
}

// lastPart is the part of its life at whose beginning a certificate should have
// been renewed; those who do it by themselves do it when a third is left.
const lastPart = 10

// clientCAs reads the CAs of clients.
func (f TLSFiles) clientCAs() (*x509.CertPool, error) {
	data, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("client CA: %s holds a block %q besides certificates", f.ClientCA, block.Type)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("client CA: %s: certificate %d: %w", f.ClientCA, n+1, err)
		}
		if time.Now().After(ca.NotAfter) {
			f.Warn(fmt.Sprintf("tls: the client CA %s in %s expired on %s: its clients are refused", ca.Subject, f.ClientCA, ca.NotAfter.UTC().Format(time.RFC3339)))
		}
		pool.AddCert(ca)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("client CA: %s holds no certificate", f.ClientCA)
	}
	return pool, nil
}
