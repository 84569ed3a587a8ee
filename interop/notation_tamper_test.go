package interop

import (
	"testing"
	"time"
)

// attach stores a signature beside an image, in a form of manifest.
func (w *tool) attach(t *testing.T, img *image, form manifestForm, format string, signature []byte) {
	t.Helper()
	for _, n := range notaries() {
		if o, ok := n.(oracle); ok && o.manifest == form {
			file := w.write(t, "attached", signature)
			w.accept(t, nil, o.placed(img, []string{o.path, "attach", "-envelope", file, "-format", format})...)
			return
		}
	}
	t.Fatalf("nobody stores by %s", form)
}

// TestNotationTampering: what has been changed in a signature, and what fails of it, in everybody's words.
func TestNotationTampering(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, signer := range notaries() {
		for _, format := range formats {
			t.Run(signer.String()+" "+format, func(t *testing.T) {
				w, img, other := scratch(t), p.push(t), p.push(t)
				w.sign(t, signer, img, s, signing{format: format, stamp: a})
				w.sign(t, signer, other, s, signing{format: format, stamp: a})
				signature, another := w.inspect(t, img)[0].Envelope, w.inspect(t, other)[0].Envelope
				for _, alteration := range alterations {
					t.Run(alteration.name, func(t *testing.T) {
						e := openEnvelope(t, format, signature)
						alteration.change(t, e, openEnvelope(t, format, another))
						bare := p.again(t, img)
						w.attach(t, bare, signer.form(), format, e.bytes(t))
						w.rules(t, bare, how, alteration.expect)
					})
				}
				t.Run("another image", func(t *testing.T) {
					bare := p.push(t)
					w.attach(t, bare, signer.form(), format, signature)
					w.rules(t, bare, how, always("artifact"))
				})
				for name, data := range map[string][]byte{
					"cut short": signature[:len(signature)-1], "bytes after it": append(signature[:len(signature):len(signature)], '{'),
					"no envelope": []byte("hello"), "an empty object": []byte("{}"), "an empty array": {0xd2, 0x80},
				} {
					t.Run(name, func(t *testing.T) {
						bare := p.again(t, img)
						w.attach(t, bare, signer.form(), format, data)
						w.rules(t, bare, how, always("integrity"))
					})
				}
				t.Run("declared as the other format", func(t *testing.T) {
					bare := p.again(t, img)
					w.attach(t, bare, signer.form(), map[string]string{"jws": "cose", "cose": "jws"}[format], signature)
					w.rules(t, bare, how, always("integrity"))
				})
			})
		}
	}
}

