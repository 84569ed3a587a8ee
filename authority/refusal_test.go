package authority_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// internalFailure is what the world is told of every systemFailure.
const internalFailure = "the timestamp authority cannot answer because of an internal failure"

// checkRefusal holds that reply and outcome are a refusal with the given
// failure information and text; an empty text is not compared.
func checkRefusal(t *testing.T, reply []byte, out tsp.Outcome, info tsp.FailureInfo, text string) {
	t.Helper()
	r, err := tsp.ParseResponse(reply)
	if err != nil {
		t.Fatalf("reply is malformed: %v\n%x", err, reply)
	}
	if r.Token != nil || r.Rejection == nil {
		t.Fatalf("a token was issued, want %v", info)
	}
	if r.Status != tsp.StatusRejection || r.Rejection.Info != info {
		t.Errorf("reply is %v, %v; want a rejection with %v", r.Status, r.Rejection, info)
	}
	if text != "" && r.Rejection.Text != text {
		t.Errorf("statusString is %q, want %q", r.Rejection.Text, text)
	}
	if r.Rejection.Text == "" {
		t.Error("there is no statusString")
	}
	if out.Granted() || out.Rejection == nil || !errors.Is(out.Rejection, info) {
		t.Errorf("outcome is %v, want %v", out.Rejection, info)
	}
	if out.Token != nil || out.Serial != nil || !out.GenTime.IsZero() || out.Accuracy != 0 || out.SigningCertificate != nil || !oid.IsZero(out.Policy) {
		t.Errorf("the outcome of a refusal has parts of a token: %+v", out)
	}
}

func TestRefusals(t *testing.T) {
	a := newAuthority(t, config(t, pkitest.TSA(t, pkitest.Options{})))
	_, good := request(t, nil)
	// build makes a request of the given elements after the version.
	build := func(elements ...[]byte) []byte {
		return der.Make(der.TagSequence, append([][]byte{der.AppendInt(nil, 1)}, elements...)...)
	}
	imprint := func(hash string, parameters []byte, digest []byte) []byte {
		return der.Make(der.TagSequence,
			der.Make(der.TagSequence, der.Make(der.TagOID, []byte(hash)), parameters),
			der.Make(der.TagOctetString, digest))
	}
	sum := make([]byte, 32)
	plain := imprint(oid.SHA256, nil, sum)
	extension := func(critical bool) []byte {
		_, in := request(t, func(r *tsp.Request) {
			r.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Critical: critical, Value: []byte{0x30, 0}}}
		})
		return in
	}
	policy := func(id x509.OID) []byte {
		_, in := request(t, func(r *tsp.Request) { r.Policy = id })
		return in
	}
	for _, test := range []struct {
		name    string
		request []byte
		info    tsp.FailureInfo
		text    string
	}{
		{"nothing", nil, tsp.BadDataFormat, ""},
		{"text", []byte("GET / HTTP/1.1"), tsp.BadDataFormat, ""},
		{"cut off", good[:len(good)-1], tsp.BadDataFormat, ""},
		{"trailing byte", append(bytes.Clone(good), 0), tsp.BadDataFormat, "1 bytes after the request"},
		{"indefinite length", append(append([]byte{0x30, 0x80}, good[2:]...), 0, 0), tsp.BadDataFormat, ""},
		{"length not minimal", append([]byte{0x30, 0x81, byte(len(good) - 2)}, good[2:]...), tsp.BadDataFormat, ""},
		{"version 0", der.Make(der.TagSequence, der.AppendInt(nil, 0), plain), tsp.BadRequest, "version 0 is not supported, only 1 is"},
		{"version 2", der.Make(der.TagSequence, der.AppendInt(nil, 2), plain), tsp.BadRequest, "version 2 is not supported, only 1 is"},
		{"giant request", make([]byte, tsp.MaxMessage+1), tsp.BadDataFormat, ""},

		{"SHA-1", build(imprint(oid.SHA1, []byte{5, 0}, make([]byte, sha1.Size))), tsp.BadAlg, "hash algorithm SHA-1 is not accepted, only SHA-256, SHA-384, SHA-512"},
		{"MD5", build(imprint(oid.MD5, nil, make([]byte, 16))), tsp.BadAlg, "hash algorithm MD5 is not accepted, only SHA-256, SHA-384, SHA-512"},
		{"SHA-224", build(imprint(oid.SHA224, nil, make([]byte, 28))), tsp.BadAlg, "hash algorithm SHA-224 is not accepted, only SHA-256, SHA-384, SHA-512"},
		{"SHA3-256, not offered", build(imprint(oid.SHA3_256, nil, sum)), tsp.BadAlg, "hash algorithm SHA3-256 is not accepted, only SHA-256, SHA-384, SHA-512"},
		{"a signature algorithm", build(imprint(oid.SHA256WithRSA, []byte{5, 0}, sum)), tsp.BadAlg, "hash algorithm 1.2.840.113549.1.1.11 is not accepted, only SHA-256, SHA-384, SHA-512"},
		{"hash parameters", build(imprint(oid.SHA256, []byte{2, 1, 0}, sum)), tsp.BadAlg, ""},
		{"digest too short", build(imprint(oid.SHA256, nil, sum[1:])), tsp.BadDataFormat, "messageImprint: digest is 31 bytes long, SHA-256 needs 32"},
		{"digest too long", build(imprint(oid.SHA384, nil, make([]byte, 49))), tsp.BadDataFormat, "messageImprint: digest is 49 bytes long, SHA-384 needs 48"},
		{"no digest", build(imprint(oid.SHA256, nil, nil)), tsp.BadDataFormat, ""},

		{"another policy", policy(parseOID(t, "1.2.3.4")), tsp.UnacceptedPolicy, "policy 1.2.3.4 is not offered"},
		{"longer policy", policy(parseOID(t, testPolicy+".1")), tsp.UnacceptedPolicy, "policy " + testPolicy + ".1 is not offered"},
		{"giant policy", build(plain, der.Make(der.TagOID, bytes.Repeat([]byte{1}, oid.MaxLen))), tsp.UnacceptedPolicy, ""},
		{"policy beyond all", build(plain, der.Make(der.TagOID, bytes.Repeat([]byte{1}, oid.MaxLen+1))), tsp.BadDataFormat, ""},

		{"nonce of 65 octets", build(plain, der.Make(der.TagInteger, bytes.Repeat([]byte{1}, 65))), tsp.BadRequest, "nonce: 65 octets, at most 64 are accepted"},
		{"nonce not minimal", build(plain, []byte{2, 2, 0, 1}), tsp.BadDataFormat, "nonce: not a minimal DER INTEGER"},
		{"nonce twice", build(plain, []byte{2, 1, 1}, []byte{2, 1, 1}), tsp.BadDataFormat, ""},
		{"certReq of another TRUE", build(plain, []byte{1, 1, 1}), tsp.BadDataFormat, ""},
		{"extension", extension(false), tsp.UnacceptedExtension, "extension 1.3.6.1.5.5.7.1.3 is not supported"},
		{"critical extension", extension(true), tsp.UnacceptedExtension, "extension 1.3.6.1.5.5.7.1.3 is not supported"},
		{"trailing element", build(plain, []byte{4, 0}), tsp.BadDataFormat, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			reply, out := a.Respond(t.Context(), test.request)
			checkRefusal(t, reply, out, test.info, test.text)
			if len(reply) > 500 {
				t.Errorf("the refusal has %d octets", len(reply))
			}
			if out.ClockState != "" || out.Signing != 0 {
				t.Errorf("clock or signer were asked: %+v", out)
			}
		})
	}
}

