package tsphttp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// MaxJSON is the longest request in JSON, in octets. It is that of
// sigstore/timestamp-authority; the longest honest one has some 500.
const MaxJSON = 1024

// maxArcs is the most components that a policy in JSON may have, for each of
// which time and memory are spent before it can be refused.
const maxArcs = 128

// The causes that sigstore/timestamp-authority has a message of its own for.
var (
	errWeakHash     = errors.New("weak hash")
	errDigestLength = errors.New("wrong digest length")
	errPolicyText   = errors.New("malformed policy")
)

// A jsonRequest is the JSON form of a request:
//
//	{"artifactHash": "base64", "hashAlgorithm": "sha256", "nonce": 42,
//	 "certificates": true, "tsaPolicyOID": "1.2.3"}
//
// Each field holds the JSON text of the value, nil when absent.
type jsonRequest struct {
	artifactHash, hashAlgorithm, nonce, certificates, policy json.RawMessage
}

// field returns where the value of a key belongs, nil for a key that is not
// ours. Case does not matter, as it never did to the servers of this form.
func (q *jsonRequest) field(key string) *json.RawMessage {
	switch strings.ToLower(key) {
	case "artifacthash":
		return &q.artifactHash
	case "hashalgorithm":
		return &q.hashAlgorithm
	case "nonce":
		return &q.nonce
	case "certificates":
		return &q.certificates
	case "tsapolicyoid":
		return &q.policy
	}
	return nil
}

// parseJSON turns a request in JSON into one of package tsp. Fields that it
// does not know are let pass: clients have sent their own to servers of this
// form. One of the five twice is refused, because nobody could tell what was
// stamped. Its error is a [*tsp.Rejection].
func parseJSON(body []byte) (*tsp.Request, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, tsp.Reject(tsp.BadDataFormat, "request is empty")
	}
	q, err := splitJSON(body)
	if err != nil {
		return nil, err
	}
	req := &tsp.Request{Version: 1}
	if req.Imprint, err = q.imprint(); err != nil {
		return nil, err
	}
	if !absent(q.certificates) && json.Unmarshal(q.certificates, &req.CertReq) != nil {
		return nil, tsp.Reject(tsp.BadDataFormat, "certificates: not true or false")
	}
	if !absent(q.nonce) {
		if err := jsonInteger(q.nonce); err != nil {
			return nil, err
		}
		if req.Nonce, err = tsp.ParseInteger(string(q.nonce)); err != nil {
			return nil, tsp.Reject(tsp.BadRequest, "nonce: more than %d octets", tsp.MaxInteger)
		}
	}
	var policy string
	if !absent(q.policy) && json.Unmarshal(q.policy, &policy) != nil {
		return nil, tsp.Reject(tsp.BadDataFormat, "tsaPolicyOID: not a string")
	}
	if policy != "" {
		if strings.Count(policy, ".") >= maxArcs {
			return nil, malformedPolicy("more than 128 components")
		}
		if req.Policy, err = x509.ParseOID(policy); err != nil {
			return nil, malformedPolicy("not an object identifier in dotted form")
		}
	}
	return req, nil
}

func malformedPolicy(why string) *tsp.Rejection {
	r := tsp.Reject(tsp.BadDataFormat, "tsaPolicyOID: %s", why)
	r.Err = errPolicyText
	return r
}

// splitJSON takes the one object that body must be apart.
func splitJSON(body []byte) (*jsonRequest, error) {
	malformed := func(why string) (*jsonRequest, error) {
		return nil, tsp.Reject(tsp.BadDataFormat, "request is not a JSON object: %s", why)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return malformed("does not begin with a brace")
	}
	q := &jsonRequest{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return malformed("malformed key")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return malformed("malformed value")
		}
		field := q.field(key.(string))
		switch {
		case field == nil:
		case *field != nil:
			return nil, tsp.Reject(tsp.BadDataFormat, "%s: given twice", strings.ToLower(key.(string)))
		default:
			*field = value
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed("not closed")
	}
	if _, err := dec.Token(); err != io.EOF {
		return malformed("something follows it")
	}
	return q, nil
}

