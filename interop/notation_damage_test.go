package interop

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// TestNotationDamage: of signatures in which one byte is another, everybody says the same, whichever byte it is. Only
// we refuse a timestamp whose signer is not the one that it names beside the signed attributes, JSON that is not
// UTF-8, members of it that differ from known ones in capitals, and base64 with bits left over. The metadata that is
// asked for is in none of them, so that all are looked at.
func TestNotationDamage(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeLayout), newIdentity(t, "p256", day)
	const copies = 500
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t), metadata: []string{"build=17"}, max: fmt.Sprint(copies + 1)}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			w, img := scratch(t), p.push(t)
			w.sign(t, notaries()[0], img, s, signing{format: format, stamp: a})
			list := w.inspect(t, img)
			good := list[0].Envelope
			from, to := signerIdentifier(t, a, format, good, list[0].Timestamp.Token)
			random := rand.New(rand.NewPCG(5, uint64(len(format))))
			dir := w.path("envelopes")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			made := make(map[string]damage) // by the digest of the envelope
			for i := range copies {
				bad := bytes.Clone(good)
				at := i * len(bad) / copies
				at += random.IntN((i+1)*len(bad)/copies - at)
				for bad[at] == good[at] {
					if bad[at] = byte(random.IntN(256)); format == "jws" && i%4 != 0 { // of the letters of base64 and JSON
						bad[at] = good[random.IntN(len(good))]
					}
				}
				strict := at >= from && at < to || format == "jws" && (!utf8.Valid(bad) || inMember(good, at) ||
					at+1 < len(good) && (good[at+1] == '=' || good[at+1] == '"'))
				made[digestOf(bad)] = damage{strict, fmt.Sprintf("byte %d of %d, %q for %q in %q", at, len(bad), bad[at], good[at], good[max(0, at-20):min(len(good), at+20)])}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d", i)), bad, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			bare := p.again(t, img)
			w.accept(t, nil, theOracle(t).placed(bare, []string{theOracle(t).path, "attach", "-envelope", dir, "-format", format})...)
			done := make(map[string]damage) // by that of the manifest
			for _, one := range w.inspect(t, bare) {
				done[one.Manifest.Digest] = made[digestOf(one.Envelope)]
			}
			var rulings []ruling
			for _, n := range notaries() {
				rulings = append(rulings, n.judge(t, w.run(t, n.verifyArgs(bare, how)...)))
			}
			counts := make(map[string]int)
			for digest, failed := range rulings[0].each {
				counts[failed]++
				for i, n := range notaries() {
					got := rulings[i].each[digest]
					if _, ok := n.(own); ok && got == "integrity" && failed != "userMetadata" {
						continue // both refuse, and we sooner
					}
					if _, ok := n.(own); ok && done[digest].strict && failed == "userMetadata" && got != "" {
						continue
					}
					if got != failed {
						t.Errorf("%s: %v says %q, %v %q", done[digest].text, notaries()[0], failed, n, got)
					}
				}
			}
			t.Logf("%v", counts)
			if n := len(rulings[0].each); n != copies || counts["integrity"] == 0 || counts["authenticTimestamp"] == 0 {
				t.Errorf("looked at %d of %d: %v", n, copies, counts)
			}
		})
	}
}

// inMember reports whether a place in an envelope in JSON is in the name of a member.
func inMember(data []byte, at int) bool {
	for _, name := range []string{`"payload"`, `"protected"`, `"header"`, `"x5c"`, `"signature"`, timestampKey, agentKey} {
		if i := bytes.Index(data, []byte(name)); i >= 0 && at >= i && at < i+len(name) {
			return true
		}
	}
	return false
}

// A damage is what was done to a signature.
type damage struct {
	strict bool // we may refuse what others do not
	text   string
}

// signerIdentifier is where in an envelope its timestamp names its signer, by issuer and serial number. That is not
// signed; the same in the signed attributes comes after it (RFC 5652, 5.3).
func signerIdentifier(t *testing.T, a *tsa, format string, envelope, token []byte) (from, to int) {
	t.Helper()
	serial, err := asn1.Marshal(a.certificates[0].SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	identifier := append(bytes.Clone(a.certificates[0].RawIssuer), serial...)
	from = bytes.Index(token, identifier)
	to = from + len(identifier)
	written := token
	if format == "jws" {
		written = []byte(base64.StdEncoding.EncodeToString(token))
		from, to = from/3*4, (to+2)/3*4
	}
	start := bytes.Index(envelope, written)
	if from < 0 || start < 0 {
		t.Fatal("the timestamp does not name its signer")
	}
	return start + from, start + to
}
