package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// decodeBase64 decodes what is not empty and has one form only: without line
// ends, which the standard library would skip.
func decodeBase64(s string) ([]byte, error) {
	switch {
	case s == "":
		return nil, errors.New("empty")
	case strings.ContainsAny(s, "\r\n"):
		return nil, errors.New("a line end in base64")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// A signRequest is what is sent for one signature.
type signRequest struct {
	body    []byte
	suffix  string // of the path: the hash, with its slash
	version int
}

// newSignRequest writes the body of a request. Its digest and options have
// been checked.
func newSignRequest(digest []byte, opts crypto.SignerOpts, isRSA bool, version int) (signRequest, error) {
	r := signRequest{version: version}
	b := make([]byte, 0, 200+base64.StdEncoding.EncodedLen(len(digest)))
	b = append(b, `{"input":"`...)
	b = base64.StdEncoding.AppendEncode(b, digest)
	b = append(b, `","key_version":`...)
	b = strconv.AppendInt(b, int64(version), 10)
	switch opts.HashFunc() {
	case crypto.SHA256:
		r.suffix = "/sha2-256"
	case crypto.SHA384:
		r.suffix = "/sha2-384"
	default:
		// Ed25519, too, whose own hash it is: the engine does not look at it
		// there, and one line in a policy then serves every type of key.
		r.suffix = "/sha2-512"
	}
	if opts.HashFunc() != 0 {
		b = append(b, `,"prehashed":true,"marshaling_algorithm":"asn1"`...)
	}
	if isRSA {
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			salt := strconv.Itoa(pss.SaltLength)
			switch {
			case pss.SaltLength == rsa.PSSSaltLengthAuto:
				salt = "auto"
			case pss.SaltLength == rsa.PSSSaltLengthEqualsHash:
				salt = "hash"
			case pss.SaltLength < 0:
				return signRequest{}, fault.New(fault.Unsupported, opSign, "a PSS salt of %d bytes", pss.SaltLength).
					WithHint("ask for a salt as long as the hash")
			}
			b = append(b, `,"signature_algorithm":"pss","salt_length":"`+salt+`"`...)
		} else {
			// Without it the engine makes PSS signatures.
			b = append(b, `,"signature_algorithm":"pkcs1v15"`...)
		}
	}
	r.body = append(b, '}')
	return r, nil
}

// sign makes one signature with one token.
func (e *engine) sign(ctx context.Context, token string, r signRequest) ([]byte, error) {
	body, err := e.do(ctx, token, request{op: opSign, method: http.MethodPost, path: e.mount + "/sign/" + e.key + r.suffix, body: r.body})
	if err != nil {
		return nil, e.explainKey(err)
	}
	signature, err := parseSignature(body, r.version)
	if err != nil {
		return nil, e.malformed(opSign, err)
	}
	return signature, nil
}

// parseSignature reads "vault:vN:BASE64" from an answer, where N is the
// version that was asked for.
func parseSignature(body []byte, version int) ([]byte, error) {
	var answer struct {
		Data struct {
			Signature string `json:"signature"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	const prefix = "vault:v"
	rest, ok := strings.CutPrefix(answer.Data.Signature, prefix)
	number, encoded, found := strings.Cut(rest, ":")
	if !ok || !found {
		return nil, fmt.Errorf("signature: %.20q; want the form %sN:BASE64", answer.Data.Signature, prefix)
	}
	if number != strconv.Itoa(version) {
		return nil, fmt.Errorf("signature: made with version %.20q; want version %d", number, version)
	}
	signature, err := decodeBase64(encoded)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return signature, nil
}
