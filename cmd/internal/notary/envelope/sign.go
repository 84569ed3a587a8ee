package envelope

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"maps"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/fencepost-tsa/fencepost/signer"
)

// A Request is what is to be signed, by whom.
type Request struct {
	// Payload is what [MarshalPayload] returned.
	Payload []byte
	// Key signs. An RSA key is asked for RSASSA-PSS.
	Key signer.Signer
	// Chain is that of Key, leaf first and root last.
	Chain []*x509.Certificate
	// SigningTime is required, and cut to whole seconds, as Expiry is.
	SigningTime time.Time
	// Expiry is after the SigningTime; zero means that there is none.
	Expiry time.Time
	// Agent names the program that signs; empty means that it does not say.
	Agent string
}

// Sign makes an envelope under the scheme [SchemeX509], without a timestamp;
// see [Envelope.WithTimestamp]. What it returns has been parsed and verified.
//
// An error is an *Error. If the key did not sign, it has [ReasonKey] and wraps
// the error of the key, and so that of ctx.
func Sign(ctx context.Context, f Format, r Request) ([]byte, error) {
	want, err := ParsePayload(r.Payload)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	data, err := r.build(ctx, f)
	if err != nil {
		return nil, err
	}
	e, err := Parse(f, data)
	if err != nil {
		return nil, err
	}
	content, err := e.Verify()
	var wrong *Error
	switch {
	case errors.As(err, &wrong) && wrong.Reason == ReasonSignature:
		return nil, failed(ReasonKey, err, "what the key signed does not verify")
	case err != nil:
		return nil, err
	}
	// A size beyond 2^53 is rounded where JSON passes through floating point.
	if got, err := ParsePayload(content.Payload); err != nil || !got.equal(want) {
		return nil, fail(ReasonPayload, "the format %s cannot hold it exactly", f)
	}
	return data, nil
}

func (t Target) equal(o Target) bool {
	return t.MediaType == o.MediaType && t.Digest == o.Digest && t.Size == o.Size && maps.Equal(t.Annotations, o.Annotations)
}

func (r *Request) check() error {
	r.SigningTime, r.Expiry = r.SigningTime.UTC().Truncate(time.Second), r.Expiry.UTC().Truncate(time.Second)
	switch {
	case r.Key == nil:
		return fail(ReasonKey, "there is no key")
	case r.SigningTime.IsZero():
		return fail(ReasonTime, "there is no signing time")
	case !r.Expiry.IsZero() && !r.Expiry.After(r.SigningTime):
		return fail(ReasonTime, "the expiry, %s, is not after the signing time, %s", rfc3339(r.Expiry), rfc3339(r.SigningTime))
	case len(r.Agent) > maxAgent:
		return fail(ReasonMalformed, "the signing agent has %d bytes; at most %d are written", len(r.Agent), maxAgent)
	case len(r.Chain) == 0:
		return fail(ReasonChain, "there is no certificate")
	}
	if err := CheckChain(r.Chain, r.SigningTime); err != nil {
		return err
	}
	if pub, ok := r.Key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(r.Chain[0].PublicKey) {
		return fail(ReasonKey, "the key is not that of the first certificate, %q", r.Chain[0].Subject)
	}
	return nil
}

// build has notation-core-go make the envelope, which fixes its bytes.
func (r *Request) build(ctx context.Context, f Format) ([]byte, error) {
	var made signature.Envelope
	switch f {
	case JWS:
		made = jws.NewEnvelope()
	case COSE:
		made = cose.NewEnvelope()
	default:
		return nil, fail(ReasonMalformed, "unknown format %q", f)
	}
	key := &adapter{chain: r.Chain, sign: func(message []byte) ([]byte, error) { return r.sign(ctx, message) }}
	data, err := made.Sign(&signature.SignRequest{
		Payload:       signature.Payload{ContentType: PayloadType, Content: r.Payload},
		Signer:        key,
		SigningTime:   r.SigningTime,
		Expiry:        r.Expiry,
		SigningAgent:  r.Agent,
		SigningScheme: signature.SigningSchemeX509,
	})
	switch {
	case key.err != nil: // of which notation-core-go keeps the text alone
		return nil, failed(ReasonKey, key.err, "the key did not sign")
	case err != nil:
		return nil, failed(ReasonMalformed, err, "%s", f)
	}
	return data, nil
}

// sign returns the signature of a message as an envelope has it.
func (r *Request) sign(ctx context.Context, message []byte) ([]byte, error) {
	pub := r.Chain[0].PublicKey
	hash, err := HashFor(pub)
	if err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(message)
	sig, err := r.Key.Sign(ctx, h.Sum(nil), signatureOptions(pub, hash))
	if err != nil {
		return nil, err
	}
	return rawSignature(pub, sig)
}

// adapter is a key as notation-core-go wants it, for one signature.
type adapter struct {
	chain []*x509.Certificate
	sign  func(message []byte) ([]byte, error)
	err   error // of sign
}

// KeySpec implements signature.Signer.
func (a *adapter) KeySpec() (signature.KeySpec, error) { return signature.ExtractKeySpec(a.chain[0]) }

// Sign implements signature.Signer.
func (a *adapter) Sign(message []byte) ([]byte, []*x509.Certificate, error) {
	var sig []byte
	sig, a.err = a.sign(message)
	return sig, a.chain, a.err
}

var _ signature.Signer = (*adapter)(nil)
