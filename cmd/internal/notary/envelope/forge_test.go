package envelope_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A forge makes envelopes that no honest program makes: everything that is
// signed is signed after it was bent.
type forge struct {
	key     *signer.Key
	chain   []*x509.Certificate
	opts    crypto.SignerOpts // of the signature; nil means those of the key
	payload []byte

	// protected is the signed attributes: of JWS the JSON, of COSE the pairs.
	protected     string
	pairs         []coded
	x5c           any    // nil means the chain
	header        string // of JWS: members that come before x5c, each with a comma after it
	unprotected   []coded
	bendProtected func([]byte) []byte // sees what is encoded, before it is signed
	bendSignature func([]byte) []byte
	bend          func([]byte) []byte // sees the whole
}

// coded is a pair of a CBOR map. Values that are cbor.RawMessage are written as
// they are.
type coded struct{ label, value any }

const (
	protectedJWS = `{"alg":"ES256","crit":["io.cncf.notary.signingScheme","io.cncf.notary.expiry"],` +
		`"cty":"application/vnd.cncf.notary.payload.v1+json","io.cncf.notary.expiry":"2026-11-21T03:04:12Z",` +
		`"io.cncf.notary.signingScheme":"notary.x509","io.cncf.notary.signingTime":"2026-11-21T02:04:12Z"}`
	scheme        = "io.cncf.notary.signingScheme"
	at            = "io.cncf.notary.signingTime"
	authentic     = "io.cncf.notary.authenticSigningTime"
	expiry        = "io.cncf.notary.expiry"
	timestamp     = "io.cncf.notary.timestampSignature"
	agent         = "io.cncf.notary.signingAgent"
	plugin        = "io.cncf.notary.verificationPlugin"
	coseAlgorithm = 1
	coseCritical  = 2
	coseType      = 3
	coseChain     = 33
)

func newForge(t testing.TB, opts notarytest.Options) *forge {
	t.Helper()
	key, chain := notarytest.Chain(t, opts)
	f := &forge{key: key, chain: chain, payload: marshal(t, target()), protected: protectedJWS}
	f.pairs = []coded{
		{coseAlgorithm, -7},
		{coseCritical, []any{scheme, expiry}},
		{coseType, envelope.PayloadType},
		{expiry, seconds(signingTime().Add(time.Hour))},
		{at, seconds(signingTime())},
		{scheme, "notary.x509"},
	}
	return f
}

func seconds(t time.Time) cbor.Tag { return cbor.Tag{Number: 1, Content: t.Unix()} }

// set gives a signed attribute of COSE another value, or takes it away.
func (f *forge) set(label, value any) {
	for i := range f.pairs {
		if f.pairs[i].label == label {
			f.pairs[i].value = value
			return
		}
	}
	f.pairs = append(f.pairs, coded{label, value})
}

func (f *forge) drop(label any) {
	var kept []coded
	for _, p := range f.pairs {
		if p.label != label {
			kept = append(kept, p)
		}
	}
	f.pairs = kept
}

// replace puts another text in the place of one of the protected header of JWS.
func (f *forge) replace(t testing.TB, old, new string) {
	t.Helper()
	if !strings.Contains(f.protected, old) {
		t.Fatalf("%s is not in %s", old, f.protected)
	}
	f.protected = strings.Replace(f.protected, old, new, 1)
}

func (f *forge) make(t testing.TB, format envelope.Format) []byte {
	t.Helper()
	var out []byte
	if format == envelope.JWS {
		out = f.jws(t)
	} else {
		out = f.cose(t)
	}
	if f.bend != nil {
		out = f.bend(out)
	}
	return out
}

func (f *forge) ders() [][]byte {
	var out [][]byte
	for _, c := range f.chain {
		out = append(out, c.Raw)
	}
	return out
}

func (f *forge) jws(t testing.TB) []byte {
	t.Helper()
	protected := []byte(f.protected)
	if f.bendProtected != nil {
		protected = f.bendProtected(protected)
	}
	input := base64.RawURLEncoding.EncodeToString(protected) + "." + base64.RawURLEncoding.EncodeToString(f.payload)
	signature := f.sign(t, []byte(input))
	x5c := f.x5c
	if x5c == nil {
		x5c = f.ders()
	}
	chain, err := json.Marshal(x5c)
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(input, ".")
	return []byte(`{"payload":"` + after + `","protected":"` + before + `","header":{` + f.header + `"x5c":` + string(chain) +
		`},"signature":"` + base64.RawURLEncoding.EncodeToString(signature) + `"}`)
}

