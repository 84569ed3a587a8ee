package envelope_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

var keyTypes = map[signer.KeyType]struct {
	algorithm string
	hash      crypto.Hash
	size      int // of a signature
}{
	signer.P256:    {"ES256", crypto.SHA256, 64},
	signer.P384:    {"ES384", crypto.SHA384, 96},
	signer.P521:    {"ES512", crypto.SHA512, 132},
	signer.RSA2048: {"PS256", crypto.SHA256, 256},
	signer.RSA3072: {"PS384", crypto.SHA384, 384},
	signer.RSA4096: {"PS512", crypto.SHA512, 512},
}

func signingTime() time.Time { return time.Date(2026, 11, 21, 2, 4, 12, 0, time.UTC) }

func target() envelope.Target {
	return envelope.Target{
		MediaType:   "application/vnd.oci.image.manifest.v1+json",
		Digest:      "sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333",
		Size:        16724,
		Annotations: map[string]string{"io.wabbit-networks.buildId": "123", "who": "<me> & \u00fc"},
	}
}

func request(t testing.TB, opts notarytest.Options) envelope.Request {
	t.Helper()
	payload, err := envelope.MarshalPayload(target())
	if err != nil {
		t.Fatal(err)
	}
	key, chain := notarytest.Chain(t, opts)
	return envelope.Request{Payload: payload, Key: key, Chain: chain, SigningTime: signingTime(), Expiry: signingTime().Add(time.Hour), Agent: "fencepost/test"}
}

func sign(t testing.TB, f envelope.Format, r envelope.Request) []byte {
	t.Helper()
	data, err := envelope.Sign(t.Context(), f, r)
	if err != nil {
		t.Fatalf("Sign(%s): %v", f, err)
	}
	return data
}

// parse parses what has to be well-formed.
func parse(t testing.TB, f envelope.Format, data []byte) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Parse(f, data)
	if err != nil {
		t.Fatalf("Parse(%s): %v", f, err)
	}
	return e
}

// verify verifies what has to verify.
func verify(t testing.TB, f envelope.Format, data []byte) *envelope.Content {
	t.Helper()
	c, err := parse(t, f, data).Verify()
	if err != nil {
		t.Fatalf("Verify(%s): %v", f, err)
	}
	return c
}

// theirs parses an envelope with notation-core-go.
func theirs(f envelope.Format, data []byte) (signature.Envelope, error) {
	if f == envelope.JWS {
		return jws.ParseEnvelope(data)
	}
	return cose.ParseEnvelope(data)
}

