package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// An envelope is a signature in pieces, which can be changed and put together again.
type envelope struct {
	format    string
	payload   []byte
	protected []byte // JSON or CBOR
	header    map[string]any
	x5c       [][]byte
	signature []byte
}

// Keys of what is not signed.
const (
	timestampKey = "io.cncf.notary.timestampSignature"
	agentKey     = "io.cncf.notary.signingAgent"
)

// chainLabel is the label of the certificates in a COSE header (RFC 9360, 2).
const chainLabel = 33

// coseSign1 is the tag of COSE_Sign1 (RFC 9052, 2).
const coseSign1 = 18

// jwsFile is an envelope in JSON.
type jwsFile struct {
	Payload   string         `json:"payload"`
	Protected string         `json:"protected"`
	Header    map[string]any `json:"header"`
	Signature string         `json:"signature"`
}

// openEnvelope takes a signature to pieces.
func openEnvelope(t *testing.T, format string, data []byte) *envelope {
	t.Helper()
	e := &envelope{format: format, header: make(map[string]any)}
	if format == "jws" {
		var file jwsFile
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		e.payload, e.protected, e.signature = decode64(t, file.Payload), decode64(t, file.Protected), decode64(t, file.Signature)
		for key, value := range file.Header {
			switch text, _ := value.(string); key {
			case "x5c":
				for _, cert := range value.([]any) {
					e.x5c = append(e.x5c, decodeStd(t, cert.(string)))
				}
			case timestampKey:
				e.header[key] = decodeStd(t, text)
			default:
				e.header[key] = value
			}
		}
		return e
	}
	var tagged struct {
		_         struct{} `cbor:",toarray"`
		Protected []byte
		Header    map[any]any
		Payload   []byte
		Signature []byte
	}
	var tag cbor.RawTag
	if err := cbor.Unmarshal(data, &tag); err != nil {
		t.Fatal(err)
	}
	if err := cbor.Unmarshal(tag.Content, &tagged); err != nil {
		t.Fatal(err)
	}
	e.payload, e.protected, e.signature = tagged.Payload, tagged.Protected, tagged.Signature
	for key, value := range tagged.Header {
		if label, ok := key.(uint64); ok && label == chainLabel {
			for _, cert := range value.([]any) {
				e.x5c = append(e.x5c, cert.([]byte))
			}
			continue
		}
		e.header[key.(string)] = value
	}
	return e
}

