package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// forgeArgs signs a payload as it is and leaves the envelope in a file.
func (o oracle) forgeArgs(payload, envelope string, s *identity, format string, flags ...string) []string {
	argv := []string{o.path, "forge", "-key", s.key, "-chain", s.chain, "-format", format, "-envelope", envelope}
	return append(append(argv, flags...), payload)
}

// theOracle is the first of them.
func theOracle(t *testing.T) oracle {
	t.Helper()
	for _, n := range notaries() {
		if o, ok := n.(oracle); ok {
			return o
		}
	}
	t.Fatal("there is no oracle")
	return oracle{}
}

// TestNotationContents: what is signed, well signed, may still be something else than the image, or want more than a
// verifier can do.
func TestNotationContents(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	images := trust{ca: s.root, tsa: a.rootPEM()}.config(t)
	plain := trust{ca: s.root}.config(t)
	authority := trust{authority: s.root}.config(t)
	both := trust{ca: pemOf(foreignCertificate(t)), authority: s.root, tsa: a.rootPEM()}.config(t)
	stamp := []string{"-timestamp-url", a.url, "-timestamp-root", a.root}
	const asIs = `{"targetArtifact":{"mediaType":"MEDIATYPE","digest":"DIGEST","size":SIZE}}`
	inserted := func(text string) string { return strings.Replace(asIs, `"size":SIZE`, `"size":SIZE,`+text, 1) }
	tests := []struct {
		name    string
		payload string
		flags   []string
		config  string
		failed  string
		ours    string // what fails in our words, where they differ
	}{
		{"as it is", asIs, stamp, images, "", ""},
		{"no timestamp", asIs, nil, images, "authenticTimestamp", ""},
		{"no timestamp wanted", asIs, nil, plain, "", ""},

		{"spaces", strings.ReplaceAll(asIs, ":{", " : {\n\t"), nil, plain, "", ""},
		{"another order", `{"targetArtifact":{"size":SIZE,"digest":"DIGEST","mediaType":"MEDIATYPE"}}`, nil, plain, "", ""},
		{"another size", strings.Replace(asIs, "SIZE", "SIZE1", 1), nil, plain, "artifact", ""},
		{"another digest", strings.Replace(asIs, "DIGEST", digestOf(nil), 1), nil, plain, "artifact", ""},
		{"another media type", strings.Replace(asIs, "MEDIATYPE", typeIndex, 1), nil, plain, "artifact", ""},
		{"no media type", `{"targetArtifact":{"digest":"DIGEST","size":SIZE}}`, nil, plain, "artifact", "integrity"},
		{"no target", `{}`, nil, plain, "artifact", "integrity"},
		{"an empty target", `{"targetArtifact":{}}`, nil, plain, "artifact", "integrity"},
		{"a text for the size", strings.Replace(asIs, "SIZE", `"SIZE"`, 1), nil, plain, "artifact", "integrity"},
		{"annotations", inserted(`"annotations":{"build":"17"}`), nil, plain, "", ""},
		{"no annotations", inserted(`"annotations":null`), nil, plain, "", ""},
		{"an artifact type", inserted(`"artifactType":"application/example"`), nil, plain, "", ""},
		{"an unknown member of the target", inserted(`"colour":"red"`), nil, plain, "", ""},
		{"an unknown member", strings.Replace(asIs, "}}", `},"colour":"red"}`, 1), nil, plain, "", ""},

		{"another type of payload", asIs, []string{"-payload-type", "application/vnd.cncf.notary.payload.v2+json"}, plain, "integrity", ""},
		{"the type in capitals", asIs, []string{"-payload-type", "Application/vnd.cncf.notary.payload.v1+json"}, plain, "integrity", ""},
		{"the type with a parameter", asIs, []string{"-payload-type", "application/vnd.cncf.notary.payload.v1+json;v=1"}, plain, "integrity", ""},

		{"a signing authority", asIs, []string{"-scheme", "notary.x509.signingAuthority"}, authority, "", ""},
		{"a signing authority, and timestamps", asIs, []string{"-scheme", "notary.x509.signingAuthority"}, both, "", ""},
		{"a signing authority in the store for CAs", asIs, []string{"-scheme", "notary.x509.signingAuthority"}, plain, "authenticity", ""},
		{"a CA in the store for signing authorities", asIs, nil, authority, "authenticity", ""},
		{"a signing authority in the future", asIs, []string{"-scheme", "notary.x509.signingAuthority", "-signing-time", "1h"}, authority, "", ""},

		{"a signing time in the past", asIs, []string{"-signing-time", "-30m"}, plain, "", ""},
		{"a signing time in the future", asIs, []string{"-signing-time", "30m"}, plain, "", ""},
		{"a signing time after the timestamp", asIs, append([]string{"-signing-time", "30m"}, stamp...), images, "", ""},
		{"expired", asIs, []string{"-signing-time", "-30m", "-expiry", "10m"}, plain, "expiry", ""},
		{"not expired", asIs, []string{"-signing-time", "-30m", "-expiry", "40m"}, plain, "", ""},

		{"an attribute", asIs, []string{"-attribute", "example.colour=red"}, plain, "", ""},
		// The specification wants it refused; the Notary Project looks at it only where there is a plugin, too.
		{"a critical attribute", asIs, []string{"-critical", "example.colour=red"}, plain, "", "verificationPlugin"},
		{"a plugin", asIs, []string{"-critical", "io.cncf.notary.verificationPlugin=example"}, plain, "verificationPlugin", ""},
		{"a plugin that is not critical", asIs, []string{"-attribute", "io.cncf.notary.verificationPlugin=example"}, plain, "verificationPlugin", ""},
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			w := scratch(t)
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					img := p.push(t)
					_, manifest := p.registry.do(t, "GET", fmt.Sprintf("http://%s/v2/%s/manifests/%s", p.registry.host, img.name, img.digest), "", nil)
					payload := strings.NewReplacer("MEDIATYPE", typeManifest, "DIGEST", img.digest, "SIZE", fmt.Sprint(len(manifest))).Replace(test.payload)
					file := w.write(t, "payload", []byte(payload))
					w.accept(t, nil, theOracle(t).forgeArgs(file, w.path("envelope"), s, format, test.flags...)...)
					w.attach(t, img, byConfigType, format, w.read(t, "envelope"))
					w.rules(t, img, verifying{config: test.config}, func(n notary) string {
						if _, ok := n.(own); ok && test.ours != "" {
							return test.ours
						}
						return test.failed
					})
				})
			}
		})
	}
}

