package notary_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/notaryproject/notation-core-go/signature"
	"github.com/opencontainers/go-digest"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// The times of most tests. The certificates are valid from 2020 to 2050.
func signedAt() time.Time  { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }
func stampedAt() time.Time { return signedAt().Add(time.Minute) }
func verifyAt() time.Time  { return signedAt().Add(14 * day) }

const day = 24 * time.Hour

// target is the artifact of most tests.
func target() envelope.Target {
	return envelope.Target{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("image").String(), Size: 5}
}

// A draft is a signature as the Notary Project's own library makes it, and what
// is done to it then.
type draft struct {
	by         notarytest.Options
	of         envelope.Target // the zero value means target()
	expiry     time.Time
	scheme     signature.SigningScheme // empty means that of X.509
	attributes []signature.Attribute

	stamped time.Time      // zero: there is no timestamp
	tsa     *tsptest.Forge // nil means that of authority()
	bend    func(t testing.TB, p *parts)
}

// authority is the TSA of most tests; its root is authorityRoot.
func authority(t testing.TB) *tsptest.Forge { return tsptest.NewForge(t, pkitest.Options{}) }

func authorityRoot(t testing.TB, f *tsptest.Forge) *x509.Certificate {
	t.Helper()
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// make makes the envelope.
func (d draft) make(t testing.TB, format envelope.Format) []byte {
	t.Helper()
	_, chain := notarytest.Chain(t, d.by)
	by, err := signature.NewLocalSigner(chain, notarytest.Key(t, d.by, 0))
	if err != nil {
		t.Fatal(err)
	}
	if d.of.Digest == "" {
		d.of = target()
	}
	payload, err := envelope.MarshalPayload(d.of)
	if err != nil {
		t.Fatal(err)
	}
	if d.scheme == "" {
		d.scheme = signature.SigningSchemeX509
	}
	made, err := signature.NewEnvelope(format.MediaType())
	if err != nil {
		t.Fatal(err)
	}
	data, err := made.Sign(&signature.SignRequest{
		Payload: signature.Payload{ContentType: envelope.PayloadType, Content: payload}, Signer: by, SigningTime: signedAt(),
		Expiry: d.expiry, ExtendedSignedAttributes: d.attributes, SigningAgent: "notation-go/1.3.2", SigningScheme: d.scheme,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := dissect(t, format, data)
	if !d.stamped.IsZero() {
		p.token = d.stamp(t, p.signature)
	}
	if d.bend != nil {
		d.bend(t, p)
	}
	return p.join(t, format)
}

// stamp returns a token over a signature value.
func (d draft) stamp(t testing.TB, value []byte) []byte {
	t.Helper()
	_, chain := notarytest.Chain(t, d.by)
	h, err := envelope.HashFor(chain[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	forge := d.tsa
	if forge == nil {
		forge = authority(t)
	}
	return tokenOver(t, forge, value, h, d.stamped)
}

func tokenOver(t testing.TB, forge *tsptest.Forge, value []byte, h crypto.Hash, at time.Time) []byte {
	t.Helper()
	imprint, err := tsp.ReadImprint(h, bytes.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	f := *forge
	f.Request, f.Time = tsp.NewRequest(imprint), at
	token, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// parse makes the envelope and reads it.
func (d draft) parse(t testing.TB, format envelope.Format) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Parse(format, d.make(t, format))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// parts are those of an envelope of either format.
type parts struct {
	protected, payload, signature, token []byte
	chain                                [][]byte
	agent                                string
}

type jws struct {
	Payload   string `json:"payload"`
	Protected string `json:"protected"`
	Header    struct {
		Timestamp []byte   `json:"io.cncf.notary.timestampSignature,omitempty"`
		Chain     [][]byte `json:"x5c"`
		Agent     string   `json:"io.cncf.notary.signingAgent,omitempty"`
	} `json:"header"`
	Signature string `json:"signature"`
}

type sign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[any]any
	Payload     []byte
	Signature   []byte
}

func dissect(t testing.TB, format envelope.Format, data []byte) *parts {
	t.Helper()
	if format == envelope.JWS {
		var doc jws
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		p := &parts{chain: doc.Header.Chain, token: doc.Header.Timestamp, agent: doc.Header.Agent}
		for to, from := range map[*[]byte]string{&p.protected: doc.Protected, &p.payload: doc.Payload, &p.signature: doc.Signature} {
			var err error
			if *to, err = base64.RawURLEncoding.DecodeString(from); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	var doc sign1
	if err := cbor.Unmarshal(data[1:], &doc); err != nil { // behind the tag
		t.Fatal(err)
	}
	p := &parts{protected: doc.Protected, payload: doc.Payload, signature: doc.Signature}
	for _, der := range doc.Unprotected[uint64(33)].([]any) {
		p.chain = append(p.chain, der.([]byte))
	}
	p.token, _ = doc.Unprotected["io.cncf.notary.timestampSignature"].([]byte)
	p.agent, _ = doc.Unprotected["io.cncf.notary.signingAgent"].(string)
	return p
}

func (p *parts) join(t testing.TB, format envelope.Format) []byte {
	t.Helper()
	if format == envelope.JWS {
		var doc jws
		doc.Protected, doc.Payload, doc.Signature = base64.RawURLEncoding.EncodeToString(p.protected), base64.RawURLEncoding.EncodeToString(p.payload), base64.RawURLEncoding.EncodeToString(p.signature)
		doc.Header.Timestamp, doc.Header.Chain, doc.Header.Agent = p.token, p.chain, p.agent
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	doc := sign1{Protected: p.protected, Payload: p.payload, Signature: p.signature, Unprotected: map[any]any{33: p.chain, "io.cncf.notary.signingAgent": p.agent}}
	if p.token != nil {
		doc.Unprotected["io.cncf.notary.timestampSignature"] = p.token
	}
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := mode.Marshal(cbor.Tag{Number: 18, Content: doc})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// flip changes one bit in the middle.
func flip(b []byte) []byte {
	out := slices.Clone(b)
	out[len(out)/2] ^= 1
	return out
}