// token returns a timestamp token over a signature.
func token(t testing.TB, c *envelope.Content) []byte {
	t.Helper()
	h := c.Algorithm.Hash.New()
	h.Write(c.Signature)
	imprint, err := tsp.NewImprint(c.Algorithm.Hash, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Request = &tsp.Request{Imprint: imprint, CertReq: true}
	out, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	for kind, want := range keyTypes {
		for _, f := range envelope.Formats() {
			t.Run(string(kind)+" "+string(f), func(t *testing.T) {
				r := request(t, notarytest.Options{Key: kind})
				data := sign(t, f, r)
				content := verify(t, f, data)
				compare(t, f, data, content)
				if got := content.Algorithm; got.Name != want.algorithm || got.Hash != want.hash {
					t.Errorf("algorithm %+v, want %s with %v", got, want.algorithm, want.hash)
				}
				if got := len(content.Signature); got != want.size {
					t.Errorf("signature of %d bytes, want %d", got, want.size)
				}
				if content.Timestamp != nil {
					t.Error("there is a timestamp")
				}
				if !content.SigningTime.Equal(r.SigningTime) || !content.Expiry.Equal(r.Expiry) || !content.AuthenticSigningTime.IsZero() {
					t.Errorf("times %v, %v, %v; want %v, %v, none", content.SigningTime, content.Expiry, content.AuthenticSigningTime, r.SigningTime, r.Expiry)
				}
				if content.Agent != r.Agent || content.Scheme != envelope.SchemeX509 || content.PayloadType != envelope.PayloadType {
					t.Errorf("agent %q, scheme %q, payload type %q", content.Agent, content.Scheme, content.PayloadType)
				}
				if err := content.Unprocessed(); err != nil {
					t.Errorf("Unprocessed: %v", err)
				}
				got, err := envelope.ParsePayload(content.Payload)
				if err != nil {
					t.Fatal(err)
				}
				if a, b := marshal(t, got), marshal(t, target()); !bytes.Equal(a, b) {
					t.Errorf("target %s, want %s", a, b)
				}

				stamp := token(t, content)
				stamped, err := parse(t, f, data).WithTimestamp(stamp)
				if err != nil {
					t.Fatalf("WithTimestamp: %v", err)
				}
				after := verify(t, f, stamped)
				compare(t, f, stamped, after)
				if !bytes.Equal(after.Timestamp, stamp) {
					t.Error("the timestamp is another")
				}
				if again, err := parse(t, f, stamped).WithTimestamp(stamp); err != nil || !bytes.Equal(again, stamped) {
					t.Errorf("the same token again: %v, the same bytes: %t", err, bytes.Equal(again, stamped))
				}
			})
		}
	}
}

func marshal(t testing.TB, target envelope.Target) []byte {
	t.Helper()
	out, err := envelope.MarshalPayload(target)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// compare holds what we read against what notation-core-go reads.
func compare(t testing.TB, f envelope.Format, data []byte, ours *envelope.Content) {
	t.Helper()
	e, err := theirs(f, data)
	if err != nil {
		t.Fatalf("notation-core-go: %v", err)
	}
	content, err := e.Verify()
	if err != nil {
		t.Fatalf("notation-core-go: %v", err)
	}
	same(t, ours, content)
}

func same(t testing.TB, ours *envelope.Content, content *signature.EnvelopeContent) {
	t.Helper()
	info, attributes := content.SignerInfo, content.SignerInfo.SignedAttributes
	at := ours.SigningTime
	if ours.Scheme == envelope.SchemeSigningAuthority {
		at = ours.AuthenticSigningTime
	}
	for what, pair := range map[string][2]any{
		"payload type": {ours.PayloadType, content.Payload.ContentType},
		"scheme":       {string(ours.Scheme), string(attributes.SigningScheme)},
		"hash":         {ours.Algorithm.Hash, info.SignatureAlgorithm.Hash()},
		"agent":        {ours.Agent, info.UnsignedAttributes.SigningAgent},
		"time":         {at.UnixNano(), attributes.SigningTime.UnixNano()},
		"expiry":       {ours.Expiry.UnixNano(), attributes.Expiry.UnixNano()},
		"extended":     {len(ours.Extended), len(attributes.ExtendedAttributes)},
		"chain":        {len(ours.Chain), len(info.CertificateChain)},
		"payload":      {string(ours.Payload), string(content.Payload.Content)},
		"signature":    {string(ours.Signature), string(info.Signature)},
		"timestamp":    {string(ours.Timestamp), string(info.UnsignedAttributes.TimestampSignature)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, and %v to notation-core-go", what, pair[0], pair[1])
		}
	}
	for i := range min(len(ours.Chain), len(info.CertificateChain)) {
		if !ours.Chain[i].Equal(info.CertificateChain[i]) {
			t.Errorf("certificate %d is another to notation-core-go", i)
		}
	}
}

// TestBytes holds an envelope against the bytes of one that Notation made, in
// all but the key, the time and the signature.
func TestBytes(t *testing.T) {
	r := request(t, notarytest.Options{})
	data := sign(t, envelope.JWS, r)
	e := parse(t, envelope.JWS, data)
	stamped, err := e.WithTimestamp(token(t, &e.Unverified))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"payload":"eyJ0YXJnZXRBcnRpZmFjdCI6eyJhbm5vdGF0aW9ucyI6ey`,
		// {"alg":"ES256","crit":["io.cncf.notary.signingScheme",
		`","protected":"eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiaW8uY25jZi5ub3Rhcnkuc2lnbmluZ1NjaGVtZSIs`,
		`","header":{"io.cncf.notary.timestampSignature":"MII`,
		`","x5c":["MII`,
		`"],"io.cncf.notary.signingAgent":"fencepost/test"},"signature":"`,
	} {
		if !bytes.Contains(stamped, []byte(want)) {
			t.Errorf("the JWS lacks %s", want)
		}
	}

	e = parse(t, envelope.COSE, sign(t, envelope.COSE, r))
	stamped, err = e.WithTimestamp(token(t, &e.Unverified))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\xd2\x84\x58",
		"\xa6\x01\x26\x02\x82\x78\x1cio.cncf.notary.signingScheme\x75io.cncf.notary.expiry\x03\x78\x2bapplication/vnd",
		"\x75io.cncf.notary.expiry\xc1\x1a", "\x78\x1aio.cncf.notary.signingTime\xc1\x1a", "\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509",
		"\xa3\x18\x21\x83\x59", // x5chain first
		"\x78\x1bio.cncf.notary.signingAgent\x6efencepost/test\x78\x21io.cncf.notary.timestampSignature\x59",
		`{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:73c8`,
	} {
		if !bytes.Contains(stamped, []byte(want)) {
			t.Errorf("the COSE lacks %q", want)
		}
	}
}

