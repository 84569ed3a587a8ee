package interop

import (
	"testing"
	"time"
)

// day is longer than any of these tests.
const day = 24 * time.Hour

// TestNotation: everybody's signatures, of both formats and with timestamps, in every kind of place, are verified
// by everybody.
func TestNotation(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, kind := range placeKinds {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			for _, signer := range notaries() {
				for _, format := range formats {
					t.Run(signer.String()+" "+format, func(t *testing.T) {
						w, img := scratch(t), p.push(t)
						w.rules(t, img, how, always("none"))
						w.sign(t, signer, img, s, signing{format: format, stamp: a})
						w.rules(t, img, how, func(n notary) string {
							if !finds(n, signer.form(), kind) {
								return "none"
							}
							return ""
						})
					})
				}
			}
		})
	}
}

// TestNotationTimestamps: the timestamps of three authorities are accepted by everybody, when signing and when
// verifying, and with another root by nobody.
func TestNotationTimestamps(t *testing.T) {
	p, s := startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	authorities := []struct {
		name  string
		start func(*testing.T) *tsa
	}{
		{"ours", startDev},
		{"timestamp-server", func(t *testing.T) *tsa { return startPeer(t, "--include-chain-in-response") }},
		{"OpenSSL", func(t *testing.T) *tsa { return startResponder(t, "p256", "sha256") }},
	}
	for _, authority := range authorities {
		t.Run(authority.name, func(t *testing.T) {
			a := authority.start(t)
			right := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
			wrong := verifying{config: trust{ca: s.root, tsa: pemOf(foreignCertificate(t))}.config(t)}
			for _, signer := range notaries() {
				for _, format := range formats {
					t.Run(signer.String()+" "+format, func(t *testing.T) {
						w, img := scratch(t), p.push(t)
						w.refuse(t, []string{"signed by unknown authority"}, signer.signArgs(img, s, signing{format: format, stamp: a, root: foreignRoot(t, w)})...)
						w.rules(t, img, right, always("none"))
						before := time.Now()
						w.sign(t, signer, img, s, signing{format: format, stamp: a})
						w.rules(t, img, right, always(""))
						w.rules(t, img, wrong, always("authenticTimestamp"))
						list := w.inspect(t, img)
						if len(list) != 1 || list[0].Timestamp == nil || list[0].Timestamp.Error != "" {
							t.Fatalf("want one signature with a timestamp, got %+v", list)
						}
						stamp := list[0].Timestamp
						if slack := 2 * time.Second; stamp.Upper.Before(before.Add(-slack)) || stamp.Lower.After(time.Now().Add(slack)) {
							t.Errorf("stamped between %v and %v, signed after %v", stamp.Lower, stamp.Upper, before)
						}
						if err := judgeTSPClient(t, stamp.Token, list[0].Signature, a.certificates[len(a.certificates)-1]); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
}

// TestNotationAuthorityKeys: the timestamps of ours with every kind of key are accepted by everybody, when signing and
// when verifying; that of a key which the Notary Project does not have by nobody.
func TestNotationAuthorityKeys(t *testing.T) {
	p, s := startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	for _, keyType := range append(keyTypes[:len(keyTypes):len(keyTypes)], "ed25519") {
		t.Run(keyType, func(t *testing.T) {
			a := startKey(t, keyType)
			how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
			for _, signer := range notaries() {
				w, img := scratch(t), p.push(t)
				argv := signer.signArgs(img, s, signing{format: "jws", stamp: a})
				if keyType == "ed25519" {
					w.refuse(t, []string{"signature"}, argv...)
					w.rules(t, img, how, always("none"))
					continue
				}
				w.accept(t, nil, argv...)
				w.rules(t, img, how, always(""))
			}
		})
	}
}
