package tsptest

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// A Verdict is what a careful client concludes about a response, which it got
// for [Request] and checks with the root of the chain as the only trust anchor
// and everything else at its strictest, some time after [Time].
type Verdict string

const (
	// Good: it verifies. What is odd about it is legal, or common and harmless.
	Good Verdict = "good"
	// Malformed: it is not a response of RFC 3161; parsing fails.
	Malformed Verdict = "malformed"
	// Untrusted: it parses, but the token does not verify.
	Untrusted Verdict = "untrusted"
	// Mismatch: the token verifies by itself, but does not answer the request.
	Mismatch Verdict = "mismatch"
	// Legacy: the token is of before RFC 5816, and verifies only for those who
	// explicitly allow its SHA-1 certificate reference.
	Legacy Verdict = "legacy"
	// Refusal: it parses, and is a refusal without a token.
	Refusal Verdict = "refusal"
)

// A Variant is a response that is odd or wrong in one way.
type Variant struct {
	Name    string // lower case words joined by hyphens, unique
	Verdict Verdict
	// Options is the chain that it needs.
	Options pkitest.Options
	change  func(*Forge)
}

// Forge returns a Forge that makes v.
func (v Variant) Forge(t testing.TB) *Forge {
	t.Helper()
	f := NewForge(t, v.Options)
	v.change(f)
	return f
}

// Response returns the response that v is.
func (v Variant) Response(t testing.TB) []byte {
	t.Helper()
	out, err := v.Forge(t).MakeResponse()
	if err != nil {
		t.Fatalf("tsptest: variant %s: %v", v.Name, err)
	}
	return out
}

// Token returns the token of v, which is not part of the response for all of
// them.
func (v Variant) Token(t testing.TB) []byte {
	t.Helper()
	out, err := v.Forge(t).MakeToken()
	if err != nil {
		t.Fatalf("tsptest: variant %s: %v", v.Name, err)
	}
	return out
}

// Variants returns the table of variants, in a stable order. The first is the
// one that nothing is odd about.
func Variants() []Variant {
	out := []Variant{{Name: "plain", Verdict: Good, change: func(*Forge) {}}}
	out = append(out, infoVariants()...)
	out = append(out, attributeVariants()...)
	out = append(out, signatureVariants()...)
	out = append(out, dataVariants()...)
	return append(out, responseVariants()...)
}

func onInfo(name string, verdict Verdict, change func(*InfoFields)) Variant {
	return Variant{Name: name, Verdict: verdict, change: func(f *Forge) { f.Info = change }}
}

func onData(name string, verdict Verdict, change func(*DataFields)) Variant {
	return Variant{Name: name, Verdict: verdict, change: func(f *Forge) { f.Data = change }}
}

func onSigner(name string, verdict Verdict, change func(*SignerFields)) Variant {
	return Variant{Name: name, Verdict: verdict, change: func(f *Forge) { f.Signer = change }}
}

func onResponse(name string, verdict Verdict, change func(*ResponseFields)) Variant {
	return Variant{Name: name, Verdict: verdict, change: func(f *Forge) { f.Response = change }}
}

func on(name string, verdict Verdict, change func(*Forge)) Variant {
	return Variant{Name: name, Verdict: verdict, change: change}
}
