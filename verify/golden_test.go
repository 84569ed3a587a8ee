package verify_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

//go:generate go test -run TestDisputed -update

var update = flag.Bool("update", false, "write the disputed tokens to testdata")

// A dispute is a token that some verifier judges otherwise.
type dispute struct {
	name    string
	variant string // of tsptest, "" for the plain one
	opts    pkitest.Options
	change  func(f *tsptest.Forge)
	bare    bool
	want    verify.Reason
	// openssl says why OpenSSL's verdict may differ from ours.
	openssl string
}

func disputes() []dispute {
	at := func(d time.Duration) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Time = tsptest.Time().Add(d) }
	}
	negative := func(f *tsptest.Forge) {
		f.Info = func(i *tsptest.InfoFields) { i.Accuracy = der.Make(der.TagSequence, der.AppendInt(nil, -1)) }
	}
	genTime := tsptest.Time()
	return []dispute{
		{name: "plain"},
		{name: "ess-names-another-certificate", variant: "ess-elsewhere", want: verify.ReasonSigningCertificate},
		{name: "ess-absent", variant: "ess-missing", want: verify.ReasonSigningCertificate},
		{name: "signed-attributes-absent", variant: "signed-attributes-absent", want: verify.ReasonSignedAttributes},
		{name: "content-type-attribute-absent", variant: "content-type-attribute-missing", want: verify.ReasonSignedAttributes,
			openssl: "it does not look at the attribute"},
		{name: "content-type-attribute-of-data", variant: "content-type-attribute-data", want: verify.ReasonSignedAttributes,
			openssl: "it does not look at the attribute"},
		{name: "content-of-data", variant: "content-type-data", want: verify.ReasonMalformed},
		{name: "tstinfo-version-2", variant: "version-2", want: verify.ReasonMalformed},
		{name: "tstinfo-with-trailing-bytes", variant: "tstinfo-trailing-behind", want: verify.ReasonMalformed,
			openssl: "it does not look behind the TSTInfo"},
		{name: "tstinfo-with-unknown-critical-extension", variant: "extension-unknown-critical", want: verify.ReasonExtension,
			openssl: "it does not look at extensions"},
		{name: "accuracy-negative", change: negative, want: verify.ReasonMalformed, openssl: "it does not look at the range"},
		{name: "accuracy-of-5000-millis", variant: "accuracy-millis-5000", want: verify.ReasonMalformed, openssl: "it does not look at the range"},
		{name: "time-30-minutes-ahead", change: at(90 * time.Minute), want: verify.ReasonFuture, openssl: "it does not look at the time"},
		{name: "granted-with-modifications", variant: "status-granted-with-mods"},
		{name: "rsa-pss", variant: "pss-rsa2048", opts: pkitest.Options{Key: pkitest.RSA2048}, openssl: "it cannot read PSS in a SignerInfo of a timestamp"},
		{name: "signer-by-key-identifier", variant: "sid-key-identifier", openssl: "it wants issuer and serial number"},
		{name: "bare-token", bare: true},
		{name: "time-outside-the-certificate", opts: pkitest.Options{NotAfter: genTime.Add(24 * time.Hour), NotBefore: genTime.Add(time.Hour / 2)},
			want: verify.ReasonValidity, openssl: "it looks at the certificate now, not at the token's time"},
		{name: "certificate-expired-since", opts: pkitest.Options{NotAfter: genTime.Add(time.Hour / 2)},
			openssl: "it looks at the certificate now, not at the token's time"},
		{name: "nonce-absent", variant: "nonce-absent", want: verify.ReasonNonce},
	}
}

func (d dispute) file() string {
	if d.bare {
		return d.name + ".tst"
	}
	return d.name + ".tsr"
}