// broken is a key that bends what another one does.
type broken struct {
	signer.Signer
	bend func(sig []byte, err error) ([]byte, error)
}

func (b broken) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return b.bend(b.Signer.Sign(ctx, digest, opts))
}

func TestSignRefuses(t *testing.T) {
	good := request(t, notarytest.Options{})
	other, _ := notarytest.Chain(t, notarytest.Options{Name: "Other"})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	boom := errors.New("boom")
	for name, row := range map[string]struct {
		ctx    context.Context
		change func(*envelope.Request)
		want   envelope.Reason
		is     error
	}{
		"no key":              {change: func(r *envelope.Request) { r.Key = nil }, want: envelope.ReasonKey},
		"another key":         {change: func(r *envelope.Request) { r.Key = other }, want: envelope.ReasonKey},
		"no chain":            {change: func(r *envelope.Request) { r.Chain = nil }, want: envelope.ReasonChain},
		"no root":             {change: func(r *envelope.Request) { r.Chain = r.Chain[:2] }, want: envelope.ReasonChain},
		"nil certificate":     {change: func(r *envelope.Request) { r.Chain = []*x509.Certificate{nil} }, want: envelope.ReasonChain},
		"no time":             {change: func(r *envelope.Request) { r.SigningTime = time.Time{} }, want: envelope.ReasonTime},
		"expiry at once":      {change: func(r *envelope.Request) { r.Expiry = signingTime().Add(999 * time.Millisecond) }, want: envelope.ReasonTime},
		"before the chain":    {change: func(r *envelope.Request) { r.SigningTime = pkitest.NotBefore().Add(-time.Second) }, want: envelope.ReasonValidity},
		"after the chain":     {change: func(r *envelope.Request) { r.SigningTime, r.Expiry = pkitest.NotAfter().Add(time.Second), time.Time{} }, want: envelope.ReasonValidity},
		"no payload":          {change: func(r *envelope.Request) { r.Payload = nil }, want: envelope.ReasonPayload},
		"other payload":       {change: func(r *envelope.Request) { r.Payload = []byte(`{"a":1}`) }, want: envelope.ReasonPayload},
		"long agent":          {change: func(r *envelope.Request) { r.Agent = string(make([]byte, 5000)) }, want: envelope.ReasonMalformed},
		"context ended":       {ctx: ended, want: envelope.ReasonKey, is: context.Canceled},
		"key fails":           {change: bendKey(func([]byte, error) ([]byte, error) { return nil, boom }), want: envelope.ReasonKey, is: boom},
		"key returns garbage": {change: bendKey(func([]byte, error) ([]byte, error) { return []byte("garbage"), nil }), want: envelope.ReasonKey},
		"key returns nothing": {change: bendKey(func([]byte, error) ([]byte, error) { return nil, nil }), want: envelope.ReasonKey},
		"key signs wrongly": {change: func(r *envelope.Request) {
			r.Key = broken{r.Key, func([]byte, error) ([]byte, error) {
				return other.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
			}}
		}, want: envelope.ReasonKey},
	} {
		for _, f := range envelope.Formats() {
			r, ctx := good, t.Context()
			if row.ctx != nil {
				ctx = row.ctx
			}
			if row.change != nil {
				row.change(&r)
			}
			data, err := envelope.Sign(ctx, f, r)
			wantReason(t, name+", "+string(f), err, row.want)
			if data != nil || row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("%s, %s: %d bytes and %v, want none and %v", name, f, len(data), err, row.is)
			}
		}
	}
	if _, err := envelope.Sign(t.Context(), "pgp", good); err == nil {
		t.Error("an unknown format is signed")
	}
}

func bendKey(f func([]byte, error) ([]byte, error)) func(*envelope.Request) {
	return func(r *envelope.Request) { r.Key = broken{r.Key, f} }
}

func wantReason(t testing.TB, name string, err error, want envelope.Reason) {
	t.Helper()
	var e *envelope.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: error %v, want an *Error with %s", name, err, want)
		return
	}
	if e.Reason != want {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}

// TestSeconds: what a clock says is cut to what the formats have.
func TestSeconds(t *testing.T) {
	r := request(t, notarytest.Options{})
	r.SigningTime = signingTime().Add(999 * time.Millisecond).In(time.FixedZone("", 3600))
	r.Expiry = time.Time{}
	for _, f := range envelope.Formats() {
		c := verify(t, f, sign(t, f, r))
		if c.SigningTime != signingTime() || !c.Expiry.IsZero() {
			t.Errorf("%s: times %v and %v, want %v and none", f, c.SigningTime, c.Expiry, signingTime())
		}
	}
}
