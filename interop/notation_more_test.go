package interop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNotationKeys: every kind of key that the Notary Project has signs for everybody.
func TestNotationKeys(t *testing.T) {
	a, p := startDev(t), startPlace(t, placeReferrers)
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			s := newIdentity(t, keyType, day)
			how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
			for _, signer := range notaries() {
				for _, format := range formats {
					t.Run(signer.String()+" "+format, func(t *testing.T) {
						w, img := scratch(t), p.push(t)
						w.sign(t, signer, img, s, signing{format: format, stamp: a})
						w.rules(t, img, how, always(""))
					})
				}
			}
		})
	}
}

// TestNotationAfterExpiry: a signature outlives its certificate if it has a timestamp and the policy has the
// authority for it.
func TestNotationAfterExpiry(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", 5*time.Second)
	w := scratch(t)
	type signature struct {
		name    string
		img     *image
		stamped bool
	}
	var all []signature
	for _, signer := range notaries() {
		for _, format := range formats {
			bare, stamped := p.push(t), p.push(t)
			w.sign(t, signer, bare, s, signing{format: format})
			w.sign(t, signer, stamped, s, signing{format: format, stamp: a})
			all = append(all, signature{signer.String() + " " + format, bare, false}, signature{signer.String() + " " + format + " stamped", stamped, true})
		}
	}
	if !time.Now().Before(s.leaf.NotAfter) {
		t.Fatalf("signing took until %v, when the certificate had expired", time.Now())
	}
	time.Sleep(time.Until(s.leaf.NotAfter.Add(2 * time.Second)))
	late := p.push(t)
	for _, signer := range notaries() {
		for _, format := range formats {
			w.refuse(t, []string{expired(signer)}, signer.signArgs(late, s, signing{format: format, stamp: a})...)
		}
	}
	stranger := pemOf(foreignCertificate(t))
	for _, policy := range []struct {
		name  string
		trust trust
		want  map[bool]string // by whether it is stamped
	}{
		{"always", trust{ca: s.root, tsa: a.rootPEM()}, map[bool]string{true: "", false: "authenticTimestamp"}},
		{"after expiry", trust{ca: s.root, tsa: a.rootPEM(), verifyTimestamp: "afterCertExpiry"}, map[bool]string{true: "", false: "authenticTimestamp"}},
		{"another TSA, after expiry", trust{ca: s.root, tsa: stranger, verifyTimestamp: "afterCertExpiry"}, map[bool]string{true: "authenticTimestamp", false: "authenticTimestamp"}},
		{"no store for timestamps", trust{ca: s.root}, map[bool]string{true: "authenticTimestamp", false: "authenticTimestamp"}},
		{"no store for timestamps, permissive", trust{ca: s.root, level: "permissive"}, map[bool]string{true: "", false: ""}},
	} {
		t.Run(policy.name, func(t *testing.T) {
			how := verifying{config: policy.trust.config(t)}
			for _, sig := range all {
				t.Run(sig.name, func(t *testing.T) { w.rules(t, sig.img, how, always(policy.want[sig.stamped])) })
			}
		})
	}
}

// expired is what a program says of a certificate that has expired.
func expired(n notary) string {
	if _, ok := n.(own); ok {
		return "expired on"
	}
	return "was invalid at signing time"
}

// TestNotationSkip: a policy that skips verification is obeyed, and nobody calls that verified.
func TestNotationSkip(t *testing.T) {
	p := startPlace(t, placeReferrers)
	w, img := scratch(t), p.push(t)
	config := trust{level: "skip"}.config(t)
	for _, n := range notaries() {
		r := w.accept(t, nil, n.verifyArgs(img, verifying{config: config})...)
		if v := n.judge(t, r); v.verified || !v.skipped || len(v.looked) > 0 {
			t.Errorf("%v: want everything skipped, got: %v", n, r)
		}
	}
}

// TestNotationSeveral: of several signatures one that is good suffices, and the rest need not be looked at; a
// limit on their number ends the search.
func TestNotationSeveral(t *testing.T) {
	a, s, stranger := startDev(t), newIdentity(t, "p256", day), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, kind := range placeKinds {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			w, img := scratch(t), p.push(t)
			signers := notaries()
			const bad = 4
			for i := range bad {
				w.sign(t, signers[i%len(signers)], img, stranger, signing{format: formats[i%len(formats)], stamp: a})
			}
			w.rules(t, img, how, always("authenticity"))
			w.sign(t, signers[0], img, s, signing{format: "jws", stamp: a, metadata: []string{"build=17"}})
			w.rules(t, img, how, always(""))
			good := how
			good.metadata = []string{"build=17"}
			w.rules(t, img, good, always(""))
			for _, n := range notaries() {
				if v := n.judge(t, w.run(t, n.verifyArgs(img, good)...)); len(v.looked) < 1 || len(v.looked) > bad+1 {
					t.Errorf("%v looked at %d signatures of %d", n, len(v.looked), bad+1)
				}
			}
			// One look is not enough, unless the good one comes first in the listing.
			one := how
			one.max = "1"
			for _, n := range notaries() {
				v := n.judge(t, w.run(t, n.verifyArgs(img, one)...))
				if len(v.looked) != 1 {
					t.Errorf("%v looked at %d signatures, was told to look at one", n, len(v.looked))
				}
			}
		})
	}
}

