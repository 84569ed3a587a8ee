package certcmd_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// authority is a CA with three certificates below it, and the list of what it
// revokes.
type authority struct {
	dir, chain, key, list, crl string
	issued                     []string
}

func newAuthority(t *testing.T, role string) *authority {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	good(t, "create", "--role", role, "--out", at("0"), "--keep-ca-keys", at("ca"), "--crl-url", "http://crl.example/i.crl")
	a := &authority{dir: dir, chain: at("0/chain.pem"), key: "file:" + at("ca/intermediate-key.pem"), list: at("list.json"), crl: at("i.crl"), issued: []string{at("0/chain.pem")}}
	for _, name := range []string{"1", "2"} {
		good(t, "create", "--role", role, "--out", at(name), "--issuer", a.chain, "--issuer-key", a.key, "--crl-url", "http://crl.example/i.crl")
		a.issued = append(a.issued, at(name+"/chain.pem"))
	}
	return a
}

func (a *authority) revoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return run(t, append([]string{"revoke", "--list", a.list, "--issuer", a.chain}, args...)...)
}

func (a *authority) sign(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return run(t, append([]string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key, "--out", a.crl}, args...)...)
}

// readCRL reads the list that was signed and sees that the issuer signed it.
func (a *authority) readCRL(t *testing.T) *x509.RevocationList {
	t.Helper()
	data, err := os.ReadFile(a.crl)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(readChain(t, a.chain)[1]); err != nil {
		t.Fatal(err)
	}
	return list
}

func (a *authority) number(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(a.list)
	if err != nil {
		t.Fatal(err)
	}
	var l struct{ CRLNumber string }
	if err := json.Unmarshal(data, &l); err != nil {
		t.Fatal(err)
	}
	return l.CRLNumber
}

