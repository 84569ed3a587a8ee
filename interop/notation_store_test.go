package interop

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestNotationStores: what a trust store may hold, and how, is the same to everybody; and what cannot be verified with,
// "trust add" does not take.
func TestNotationStores(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeLayout), newIdentity(t, "p256", day)
	img := p.push(t)
	scratch(t).sign(t, notaries()[0], img, s, signing{format: "jws", stamp: a})
	key, err := os.ReadFile(s.key)
	if err != nil {
		t.Fatal(err)
	}
	der := func(data []byte) []byte {
		block, _ := pem.Decode(data)
		return block.Bytes
	}
	selfSigned := bentSelfSigned(t, func(cert *x509.Certificate) { cert.IsCA, cert.KeyUsage = false, x509.KeyUsageDigitalSignature })
	expired := bentSelfSigned(t, func(cert *x509.Certificate) {
		cert.NotBefore, cert.NotAfter = time.Now().Add(-2*day), time.Now().Add(-day)
	})
	stranger := pemOf(foreignCertificate(t))
	stampingRoot, stampingCA := a.rootPEM(), pemOf(a.certificates[len(a.certificates)-2])
	const ca, tsa = "ca", "tsa"
	tests := []struct {
		name   string
		store  string // the other one is good
		file   string
		data   []byte
		failed string
		added  bool // trust add takes it
	}{
		{"PEM", ca, "root.pem", s.root, "", true},
		{"DER", ca, "root.der", der(s.root), "", true},
		{"no suffix", ca, "root", s.root, "", true},
		{"another suffix", ca, "root.txt", s.root, "", true},
		{"an intermediate", ca, "ca.pem", pemOf(s.ca), "", true},
		{"a leaf", ca, "leaf.pem", pemOf(s.leaf), "authenticity", false},
		{"two roots", ca, "roots.pem", append(bytes.Clone(stranger), s.root...), "", true},
		{"DER of two", ca, "roots.der", append(der(stranger), der(s.root)...), "", true},
		{"a root and a leaf", ca, "both.pem", append(bytes.Clone(s.root), pemOf(s.leaf)...), "authenticity", false},
		{"a stranger", ca, "stranger.pem", stranger, "authenticity", true},
		{"self-signed, no CA", ca, "self.pem", selfSigned, "authenticity", true},
		{"an expired root", ca, "expired.pem", expired, "authenticity", true},
		{"text around it", ca, "text.pem", slices.Concat([]byte("subject: Root\n"), s.root, []byte("that is all\n")), "", true},
		{"a key behind it", ca, "key.pem", append(bytes.Clone(s.root), key...), "authenticity", false},
		{"a key before it", ca, "key.pem", append(bytes.Clone(key), s.root...), "authenticity", false},
		{"a key", ca, "key.pem", key, "authenticity", false},
		{"empty", ca, "empty.pem", nil, "authenticity", false},
		{"text", ca, "text.pem", []byte("hello"), "authenticity", false},
		{"cut short", ca, "short.pem", s.root[:len(s.root)/2], "authenticity", false},
		{"bytes behind the DER", ca, "root.der", append(der(s.root), 0), "authenticity", false},
		{"a certificate that is broken", ca, "broken.der", der(s.root)[:100], "authenticity", false},

		{"PEM", tsa, "root.pem", stampingRoot, "", true},
		{"DER", tsa, "root.der", der(stampingRoot), "", true},
		{"two roots", tsa, "roots.pem", append(bytes.Clone(stranger), stampingRoot...), "", true},
		{"an intermediate", tsa, "ca.pem", stampingCA, "authenticTimestamp", false},
		{"the root and an intermediate", tsa, "both.pem", append(bytes.Clone(stampingRoot), stampingCA...), "authenticTimestamp", false},
		{"the signer of the timestamp", tsa, "leaf.pem", pemOf(a.certificates[0]), "authenticTimestamp", false},
		{"self-signed, no CA", tsa, "self.pem", selfSigned, "authenticTimestamp", false},
		{"an expired root of somebody else", tsa, "expired.pem", expired, "authenticTimestamp", true},
		{"a stranger", tsa, "stranger.pem", stranger, "authenticTimestamp", true},
		{"empty", tsa, "empty.pem", nil, "authenticTimestamp", false},
	}
	names := map[string]string{ca: "signers", tsa: "stampers"}
	for _, test := range tests {
		t.Run(test.store+" "+test.name, func(t *testing.T) {
			config := trust{ca: s.root, tsa: stampingRoot}.config(t)
			store := filepath.Join(config, "truststore/x509", test.store, names[test.store])
			if err := os.Remove(filepath.Join(store, "root.pem")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(store, test.file), test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			w := scratch(t)
			w.rules(t, img, verifying{config: config}, always(test.failed))

			file := w.write(t, test.file, test.data)
			r := w.run(t, ours("fencepost"), "trust", "add", "--config-dir", w.dir, "--type", test.store, "--store", "acme", file)
			if test.added != (r.code == 0) || r.code == 2 {
				t.Errorf("want it added: %v, got: %v", test.added, r)
			}
		})
	}
	for _, test := range []struct {
		name   string
		change func(store string) error
	}{
		{"no store", os.RemoveAll},
		{"an empty store", func(store string) error { return os.Remove(filepath.Join(store, "root.pem")) }},
		{"a directory in it", func(store string) error { return os.Mkdir(filepath.Join(store, "more"), 0o700) }},
		{"a link in it", func(store string) error {
			return os.Symlink(filepath.Join(store, "root.pem"), filepath.Join(store, "link.pem"))
		}},
		{"a link to it", func(store string) error {
			if err := os.Rename(store, store+".real"); err != nil {
				return err
			}
			return os.Symlink(store+".real", store)
		}},
		{"a file in its place", func(store string) error {
			if err := os.RemoveAll(store); err != nil {
				return err
			}
			return os.WriteFile(store, s.root, 0o600)
		}},
	} {
		for store, failed := range map[string]string{ca: "authenticity", tsa: "authenticTimestamp"} {
			t.Run(store+" "+test.name, func(t *testing.T) {
				config := trust{ca: s.root, tsa: stampingRoot}.config(t)
				if err := test.change(filepath.Join(config, "truststore/x509", store, names[store])); err != nil {
					t.Fatal(err)
				}
				scratch(t).rules(t, img, verifying{config: config}, always(failed))
			})
		}
	}
}