func (d dispute) make(t *testing.T) []byte {
	t.Helper()
	f := tsptest.NewForge(t, d.opts)
	if d.variant != "" {
		i := slices.IndexFunc(tsptest.Variants(), func(v tsptest.Variant) bool { return v.Name == d.variant })
		if i < 0 {
			t.Fatalf("tsptest has no variant %s", d.variant)
		}
		f = tsptest.Variants()[i].Forge(t)
	}
	if d.change != nil {
		d.change(f)
	}
	build := f.MakeResponse
	if d.bare {
		build = f.MakeToken
	}
	raw, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestDisputed holds the tokens on which verifiers disagree, as committed,
// against the verdicts committed beside them, in both directions; and these
// against OpenSSL's, where every difference must have its explanation.
func TestDisputed(t *testing.T) {
	const dir = "testdata/disputed"
	chain := pkitest.TSA(t, pkitest.Options{})
	golden := map[string][]byte{
		"root.pem":         pki.EncodeChain([]*x509.Certificate{chain.Root}),
		"intermediate.pem": pki.EncodeChain([]*x509.Certificate{chain.Intermediate}),
		"data":             []byte(tsptest.Artifact),
		"request.tsq":      tsptest.RequestDER(),
	}
	var list strings.Builder
	for _, d := range disputes() {
		golden[d.file()] = d.make(t)
		verdict := string(d.want)
		if verdict == "" {
			verdict = "ok"
		}
		fmt.Fprintf(&list, "%s %s\n", verdict, d.file())
	}
	golden["verdicts.txt"] = []byte(list.String())
	for name, want := range golden {
		if *update {
			if err := os.WriteFile(filepath.Join(dir, name), want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, dir, name); !bytes.Equal(got, want) {
			t.Errorf("%s is not what go generate writes", name)
		}
	}

	p := verify.Policy{Roots: roots(t, read(t, dir, "root.pem")), Now: now}
	req, err := tsp.ParseRequest(read(t, dir, "request.tsq"))
	if err != nil {
		t.Fatal(err)
	}
	p.Nonce = req.Nonce
	ours, theirs := verdicts(t, read(t, dir, "verdicts.txt")), verdicts(t, read(t, dir, "openssl.txt"))
	for _, d := range disputes() {
		t.Run(d.name, func(t *testing.T) {
			_, err := p.Bytes(read(t, dir, d.file()), req.Imprint)
			got := string(reasonOf(err))
			if got == "" {
				got = "ok"
			}
			if got != ours[d.file()] {
				t.Errorf("%s: %v, the verdict is %s", d.file(), err, ours[d.file()])
			}
			if differ := (theirs[d.file()] == "ok") != (got == "ok"); differ != (d.openssl != "") {
				t.Errorf("%s: OpenSSL says %s, we say %s; explained by %q", d.file(), theirs[d.file()], got, d.openssl)
			}
			delete(ours, d.file())
			delete(theirs, d.file())
		})
	}
	if len(ours) > 0 || len(theirs) > 0 {
		t.Errorf("verdicts on files that are not in the table: %v, %v", ours, theirs)
	}
	for _, pattern := range []string{"*.tsr", "*.tst"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if golden[filepath.Base(file)] == nil {
				t.Errorf("%s is not in the table", file)
			}
		}
	}
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verdicts reads lines of a verdict and a file.
func verdicts(t *testing.T, text []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 || out[fields[1]] != "" {
			t.Fatalf("not a verdict: %q", line)
		}
		out[fields[1]] = fields[0]
	}
	return out
}

// roots returns the last certificate of a PEM file.
func roots(t testing.TB, text []byte) []*x509.Certificate {
	t.Helper()
	list := pemCertificates(t, text)
	return list[len(list)-1:]
}

func pemCertificates(t testing.TB, text []byte) (out []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, parse(t, block.Bytes))
	}
	if len(out) == 0 {
		t.Fatal("no certificates")
	}
	return out
}

// TestOthers holds tokens that others made, recorded by the scripts beside
// them, against the file that they stamp.
func TestOthers(t *testing.T) {
	later := func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		dir, chain string
		files      string
		// intermediates come from the chain file as well, where the token has
		// the signer's certificate only or none.
		intermediates bool
		legacy        bool
	}{
		{dir: "testdata/openssl", chain: "root.pem", files: `p256-sha256.tsr p384-sha384.tsr p521-sha512.tsr
			rsa2048-sha256.tsr rsa2048-sha512.tsr rsa3072-sha384.tsr rsa4096-sha256.tsr ess-chain.tsr`},
		{dir: "testdata/openssl", chain: "root.pem", files: "ess-v1.tsr", legacy: true},
		{dir: "testdata/timestamp-server", chain: "chain.pem", files: "chain-sha256.tsr"},
		{dir: "testdata/timestamp-server", chain: "leaf.pem", files: `leaf-sha256.tsr leaf-sha384.tsr leaf-sha512.tsr
			leaf-without-certificates.tsr leaf-without-nonce.tsr`, intermediates: true},
	} {
		for _, name := range strings.Fields(test.files) {
			t.Run(filepath.Base(test.dir)+"/"+name, func(t *testing.T) {
				raw := read(t, test.dir, name)
				p := verify.Policy{Roots: roots(t, read(t, test.dir, test.chain)), Now: later}
				if test.intermediates {
					if _, err := p.Bytes(raw, imprintAs(t, raw, read(t, test.dir, "data"))); err == nil {
						t.Error("it verifies without the intermediates, which it does not have")
					}
					p.Intermediates = pemCertificates(t, read(t, test.dir, test.chain))
				}
				imprint := imprintAs(t, raw, read(t, test.dir, "data"))
				if test.legacy {
					if _, err := p.Bytes(raw, imprint); reasonOf(err) != verify.ReasonSigningCertificate {
						t.Errorf("without the legacy policy: %v", err)
					}
					p.AllowLegacyESSCertIDv1 = true
				}
				stamp, err := p.Bytes(raw, imprint)
				if err != nil {
					t.Fatal(err)
				}
				if stamp.Time.Year() != 2026 || len(stamp.Chain) != 3 {
					t.Errorf("time %v, %d certificates in the chain", stamp.Time, len(stamp.Chain))
				}
				if _, err := p.Bytes(raw, imprintAs(t, raw, []byte("other data"))); reasonOf(err) != verify.ReasonImprint {
					t.Errorf("with other data: %v", err)
				}
			})
		}
	}
}

// imprintAs hashes data with the algorithm of the token.
func imprintAs(t testing.TB, raw, data []byte) tsp.Imprint {
	t.Helper()
	m, err := tsp.ParseAny(raw)
	if err != nil {
		t.Fatal(err)
	}
	token, err := m.TimeStampToken()
	if err != nil {
		t.Fatal(err)
	}
	imprint, err := tsp.ReadImprint(token.UnverifiedInfo.Imprint.Hash, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return imprint
}