// The way of a list: empty, with entries, with a hold that comes and goes.
func TestRevoke(t *testing.T) {
	a := newAuthority(t, "tsa")
	if code, _, stderr := a.sign(t); code != 2 || !strings.Contains(stderr, "begin the list with --new") {
		t.Errorf("signing a list that is not there: %d, %s", code, stderr)
	}
	if code, _, stderr := a.revoke(t, "--reason", "superseded", a.issued[0]); code != 2 || !strings.Contains(stderr, "begin the list with --new") {
		t.Errorf("revoking in a list that is not there: %d, %s", code, stderr)
	}
	if code, stdout, stderr := a.sign(t, "--new"); code != 0 || !strings.Contains(stdout, "number 1 of CN=Timestamp Authority Issuing CA,O=local, 0 certificates revoked") {
		t.Fatalf("an empty list: %d, %s%s", code, stdout, stderr)
	}
	list := a.readCRL(t)
	if n := len(list.RevokedCertificateEntries); n != 0 || list.NextUpdate.Sub(list.ThisUpdate) != 7*24*time.Hour {
		t.Errorf("%d entries, from %v to %v", n, list.ThisUpdate, list.NextUpdate)
	}
	// Entries stay for ever, and the list says so.
	since := readChain(t, a.chain)[1].NotBefore.UTC().Format("20060102150405Z")
	if !slices.ContainsFunc(list.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 60}) && strings.HasSuffix(string(e.Value), since)
	}) {
		t.Errorf("no expiredCertsOnCRL since %s among %v", since, list.Extensions)
	}

	code, stdout, stderr := a.revoke(t, "--reason", "superseded", a.issued[0])
	if code != 0 || stderr != "" || !strings.Contains(stdout, "timestamps and other signatures made before stay valid") || !strings.Contains(stdout, "nobody knows yet") {
		t.Errorf("superseded: %d, %s%s", code, stdout, stderr)
	}
	code, stdout, _ = a.revoke(t, "--reason", "certificateHold", "--json", a.issued[1], a.issued[2])
	var answer struct {
		List     string
		Recorded []struct {
			Serial, Subject, Reason, Meaning string
			Time                             time.Time
		}
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != 0 || len(answer.Recorded) != 2 || answer.Recorded[0].Reason != "certificateHold" || answer.Recorded[1].Meaning == "" {
		t.Errorf("two on hold: %d, %v, %s", code, err, stdout)
	}
	if code, stdout, stderr := a.sign(t, "--next-update", "1mo", "--pem", "--json"); code != 0 || !strings.Contains(stdout, `"number": "2"`) || !strings.Contains(stdout, `"revoked": 3`) {
		t.Fatalf("a list of three: %d, %s%s", code, stdout, stderr)
	}
	list = a.readCRL(t)
	first := readChain(t, a.issued[0])[0]
	if e := list.RevokedCertificateEntries; len(e) != 3 || e[0].SerialNumber.Cmp(first.SerialNumber) != 0 || e[0].ReasonCode != 4 || e[1].ReasonCode != 6 {
		t.Errorf("entries %v", e)
	}
	if want := list.ThisUpdate.AddDate(0, 1, 0); !list.NextUpdate.Equal(want) {
		t.Errorf("next update %v, want %v", list.NextUpdate, want)
	}

	// One hold is lifted, the other becomes final; the old list is replaced, in
	// DER this time.
	if code, stdout, _ := a.revoke(t, "--reason", "removeFromCRL", a.issued[1]); code != 0 || !strings.Contains(stdout, "it is not revoked") {
		t.Errorf("lifting a hold: %d, %s", code, stdout)
	}
	if code, _, stderr := a.revoke(t, "--reason", "keyCompromise", a.issued[2]); code != 0 {
		t.Errorf("ending a hold: %d, %s", code, stderr)
	}
	if code, _, stderr := a.sign(t); code != 0 {
		t.Fatalf("a list of two: %d, %s", code, stderr)
	}
	list = a.readCRL(t)
	if e := list.RevokedCertificateEntries; list.Number.Int64() != 3 || len(e) != 2 || e[1].ReasonCode != 1 {
		t.Errorf("number %v, entries %v", list.Number, e)
	}
	// A certificate that was on hold once may be again.
	if code, _, stderr := a.revoke(t, "--reason", "certificateHold", a.issued[1]); code != 0 {
		t.Errorf("a second hold: %d, %s", code, stderr)
	}
	// What is superseded may prove to be compromised, since when, too.
	early := readChain(t, a.issued[0])[0].NotBefore.Add(time.Minute).UTC()
	if code, stdout, stderr := a.revoke(t, "--reason", "keyCompromise", "--time", early.Format(time.RFC3339), a.issued[0]); code != 0 || !strings.Contains(stdout, "keyCompromise from "+early.Format(time.RFC3339)) {
		t.Errorf("a compromise that came to light: %d, %s%s", code, stdout, stderr)
	}
}