// TestNotationFallbackTag: where a registry has no referrers API, everybody finds what is listed under a tag.
func TestNotationFallbackTag(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, kind := range []string{placeTag, placeDistribution} {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			for _, signer := range notaries() {
				t.Run(signer.String(), func(t *testing.T) {
					w, img := scratch(t), p.push(t)
					w.sign(t, signer, img, s, signing{format: "jws", stamp: a, referrersTag: true})
					w.sign(t, signer, img, s, signing{format: "cose", stamp: a})
					w.rules(t, img, how, always(""))
					if list := w.inspect(t, img); len(list) != 2 {
						t.Errorf("got %d signatures, want 2", len(list))
					}
				})
			}
		})
	}
}

// TestNotationIndex: an image index is signed and verified like an image.
func TestNotationIndex(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, kind := range []string{placeReferrers, placeDistribution} {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			for _, signer := range notaries() {
				t.Run(signer.String(), func(t *testing.T) {
					w, img := scratch(t), p.push(t)
					whole := p.index(t, img)
					w.sign(t, signer, whole, s, signing{format: "jws", stamp: a})
					w.rules(t, whole, how, always(""))
					w.rules(t, img, how, always("none"))
				})
			}
		})
	}
}

// TestNotationTags: an image that is known by a tag is signed and verified by its digest, and what is signed is the
// same, whoever does it.
func TestNotationTags(t *testing.T) {
	s := newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root}.config(t)}
	for _, kind := range placeKinds {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			for _, signer := range notaries() {
				w, img := scratch(t), p.push(t)
				tagged := p.tag(t, img)
				w.sign(t, signer, tagged, s, signing{format: "cose"})
				want := func(n notary) string {
					if !finds(n, signer.form(), kind) {
						return "none"
					}
					return ""
				}
				w.rules(t, img, how, want)
				w.rules(t, tagged, how, want)
				for _, one := range w.inspect(t, img) {
					var payload struct{ TargetArtifact descriptor }
					if err := json.Unmarshal(one.Payload, &payload); err != nil {
						t.Fatal(err)
					}
					if got := payload.TargetArtifact; got.Digest != img.digest || got.MediaType != typeManifest || len(got.Annotations) > 0 {
						t.Errorf("%v signed %s, want %s without annotations", signer, one.Payload, img.digest)
					}
				}
			}
		})
	}
}

// TestNotationRestamp: ours gives others' signatures a timestamp, and another one, and everybody verifies them.
func TestNotationRestamp(t *testing.T) {
	first, second, s := startDev(t), startKey(t, "p384"), newIdentity(t, "p256", day)
	for _, kind := range []string{placeReferrers, placeTag, placeLayout} {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			for _, signer := range notaries() {
				for _, format := range formats {
					t.Run(signer.String()+" "+format, func(t *testing.T) {
						w, img := scratch(t), p.push(t)
						w.sign(t, signer, img, s, signing{format: format, metadata: []string{"build=17"}})
						old := w.inspect(t, img)
						w.accept(t, nil, own{}.restampArgs(img, signing{stamp: first})...)
						list := w.inspect(t, img)
						if len(old) != 1 || len(list) != 2 {
							t.Fatalf("got %d signatures and then %d, want 1 and then 2", len(old), len(list))
						}
						i := slices.IndexFunc(list, func(s stored) bool { return s.Timestamp != nil })
						if i < 0 || string(list[i].Signature) != string(old[0].Signature) || list[i].Agent != old[0].Agent {
							t.Fatalf("want the same signature with a timestamp, got %+v", list)
						}
						again := p.again(t, img)
						w.attach(t, again, own{}.form(), format, list[i].Envelope)
						w.accept(t, nil, own{}.restampArgs(again, signing{stamp: second})...)
						for _, look := range []struct {
							img *image
							a   *tsa
						}{{img, first}, {again, first}, {again, second}} {
							how := verifying{config: trust{ca: s.root, tsa: look.a.rootPEM()}.config(t), metadata: []string{"build=17"}}
							w.rules(t, look.img, how, func(n notary) string {
								switch {
								case finds(n, own{}.form(), kind):
									return ""
								case look.img == img && finds(n, signer.form(), kind):
									return "authenticTimestamp" // it finds the one without
								}
								return "none"
							})
						}
					})
				}
			}
		})
	}
}