// bytes puts the pieces together.
func (e *envelope) bytes(t *testing.T) []byte {
	t.Helper()
	var out []byte
	var err error
	if e.format == "jws" {
		header := maps.Clone(e.header)
		if token, ok := header[timestampKey].([]byte); ok {
			header[timestampKey] = base64.StdEncoding.EncodeToString(token)
		}
		header["x5c"] = e.x5c
		enc := base64.RawURLEncoding.EncodeToString
		out, err = json.Marshal(jwsFile{Payload: enc(e.payload), Protected: enc(e.protected), Header: header, Signature: enc(e.signature)})
	} else {
		header := map[any]any{chainLabel: e.x5c}
		for key, value := range e.header {
			header[key] = value
		}
		out, err = cbor.Marshal(cbor.Tag{Number: coseSign1, Content: []any{e.protected, header, e.payload, e.signature}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode64(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decodeStd(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// token is the timestamp of an envelope that has one.
func (e *envelope) token(t *testing.T) []byte {
	t.Helper()
	token, _ := e.header[timestampKey].([]byte)
	if len(token) == 0 {
		t.Fatal("the signature has no timestamp")
	}
	return token
}

// An alteration changes a signature. What comes of it is what fails, or "" if nothing does.
type alteration struct {
	name   string
	change func(t *testing.T, e, other *envelope) // other is the same signer's signature of another image
	failed string
	ours   string // what fails of it in our words, where they differ
}

// expect is what fails of it in the words of n.
func (a alteration) expect(n notary) string {
	if _, ok := n.(own); ok && a.ours != "" {
		return a.ours
	}
	return a.failed
}

var alterations = []alteration{
	{"nothing", func(*testing.T, *envelope, *envelope) {}, "", ""},
	{"the agent", func(_ *testing.T, e, _ *envelope) { e.header[agentKey] = "somebody/1.0" }, "", ""},
	{"no agent", func(_ *testing.T, e, _ *envelope) { delete(e.header, agentKey) }, "", ""},
	{"the payload", func(t *testing.T, e, _ *envelope) {
		e.payload = replace(t, e.payload, "sha256:", "sha512:")
	}, "integrity", ""},
	{"the payload of another", func(_ *testing.T, e, other *envelope) { e.payload = other.payload }, "integrity", ""},
	{"the protected header", func(t *testing.T, e, _ *envelope) {
		e.protected = replace(t, e.protected, "notary.payload.v1+json", "notary.payload.v2+json")
	}, "integrity", ""},
	{"the scheme", func(t *testing.T, e, _ *envelope) {
		e.protected = replace(t, e.protected, "notary.x509", "notary.x508")
	}, "integrity", ""},
	{"the signature", func(_ *testing.T, e, _ *envelope) { e.signature = flip(e.signature, 10) }, "integrity", ""},
	{"the signature of another", func(_ *testing.T, e, other *envelope) { e.signature = other.signature }, "integrity", ""},
	{"an empty signature", func(_ *testing.T, e, _ *envelope) { e.signature = []byte{} }, "integrity", ""},
	{"no root", func(_ *testing.T, e, _ *envelope) { e.x5c = e.x5c[:2] }, "integrity", ""},
	{"the leaf only", func(_ *testing.T, e, _ *envelope) { e.x5c = e.x5c[:1] }, "integrity", ""},
	{"no certificate", func(_ *testing.T, e, _ *envelope) { e.x5c = [][]byte{} }, "integrity", ""},
	{"the order of the certificates", func(_ *testing.T, e, _ *envelope) { slices.Reverse(e.x5c) }, "integrity", ""},
	{"a certificate", func(_ *testing.T, e, _ *envelope) { e.x5c[0] = flip(e.x5c[0], 10) }, "integrity", ""},
	{"a certificate twice", func(_ *testing.T, e, _ *envelope) { e.x5c = append(e.x5c, e.x5c[2]) }, "integrity", ""},
	{"no timestamp", func(_ *testing.T, e, _ *envelope) { delete(e.header, timestampKey) }, "authenticTimestamp", ""},
	// To Notation it is none; ours calls it malformed whether the policy wants timestamps or not.
	{"an empty timestamp", func(_ *testing.T, e, _ *envelope) { e.header[timestampKey] = []byte{} }, "authenticTimestamp", "integrity"},
	{"the timestamp of another", func(t *testing.T, e, other *envelope) { e.header[timestampKey] = other.token(t) }, "authenticTimestamp", ""},
	{"the signature of the timestamp", func(t *testing.T, e, _ *envelope) {
		e.header[timestampKey] = flip(e.token(t), 10)
	}, "authenticTimestamp", ""},
	{"bytes after the timestamp", func(t *testing.T, e, _ *envelope) {
		e.header[timestampKey] = append(bytes.Clone(e.token(t)), 0)
	}, "authenticTimestamp", ""},
	{"the response for the timestamp", func(t *testing.T, e, _ *envelope) {
		// TimeStampResp with the status granted and the token (RFC 3161, 2.4.2): what other formats keep.
		e.header[timestampKey] = derSequence(append([]byte{0x30, 0x03, 0x02, 0x01, 0x00}, e.token(t)...))
	}, "authenticTimestamp", ""},
}

// derSequence is a DER SEQUENCE of 256 to 65535 bytes.
func derSequence(content []byte) []byte {
	return append([]byte{0x30, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

// replace replaces a text that has to be there.
func replace(t *testing.T, data []byte, text, by string) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte(text)) {
		t.Fatalf("no %s in %q", text, data)
	}
	return bytes.Replace(data, []byte(text), []byte(by), 1)
}
