package authority_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// FuzzRespond holds that any input has an answer that parses, that the answer
// to what is no request is a refusal, and that a token answers its request.
func FuzzRespond(f *testing.F) {
	a := newAuthority(f, config(f, pkitest.TSA(f, pkitest.Options{})))
	_, in := request(f, nil)
	f.Add(in)
	f.Add(in[:len(in)-1])
	f.Add(append(bytes.Clone(in), 0))
	for _, change := range []func(*tsp.Request){
		func(r *tsp.Request) { r.CertReq = false },
		func(r *tsp.Request) { r.Nonce = nil },
		func(r *tsp.Request) { r.Nonce = tsp.Integer{0x80, 0} },
		func(r *tsp.Request) { r.Policy = parseOID(f, testPolicy) },
		func(r *tsp.Request) { r.Policy = parseOID(f, "1.2.3") },
	} {
		_, in := request(f, change)
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, out := a.Respond(t.Context(), in)
		r, err := tsp.ParseResponse(reply)
		if err != nil {
			t.Fatalf("reply does not parse: %v\n%x", err, reply)
		}
		if !bytes.Equal(r.Raw, reply) {
			t.Fatalf("reply is not DER: %x", reply)
		}
		req, err := tsp.ParseRequest(in)
		if out.Granted() != (r.Token != nil) || err != nil && out.Granted() {
			t.Fatalf("granted %v, token %v, request: %v", out.Granted(), r.Token != nil, err)
		}
		if !out.Granted() {
			if errors.Is(out.Rejection, tsp.SystemFailure) {
				t.Fatalf("systemFailure: %v", out.Rejection)
			}
			return
		}
		info := r.Token.UnverifiedInfo
		if !info.Imprint.Equal(req.Imprint) || !info.Nonce.Equal(req.Nonce) || len(req.Extensions) > 0 ||
			!bytes.Equal(info.Imprint.RawAlgorithm(), req.Imprint.RawAlgorithm()) {
			t.Fatalf("token %x does not answer %x", reply, in)
		}
		if (len(r.Token.Certificates) > 0) != req.CertReq {
			t.Fatalf("certReq %v, %d certificates", req.CertReq, len(r.Token.Certificates))
		}
	})
}
