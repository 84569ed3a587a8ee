package show_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/show"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

const artifact = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

// token makes a token over a signature, with certificates of the leaf and its
// issuer.
func token(t *testing.T, signature []byte, bend func(*tsptest.Forge)) []byte {
	t.Helper()
	digest := sha256.Sum256(signature)
	imprint, err := tsp.NewImprint(crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	f := tsptest.NewForge(t, pkitest.Options{Name: "Stamp"})
	f.Request = tsp.NewRequest(imprint)
	f.Data = func(d *tsptest.DataFields) { d.Certificates = d.Certificates[:1] }
	if bend != nil {
		bend(f)
	}
	der, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// signed is a parsed envelope with a timestamp.
func signed(t *testing.T, f envelope.Format) *envelope.Envelope {
	t.Helper()
	key, chain := notarytest.Chain(t, notarytest.Options{Name: "Signer", Key: signer.P256, Depth: 2})
	payload, err := envelope.MarshalPayload(envelope.Target{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: artifact, Size: 16724,
		Annotations: map[string]string{"io.wabbit-networks.buildId": "123", "a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := envelope.Sign(t.Context(), f, envelope.Request{
		Payload: payload, Key: key, Chain: chain, Agent: "fencepost/1.2.3",
		SigningTime: time.Date(2026, 1, 2, 3, 4, 4, 0, time.FixedZone("", 3600)), Expiry: time.Date(2027, 1, 2, 3, 4, 4, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Parse(f, data)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = e.WithTimestamp(token(t, e.Unverified.Signature, nil)); err != nil {
		t.Fatal(err)
	}
	if e, err = envelope.Parse(f, data); err != nil {
		t.Fatal(err)
	}
	return e
}

// values are those of a rendering that no text can have: fingerprints.
func values(t *testing.T, e *envelope.Envelope) *strings.Replacer {
	t.Helper()
	tok, err := tsp.ParseToken(e.Unverified.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(der []byte) string {
		s := sha256.Sum256(der)
		return hex.EncodeToString(s[:])
	}
	return strings.NewReplacer("%leaf", sum(e.Unverified.Chain[0].Raw), "%root", sum(e.Unverified.Chain[1].Raw),
		"%tsa", sum(tok.Certificates[0]), "%serial", tok.UnverifiedInfo.Serial.Hex(), "%type", e.Format.MediaType())
}

const tree = `Inspecting all signatures for signed artifact
localhost:5000/net-monitor@sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9
└── application/vnd.cncf.notary.signature
    ├── sha256:aaaa
    │   ├── signature algorithm: ECDSA-SHA-256
    │   ├── signature envelope type: %type
    │   ├── signed attributes
    │   │   ├── content type: application/vnd.cncf.notary.payload.v1+json
    │   │   ├── signing scheme: notary.x509
    │   │   ├── signing time: Fri Jan  2 02:04:04 2026
    │   │   └── expiry: Sat Jan  2 03:04:04 2027
    │   ├── user defined attributes
    │   │   ├── a: b
    │   │   └── io.wabbit-networks.buildId: 123
    │   ├── unsigned attributes
    │   │   ├── signing agent: fencepost/1.2.3
    │   │   └── timestamp signature
    │   │       ├── timestamp: [Fri Jan  2 03:04:04 2026, Fri Jan  2 03:04:06 2026]
    │   │       ├── accuracy: 1s
    │   │       ├── policy: Sigstore timestamp authority (1.3.6.1.4.1.57264.2)
    │   │       ├── serial number: %serial
    │   │       ├── hash: SHA-256
    │   │       └── certificates
    │   │           └── SHA256 fingerprint: %tsa
    │   │               ├── issued to: CN=Stamp TSA,O=Fencepost Tests,C=XX
    │   │               ├── issued by: CN=Stamp Issuing CA,O=Fencepost Tests,C=XX
    │   │               └── expiry: Sat Jan  1 00:00:00 2050
    │   ├── certificates
    │   │   ├── SHA256 fingerprint: %leaf
    │   │   │   ├── issued to: CN=Signer,O=Fencepost Tests,ST=WA,C=US
    │   │   │   ├── issued by: CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US
    │   │   │   └── expiry: Sat Jan  1 00:00:00 2050
    │   │   └── SHA256 fingerprint: %root
    │   │       ├── issued to: CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US
    │   │       ├── issued by: CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US
    │   │       └── expiry: Sat Jan  1 00:00:00 2050
    │   └── signed artifact
    │       ├── media type: application/vnd.oci.image.manifest.v1+json
    │       ├── digest: sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9
    │       └── size: 16724
    └── sha256:bbbb
        └── error: its blob is not there
`

const document = `{
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "signatures": [
    {
      "digest": "sha256:aaaa",
      "signatureAlgorithm": "ECDSA-SHA-256",
      "signatureEnvelopeType": "%type",
      "signedAttributes": {
        "contentType": "application/vnd.cncf.notary.payload.v1+json",
        "expiry": "2027-01-02T03:04:04Z",
        "signingScheme": "notary.x509",
        "signingTime": "2026-01-02T02:04:04Z"
      },
      "userDefinedAttributes": {
        "a": "b",
        "io.wabbit-networks.buildId": "123"
      },
      "unsignedAttributes": {
        "signingAgent": "fencepost/1.2.3",
        "timestampSignature": {
          "timestamp": "[2026-01-02T03:04:04.678Z, 2026-01-02T03:04:06.678Z]",
          "certificates": [
            {
              "SHA256Fingerprint": "%tsa",
              "issuedTo": "CN=Stamp TSA,O=Fencepost Tests,C=XX",
              "issuedBy": "CN=Stamp Issuing CA,O=Fencepost Tests,C=XX",
              "expiry": "2050-01-01T00:00:00Z"
            }
          ],
          "genTime": "2026-01-02T03:04:05.678Z",
          "accuracySeconds": 1,
          "policy": {
            "oid": "1.3.6.1.4.1.57264.2",
            "name": "Sigstore timestamp authority"
          },
          "serialNumber": "%serial",
          "hash": "SHA-256"
        }
      },
      "certificates": [
        {
          "SHA256Fingerprint": "%leaf",
          "issuedTo": "CN=Signer,O=Fencepost Tests,ST=WA,C=US",
          "issuedBy": "CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US",
          "expiry": "2050-01-01T00:00:00Z"
        },
        {
          "SHA256Fingerprint": "%root",
          "issuedTo": "CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US",
          "issuedBy": "CN=Signer CA 1,O=Fencepost Tests,ST=WA,C=US",
          "expiry": "2050-01-01T00:00:00Z"
        }
      ],
      "signedArtifact": {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        "size": 16724
      }
    },
    {
      "digest": "sha256:bbbb",
      "signatureAlgorithm": "",
      "signatureEnvelopeType": "",
      "signedAttributes": {},
      "userDefinedAttributes": null,
      "unsignedAttributes": {},
      "certificates": [],
      "signedArtifact": {
        "mediaType": "",
        "digest": "",
        "size": 0
      },
      "error": "its blob is not there"
    }
  ],
  "reference": "localhost:5000/net-monitor@sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
}
`

// TestImage holds the tree and the JSON, line by line, against what Notation's
// main branch writes, and what is added.
func TestImage(t *testing.T) {
	for _, f := range envelope.Formats() {
		e := signed(t, f)
		image := &show.Image{
			Reference: "localhost:5000/net-monitor@" + artifact, MediaType: "application/vnd.oci.image.manifest.v1+json",
			Signatures: []*show.Signature{show.Describe("sha256:aaaa", e), show.Unreadable("sha256:bbbb", errors.New("its blob is not there"))},
		}
		var got bytes.Buffer
		if err := image.Write(&got); err != nil {
			t.Fatal(err)
		}
		if want := values(t, e).Replace(tree); got.String() != want {
			t.Errorf("%s: the tree is\n%s\nwant\n%s", f, got.String(), want)
		}
		data, err := cli.MarshalJSON(image)
		if err != nil {
			t.Fatal(err)
		}
		if want := values(t, e).Replace(document); string(data) != want {
			t.Errorf("%s: the JSON is\n%s\nwant\n%s", f, data, want)
		}
	}
}

func TestNoSignature(t *testing.T) {
	image := &show.Image{Reference: "host/repo@sha256:1\x1b[2J", Signatures: []*show.Signature{}}
	var got bytes.Buffer
	if err := image.Write(&got); err != nil || got.String() != "host/repo@sha256:1�[2J has no associated signature\n" {
		t.Errorf("%q, %v", got.String(), err)
	}
	data, err := json.Marshal(image)
	if err != nil || !strings.Contains(string(data), `"signatures":[]`) {
		t.Errorf("%s, %v", data, err)
	}
}

// content is a minimal one, made by hand, as nobody would sign it.
func content() envelope.Content {
	return envelope.Content{
		PayloadType: envelope.PayloadType,
		Payload:     []byte(`{"targetArtifact":{"mediaType":"application/octet-stream","digest":"` + artifact + `","size":3}}`),
		Scheme:      envelope.SchemeX509, SigningTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Algorithm: envelope.Algorithm{Name: "PS384", Hash: crypto.SHA384}, Signature: []byte("signature"),
	}
}

// TestLines holds single lines of the tree of a signature in a file.
func TestLines(t *testing.T) {
	for _, test := range []struct {
		name string
		bend func(*envelope.Content)
		want []string // lines, in their order
		not  string   // what must not be there
	}{
		{"plain", func(*envelope.Content) {}, []string{
			"├── signature algorithm: RSASSA-PSS-SHA-384", "├── signature envelope type: application/jose+json", "│   └── signing time: Fri Jan  2 03:04:05 2026",
			"├── user defined attributes", "│   └── (empty)", "├── unsigned attributes", "├── certificates", "└── signed artifact", "    └── size: 3"}, "timestamp signature"},
		{"signing authority", func(c *envelope.Content) {
			c.Scheme, c.AuthenticSigningTime, c.SigningTime = envelope.SchemeSigningAuthority, c.SigningTime, time.Time{}
		}, []string{"│   ├── signing scheme: notary.x509.signingAuthority", "│   └── signing time: Fri Jan  2 03:04:05 2026"}, ""},
		{"extended attributes", func(c *envelope.Content) {
			c.Extended = []envelope.Attribute{{Key: "z", Value: "1"}, {Key: "a", Value: int64(2), Critical: true}, {Key: "expiry", Value: "never"}}
		}, []string{"│   ├── signing time: Fri", "│   ├── z: 1", "│   ├── a: 2", "│   └── expiry: never"}, ""},
		{"an unknown algorithm", func(c *envelope.Content) { c.Algorithm = envelope.Algorithm{Name: "RS256"} },
			[]string{"├── signature algorithm: RS256"}, ""},
		{"no payload", func(c *envelope.Content) { c.Payload = []byte("{") }, []string{"└── signed artifact", "    └── error: the payload cannot be read: "}, "media type"},
		{"hostile", func(c *envelope.Content) {
			c.Agent = "evil\x1b]0;x\a\nsha256:forged"
			c.Extended = []envelope.Attribute{{Key: "a\x1b[2J", Value: "b\r\u202ec"}}
			c.PayloadType = "x\ty"
		}, []string{"│   ├── content type: x�y", "│   └── a�[2J: b��c", "    signing agent: evil�]0;x��sha256:forged"}, "\x1b"},
		{"long", func(c *envelope.Content) { c.Agent = strings.Repeat("é", 100_000) }, []string{"é… (200000 bytes)"}, strings.Repeat("é", 501)},
		{"no token", func(c *envelope.Content) { c.Timestamp = []byte("invalid") },
			[]string{"    └── timestamp signature", "        └── error: failed to parse timestamp countersignature: "}, "timestamp: "},
		{"the token of another signature", func(c *envelope.Content) { c.Timestamp = token(t, []byte("another"), nil) },
			[]string{"        ├── error: failed to parse timestamp countersignature: it stamps something else", "        ├── accuracy: 1s", "        └── certificates"}, "timestamp: ["},
		{"no accuracy", func(c *envelope.Content) {
			c.Timestamp = token(t, c.Signature, func(f *tsptest.Forge) { f.Info = func(i *tsptest.InfoFields) { i.Accuracy = nil } })
		}, []string{"        ├── timestamp: [Fri Jan  2 03:04:05 2026, Fri Jan  2 03:04:05 2026]", "        ├── accuracy: not stated"}, "by its policy"},
		{"no accuracy, by the policy of ETSI", func(c *envelope.Content) {
			c.Timestamp = token(t, c.Signature, func(f *tsptest.Forge) {
				f.Info = func(i *tsptest.InfoFields) {
					i.Accuracy = nil
					policy, err := asn1.Marshal(asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1})
					if err != nil {
						t.Fatal(err)
					}
					i.Policy = policy
				}
			})
		}, []string{"        ├── timestamp: [Fri Jan  2 03:04:04 2026, Fri Jan  2 03:04:06 2026]", "        ├── accuracy: not stated, 1s by its policy",
			"        ├── policy: ETSI best-practices time-stamp policy (0.4.0.2023.1.1)"}, ""},
		{"a certificate that is none", func(c *envelope.Content) {
			c.Timestamp = token(t, c.Signature, func(f *tsptest.Forge) {
				f.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{{0x30, 0x03, 0x02, 0x01, 0x00}} }
			})
		}, []string{"        └── certificates", "            └── SHA256 fingerprint: ", "                └── error: x509: "}, "issued to"},
	} {
		c := content()
		test.bend(&c)
		s := show.Describe("", &envelope.Envelope{Format: envelope.JWS, Unverified: c})
		var got bytes.Buffer
		if err := s.Tree("file.jws.sig").Write(&got); err != nil {
			t.Fatal(err)
		}
		rest := got.String()
		if !strings.HasPrefix(rest, "file.jws.sig\n") {
			t.Errorf("%s: the tree begins with %.40q", test.name, rest)
		}
		for _, line := range test.want {
			_, after, ok := strings.Cut(rest, strings.TrimPrefix(line, "    "))
			if !ok {
				t.Errorf("%s: no line %q, or not where it belongs, in\n%.4000s", test.name, line, got.String())
				break
			}
			rest = after
		}
		if test.not != "" && strings.Contains(got.String(), test.not) {
			t.Errorf("%s: %.60q is in\n%.4000s", test.name, test.not, got.String())
		}
		if _, err := cli.MarshalJSON(s); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestExtendedAttributes holds that an attribute cannot take the place of one
// that Notation defines, and is not lost.
func TestExtendedAttributes(t *testing.T) {
	c := content()
	for _, key := range []string{"contentType", "signingScheme", "signingTime", "expiry", "other"} {
		c.Extended = append(c.Extended, envelope.Attribute{Key: key, Value: "forged", Critical: key == "other"})
	}
	s := show.Describe("", &envelope.Envelope{Format: envelope.COSE, Unverified: c})
	got, err := json.Marshal(s.SignedAttributes)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"contentType":%q,"other":"forged","signingScheme":"notary.x509","signingTime":"2026-01-02T03:04:05Z"}`, envelope.PayloadType)
	if string(got) != want {
		t.Errorf("signedAttributes %s, want %s", got, want)
	}
	if len(s.ExtendedAttributes) != 5 || !s.ExtendedAttributes[4].Critical || s.ExtendedAttributes[0].Critical {
		t.Errorf("extendedAttributes %+v", s.ExtendedAttributes)
	}
}

func TestList(t *testing.T) {
	empty := show.NewList("host/repo@sha256:1", "application/vnd.oci.image.index.v1+json")
	var got bytes.Buffer
	if err := empty.Write(&got); err != nil || got.String() != "host/repo@sha256:1 has no associated signatures\n" {
		t.Errorf("%q, %v", got.String(), err)
	}
	l := show.NewList("host/repo@sha256:1", "application/vnd.oci.image.index.v1+json")
	l.Add(envelope.ArtifactType, show.Listed{Digest: "sha256:2"})
	l.Add("application/vnd.dev.cosign.simplesigning.v1+json", show.Listed{Digest: "sha256:3", Tag: "sha256-1.sig"})
	l.Add(envelope.ArtifactType, show.Listed{Digest: "sha256:4", Error: "not\nthere"})
	got.Reset()
	if err := l.Write(&got); err != nil {
		t.Fatal(err)
	}
	want := `host/repo@sha256:1
├── application/vnd.cncf.notary.signature
│   ├── sha256:2
│   └── sha256:4
│       └── error: not�there
└── application/vnd.dev.cosign.simplesigning.v1+json
    └── sha256:3 (sha256-1.sig)
`
	if got.String() != want {
		t.Errorf("the list is\n%s\nwant\n%s", got.String(), want)
	}
	data, err := json.Marshal(empty)
	if err != nil || string(data) != `{"reference":"host/repo@sha256:1","mediaType":"application/vnd.oci.image.index.v1+json","formats":[]}` {
		t.Errorf("%s, %v", data, err)
	}
}
