package interop

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"
)

// TestOsslsigncode: an Authenticode signature of a Windows program, with an RFC 3161 timestamp. The
// signer's certificate expires soon after, so that the signature holds only by its timestamp; otherwise
// osslsigncode reports a bad timestamp and accepts the signature all the same.
func TestOsslsigncode(t *testing.T) {
	a, w := startDev(t), scratch(t)
	w.write(t, "main.go", []byte("package main\n\nfunc main() { println(\"the program\") }\n"))
	// The compiler's cache is the user's own, not that of the empty HOME.
	build := *w
	build.env = []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}
	build.accept(t, nil, "go", "build", "-o", "plain.exe", "main.go")

	cert, key := selfSigned(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "signer"},
		NotAfter:    time.Now().Add(5 * time.Second),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "signer.pem", pemOf(cert))
	w.write(t, "signer.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	w.accept(t, []string{"Succeeded"}, "osslsigncode", "sign", "-certs", "signer.pem", "-key", "signer.key", "-h", "sha256",
		"-ts", a.url, "-in", "plain.exe", "-out", "signed.exe")
	time.Sleep(time.Until(cert.NotAfter.Add(time.Second)))

	verify := func(tsaRoot, file string) []string {
		return []string{"osslsigncode", "verify", "-CAfile", "signer.pem", "-TSA-CAfile", tsaRoot, "-in", file}
	}
	w.accept(t, []string{"Timestamp Server Signature verification: ok", "Signature verification: ok", "Succeeded"},
		verify(a.root, "signed.exe")...)
	w.refuse(t, []string{"Timestamp Server Signature verification: failed", "certificate has expired"},
		verify(foreignRoot(t, w), "signed.exe")...)

	signed := w.read(t, "signed.exe")
	other := append([]byte(nil), signed...)
	other[len(other)/2] ^= 1 // within the program's own data
	w.write(t, "other.exe", other)
	w.refuse(t, []string{"MISMATCH"}, verify(a.root, "other.exe")...)
	// The file is padded to eight bytes after the token.
	w.write(t, "broken.exe", flip(signed, 16))
	w.refuse(t, []string{"Timestamp Server Signature verification: failed", "certificate has expired"}, verify(a.root, "broken.exe")...)
}
