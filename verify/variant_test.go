package verify_test

import (
	"crypto/fips140"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// variantReasons says why each variant of tsptest is refused that parses.
var variantReasons = map[verify.Reason]string{
	verify.ReasonImprint:   "imprint-other imprint-other-algorithm",
	verify.ReasonFuture:    "gentime-year-9999 gentime-in-2049 gentime-after-the-certificate",
	verify.ReasonValidity:  "gentime-before-the-certificate",
	verify.ReasonNonce:     "nonce-absent nonce-other nonce-negated",
	verify.ReasonTSAName:   "tsa-name-of-another tsa-name-of-a-host",
	verify.ReasonExtension: "extension-unknown-critical",
	verify.ReasonSignedAttributes: `signed-attributes-absent signed-attributes-without-values
		content-type-attribute-missing content-type-attribute-data content-type-attribute-twice
		content-type-attribute-twice-different content-type-attribute-two-values content-type-attribute-two-values-reversed
		message-digest-missing message-digest-twice message-digest-twice-wrong-one-last
		message-digest-two-values message-digest-two-values-reversed
		content-type-attribute-is-a-null content-type-attribute-is-a-boolean content-type-attribute-is-a-integer
		content-type-attribute-is-a-bit-string content-type-attribute-is-a-octet-string
		content-type-attribute-is-a-utf8string content-type-attribute-is-a-utctime content-type-attribute-is-a-sequence
		content-type-attribute-is-a-sequence-of-null content-type-attribute-is-a-set content-type-attribute-is-a-context-0
		message-digest-is-a-null message-digest-is-a-boolean message-digest-is-a-integer message-digest-is-a-bit-string
		message-digest-is-a-oid message-digest-is-a-utf8string message-digest-is-a-utctime message-digest-is-a-sequence
		message-digest-is-a-sequence-of-null message-digest-is-a-set message-digest-is-a-context-0`,
	verify.ReasonMessageDigest: "message-digest-wrong message-digest-empty content-changed-after-signing",
	verify.ReasonSigningCertificate: `ess-missing ess-elsewhere ess-elsewhere-with-this-issuer-serial ess-reissued
		ess-issuer-first ess-hash-of-zeros ess-hash-too-short ess-wrong-issuer-serial ess-issuer-serial-of-reissued
		ess-v2-with-sha1 ess-restricted-to-another-chain ess-17-identifiers ess-no-identifiers
		ess-twice ess-twice-different ess-two-values ess-two-values-reversed
		ess-v1-alone ess-v1-alone-elsewhere ess-v1-elsewhere-and-v2 ess-v1-and-v2-elsewhere ess-v1-twice ess-unsigned
		ess-is-a-null ess-is-a-boolean ess-is-a-integer ess-is-a-bit-string ess-is-a-octet-string ess-is-a-oid
		ess-is-a-utf8string ess-is-a-utctime ess-is-a-sequence ess-is-a-sequence-of-null ess-is-a-set ess-is-a-context-0
		sid-of-another-certificate sid-key-identifier-of-nobody`,
	verify.ReasonDigestAlgorithm: "digest-sha1-p256 digest-sha1-rsa2048 digest-algorithm-unknown",
	verify.ReasonSignatureAlgorithm: `digest-sha256-ed25519 pss-parameters-absent pss-parameters-malformed pss-other-hash
		algorithm-ecpublickey algorithm-of-another-hash algorithm-of-another-key algorithm-unknown algorithm-is-a-hash
		algorithm-with-parameters digest-algorithm-other`,
	verify.ReasonSignature: `algorithm-pkcs1-called-pss signature-corrupt signature-empty signature-of-zeros
		signature-zero-r-and-s signature-trailing-byte signed-by-another-key
		signed-by-another-key-naming-this-certificate-first`,
	verify.ReasonUntrusted: `signed-by-another-authority signed-by-another-authority-with-this-chain
		certificates-without-intermediate`,
	verify.ReasonCertificateMissing: `certificates-empty certificates-absent certificates-without-leaf
		certificates-reissued-leaf`,
	verify.ReasonRefused: `refused-without-reason refused-with-text-alone refused-waiting refused-revocation-warning
		refused-fail-info-untrimmed refused-fail-info-no-bits refused-bad-alg refused-bad-request refused-bad-data-format
		refused-time-not-available refused-unaccepted-policy refused-unaccepted-extension refused-add-info-not-available
		refused-system-failure`,
}

// TestVariants holds every variant of tsptest against its verdict and every
// refusal against its reason, with an empty cache, a warm one and none. The
// variants are attacks A2 to A9, A13, A19, A20, A23 to A26 and A32.
func TestVariants(t *testing.T) {
	reasons := map[string]verify.Reason{}
	for reason, names := range variantReasons {
		for _, name := range strings.Fields(names) {
			reasons[name] = reason
		}
	}
	cache := new(verify.ChainCache)
	for _, v := range tsptest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			want := reasons[v.Name]
			delete(reasons, v.Name)
			switch {
			case v.Verdict == tsptest.Malformed:
				want = verify.ReasonMalformed
			case want == "" && v.Verdict != tsptest.Good:
				t.Fatalf("no reason in the table for a variant that is %s", v.Verdict)
			}
			// The forge as it was before the variant bent it.
			p := policyFor(t, tsptest.NewForge(t, v.Options))
			response := v.Response(t)
			for _, p.Cache = range []*verify.ChainCache{nil, cache, cache} {
				if got := judge(p, response); got != want {
					t.Errorf("with cache %v the reason is %q, want %q", p.Cache != nil, got, want)
				}
			}
			p.AllowLegacyESSCertIDv1 = true
			if v.Verdict == tsptest.Legacy && !fips140.Enforced() { // see TestFIPSVersion1
				want = ""
			}
			if got := judge(p, response); got != want {
				t.Errorf("under the legacy policy the reason is %q, want %q", got, want)
			}
		})
	}
	for name := range reasons {
		t.Errorf("the table has %s, tsptest has not", name)
	}
}

