package envelope

import (
	"bytes"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// WithTimestamp returns the envelope with another timestamp token, or its
// first. Only that attribute, which is not signed, is written: the rest of the
// envelope stays as it is, byte for byte, unknown members included. The
// envelope has to verify, and the result has been parsed and verified.
//
// The token is the bare TimeStampToken, not the TimeStampResp around it, and
// has to be one over the signature of this envelope. Whether it is worth
// anything is not asked. An error is an *Error, [ReasonTimestamp] if it is
// about the token.
func (e *Envelope) WithTimestamp(token []byte) ([]byte, error) {
	before, err := e.Verify()
	if err != nil {
		return nil, err
	}
	if err := before.checkToken(token); err != nil {
		return nil, err
	}
	data, err := e.splice(token)
	if err != nil {
		return nil, err
	}
	stamped, err := e.cache.Parse(e.Format, data)
	if err != nil {
		return nil, err
	}
	after, err := stamped.Verify()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(after.Timestamp, token) || !bytes.Equal(after.Signature, before.Signature) {
		return nil, fail(ReasonTimestamp, "the envelope with the token says something else")
	}
	return data, nil
}

// splice puts a token in, whatever it is.
func (e *Envelope) splice(token []byte) (data []byte, err error) {
	open := e.Raw[e.open.from:e.open.to]
	if e.Format == JWS {
		open, err = withTimestampJWS(open, token)
	} else {
		open, err = withTimestampCOSE(open, token)
	}
	if err != nil {
		return nil, err
	}
	return splice(e.Raw, e.open, open), nil
}

func (c *Content) checkToken(token []byte) error {
	if c.Scheme != SchemeX509 {
		return fail(ReasonTimestamp, "under the signing scheme %s the signer vouches for the time, and nobody looks at a timestamp", c.Scheme)
	}
	if len(token) > maxToken {
		return fail(ReasonTimestamp, "a token of %d bytes; at most %d are read", len(token), maxToken)
	}
	t, err := tsp.ParseToken(token)
	if err != nil {
		if _, other := tsp.ParseResponse(token); other == nil {
			return fail(ReasonTimestamp, "a timestamp response; want the token in it")
		}
		return failed(ReasonTimestamp, err, "the token")
	}
	h := c.Algorithm.Hash.New()
	h.Write(c.Signature)
	want, err := tsp.NewImprint(c.Algorithm.Hash, h.Sum(nil))
	if err != nil {
		return failed(ReasonTimestamp, err, "the imprint")
	}
	if !t.UnverifiedInfo.Imprint.Equal(want) {
		return fail(ReasonTimestamp, "the token is not over the %v of this signature", c.Algorithm.Hash)
	}
	return nil
}
