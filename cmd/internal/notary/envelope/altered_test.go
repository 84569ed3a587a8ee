package envelope_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// attribute gives a signed attribute of both formats another value: js is JSON
// and replaces what the member has; "" takes it away, as a nil value does.
func attribute(name, js string, value any) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		old := name + `":` + valueOf(f.protected, name)
		switch {
		case js == "":
			f.replace(t, `"`+old, `"x-gone":1`)
			f.drop(name)
		case strings.Contains(f.protected, name+`":`):
			f.replace(t, old, name+`":`+js)
			f.set(name, value)
		default:
			f.replace(t, `"alg"`, `"`+name+`":`+js+`,"alg"`)
			f.set(name, value)
		}
	}
}

// valueOf returns the JSON value of a string member.
func valueOf(doc, name string) string {
	_, rest, _ := strings.Cut(doc, `"`+name+`":`)
	if rest == "" {
		return ""
	}
	end := strings.IndexByte(rest[1:], '"')
	return rest[:end+2]
}

// critical lists other attributes in crit.
func critical(names ...any) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		list := []string{}
		for _, n := range names {
			list = append(list, `"`+n.(string)+`"`)
		}
		f.replace(t, `["`+scheme+`","`+expiry+`"]`, "["+strings.Join(list, ",")+"]")
		f.set(coseCritical, append([]any{}, names...))
	}
}

func all(changes ...func(testing.TB, *forge)) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		for _, c := range changes {
			c(t, f)
		}
	}
}

// algorithm names another algorithm.
func algorithm(name string, number any) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		f.replace(t, `"ES256"`, `"`+name+`"`)
		f.set(coseAlgorithm, number)
	}
}

func chain(change func(t testing.TB, c []*x509.Certificate) []*x509.Certificate) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) { f.chain = change(t, f.chain) }
}

// authority turns the envelope into one of a signing authority.
func authority(t testing.TB, f *forge) {
	f.replace(t, `"notary.x509"`, `"notary.x509.signingAuthority"`)
	f.replace(t, at, authentic)
	f.set(scheme, "notary.x509.signingAuthority")
	f.drop(at)
	f.set(authentic, seconds(signingTime()))
	critical(scheme, expiry, authentic)(t, f)
}

func other(t testing.TB) (*signer.Key, []*x509.Certificate) {
	return notarytest.Chain(t, notarytest.Options{Name: "Somebody Else"})
}

