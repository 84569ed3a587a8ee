package interop

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"testing"
)

// bouncyCastle is the class path of Debian's Bouncy Castle; the time stamp protocol is part of bcpkix.
const bouncyCastle = "/usr/share/java/bcpkix.jar:/usr/share/java/bcprov.jar:/usr/share/java/bcutil.jar"

// stamp is a command line of java/Stamp.java.
func stamp(args ...string) []string {
	return append([]string{"java", "-cp", os.Getenv(envJava) + ":" + bouncyCastle, "Stamp"}, args...)
}

func TestBouncyCastle(t *testing.T) {
	for _, test := range []struct{ keyType, hash string }{
		{"p256", "SHA-256"}, {"p384", "SHA-384"}, {"p521", "SHA-512"}, {"rsa3072", "SHA-256"},
	} {
		t.Run(test.keyType+" "+test.hash, func(t *testing.T) {
			a, w := startKey(t, test.keyType), scratch(t)
			w.write(t, "data", []byte("the data"))
			w.write(t, "other", []byte("other data"))
			w.accept(t, nil, stamp("ask", a.url, test.hash, "data", "a.tsq", "a.tsr")...)
			w.accept(t, nil, stamp("ask", a.url, test.hash, "data", "b.tsq", "b.tsr")...)
			w.accept(t, []string{"verified "}, stamp("verify", a.root, "data", "a.tsq", "a.tsr")...)

			w.refuse(t, []string{"the token is for other data"}, stamp("verify", a.root, "other", "a.tsq", "a.tsr")...)
			w.refuse(t, []string{"TSPValidationException", "nonce"}, stamp("verify", a.root, "data", "a.tsq", "b.tsr")...)
			w.write(t, "broken.tsr", flip(w.read(t, "a.tsr"), 10))
			w.refuse(t, []string{"Exception"}, stamp("verify", a.root, "data", "a.tsq", "broken.tsr")...)
			w.refuse(t, []string{"CertPathBuilderException"}, stamp("verify", foreignRoot(t, w), "data", "a.tsq", "a.tsr")...)
		})
	}
}

// TestJarsigner: the JDK asks for a timestamp while it signs, and verifies it.
func TestJarsigner(t *testing.T) {
	a, w := startDev(t), scratch(t)
	w.write(t, "plain.jar", zipOf(t, map[string][]byte{
		"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\r\n\r\n"),
		"data.txt":             []byte("the data"),
	}))
	store := []string{"-keystore", "keys.p12", "-storepass", "changeit"}
	w.accept(t, nil, append([]string{"keytool", "-genkeypair", "-alias", "signer", "-keyalg", "EC", "-groupname", "secp256r1",
		"-dname", "CN=signer", "-ext", "eku=codeSigning", "-validity", "30"}, store...)...)
	sign := append([]string{"jarsigner", "-tsa", a.url, "-tsadigestalg", "SHA-256", "-signedjar", "signed.jar"}, store...)
	w.accept(t, []string{"jar signed."}, append(sign, "plain.jar", "signer")...)

	verify := append([]string{"jarsigner", "-verify", "-strict", "-verbose", "-certs"}, store...)
	// Before its root is known, the TSA is a stranger.
	w.refuse(t, []string{"TSA certificate chain is invalid"}, append(verify, "signed.jar")...)
	w.accept(t, nil, append([]string{"keytool", "-importcert", "-noprompt", "-alias", "tsa", "-file", a.root}, store...)...)
	w.accept(t, []string{"jar verified.", "Timestamp digest algorithm: SHA-256", ">>> TSA", "[certificate is valid from"},
		append(verify, "signed.jar")...)

	signed := w.read(t, "signed.jar")
	w.write(t, "other.jar", rezip(t, signed, "data.txt", func([]byte) []byte { return []byte("other data") }))
	w.refuse(t, []string{"SHA-256 digest error for data.txt"}, append(verify, "other.jar")...)
	// The timestamp token is the last thing in the signature block.
	w.write(t, "broken.jar", rezip(t, signed, "META-INF/SIGNER.EC", func(b []byte) []byte { return flip(b, 10) }))
	w.refuse(t, []string{"Signature is either not parsable or not verifiable"}, append(verify, "broken.jar")...)
}

// zipOf packs files, the manifest first, as jars have it.
func zipOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range []string{"META-INF/MANIFEST.MF", "data.txt"} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// rezip packs an archive again with one file changed.
func rezip(t *testing.T, archive []byte, name string, change func([]byte) []byte) []byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	out := zip.NewWriter(&buf)
	changed := false
	for _, file := range in.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name == name {
			data, changed = change(data), true
		}
		f, err := out.Create(file.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if !changed {
		t.Fatalf("no %s in the archive", name)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