// TestNotationSigningAuthority: the signature of a signing authority outlives its certificate by the time that it
// says itself.
func TestNotationSigningAuthority(t *testing.T) {
	p, s := startPlace(t, placeReferrers), newIdentity(t, "p256", 4*time.Second)
	w := scratch(t)
	images := make(map[string]*image)
	for _, format := range formats {
		img := p.push(t)
		_, manifest := p.registry.do(t, "GET", fmt.Sprintf("http://%s/v2/%s/manifests/%s", p.registry.host, img.name, img.digest), "", nil)
		payload := fmt.Sprintf(`{"targetArtifact":{"mediaType":%q,"digest":%q,"size":%d}}`, typeManifest, img.digest, len(manifest))
		w.accept(t, nil, theOracle(t).forgeArgs(w.write(t, "payload", []byte(payload)), w.path("envelope"), s, format, "-scheme", "notary.x509.signingAuthority")...)
		w.attach(t, img, byConfigType, format, w.read(t, "envelope"))
		images[format] = img
	}
	how := verifying{config: trust{authority: s.root}.config(t)}
	time.Sleep(time.Until(s.leaf.NotAfter.Add(2 * time.Second)))
	for format, img := range images {
		t.Run(format, func(t *testing.T) { w.rules(t, img, how, always("")) })
	}
}