func TestRevokeRefuses(t *testing.T) {
	a, other := newAuthority(t, "tsa"), newAuthority(t, "tsa")
	root := filepath.Join(a.dir, "0", "root.pem")
	for _, args := range [][]string{{"--new", "--reason", "superseded", a.issued[0]}, {"--reason", "certificateHold", a.issued[1]}} {
		if code, _, stderr := a.revoke(t, args...); code != 0 {
			t.Fatalf("%q: %d, %s", args, code, stderr)
		}
	}
	before, err := os.ReadFile(a.list)
	if err != nil {
		t.Fatal(err)
	}
	stranger := write(t, "i.pem", string(pkitest.TSA(t, pkitest.Options{}).PEM()))
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no reason", []string{a.issued[2]}, "--reason is needed"},
		{"unknown reason", []string{"--reason", "bored", a.issued[2]}, "is not one of unspecified, keyCompromise"},
		{"no certificate", []string{"--reason", "superseded"}, "no certificate given"},
		{"not a time", []string{"--reason", "superseded", "--time", "now", a.issued[2]}, "--time \"now\" is neither a day"},
		{"time to come", []string{"--reason", "superseded", "--time", "2999-01-01", a.issued[2]}, "still to come"},
		{"time before the certificate", []string{"--reason", "superseded", "--time", "2020-01-01", a.issued[2]}, "before its validity begins"},
		{"of a namesake", []string{"--reason", "superseded", other.issued[0]}, "but not its signature"},
		{"of another CA", []string{"--reason", "superseded", stranger}, "was issued by"},
		{"no certificate in the file", []string{"--reason", "superseded", a.list}, "no certificate found"},
		{"twice", []string{"--reason", "superseded", a.issued[0]}, "was revoked at"},
		{"twice in one command", []string{"--reason", "superseded", a.issued[2], a.issued[2]}, "was revoked at"},
		{"lifting what is final", []string{"--reason", "removeFromCRL", a.issued[0]}, "only a hold can be lifted"},
		{"lifting what is not", []string{"--reason", "removeFromCRL", a.issued[2]}, "it is not on hold"},
		{"on hold twice", []string{"--reason", "certificateHold", a.issued[1]}, "on hold since"},
		{"hold of what is final", []string{"--reason", "certificateHold", a.issued[0]}, "was revoked at"},
		{"another harmless reason", []string{"--reason", "cessationOfOperation", a.issued[0]}, "was revoked at"},
		{"a new list", []string{"--new", "--reason", "superseded", a.issued[2]}, "is there already"},
		{"one good, one bad", []string{"--reason", "superseded", a.issued[2], other.issued[0]}, "but not its signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := a.revoke(t, tt.args...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit status %d, want 2; %s%s, want %q", code, stdout, stderr, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no list", []string{"revoke", "--issuer", a.chain, "--reason", "superseded", a.issued[2]}, "--list is needed"},
		{"no issuer", []string{"revoke", "--list", a.list, "--reason", "superseded", a.issued[2]}, "--issuer is needed"},
		{"the issuer itself", []string{"revoke", "--list", a.list, "--issuer", root, "--reason", "superseded", root}, "no CA can revoke its own"},
		{"list of another", []string{"revoke", "--list", a.list, "--issuer", other.chain, "--reason", "superseded", other.issued[0]}, "with another key"},
		{"no key", []string{"crl", "--list", a.list, "--issuer", a.chain, "--out", a.crl}, "--issuer-key is needed"},
		{"no output", []string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key}, "--out is needed"},
		{"list and answer in one place", []string{"crl", "--json", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key, "--out", "-"}, "name a file"},
		{"key of another", []string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", other.key, "--out", a.crl}, "is not the key of"},
		{"in place of the chain", []string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key, "--out", a.chain}, "is not a revocation list"},
		{"in place of the list", []string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key, "--out", a.list}, "is not a revocation list"},
		{"no next update", []string{"crl", "--list", a.list, "--issuer", a.chain, "--issuer-key", a.key, "--out", a.crl, "--next-update", "0d"}, "not a time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, tt.args...)
			if code != 2 || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit status %d, want 2; %s%s, want %q", code, stdout, stderr, tt.want)
			}
		})
	}
	if after, err := os.ReadFile(a.list); err != nil || string(after) != string(before) {
		t.Errorf("the list was changed, %v:\n%s", err, after)
	}
	if left, _ := filepath.Glob(filepath.Join(a.dir, "*.lock")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// A damaged list is not replaced by a sound one.
	if err := os.WriteFile(a.list, before[:len(before)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := a.revoke(t, "--reason", "superseded", a.issued[2]); code != 2 || !strings.Contains(stderr, "not a list of revocations") {
		t.Errorf("a damaged list: %d, %s", code, stderr)
	}
}

// An issuing CA is revoked in the list of its root.
func TestRevokeCA(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	good(t, "create", "--role", "ca", "--out", at("ca"), "--keep-ca-keys", at("keys"))
	code, _, stderr := run(t, "revoke", "--list", at("root.json"), "--new", "--issuer", at("ca/root.pem"), "--reason", "cACompromise", at("ca/chain.pem"))
	if code != 0 || !strings.Contains(stderr, "names no revocation list") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	good(t, "crl", "--list", at("root.json"), "--issuer", at("ca/root.pem"), "--issuer-key", "file:"+at("keys/root-key.pem"), "--out", at("root.crl"))
}

// An old copy of the file makes no certificate valid again.
func TestCRLOfOldList(t *testing.T) {
	a := newAuthority(t, "log")
	good(t, "crl", "--list", a.list, "--new", "--issuer", a.chain, "--issuer-key", a.key, "--out", a.crl)
	old, err := os.ReadFile(a.list)
	if err != nil {
		t.Fatal(err)
	}
	a.revoke(t, "--reason", "keyCompromise", a.issued[0])
	if code, _, stderr := a.sign(t); code != 0 {
		t.Fatal(stderr)
	}
	signed := a.readCRL(t)
	if err := os.WriteFile(a.list, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := a.sign(t); code != 2 || !strings.Contains(stderr, "its last list has the number 1, and that in "+a.crl+" already 2") {
		t.Errorf("an old list: %d, %s", code, stderr)
	}
	if err := os.WriteFile(a.list, []byte(strings.Replace(string(old), `"crlNumber": "1"`, `"crlNumber": "9"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := a.sign(t); code != 2 || !strings.Contains(stderr, "does not have the certificate with the serial number") {
		t.Errorf("a list without an entry: %d, %s", code, stderr)
	}
	if now := a.readCRL(t); now.Number.Cmp(signed.Number) != 0 {
		t.Errorf("the list with the number %v was replaced by %v", signed.Number, now.Number)
	}
}

// A number is taken even when the list with it cannot be written.
func TestCRLNumberIsNotReused(t *testing.T) {
	a := newAuthority(t, "tsa")
	a.sign(t, "--new")
	place := a.crl
	a.crl = filepath.Join(a.dir, "not", "there.crl")
	if code, _, stderr := a.sign(t); code != 2 || a.number(t) != "2" {
		t.Errorf("exit status %d, number %s: %s", code, a.number(t), stderr)
	}
	a.crl = place
	if code, _, stderr := a.sign(t); code != 0 || a.readCRL(t).Number.Int64() != 3 {
		t.Errorf("exit status %d, number %v: %s", code, a.readCRL(t).Number, stderr)
	}
}

// Commands at the same time lose nothing of one another.
func TestRevokeAtOnce(t *testing.T) {
	a := newAuthority(t, "tsa")
	a.sign(t, "--new")
	for i := range 5 {
		dir := filepath.Join(a.dir, fmt.Sprint("more", i))
		good(t, "create", "--out", dir, "--issuer", a.chain, "--issuer-key", a.key)
		a.issued = append(a.issued, filepath.Join(dir, "chain.pem"))
	}
	// Through a link, which stays one.
	link := filepath.Join(a.dir, "link.json")
	if err := os.Symlink(a.list, link); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, cert := range a.issued {
		wg.Go(func() {
			list := []string{a.list, link}[i%2]
			if code, _, stderr := run(t, "revoke", "--list", list, "--issuer", a.chain, "--reason", "superseded", cert); code != 0 {
				t.Errorf("%s: %d, %s", cert, code, stderr)
			}
		})
		wg.Go(func() {
			if code, _, stderr := a.sign(t); code != 0 {
				t.Errorf("signing: %d, %s", code, stderr)
			}
		})
	}
	wg.Wait()
	if code, _, stderr := a.sign(t); code != 0 {
		t.Fatal(stderr)
	}
	list := a.readCRL(t)
	if got, want := len(list.RevokedCertificateEntries), len(a.issued); got != want || list.Number.Int64() != int64(want)+2 {
		t.Errorf("%d entries and the number %v, want %d and %d", got, list.Number, want, want+2)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", st, err)
	}
}
