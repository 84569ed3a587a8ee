package interop

import (
	"testing"
)

// ask makes a request with openssl, sends it with curl as every recipe on the web does, and leaves
// NAME.tsq and NAME.tsr.
func (w *tool) ask(t *testing.T, a *tsa, name, file string, query ...string) {
	t.Helper()
	argv := []string{"openssl", "ts", "-query", "-data", file, "-out", name + ".tsq"}
	w.accept(t, nil, append(argv, query...)...)
	w.accept(t, nil, "curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/timestamp-query",
		"--data-binary", "@"+name+".tsq", "-o", name+".tsr", a.url)
}

// opensslVerify is the command with which OpenSSL judges a response.
func opensslVerify(a *tsa, tsr string, against ...string) []string {
	argv := []string{"openssl", "ts", "-verify", "-in", tsr, "-CAfile", a.root, "-untrusted", a.chain}
	return append(argv, against...)
}

// TestOpenSSL: every kind of key and hash; the query and the data each as what is compared.
func TestOpenSSL(t *testing.T) {
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			a := startKey(t, keyType)
			for _, hash := range []string{"sha256", "sha384", "sha512"} {
				t.Run(hash, func(t *testing.T) {
					w := scratch(t)
					w.write(t, "data", []byte("the data of "+t.Name()))
					w.write(t, "other", []byte("other data"))
					w.ask(t, a, "full", "data", "-"+hash, "-cert")
					w.ask(t, a, "again", "data", "-"+hash, "-cert")

					w.accept(t, []string{"Status: Granted.", "Hash Algorithm: " + hash}, "openssl", "ts", "-reply", "-in", "full.tsr", "-text")
					w.accept(t, []string{"Verification: OK"}, opensslVerify(a, "full.tsr", "-queryfile", "full.tsq")...)
					w.accept(t, []string{"Verification: OK"}, opensslVerify(a, "full.tsr", "-data", "data")...)

					w.refuse(t, []string{"message imprint mismatch"}, opensslVerify(a, "full.tsr", "-data", "other")...)
					w.refuse(t, []string{"nonce mismatch"}, opensslVerify(a, "again.tsr", "-queryfile", "full.tsq")...)
					w.write(t, "broken.tsr", flip(w.read(t, "full.tsr"), 10))
					w.refuse(t, []string{"Verification: FAILED"}, opensslVerify(a, "broken.tsr", "-data", "data")...)
				})
			}
		})
	}
}

// TestOpenSSLForms: requests without nonce, without certificate, with a policy; and what is refused.
func TestOpenSSLForms(t *testing.T) {
	a := startDev(t)
	w := scratch(t)
	w.write(t, "data", []byte("the data"))
	tests := []struct {
		name    string
		query   []string
		want    []string // in the text of the reply
		failure string   // the PKIFailureInfo, where the answer is a rejection
	}{
		{"no nonce", []string{"-sha256", "-cert", "-no_nonce"}, []string{"Status: Granted.", "Nonce: unspecified"}, ""},
		{"no certificate", []string{"-sha256"}, []string{"Status: Granted."}, ""},
		{"policy", []string{"-sha256", "-tspolicy", ourPolicy}, []string{"Status: Granted.", "Policy OID: " + ourPolicy}, ""},
		{"SHA-1", []string{"-sha1"}, []string{"Status: Rejected.", "unrecognized or unsupported algorithm identifier"}, "badAlg"},
		{"foreign policy", []string{"-sha256", "-tspolicy", "1.2.3.4"}, []string{"Status: Rejected.", "the requested TSA policy is not supported by the TSA"}, "unacceptedPolicy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.ask(t, a, "form", "data", test.query...)
			w.accept(t, test.want, "openssl", "ts", "-reply", "-in", "form.tsr", "-text")
			if test.failure != "" {
				w.refuse(t, []string{"status code: rejection", test.failure}, opensslVerify(a, "form.tsr", "-queryfile", "form.tsq")...)
			} else {
				w.accept(t, []string{"Verification: OK"}, opensslVerify(a, "form.tsr", "-queryfile", "form.tsq")...)
			}
		})
	}
}