func TestAltered(t *testing.T) {
	run(t, []row{
		{name: "unaltered"},
		{name: "signing authority", change: authority},

		// What is signed, altered afterwards.
		{name: "payload", change: func(t testing.TB, f *forge) {
			f.bend = func(data []byte) []byte { return swap(t, data, `"size":16724`, `"size":16725`) }
		}, want: envelope.ReasonSignature, detail: `by the certificate of "CN=Notary Test`},
		{name: "signing time", change: func(t testing.TB, f *forge) {
			f.bend = func(data []byte) []byte {
				if data[0] == '{' {
					return swap(t, data, "2026-11-21T02:04:12Z", "2026-11-21T02:04:13Z")
				}
				return bytes.Replace(data, encode(t, seconds(signingTime())), encode(t, seconds(signingTime().Add(time.Second))), 1)
			}
		}, want: envelope.ReasonSignature},
		{name: "bit of the signature", change: func(t testing.TB, f *forge) {
			f.bendSignature = func(s []byte) []byte { s[9] ^= 1; return s }
		}, want: envelope.ReasonSignature},
		{name: "signature cut", change: func(t testing.TB, f *forge) { f.bendSignature = func(s []byte) []byte { return s[:63] } }, want: envelope.ReasonSignature},
		{name: "signature too long", change: func(t testing.TB, f *forge) { f.bendSignature = func(s []byte) []byte { return append(s, 0) } }, want: envelope.ReasonSignature},
		{name: "signature of zeros", change: func(t testing.TB, f *forge) { f.bendSignature = func(s []byte) []byte { return make([]byte, 64) } }, want: envelope.ReasonSignature},
		{name: "no signature", change: func(t testing.TB, f *forge) { f.bendSignature = func([]byte) []byte { return []byte{} } }, want: envelope.ReasonMalformed, detail: "signature: it is empty"},
		{name: "huge signature", change: func(t testing.TB, f *forge) { f.bendSignature = func(s []byte) []byte { return make([]byte, 2000) } }, want: envelope.ReasonMalformed, detail: "signature: 2000 bytes"},
		{name: "somebody else's signature", change: func(t testing.TB, f *forge) { f.key, _ = other(t) }, want: envelope.ReasonSignature},

		// The chain, which is not signed.
		{name: "no certificate", change: func(t testing.TB, f *forge) { f.x5c = []any{} }, want: envelope.ReasonChain, detail: "there is no certificate"},
		{name: "somebody else's chain", change: func(t testing.TB, f *forge) { _, f.chain = other(t) }, want: envelope.ReasonSignature},
		{name: "somebody else's leaf", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate {
			_, o := other(t)
			return []*x509.Certificate{o[0], c[1], c[2]}
		}), want: envelope.ReasonSignature},
		{name: "somebody else's issuers", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate {
			_, o := other(t)
			return []*x509.Certificate{c[0], o[1], o[2]}
		}), want: envelope.ReasonChain, detail: "is not issued by"},
		{name: "no root", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate { return c[:2] }), want: envelope.ReasonChain, detail: "self-signed"},
		{name: "leaf alone", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate { return c[:1] }), want: envelope.ReasonChain, detail: "self-signed"},
		{name: "no intermediate", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c[0], c[2]} }), want: envelope.ReasonChain},
		{name: "root first", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate {
			return []*x509.Certificate{c[2], c[1], c[0]}
		}), want: envelope.ReasonSignature},
		{name: "issuers in another order", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate {
			return []*x509.Certificate{c[0], c[2], c[1]}
		}), want: envelope.ReasonChain},
		{name: "root twice", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate { return append(slices.Clone(c), c[2]) }), want: envelope.ReasonChain},
		{name: "eleven certificates", change: chain(func(t testing.TB, c []*x509.Certificate) []*x509.Certificate {
			for len(c) < 11 {
				c = append(slices.Clone(c), c[2])
			}
			return c
		}), want: envelope.ReasonMalformed, detail: "10"},
		{name: "huge certificate", change: func(t testing.TB, f *forge) { f.x5c = [][]byte{make([]byte, 65<<10)} }, want: envelope.ReasonChain, detail: "certificate 1 of 1 has 66560 bytes"},
		{name: "garbage in the place of the root", change: func(t testing.TB, f *forge) {
			f.x5c = [][]byte{f.chain[0].Raw, f.chain[1].Raw, []byte("garbage")}
		}, want: envelope.ReasonChain, detail: "certificate 3 of 3"},
		{name: "bytes after the leaf", change: func(t testing.TB, f *forge) {
			f.x5c = [][]byte{append(slices.Clone(f.chain[0].Raw), 0), f.chain[1].Raw, f.chain[2].Raw}
		}, want: envelope.ReasonChain, detail: "certificate 1 of 3"},
		{name: "number in the place of a certificate", change: func(t testing.TB, f *forge) { f.x5c = []any{1} }, want: envelope.ReasonMalformed, detail: "x5c"},
		{name: "one certificate without an array", opts: notarytest.Options{Depth: 1}, change: func(t testing.TB, f *forge) { f.x5c = f.chain[0].Raw }, want: envelope.ReasonMalformed, detail: "not an array"},

		// Profiles of chains.
		{name: "self-signed leaf", opts: notarytest.Options{Depth: 1}},
		{name: "five certificates", opts: notarytest.Options{Depth: 5}},
		{name: "expired leaf", opts: notarytest.Options{NotAfter: signingTime().Add(-time.Hour)}}, // for others to judge
		{name: "name of 9 KiB", opts: bent(0, func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 9<<10) }), want: envelope.ReasonChain, detail: "at most 8192", lax: true},
		{name: "leaf is a CA", opts: bent(0, func(c *x509.Certificate) { c.IsCA = true }), want: envelope.ReasonChain, detail: "ca field must be set to false"},
		{name: "leaf without key usage", opts: bent(0, func(c *x509.Certificate) { c.KeyUsage = 0 }), want: envelope.ReasonChain, detail: "key usage"},
		{name: "leaf that enciphers", opts: bent(0, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), want: envelope.ReasonChain, detail: "KeyEncipherment"},
		{name: "leaf of a TSA", opts: bent(0, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} }), want: envelope.ReasonChain, detail: "Timestamping"},
		{name: "leaf of a server", opts: bent(0, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), want: envelope.ReasonChain, detail: "ServerAuth"},
		{name: "leaf without extended key usage", opts: bent(0, func(c *x509.Certificate) { c.ExtKeyUsage = nil })},
		{name: "issuer that is no CA", opts: bent(1, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, -1, false }), want: envelope.ReasonChain},
		{name: "issuer that must not sign", opts: bent(1, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), want: envelope.ReasonChain},
		{name: "root with too short a path", opts: bent(2, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), want: envelope.ReasonChain, detail: "path length"},

		// The algorithm, which the leaf's key decides on.
		{name: "ES256 with P-384", opts: notarytest.Options{Key: signer.P384}, want: envelope.ReasonAlgorithm, detail: "alg is ES256; the key of the signer's certificate signs with ES384"},
		{name: "ES256 with P-384 and SHA-256", opts: notarytest.Options{Key: signer.P384}, change: func(_ testing.TB, f *forge) { f.opts = crypto.SHA256 }, want: envelope.ReasonAlgorithm},
		{name: "ES384 with P-256", change: algorithm("ES384", -35), want: envelope.ReasonAlgorithm},
		{name: "ES256 with RSA", opts: notarytest.Options{Key: signer.RSA2048}, want: envelope.ReasonAlgorithm},
		{name: "PS256 with P-256", change: algorithm("PS256", -37), want: envelope.ReasonAlgorithm},
		{name: "PS256 with RSA-3072", opts: notarytest.Options{Key: signer.RSA3072}, change: algorithm("PS256", -37), want: envelope.ReasonAlgorithm},
		{name: "RS256", opts: notarytest.Options{Key: signer.RSA2048}, change: func(t testing.TB, f *forge) {
			algorithm("RS256", -257)(t, f)
			f.opts = crypto.SHA256
		}, want: envelope.ReasonAlgorithm, detail: "alg is RS256; the key of the signer's certificate signs with PS256"},
		{name: "PKCS #1 v1.5 called PS256", opts: notarytest.Options{Key: signer.RSA2048}, change: func(t testing.TB, f *forge) {
			algorithm("PS256", -37)(t, f)
			f.opts = crypto.SHA256
		}, want: envelope.ReasonSignature},
		{name: "PS256 with a salt of 20 bytes", opts: notarytest.Options{Key: signer.RSA2048}, change: func(t testing.TB, f *forge) {
			algorithm("PS256", -37)(t, f)
			f.opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 20}
		}, want: envelope.ReasonSignature, lax: true, only: envelope.JWS},
		{name: "PS256 with a salt of 20 bytes", opts: notarytest.Options{Key: signer.RSA2048}, change: func(t testing.TB, f *forge) {
			algorithm("PS256", -37)(t, f)
			f.opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 20}
		}, want: envelope.ReasonSignature, only: envelope.COSE},
		{name: "none", change: func(t testing.TB, f *forge) {
			algorithm("none", 0)(t, f)
			f.bendSignature = func([]byte) []byte { return []byte{0} }
		}, want: envelope.ReasonAlgorithm, detail: "the key of the signer's certificate signs with ES256"},
		{name: "HS256", change: algorithm("HS256", 5), want: envelope.ReasonAlgorithm},
		{name: "EdDSA", change: algorithm("EdDSA", -8), want: envelope.ReasonAlgorithm, detail: "alg is EdDSA"},
		{name: "Ed25519 key", opts: notarytest.Options{Key: signer.Ed25519}, change: func(t testing.TB, f *forge) {
			algorithm("EdDSA", -8)(t, f)
			f.key, _ = other(t)
		}, want: envelope.ReasonAlgorithm, detail: "the key is of the kind ed25519.PublicKey; want RSA"},
		{name: "RSA of 1024 bits", change: weak(pkitest.RSA1024), want: envelope.ReasonAlgorithm, detail: "the key is RSA with 1024 bits"},
		{name: "P-224", change: weak(pkitest.P224), want: envelope.ReasonAlgorithm, detail: "the key is ECDSA on P-224"},
		{name: "algorithm with an escape", change: func(t testing.TB, f *forge) { f.replace(t, `"ES256"`, `"\u001b[31m"`) }, want: envelope.ReasonAlgorithm, detail: `alg is "\x1b[31m"`, only: envelope.JWS},

		// crit.
		{name: "crit is missing", change: func(t testing.TB, f *forge) {
			f.replace(t, `"crit":["`+scheme+`","`+expiry+`"],`, "")
			f.drop(coseCritical)
		}, want: envelope.ReasonCritical, detail: "protected header: crit is missing; it has to list " + scheme},
		{name: "crit is empty", change: critical(), want: envelope.ReasonCritical, detail: "crit is missing"},
		{name: "crit lacks the scheme", change: critical(expiry), want: envelope.ReasonCritical, detail: "protected header: crit lacks " + scheme},
		{name: "crit lacks the expiry", change: critical(scheme), want: envelope.ReasonCritical, detail: "protected header: crit lacks " + expiry},
		{name: "crit lacks the authentic time", change: all(authority, func(t testing.TB, f *forge) {
			f.replace(t, `,"`+authentic+`"]`, "]")
			f.set(coseCritical, []any{scheme, expiry})
		}), want: envelope.ReasonCritical, detail: "protected header: crit lacks " + authentic},
		{name: "crit names what is not there", change: critical(scheme, expiry, "x"), want: envelope.ReasonCritical, detail: `crit names "x"`},
		{name: "crit names something twice", change: critical(scheme, expiry, scheme), want: envelope.ReasonCritical, detail: "twice", only: envelope.JWS},
		{name: "crit names something twice", change: critical(scheme, expiry, scheme), want: envelope.ReasonCritical, detail: "twice", lax: true, only: envelope.COSE},
		{name: "crit names the signing time", change: critical(scheme, expiry, at), want: envelope.ReasonCritical, only: envelope.JWS},
		{name: "crit names the signing time", change: critical(scheme, expiry, at), only: envelope.COSE},
		{name: "crit names alg", change: critical(scheme, expiry, "alg"), want: envelope.ReasonCritical, detail: `crit names "alg"`, only: envelope.JWS},
		{name: "crit names the label 1", change: func(t testing.TB, f *forge) { f.set(coseCritical, []any{scheme, expiry, 1}) }, want: envelope.ReasonCritical, lax: true, only: envelope.COSE},
		{name: "crit is text", change: func(t testing.TB, f *forge) {
			f.replace(t, `["`+scheme+`","`+expiry+`"]`, `"`+scheme+`"`)
			f.set(coseCritical, scheme)
		}, want: envelope.ReasonMalformed, detail: "crit: not an array"},
		{name: "crit names a number", change: func(t testing.TB, f *forge) { f.replace(t, `"`+expiry+`"]`, `1]`) }, want: envelope.ReasonMalformed, only: envelope.JWS},
		{name: "crit names a byte string", change: func(t testing.TB, f *forge) { f.set(coseCritical, []any{scheme, expiry, []byte("x")}) }, want: envelope.ReasonMalformed, only: envelope.COSE},

		// Schemes and times.
		{name: "no scheme", change: attribute(scheme, "", nil), want: envelope.ReasonScheme, detail: scheme + " is missing"},
		{name: "unknown scheme", change: attribute(scheme, `"notary.x510"`, "notary.x510"), want: envelope.ReasonScheme, detail: `is "notary.x510"; want`},
		{name: "scheme is a number", change: attribute(scheme, `1`, 1), want: envelope.ReasonMalformed},
		{name: "scheme of an authority alone", change: attribute(scheme, `"notary.x509.signingAuthority"`, "notary.x509.signingAuthority"), want: envelope.ReasonScheme, detail: at + " does not belong"},
		{name: "authentic time too", change: attribute(authentic, `"2026-11-21T02:04:12Z"`, seconds(signingTime())), want: envelope.ReasonScheme, detail: authentic + " does not belong", only: envelope.JWS},
		{name: "authentic time too", change: attribute(authentic, `"2026-11-21T02:04:12Z"`, seconds(signingTime())), want: envelope.ReasonScheme, detail: authentic + " does not belong", lax: true, only: envelope.COSE},
		{name: "signing time of an authority", change: all(authority, attribute(at, `"2026-11-21T02:04:12Z"`, seconds(signingTime()))), want: envelope.ReasonScheme, only: envelope.JWS},
		{name: "signing time of an authority", change: all(authority, attribute(at, `"2026-11-21T02:04:12Z"`, seconds(signingTime()))), want: envelope.ReasonScheme, lax: true, only: envelope.COSE},
		{name: "no signing time", change: attribute(at, "", nil), want: envelope.ReasonTime, detail: at + " is missing"},
		{name: "signing time with a fraction", change: attribute(at, `"2026-11-21T02:04:12.5Z"`, cbor.Tag{Number: 1, Content: 1795226652.5}), want: envelope.ReasonTime, detail: "fraction", lax: true},
		{name: "expiry with a fraction of nothing", change: attribute(expiry, `"2026-11-21T03:04:12.0Z"`, cbor.Tag{Number: 1, Content: 1795230252.0}), want: envelope.ReasonTime, detail: "fraction", lax: true},
		{name: "expiry at once", change: attribute(expiry, `"2026-11-21T02:04:12Z"`, seconds(signingTime())), want: envelope.ReasonTime, detail: "which is not after"},
		{name: "expiry before", change: attribute(expiry, `"2026-11-21T02:04:11Z"`, seconds(signingTime().Add(-time.Second))), want: envelope.ReasonTime},
		{name: "expiry a second after", change: attribute(expiry, `"2026-11-21T02:04:13Z"`, seconds(signingTime().Add(time.Second)))},
		{name: "no expiry", change: all(critical(scheme), func(t testing.TB, f *forge) {
			f.replace(t, `"`+expiry+`":"2026-11-21T03:04:12Z",`, "")
			f.drop(expiry)
		})},
		{name: "time elsewhere", change: attribute(at, `"2026-11-21T03:04:12+01:00"`, seconds(signingTime()))},
		{name: "time at no offset", change: attribute(at, `"2026-11-21T02:04:12+00:00"`, seconds(signingTime()))},
		{name: "time with an hour of one digit", change: attribute(at, `"2026-11-21T2:04:12Z"`, nil), want: envelope.ReasonTime, lax: true, only: envelope.JWS},
		{name: "time with a comma", change: attribute(at, `"2026-11-21T02:04:12,5Z"`, nil), want: envelope.ReasonTime, lax: true, only: envelope.JWS},
		{name: "time with an escape", change: attribute(at, `"2026-11-21T02:04:1\u0032Z"`, nil), want: envelope.ReasonTime, detail: "escapes", only: envelope.JWS},
		{name: "time without a zone", change: attribute(at, `"2026-11-21T02:04:12"`, nil), want: envelope.ReasonTime, only: envelope.JWS},
		{name: "time is null", change: attribute(at, `null`, nil), want: envelope.ReasonMalformed, only: envelope.JWS},
		{name: "expiry is null", change: all(critical(scheme), attribute(expiry, `null`, nil)), want: envelope.ReasonMalformed, lax: true, only: envelope.JWS},
		{name: "expiry is the zero time", change: all(critical(scheme), attribute(expiry, `"0001-01-01T00:00:00Z"`, seconds(time.Time{}))), want: envelope.ReasonTime, lax: true, only: envelope.JWS},
		{name: "time without a tag", change: attribute(at, `""`, signingTime().Unix()), want: envelope.ReasonTime, detail: "tag 1", only: envelope.COSE},
		{name: "time with the tag 0", change: attribute(at, `""`, cbor.Tag{Number: 0, Content: "2026-11-21T02:04:12Z"}), want: envelope.ReasonTime, detail: "tag 1", only: envelope.COSE},
		{name: "time in text with the tag 1", change: attribute(at, `""`, cbor.Tag{Number: 1, Content: "2026-11-21T02:04:12Z"}), want: envelope.ReasonTime, only: envelope.COSE},
		{name: "time beyond all years", change: attribute(at, `""`, cbor.Tag{Number: 1, Content: 1 << 40}), want: envelope.ReasonTime, detail: "years", only: envelope.COSE},

		// The payload.
		{name: "content type", change: func(t testing.TB, f *forge) {
			f.replace(t, "application/vnd.cncf.notary.payload.v1+json", "text/plain")
			f.set(coseType, "text/plain")
		}, want: envelope.ReasonPayload, detail: `the content type is "text/plain"`, lax: true},
		{name: "no content type", change: func(t testing.TB, f *forge) {
			f.replace(t, `"cty":"application/vnd.cncf.notary.payload.v1+json",`, "")
		}, want: envelope.ReasonPayload, lax: true, only: envelope.JWS},
		{name: "no content type", change: func(t testing.TB, f *forge) { f.drop(coseType) }, want: envelope.ReasonPayload, only: envelope.COSE},
		{name: "content type by number", change: func(t testing.TB, f *forge) { f.set(coseType, 50) }, want: envelope.ReasonMalformed, detail: "content type: not text", only: envelope.COSE},
		{name: "no payload", change: func(t testing.TB, f *forge) { f.payload = []byte{} }, want: envelope.ReasonPayload},
		{name: "payload of something else", change: func(t testing.TB, f *forge) { f.payload = []byte(`{"a":1}`) }, want: envelope.ReasonPayload, detail: "targetArtifact is missing", lax: true},
		{name: "payload with a member twice", change: func(t testing.TB, f *forge) {
			f.payload = swapText(t, f.payload, `"size":16724`, `"size":1,"size":16724`)
		}, want: envelope.ReasonPayload, detail: `"size" is there twice`, lax: true},
		{name: "payload with bytes after it", change: func(t testing.TB, f *forge) { f.payload = append(f.payload, "{}"...) }, want: envelope.ReasonPayload, lax: true},
		{name: "payload with unknown members", change: func(t testing.TB, f *forge) {
			f.payload = swapText(t, f.payload, `"size":16724`, `"size":16724,"artifactType":"x"`)
		}},

		// Extended attributes.
		{name: "extended attribute", change: attribute("x-mine", `{"a":[1,"b",null]}`, map[string]any{"a": []any{1, "b", nil}})},
		{name: "critical extended attribute", change: all(critical(scheme, expiry, "x-mine"), attribute("x-mine", `1`, 1)), want: envelope.ReasonCritical, detail: `crit names "x-mine", which is not processed here`, lax: true},
		{name: "plugin", change: all(critical(scheme, expiry, plugin), attribute(plugin, `"com.example"`, "com.example")), want: envelope.ReasonPlugin, detail: `"com.example"`, lax: true},
		{name: "plugin that is not critical", change: attribute(plugin, `"com.example"`, "com.example"), want: envelope.ReasonPlugin, lax: true},
		{name: "version of a plugin", change: attribute(plugin+"MinVersion", `"1.0.0"`, "1.0.0"), want: envelope.ReasonPlugin, lax: true},
		{name: "extended attribute with a name twice in it", change: attribute("x-mine", `{"a":1,"a":2}`, cbor.RawMessage("\xa2\x61a\x01\x61a\x02")), want: envelope.ReasonMalformed, only: envelope.COSE},
		{name: "extended attribute with a name twice in it", change: attribute("x-mine", `{"a":1,"a":2}`, nil), want: envelope.ReasonMalformed, lax: true, only: envelope.JWS},

		// What is not signed.
		{name: "agent", change: unprotected(`"`+agent+`":"a/1",`, coded{agent, "a/1"})},
		{name: "agent is a number", change: unprotected(`"`+agent+`":1,`, coded{agent, 1}), want: envelope.ReasonMalformed, detail: agent, only: envelope.JWS},
		{name: "agent is a number", change: unprotected("", coded{agent, 1}), want: envelope.ReasonMalformed, detail: agent, lax: true, only: envelope.COSE},
		{name: "huge agent", change: unprotected(`"`+agent+`":"`+strings.Repeat("a", 5000)+`",`, coded{agent, strings.Repeat("a", 5000)}), want: envelope.ReasonMalformed, lax: true},
		{name: "timestamp", change: unprotected(`"`+timestamp+`":"AAEC",`, coded{timestamp, []byte{0, 1, 2}})}, // for others to judge
		{name: "timestamp is a number", change: unprotected(`"`+timestamp+`":1,`, coded{timestamp, 1}), want: envelope.ReasonMalformed, detail: timestamp, only: envelope.JWS},
		{name: "timestamp is text", change: unprotected("", coded{timestamp, "AAEC"}), want: envelope.ReasonMalformed, detail: timestamp + ": not a byte string", lax: true, only: envelope.COSE},
		{name: "timestamp is an object", change: unprotected(`"`+timestamp+`":{"der":"AAEC"},`, coded{timestamp, map[string]any{"der": "AAEC"}}), want: envelope.ReasonMalformed, detail: timestamp, only: envelope.JWS},
		{name: "empty timestamp", change: unprotected(`"`+timestamp+`":"",`, coded{timestamp, []byte{}}), want: envelope.ReasonMalformed, detail: timestamp + ": it is empty", lax: true},
		{name: "timestamp is null", change: unprotected(`"`+timestamp+`":null,`, coded{timestamp, nil}), want: envelope.ReasonMalformed, lax: true},
		{name: "huge timestamp", change: unprotected(`"`+timestamp+`":"`+base64.StdEncoding.EncodeToString(make([]byte, 2<<20))+`",`, coded{timestamp, make([]byte, 2<<20)}), want: envelope.ReasonMalformed, detail: "at most 1048576", lax: true},
		{name: "timestamp in the URL alphabet", change: unprotected(`"`+timestamp+`":"_-8A",`, coded{}), want: envelope.ReasonMalformed, only: envelope.JWS},
		{name: "timestamp with a line end", change: unprotected(`"`+timestamp+`":"AA\nEC",`, coded{}), want: envelope.ReasonMalformed, detail: "line end", lax: true, only: envelope.JWS},
		{name: "unknown member", change: unprotected(`"x":[{}],`, coded{"x", []any{map[string]any{}}})},
		{name: "key identifier", change: unprotected(`"kid":"x",`, coded{4, []byte("x")})},
		{name: "huge unknown member", change: unprotected(`"x":"`+strings.Repeat("x", 70000)+`",`, coded{"x", strings.Repeat("x", 70000)}), want: envelope.ReasonMalformed, detail: "unknown", lax: true},
	})
}

