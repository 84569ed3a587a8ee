package show

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
)

// maxLine is how much of a value is drawn, in bytes. Values of an envelope may
// have megabytes; JSON has all of them.
const maxLine = 1000

// An Image is an artifact with its signatures. It is the JSON of "image
// inspect".
type Image struct {
	// MediaType is that of the artifact's manifest.
	MediaType  string       `json:"mediaType"`
	Signatures []*Signature `json:"signatures"`
	// Reference is the artifact with its digest, such as "host/repo@sha256:…".
	Reference string `json:"reference"`
}

// Write draws the signatures of an artifact as "notation inspect" does.
func (i *Image) Write(w io.Writer) error {
	if len(i.Signatures) == 0 {
		_, err := fmt.Fprintln(w, cli.Printable(i.Reference+" has no associated signature"))
		return err
	}
	if _, err := fmt.Fprintln(w, "Inspecting all signatures for signed artifact"); err != nil {
		return err
	}
	root := &inspect.Node{Text: i.Reference}
	format := root.Add(envelope.ArtifactType)
	for _, s := range i.Signatures {
		format.Children = append(format.Children, s.Tree(s.Digest))
	}
	return root.Write(w)
}

// Tree is what is drawn of one signature, below a name: a digest or a file.
func (s *Signature) Tree(name string) *inspect.Node {
	root := &inspect.Node{Text: name}
	if s.unreadable {
		pair(root, "error", s.Error)
		return root
	}
	pair(root, "signature algorithm", s.SignatureAlgorithm)
	pair(root, "signature envelope type", s.SignatureEnvelopeType)
	s.growSigned(root.Add("signed attributes"))
	user := root.Add("user defined attributes")
	for _, key := range slices.Sorted(maps.Keys(s.UserDefinedAttributes)) {
		pair(user, key, s.UserDefinedAttributes[key])
	}
	if len(s.UserDefinedAttributes) == 0 {
		user.Add("(empty)")
	}
	unsigned := root.Add("unsigned attributes")
	if agent := s.UnsignedAttributes.SigningAgent; agent != "" {
		pair(unsigned, "signing agent", agent)
	}
	if t := s.UnsignedAttributes.TimestampSignature; t != nil {
		t.grow(unsigned.Add("timestamp signature"))
	}
	growCertificates(root, s.Certificates)
	artifact := root.Add("signed artifact")
	if s.Error != "" {
		pair(artifact, "error", s.Error)
		return root
	}
	pair(artifact, "media type", s.SignedArtifact.MediaType)
	pair(artifact, "digest", s.SignedArtifact.Digest)
	pair(artifact, "size", strconv.FormatInt(s.SignedArtifact.Size, 10))
	return root
}

func (s *Signature) growSigned(n *inspect.Node) {
	for _, known := range []struct{ key, name string }{
		{"contentType", "content type"},
		{"signingScheme", "signing scheme"},
		{"signingTime", "signing time"},
		{"expiry", "expiry"},
	} {
		switch value := s.SignedAttributes[known.key].(type) {
		case time.Time:
			pair(n, known.name, value.Format(time.ANSIC))
		case string:
			pair(n, known.name, value)
		}
	}
	for _, a := range s.ExtendedAttributes {
		pair(n, a.Key, a.Value)
	}
}

func (t *Timestamp) grow(n *inspect.Node) {
	if t.Error != "" {
		pair(n, "error", t.Error)
	} else {
		pair(n, "timestamp", interval(t.lower, t.upper, time.ANSIC))
	}
	if t.Info != nil {
		accuracy := "not stated"
		if t.AccuracySeconds != nil {
			accuracy = time.Duration(*t.AccuracySeconds * float64(time.Second)).String()
		} else if t.accuracy > 0 {
			accuracy = fmt.Sprintf("not stated, %s by its policy", t.accuracy)
		}
		pair(n, "accuracy", accuracy)
		pair(n, "policy", t.Policy.String())
		pair(n, "serial number", t.SerialNumber)
		pair(n, "hash", t.Hash)
		growCertificates(n, t.Certificates)
	}
}

func growCertificates(n *inspect.Node, certs []Certificate) {
	top := n.Add("certificates")
	for _, c := range certs {
		one := pair(top, "SHA256 fingerprint", c.SHA256Fingerprint)
		if c.Error != "" {
			pair(one, "error", c.Error)
			continue
		}
		pair(one, "issued to", c.IssuedTo)
		pair(one, "issued by", c.IssuedBy)
		pair(one, "expiry", c.Expiry.Format(time.ANSIC))
	}
}

// pair adds "key: value" below n.
func pair(n *inspect.Node, key, value string) *inspect.Node {
	return n.Add(short(key) + ": " + short(value))
}

// short is a value as far as it is drawn.
func short(text string) string {
	if len(text) <= maxLine {
		return text
	}
	end := maxLine
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(text))
}
