// Package show describes Notary Project signatures to people and to programs:
// as the tree that "notation inspect" draws, and as the JSON that it writes, in
// the words and the order of Notation's main branch. It has no effects, and
// trusts nothing: what is shown is what an envelope says, which nobody has
// verified.
//
//	image := &show.Image{Reference: ref, MediaType: manifest.MediaType}
//	image.Signatures = append(image.Signatures, show.Describe(digest, envelope))
//	image.Write(os.Stdout)     // the tree
//	env.WriteJSON(image)       // or the JSON
//
// What Notation does not show stands under names that it does not use: about a
// timestamp the policy, the serial number, the accuracy and the hash; that an
// attribute is critical; why one signature of several cannot be read, where
// Notation gives up on all.
package show

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
)

// A Signature is what an envelope says. It is a member of the JSON of "image
// inspect", and all of that of "blob inspect".
type Signature struct {
	// Digest is that of the signature's manifest; absent for a file.
	Digest string `json:"digest,omitempty"`
	// SignatureAlgorithm is such as "RSASSA-PSS-SHA-256".
	SignatureAlgorithm string `json:"signatureAlgorithm"`
	// SignatureEnvelopeType is a media type.
	SignatureEnvelopeType string `json:"signatureEnvelopeType"`
	// SignedAttributes has contentType, signingScheme, signingTime, expiry if
	// there is one, and the extended attributes under their own names.
	SignedAttributes map[string]any `json:"signedAttributes"`
	// UserDefinedAttributes is null if there are none.
	UserDefinedAttributes map[string]string  `json:"userDefinedAttributes"`
	UnsignedAttributes    UnsignedAttributes `json:"unsignedAttributes"`
	Certificates          []Certificate      `json:"certificates"`
	SignedArtifact        Artifact           `json:"signedArtifact"`

	// ExtendedAttributes are those that neither Notation nor this program
	// knows, in the order of the envelope. An extended attribute that has the
	// name of another is here only.
	ExtendedAttributes []Attribute `json:"extendedAttributes,omitempty"`
	// Error says why nothing, or not all, is shown.
	Error string `json:"error,omitempty"`

	unreadable bool // Error is all there is
}

// UnsignedAttributes are those that anybody on the way may have changed.
type UnsignedAttributes struct {
	SigningAgent       string     `json:"signingAgent,omitempty"`
	TimestampSignature *Timestamp `json:"timestampSignature,omitempty"`
}

// An Attribute is an extended attribute.
type Attribute struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Critical bool   `json:"critical"`
}

// A Certificate is one of a chain, or one that came with a timestamp.
type Certificate struct {
	// SHA256Fingerprint is hexadecimal.
	SHA256Fingerprint string `json:"SHA256Fingerprint"`
	// IssuedTo and IssuedBy are names in the form of RFC 2253.
	IssuedTo string    `json:"issuedTo"`
	IssuedBy string    `json:"issuedBy"`
	Expiry   time.Time `json:"expiry"`
	// Error says why the certificate cannot be read; all but the fingerprint is
	// empty then.
	Error string `json:"error,omitempty"`
}

// An Artifact is what was signed.
type Artifact struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"` // in octets
}

// Describe says what an envelope holds. digest is that of its manifest, "" for
// one in a file.
func Describe(digest string, e *envelope.Envelope) *Signature {
	c := &e.Unverified
	s := &Signature{
		Digest:                digest,
		SignatureAlgorithm:    algorithmName(c.Algorithm.Name),
		SignatureEnvelopeType: e.Format.MediaType(),
		SignedAttributes: map[string]any{
			"contentType":   c.PayloadType,
			"signingScheme": string(c.Scheme),
			"signingTime":   signingTime(c),
		},
		UnsignedAttributes: UnsignedAttributes{SigningAgent: c.Agent},
		Certificates:       certificates(c.Chain),
	}
	if !c.Expiry.IsZero() {
		s.SignedAttributes["expiry"] = c.Expiry.UTC()
	}
	for _, a := range c.Extended {
		text := fmt.Sprint(a.Value)
		s.ExtendedAttributes = append(s.ExtendedAttributes, Attribute{Key: a.Key, Value: text, Critical: a.Critical})
		if _, taken := s.SignedAttributes[a.Key]; !taken && a.Key != "expiry" {
			s.SignedAttributes[a.Key] = text
		}
	}
	if c.Timestamp != nil {
		s.UnsignedAttributes.TimestampSignature = describeTimestamp(c.Timestamp, c.Signature)
	}
	target, err := envelope.ParsePayload(c.Payload)
	if err != nil {
		s.Error = "the payload cannot be read: " + err.Error()
	}
	s.SignedArtifact = Artifact{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	if len(target.Annotations) > 0 {
		s.UserDefinedAttributes = target.Annotations
	}
	return s
}

// Unreadable stands for a signature that cannot be shown.
func Unreadable(digest string, err error) *Signature {
	return &Signature{
		Digest: digest, SignedAttributes: map[string]any{}, Certificates: []Certificate{},
		Error: err.Error(), unreadable: true,
	}
}

// signingTime is the one that the scheme has: a signing authority vouches for
// its own.
func signingTime(c *envelope.Content) time.Time {
	if c.SigningTime.IsZero() {
		return c.AuthenticSigningTime.UTC()
	}
	return c.SigningTime.UTC()
}

// algorithmName is the name that Notation shows for one of JOSE or COSE; both
// have the same.
func algorithmName(name string) string {
	if len(name) == len("ES256") {
		switch family, bits := name[:2], name[2:]; family {
		case "ES":
			return "ECDSA-SHA-" + bits
		case "PS":
			return "RSASSA-PSS-SHA-" + bits
		}
	}
	return name
}

func certificates(chain []*x509.Certificate) []Certificate {
	out := make([]Certificate, len(chain))
	for i, c := range chain {
		out[i] = Certificate{
			SHA256Fingerprint: fingerprint(c.Raw), IssuedTo: c.Subject.String(), IssuedBy: c.Issuer.String(), Expiry: c.NotAfter.UTC(),
		}
	}
	return out
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