// unprotected adds members to what is not signed.
func unprotected(js string, pair coded) func(testing.TB, *forge) {
	return func(_ testing.TB, f *forge) { f.header, f.unprotected = js, []coded{pair} }
}

func bent(i int, change func(*x509.Certificate)) notarytest.Options {
	return notarytest.Options{Bend: func(n int, c *x509.Certificate) {
		if n == i {
			change(c)
		}
	}}
}

// weak gives the leaf a key that package signer does not have.
func weak(kind pkitest.KeyType) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		issuer := pkitest.Deterministic(notarytest.Key(t, notarytest.Options{}, 1))
		der, err := x509.CreateCertificate(nil, f.chain[0], f.chain[1], pkitest.Key(t, kind, "leaf").Public(), issuer)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		f.chain = []*x509.Certificate{leaf, f.chain[1], f.chain[2]}
	}
}

// swap alters what is signed, in the encoding of either format.
func swap(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	if data[0] != '{' {
		return swapText(t, data, old, new)
	}
	for _, part := range bytes.Split(data, []byte(`"`)) {
		decoded, err := base64.RawURLEncoding.DecodeString(string(part))
		if err == nil && bytes.Contains(decoded, []byte(old)) {
			altered := bytes.Replace(decoded, []byte(old), []byte(new), 1)
			return bytes.Replace(data, part, []byte(base64.RawURLEncoding.EncodeToString(altered)), 1)
		}
	}
	t.Fatalf("%s is not in the envelope", old)
	return nil
}

func swapText(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("%s is not there", old)
	}
	return bytes.Replace(data, []byte(old), []byte(new), 1)
}