func (f *forge) cose(t testing.TB) []byte {
	t.Helper()
	protected := encodeMap(t, f.pairs)
	if f.bendProtected != nil {
		protected = f.bendProtected(protected)
	}
	signature := f.sign(t, encode(t, []any{"Signature1", protected, []byte{}, f.payload}))
	x5c := f.x5c
	if x5c == nil {
		x5c = f.ders()
	}
	unprotected := encodeMap(t, append([]coded{{coseChain, x5c}}, f.unprotected...))
	return append([]byte{0xd2}, encode(t, []any{protected, cbor.RawMessage(unprotected), f.payload, signature})...)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	out, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// encodeMap keeps the order, and what is there twice.
func encodeMap(t testing.TB, pairs []coded) []byte {
	t.Helper()
	out := []byte{0xa0 | byte(len(pairs))}
	for _, p := range pairs {
		out = append(append(out, encode(t, p.label)...), encode(t, p.value)...)
	}
	return out
}

func (f *forge) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	opts := f.opts
	if opts == nil {
		hash, err := envelope.HashFor(f.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		opts = hash
		if _, ok := f.key.Public().(*rsa.PublicKey); ok {
			opts = &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
		}
	}
	h := opts.HashFunc().New()
	h.Write(message)
	signature, err := f.key.Sign(t.Context(), h.Sum(nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := f.key.Public().(*ecdsa.PublicKey); ok {
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(signature, &rs); err != nil {
			t.Fatal(err)
		}
		n := (k.Curve.Params().BitSize + 7) / 8
		signature = append(rs.R.FillBytes(make([]byte, n)), rs.S.FillBytes(make([]byte, n))...)
	}
	if f.bendSignature != nil {
		signature = f.bendSignature(signature)
	}
	return signature
}

// A row is an altered envelope and what is to be said of it.
type row struct {
	name   string
	opts   notarytest.Options
	change func(t testing.TB, f *forge)
	// want is "" for an envelope that verifies.
	want envelope.Reason
	// detail is a part of what is said.
	detail string
	// lax: notation-core-go accepts what we refuse.
	lax bool
	// only is the format that the row is about; empty means both.
	only envelope.Format
}

// check runs a row in one format.
func (r row) check(t *testing.T, format envelope.Format) {
	t.Helper()
	f := newForge(t, r.opts)
	if r.change != nil {
		r.change(t, f)
	}
	data := f.make(t, format)
	content, err := verdict(format, data)
	if r.want == "" {
		if err != nil {
			t.Fatalf("%v, want no error", err)
		}
		compare(t, format, data, content)
		return
	}
	wantReason(t, r.name, err, r.want)
	if err == nil {
		return
	}
	if !strings.Contains(err.Error(), r.detail) {
		t.Errorf("%v: want %q in it", err, r.detail)
	}
	if content != nil {
		t.Error("an error with a content")
	}
	if got := theirVerdict(format, data) == nil; got != r.lax {
		t.Errorf("notation-core-go accepts it: %t, want %t", got, r.lax)
	}
}

// verdict is all that is asked of an envelope here.
func verdict(format envelope.Format, data []byte) (*envelope.Content, error) {
	e, err := envelope.Parse(format, data)
	if err != nil {
		return nil, err
	}
	content, err := e.Verify()
	if err != nil {
		return nil, err
	}
	if err := content.Unprocessed(); err != nil {
		return nil, err
	}
	return content, nil
}

func theirVerdict(format envelope.Format, data []byte) error {
	e, err := theirs(format, data)
	if err == nil {
		_, err = e.Verify()
	}
	return err
}

func run(t *testing.T, rows []row) {
	for _, r := range rows {
		for _, format := range envelope.Formats() {
			if r.only == "" || r.only == format {
				t.Run(r.name+", "+string(format), func(t *testing.T) { r.check(t, format) })
			}
		}
	}
}

func typed(v any) string { return fmt.Sprintf("%T %v", v, v) }
