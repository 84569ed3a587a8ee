package authority

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Respond answers a request with the DER of a TimeStampResp, always. The
// outcome says what happened: a refusal, with its cause for the log, or a
// token, whose octets are those in reply. A panic of the signer, the clock or
// a callback is a systemFailure, and so is a context that ends first.
func (a *Authority) Respond(ctx context.Context, request []byte) (reply []byte, out tsp.Outcome) {
	defer func() {
		if p := recover(); p != nil {
			reply = refuse(&out, panicked(p))
		}
	}()
	reply, err := a.issue(ctx, request, &out)
	if err != nil {
		reply = refuse(&out, err)
	}
	if a.observe != nil {
		a.observe(out)
	}
	return reply, out
}

// refuse makes out that of a refusal and returns the reply.
func refuse(out *tsp.Outcome, err error) []byte {
	*out = tsp.Outcome{
		Rejection:  tsp.AsRejection(err),
		Imprint:    out.Imprint,
		CertReq:    out.CertReq,
		HasNonce:   out.HasNonce,
		Signing:    out.Signing,
		ClockState: out.ClockState,
		ClockBound: out.ClockBound,
	}
	return out.Rejection.Marshal()
}

// issue returns a response with a token, and fills in the outcome as it goes.
// An error that is not a Rejection is a systemFailure.
func (a *Authority) issue(ctx context.Context, request []byte, out *tsp.Outcome) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, systemFailure(fmt.Errorf("authority: before reading the request: %w", err))
	}
	req, err := tsp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	out.Imprint, out.CertReq, out.HasNonce = req.Imprint, req.CertReq, req.Nonce != nil
	policy, err := a.accept(req)
	if err != nil {
		return nil, err
	}
	if out.GenTime, err = a.genTime(ctx, out); err != nil {
		return nil, err
	}
	reply, err := a.stamp(ctx, req, policy, out)
	if err != nil {
		return nil, err
	}
	if err := a.checker.check(reply, req, out); err != nil {
		return nil, systemFailure(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, systemFailure(fmt.Errorf("authority: before releasing the token: %w", err))
	}
	if a.record != nil {
		if err := a.record(ctx, *out); err != nil {
			return nil, systemFailure(fmt.Errorf("authority: recording the token: %w", err))
		}
	}
	return reply, nil
}

// accept checks what is asked for and returns the policy to stamp under.
func (a *Authority) accept(req *tsp.Request) (*policy, error) {
	if !slices.Contains(a.hashes, req.Imprint.Hash) {
		return nil, tsp.Reject(tsp.BadAlg, "hash algorithm %s is not accepted, only %s", req.Imprint.AlgorithmName(), a.hashNames)
	}
	// RFC 3161, 2.4.1: an extension that is not recognised, critical or not.
	if len(req.Extensions) > 0 {
		return nil, tsp.Reject(tsp.UnacceptedExtension, "extension %v is not supported", req.Extensions[0].Id)
	}
	if oid.IsZero(req.Policy) {
		return &a.policies[0], nil
	}
	for i := range a.policies {
		if a.policies[i].id.Equal(req.Policy) {
			return &a.policies[i], nil
		}
	}
	return nil, tsp.Reject(tsp.UnacceptedPolicy, "policy %v is not offered", req.Policy)
}

// stamp makes the response and fills in what was issued.
func (a *Authority) stamp(ctx context.Context, req *tsp.Request, policy *policy, out *tsp.Outcome) ([]byte, error) {
	var text [len("YYYYMMDDhhmmss.fffffffffZ")]byte
	genTime, ok := der.AppendGeneralizedTime(text[:0], out.GenTime)
	if !ok {
		return nil, systemFailure(errors.New("authority: the year is not in 1 to 9999"))
	}
	t, size := a.template, a.scheme.digest.Size()
	f := infoFields{policy: policy, imprint: &req.Imprint, genTime: genTime, nonce: req.Nonce}
	body, _ := t.infoLen(&f)

	// One buffer holds serial number, TSTInfo, its digest, the signed
	// attributes and theirs.
	b := make([]byte, serialLen, serialLen+der.Len(body)+size+len(t.set)+size)
	f.serial = b[:serialLen:serialLen]
	if err := a.drawSerial(f.serial); err != nil {
		return nil, systemFailure(err)
	}
	b = t.appendInfo(b, &f)
	info := b[serialLen:]
	b = a.scheme.appendSum(b, info)
	digest := b[len(b)-size:]
	b = t.appendAttributes(b, digest)
	attributes := b[len(b)-len(t.set):]
	message := attributes
	if !a.scheme.pure {
		b = a.scheme.appendSum(b, attributes)
		message = b[len(b)-size:]
	}

	start := time.Now()
	signature, err := a.signer.Sign(ctx, message, a.scheme.opts())
	out.Signing = time.Since(start)
	if err != nil {
		return nil, systemFailure(fmt.Errorf("%w: %w", ErrSigner, err))
	}
	if len(signature) == 0 || len(signature) > maxSignature {
		return nil, systemFailure(fmt.Errorf("%w: the signature has %d octets", ErrSigner, len(signature)))
	}
	reply, token := t.response(info, attributes, signature, req.CertReq)
	out.Token = token
	out.Policy = policy.id
	out.Serial = f.serial
	out.Accuracy = a.accuracy
	out.SigningCertificate = a.chain[0].Raw
	return reply, nil
}

// maxSignature is longer than the signature of any key accepted here: one of
// RSA with 16384 bits has 2048 octets.
const maxSignature = 4096

// drawSerial fills b with a random positive number. Its second highest bit is
// set, so that all serial numbers have the same length, and 158 bits remain: a
// collision among 2^60 tokens has a chance of one in 2^39.
func (a *Authority) drawSerial(b []byte) error {
	if _, err := io.ReadFull(a.rand, b); err != nil {
		return fmt.Errorf("authority: drawing a serial number: %w", err)
	}
	b[0] = b[0]&0x3f | 0x40
	return nil
}