// bentSelfSigned makes a self-signed certificate, after a change to that of a foreign root.
func bentSelfSigned(t *testing.T, bend func(cert *x509.Certificate)) []byte {
	t.Helper()
	template := foreignTemplate()
	template.SerialNumber, template.NotBefore = big.NewInt(1), time.Now().Add(-time.Hour)
	bend(template)
	key := newKey(t, "p256")
	return pemOf(certify(t, template, nil, key, key))
}

// TestNotationDirectory: with a directory that our commands have made, everybody verifies; the release of notation-go
// after the policy has been given the name that it knows.
func TestNotationDirectory(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	img, w, dir := p.push(t), scratch(t), t.TempDir()
	w.sign(t, notaries()[0], img, s, signing{format: "jws", stamp: a})
	root := w.write(t, "root.pem", s.root)
	fencepost := func(words ...string) {
		t.Helper()
		w.accept(t, nil, append(append([]string{ours("fencepost")}, words[:2]...), append([]string{"--config-dir", dir}, words[2:]...)...)...)
	}
	fencepost("trust", "add", "--type", "ca", "--store", "acme", root)
	fencepost("trust", "add", "--type", "tsa", "--store", "acme-tsa", a.root)
	fencepost("policy", "init", "--name", "all", "--trust-store", "ca:acme", "--trust-store", "tsa:acme-tsa",
		"--trusted-identity", "x509.subject: C=US, ST=WA, O=Fencepost Interop", "--scope", img.scope())
	data, err := os.ReadFile(filepath.Join(dir, "trustpolicy.oci.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trustpolicy.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.rules(t, img, verifying{config: dir}, always(""))
	w.env = append(w.env, "NOTATION_CONFIG="+dir)
	w.accept(t, []string{"Successfully verified signature for "}, own{}.placed(img, []string{ours("fencepost"), "image", "verify"})...)
}