// judge returns why a response to the canned request is refused, "" if it is
// not.
func judge(p verify.Policy, response []byte) verify.Reason {
	r, err := tsp.ParseResponse(response)
	if err != nil {
		// The door for bytes must agree.
		_, err = p.Bytes(response, tsptest.Request().Imprint)
		return reasonOf(err)
	}
	_, err = p.Response(r, tsptest.Request())
	return reasonOf(err)
}

// reasonOf returns the reason in err, "" for nil, and what cannot be a reason
// for an error of another type.
func reasonOf(err error) verify.Reason {
	var e *verify.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return "not a *verify.Error"
	case e.Detail == "":
		return "no detail"
	}
	return e.Reason
}

// TestForms is attack A31: a token is a token in a response or bare, in DER,
// BER, PEM or base64, and anything else is refused as what it is.
func TestForms(t *testing.T) {
	plain := tsptest.Variants()[0]
	f := plain.Forge(t)
	p, imprint := policyFor(t, f), tsptest.Request().Imprint
	response, token := plain.Response(t), plain.Token(t)
	f.Indefinite = true
	ber, err := f.MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	block := func(label string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: b})
	}
	info, err := f.MakeInfo()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		data []byte
		want verify.Reason
	}{
		{"response", response, ""},
		{"token", token, ""},
		{"BER response", ber, ""},
		{"PEM response", block("TIMESTAMP RESPONSE", response), ""},
		{"PEM token", block("PKCS7", token), ""},
		{"base64 response", []byte(base64.StdEncoding.EncodeToString(response) + "\n"), ""},
		{"base64url token without padding", []byte(base64.RawURLEncoding.EncodeToString(token)), ""},
		{"request", tsptest.RequestDER(), verify.ReasonMalformed},
		{"malformed request", tsptest.RequestDER()[:20], verify.ReasonMalformed},
		{"bare TSTInfo", info, verify.ReasonMalformed},
		{"certificate", f.Chain[0], verify.ReasonMalformed},
		{"PEM certificate", block("CERTIFICATE", f.Chain[0]), verify.ReasonMalformed},
		{"empty", nil, verify.ReasonMalformed},
		{"text", []byte("hello"), verify.ReasonMalformed},
		{"truncated response", response[:len(response)-1], verify.ReasonMalformed},
		{"response and a byte", append(append([]byte{}, response...), 0), verify.ReasonMalformed},
		{"token and a byte", append(append([]byte{}, token...), 0), verify.ReasonMalformed},
		{"refusal", tsp.Reject(tsp.TimeNotAvailable, "the clock is out").Marshal(), verify.ReasonRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			stamp, err := p.Bytes(test.data, imprint)
			if got := reasonOf(err); got != test.want {
				t.Errorf("Bytes: %v, want reason %q", err, test.want)
			}
			if (stamp == nil) != (err != nil) {
				t.Errorf("Bytes = %v, %v", stamp, err)
			}
		})
	}
	_, err = p.Bytes(tsp.Reject(tsp.TimeNotAvailable, "the clock is out").Marshal(), imprint)
	if !errors.Is(err, tsp.TimeNotAvailable) {
		t.Errorf("errors.Is(%v, TimeNotAvailable) = false", err)
	}
	if _, err := p.Bytes(token[:10], imprint); !errors.Is(err, tsp.ErrMalformed) {
		t.Errorf("errors.Is(%v, ErrMalformed) = false", err)
	}
}