// TestNotationBlobs: files, whose signatures the release of notation-go does not know.
func TestNotationBlobs(t *testing.T) {
	a := startDev(t)
	for _, keyType := range []string{"p256", "p384", "p521", "rsa3072"} {
		t.Run(keyType, func(t *testing.T) {
			s := newIdentity(t, keyType, day)
			good := trust{ca: s.root, tsa: a.rootPEM()}.config(t)
			stranger := trust{ca: s.root, tsa: pemOf(foreignCertificate(t))}.config(t)
			for _, signer := range blobNotaries() {
				for _, format := range formats {
					t.Run(signer.String()+" "+format, func(t *testing.T) {
						w := scratch(t)
						file := w.write(t, "file", []byte("the file"))
						other := w.write(t, "other", []byte("another file"))
						w.accept(t, nil, signer.signBlobArgs(file, s, signing{format: format, stamp: a, metadata: []string{"build=17"}})...)
						signature := file + "." + format + ".sig"
						broken := w.write(t, "broken."+format+".sig", flip(w.read(t, "file."+format+".sig"), 10))
						e := openEnvelope(t, format, w.read(t, "file."+format+".sig"))
						e.header[timestampKey] = flip(e.token(t), 10)
						unstamped := w.write(t, "unstamped."+format+".sig", e.bytes(t))
						for _, test := range []struct {
							name, file, signature string
							how                   verifying
							failed                string
						}{
							{"good", file, signature, verifying{config: good}, ""},
							{"metadata", file, signature, verifying{config: good, metadata: []string{"build=17"}}, ""},
							{"other metadata", file, signature, verifying{config: good, metadata: []string{"build=18"}}, "userMetadata"},
							{"another file", other, signature, verifying{config: good}, "artifact"},
							{"another TSA", file, signature, verifying{config: stranger}, "authenticTimestamp"},
							{"broken timestamp", file, unstamped, verifying{config: good}, "authenticTimestamp"},
							{"broken signature", file, broken, verifying{config: good}, "integrity"},
						} {
							for _, n := range blobNotaries() {
								r := w.run(t, n.verifyBlobArgs(test.file, test.signature, test.how)...)
								if v := n.judge(t, r); v.failed != test.failed || v.verified != (test.failed == "") {
									t.Errorf("%s: %v: got verified %v, failed %q; want failed %q: %v", test.name, n, v.verified, v.failed, test.failed, r)
								}
							}
						}
					})
				}
			}
		})
	}
}

// blobNotaries are those who sign files.
func blobNotaries() []notary {
	return slices.DeleteFunc(notaries(), func(n notary) bool {
		o, ok := n.(oracle)
		return ok && !o.main()
	})
}

// TestNotationList: ours lists the signatures that others find, and inspects what they inspect.
func TestNotationList(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	for _, kind := range placeKinds {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			w, img := scratch(t), p.push(t)
			var digests []string
			for _, signer := range notaries() {
				for _, format := range formats {
					r := w.accept(t, nil, signer.signArgs(img, s, signing{format: format, stamp: a, expiry: time.Hour})...)
					digests = append(digests, signedDigest(t, signer, r))
				}
			}
			slices.Sort(digests)
			var list struct {
				Formats []struct {
					ArtifactType string
					Signatures   []struct{ Digest string }
				}
			}
			unmarshal(t, w.accept(t, nil, own{}.placed(img, []string{ours("fencepost"), "image", "list", "--json"})...), &list)
			var listed []string
			for _, format := range list.Formats {
				for _, s := range format.Signatures {
					listed = append(listed, s.Digest)
				}
			}
			slices.Sort(listed)
			if !slices.Equal(listed, digests) {
				t.Errorf("listed %v, want %v", listed, digests)
			}
			text := w.accept(t, nil, own{}.placed(img, []string{ours("fencepost"), "image", "inspect"})...).stdout
			for _, theirs := range w.inspect(t, img) {
				want := append([]string{theirs.Manifest.Digest, theirs.MediaType, theirs.Agent}, theirs.Chain...)
				for _, part := range append(want, theirs.Timestamp.Certificates...) {
					if !strings.Contains(text, part) {
						t.Errorf("inspect does not show %s of %s", part, theirs.Manifest.Digest)
					}
				}
			}
		})
	}
}

// signedDigest is the digest of the manifest of the signature that was made.
func signedDigest(t *testing.T, n notary, r result) string {
	t.Helper()
	if _, ok := n.(oracle); ok {
		var answer struct{ Signature descriptor }
		unmarshal(t, r, &answer)
		return answer.Signature.Digest
	}
	_, digest, found := strings.Cut(r.stdout, "Pushed the signature to ")
	if !found {
		t.Fatalf("no digest in %v", r)
	}
	_, digest, _ = strings.Cut(strings.TrimSpace(digest), "@")
	digest, _, _ = strings.Cut(digest, "\n")
	return digest
}
