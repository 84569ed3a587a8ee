package show

import (
	"cmp"
	"fmt"
	"io"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
)

// A List is an artifact with the digests of its signatures, whatever their
// format. It is the JSON of "image list".
type List struct {
	// Reference is the artifact with its digest, such as "host/repo@sha256:…".
	Reference string `json:"reference"`
	// MediaType is that of the artifact's manifest.
	MediaType string `json:"mediaType"`
	// Formats are those that there are signatures of, in the order of [List.Add].
	Formats []*Format `json:"formats"`
}

// A Format is a kind of signature.
type Format struct {
	// ArtifactType names it, such as "application/vnd.cncf.notary.signature".
	ArtifactType string   `json:"artifactType"`
	Signatures   []Listed `json:"signatures"`
}

// A Listed is a signature by its digest.
type Listed struct {
	Digest string `json:"digest"`
	// Tag is the one under which it was found, for a format that stores
	// signatures under tags.
	Tag string `json:"tag,omitempty"`
	// Error says what is wrong with it, where that was found on the way.
	Error string `json:"error,omitempty"`
}

// NewList returns a list that has no signature yet.
func NewList(reference, mediaType string) *List {
	return &List{Reference: reference, MediaType: mediaType, Formats: []*Format{}}
}

// Add appends a signature to those of its format.
func (l *List) Add(artifactType string, s Listed) {
	for _, f := range l.Formats {
		if f.ArtifactType == artifactType {
			f.Signatures = append(f.Signatures, s)
			return
		}
	}
	l.Formats = append(l.Formats, &Format{ArtifactType: artifactType, Signatures: []Listed{s}})
}

// Write draws the list: the artifact, each format, the digests.
func (l *List) Write(w io.Writer) error {
	if len(l.Formats) == 0 {
		_, err := fmt.Fprintln(w, cli.Printable(l.Reference+" has no associated signatures"))
		return err
	}
	root := &inspect.Node{Text: l.Reference}
	for _, f := range l.Formats {
		format := root.Add(cmp.Or(short(f.ArtifactType), "(of a type that is not known)"))
		for _, s := range f.Signatures {
			text := short(s.Digest)
			if s.Tag != "" {
				text += " (" + short(s.Tag) + ")"
			}
			n := format.Add(text)
			if s.Error != "" {
				pair(n, "error", s.Error)
			}
		}
	}
	return root.Write(w)
}