// absent reports whether a value is missing, which null is another way to say.
func absent(value json.RawMessage) bool { return value == nil || string(value) == "null" }

// jsonInteger refuses a JSON value that is not a number without fraction and
// exponent.
func jsonInteger(value json.RawMessage) error {
	digits := bytes.TrimPrefix(value, []byte("-"))
	if len(digits) == 0 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return tsp.Reject(tsp.BadDataFormat, "nonce: not a JSON integer")
	}
	return nil
}

// imprint reads artifactHash and hashAlgorithm.
func (q *jsonRequest) imprint() (tsp.Imprint, error) {
	var name, text string
	if absent(q.hashAlgorithm) || json.Unmarshal(q.hashAlgorithm, &name) != nil {
		return tsp.Imprint{}, tsp.Reject(tsp.BadAlg, "hashAlgorithm: missing or not a string")
	}
	hash, err := hashByName(name)
	if err != nil {
		return tsp.Imprint{}, err
	}
	if !absent(q.artifactHash) && json.Unmarshal(q.artifactHash, &text) != nil {
		return tsp.Imprint{}, tsp.Reject(tsp.BadDataFormat, "artifactHash: not a string")
	}
	digest, ok := decodeBase64(text)
	if !ok {
		return tsp.Imprint{}, tsp.Reject(tsp.BadDataFormat, "artifactHash: not base64")
	}
	if len(digest) != hash.Size() {
		r := tsp.Reject(tsp.BadDataFormat, "artifactHash: %d bytes long, %v needs %d", len(digest), hash, hash.Size())
		r.Err = errDigestLength
		return tsp.Imprint{}, r
	}
	m, err := tsp.NewImprint(hash, digest)
	if err != nil {
		return tsp.Imprint{}, tsp.Reject(tsp.BadAlg, "hashAlgorithm: %v", hash)
	}
	return m, nil
}

// hashByName knows the names of hash functions with and without hyphen, in
// any letter case.
func hashByName(name string) (crypto.Hash, error) {
	switch strings.ToLower(name) {
	case "sha256", "sha-256":
		return crypto.SHA256, nil
	case "sha384", "sha-384":
		return crypto.SHA384, nil
	case "sha512", "sha-512":
		return crypto.SHA512, nil
	case "sha3-256", "sha3256":
		return crypto.SHA3_256, nil
	case "sha3-384", "sha3384":
		return crypto.SHA3_384, nil
	case "sha3-512", "sha3512":
		return crypto.SHA3_512, nil
	case "sha1", "sha-1":
		r := tsp.Reject(tsp.BadAlg, "hashAlgorithm: SHA-1 is too weak")
		r.Err = errWeakHash
		return 0, r
	}
	return 0, tsp.Reject(tsp.BadAlg, "hashAlgorithm: not one of sha256, sha384, sha512, sha3-256, sha3-384, sha3-512")
}

// decodeBase64 decodes the standard alphabet, the URL-safe one or, as the
// documentation of sigstore/timestamp-authority shows it, both in one text;
// padded or not; line breaks anywhere.
func decodeBase64(text string) ([]byte, bool) {
	text = strings.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		case '\r', '\n':
			return -1
		}
		return r
	}, text)
	enc := base64.RawStdEncoding
	if strings.HasSuffix(text, "=") {
		enc = base64.StdEncoding
	}
	out, err := enc.Strict().DecodeString(text)
	return out, err == nil
}

// A jsonReply is the answer to a request in JSON that asked for JSON.
type jsonReply struct {
	Status    string      `json:"status"`    // "granted"
	Timestamp []byte      `json:"timestamp"` // TimeStampResp, base64
	GenTime   string      `json:"genTime"`   // RFC 3339, UTC
	Serial    string      `json:"serial"`    // decimal: too long for a JSON number
	Policy    string      `json:"policy"`    // dotted
	Accuracy  json.Number `json:"accuracy"`  // seconds
}