// TestEndedContext holds that nothing is issued for who no longer waits.
func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newAuthority(t, config(t, pkitest.TSA(t, pkitest.Options{})))
	_, in := request(t, nil)
	reply, out := a.Respond(ctx, in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if !errors.Is(out.Rejection, context.Canceled) {
		t.Errorf("cause is %v", out.Rejection.Err)
	}
}

// TestRecord holds that a token leaves only when it was recorded.
func TestRecord(t *testing.T) {
	errDisk := errors.New("disk full")
	for _, test := range []struct {
		name  string
		err   error
		cause string
	}{
		{"recorded", nil, ""},
		{"not recorded", errDisk, "disk full"},
		// A Rejection from a callback is no answer to the requester.
		{"not recorded, with a Rejection", tsp.Reject(tsp.BadAlg, "secret"), "secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var recorded, observed []tsp.Outcome
			cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
			cfg.Record = func(_ context.Context, out tsp.Outcome) error {
				recorded = append(recorded, out)
				return test.err
			}
			cfg.Observe = func(out tsp.Outcome) { observed = append(observed, out) }
			a := newAuthority(t, cfg)
			_, in := request(t, nil)
			reply, out := a.Respond(t.Context(), in)
			if len(recorded) != 1 || !recorded[0].Granted() || len(observed) != 1 {
				t.Fatalf("recorded %d, observed %d outcomes", len(recorded), len(observed))
			}
			if observed[0].Granted() != out.Granted() {
				t.Errorf("observed %v, returned %v", observed[0].Rejection, out.Rejection)
			}
			if test.err == nil {
				if !out.Granted() || !bytes.Equal(recorded[0].Token, out.Token) {
					t.Errorf("the token recorded is not the one released: %v", out.Rejection)
				}
			} else {
				checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
				if !strings.Contains(out.Rejection.Err.Error(), test.cause) {
					t.Errorf("cause is %v", out.Rejection.Err)
				}
			}
			// A refusal is observed and not recorded.
			_, out = a.Respond(t.Context(), nil)
			if len(recorded) != 1 || len(observed) != 2 || observed[1].Rejection != out.Rejection {
				t.Errorf("after a refusal: recorded %d, observed %d outcomes", len(recorded), len(observed))
			}
		})
	}
}