// TestNotationTrust: what decides is the policy. The signature is good, with a timestamp and metadata; expired is
// one that has an expiry in the past.
func TestNotationTrust(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	stranger := pemOf(foreignCertificate(t))
	const subject = "x509.subject: "
	tests := []struct {
		name    string
		trust   trust
		looking []string // metadata
		image   string   // "": stamped; "bare": without timestamp; "expired"
		failed  string
	}{
		{"all", trust{ca: s.root, tsa: a.rootPEM()}, nil, "", ""},
		{"no store for timestamps", trust{ca: s.root}, nil, "", ""},
		{"no store for timestamps, no timestamp", trust{ca: s.root}, nil, "bare", ""},
		{"no timestamp", trust{ca: s.root, tsa: a.rootPEM()}, nil, "bare", "authenticTimestamp"},
		{"no timestamp needed yet", trust{ca: s.root, tsa: a.rootPEM(), verifyTimestamp: "afterCertExpiry"}, nil, "bare", ""},
		{"always", trust{ca: s.root, tsa: a.rootPEM(), verifyTimestamp: "always"}, nil, "bare", "authenticTimestamp"},
		{"another TSA, not needed yet", trust{ca: s.root, tsa: stranger, verifyTimestamp: "afterCertExpiry"}, nil, "", ""},
		{"another TSA", trust{ca: s.root, tsa: stranger}, nil, "", "authenticTimestamp"},
		{"another TSA, permissive", trust{ca: s.root, tsa: stranger, level: "permissive"}, nil, "", ""},
		{"another TSA, logged", trust{ca: s.root, tsa: stranger, override: map[string]string{"authenticTimestamp": "log"}}, nil, "", ""},
		{"another TSA, permissive but enforced", trust{ca: s.root, tsa: stranger, level: "permissive", override: map[string]string{"authenticTimestamp": "enforce"}}, nil, "", "authenticTimestamp"},
		{"another CA", trust{ca: stranger, tsa: a.rootPEM()}, nil, "", "authenticity"},
		{"another CA, permissive", trust{ca: stranger, tsa: a.rootPEM(), level: "permissive"}, nil, "", "authenticity"},
		{"another CA, audit", trust{ca: stranger, tsa: a.rootPEM(), level: "audit"}, nil, "", ""},
		{"everything is wrong, audit", trust{ca: stranger, tsa: stranger, level: "audit"}, nil, "expired", ""},
		{"the leaf for a CA", trust{ca: pemOf(s.leaf), tsa: a.rootPEM()}, nil, "", "authenticity"},
		{"the subject", trust{ca: s.root, tsa: a.rootPEM(), identities: []string{subject + "C=US, ST=WA, O=Fencepost Interop"}}, nil, "", ""},
		{"the whole subject", trust{ca: s.root, tsa: a.rootPEM(), identities: []string{subject + "CN=Signer,O=Fencepost Interop,ST=WA,C=US"}}, nil, "", ""},
		{"one of two subjects", trust{ca: s.root, tsa: a.rootPEM(), identities: []string{subject + "C=DE, ST=BE, O=Else", subject + "C=US, ST=WA, O=Fencepost Interop"}}, nil, "", ""},
		{"another subject", trust{ca: s.root, tsa: a.rootPEM(), identities: []string{subject + "C=US, ST=WA, O=Else"}}, nil, "", "authenticity"},
		{"more than the subject", trust{ca: s.root, tsa: a.rootPEM(), identities: []string{subject + "C=US, ST=WA, O=Fencepost Interop, OU=One"}}, nil, "", "authenticity"},
		{"another subject, audit", trust{ca: s.root, tsa: a.rootPEM(), level: "audit", identities: []string{subject + "C=US, ST=WA, O=Else"}}, nil, "", ""},
		{"expired", trust{ca: s.root, tsa: a.rootPEM()}, nil, "expired", "expiry"},
		{"expired, permissive", trust{ca: s.root, tsa: a.rootPEM(), level: "permissive"}, nil, "expired", ""},
		{"expired, logged", trust{ca: s.root, tsa: a.rootPEM(), override: map[string]string{"expiry": "log"}}, nil, "expired", ""},
		{"metadata", trust{ca: s.root, tsa: a.rootPEM()}, []string{"build=17"}, "", ""},
		{"all metadata", trust{ca: s.root, tsa: a.rootPEM()}, []string{"build=17", "by=us"}, "", ""},
		{"other metadata", trust{ca: s.root, tsa: a.rootPEM()}, []string{"build=18"}, "", "userMetadata"},
		{"more metadata", trust{ca: s.root, tsa: a.rootPEM()}, []string{"build=17", "for=you"}, "", "userMetadata"},
		{"other metadata, audit", trust{ca: s.root, tsa: a.rootPEM(), level: "audit"}, []string{"build=18"}, "", "userMetadata"},
	}
	w, metadata := scratch(t), []string{"build=17", "by=us"}
	signed := make(map[string]map[string]*image)
	for _, signer := range notaries() {
		for _, format := range formats {
			images := map[string]*image{"": p.push(t), "bare": p.push(t), "expired": p.push(t)}
			w.sign(t, signer, images[""], s, signing{format: format, stamp: a, metadata: metadata})
			w.sign(t, signer, images["bare"], s, signing{format: format, metadata: metadata})
			w.sign(t, signer, images["expired"], s, signing{format: format, stamp: a, metadata: metadata, expiry: time.Second})
			signed[signer.String()+" "+format] = images
		}
	}
	time.Sleep(2 * time.Second)
	for name, images := range signed {
		t.Run(name, func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					w.rules(t, images[test.image], verifying{config: test.trust.config(t), metadata: test.looking}, always(test.failed))
				})
			}
		})
	}
}
