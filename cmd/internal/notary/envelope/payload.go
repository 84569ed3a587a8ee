package envelope

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	// The hashes of digests that are checked.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// reservedPrefix begins the annotations that the Notary Project keeps for
// itself (signature specification, "Payload").
const reservedPrefix = "io.cncf.notary"

// A Target is the artifact that is signed: a descriptor of an OCI manifest or
// of a file, with the metadata that a user has signed along.
type Target struct {
	MediaType string `json:"mediaType"`
	// Digest is in the form of OCI, "sha256:" and hexadecimal digits.
	Digest string `json:"digest"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Annotations are the user's metadata; nil if there is none.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// payload is the document of [PayloadType].
type payload struct {
	TargetArtifact Target `json:"targetArtifact"`
}

// MarshalPayload returns the payload that names a target. It refuses
// annotations that the Notary Project keeps for itself. An error is an *Error
// with [ReasonPayload].
func MarshalPayload(t Target) ([]byte, error) {
	for _, key := range slices.Sorted(maps.Keys(t.Annotations)) {
		switch {
		case strings.HasPrefix(key, reservedPrefix):
			return nil, fail(ReasonPayload, "user metadata %.100q: names that begin with %s are reserved", key, reservedPrefix)
		case !utf8.ValidString(key), !utf8.ValidString(t.Annotations[key]):
			return nil, fail(ReasonPayload, "user metadata %.100q is not UTF-8", key)
		}
	}
	if !utf8.ValidString(t.MediaType) {
		return nil, fail(ReasonPayload, "media type %.100q is not UTF-8", t.MediaType)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(payload{t})
	if err != nil {
		return nil, failed(ReasonPayload, err, "payload")
	}
	if len(doc) > maxPayload {
		return nil, fail(ReasonPayload, "%d bytes; at most %d are signed", len(doc), maxPayload)
	}
	return doc, nil
}

// ParsePayload reads a payload. Members that it does not know are let pass, as
// is metadata with a reserved name, which Notation signs if it is in the
// descriptor. An error is an *Error with [ReasonPayload].
func ParsePayload(doc []byte) (Target, error) {
	t, err := parsePayload(doc)
	var e *Error
	switch {
	case errors.As(err, &e):
		return Target{}, &Error{Reason: ReasonPayload, Detail: "payload: " + e.Detail, Err: e.Err}
	case err != nil:
		return Target{}, failed(ReasonPayload, err, "payload")
	}
	return t, nil
}

func parsePayload(doc []byte) (t Target, err error) {
	if len(doc) > maxPayload {
		return t, fail(ReasonPayload, "%d bytes; at most %d are read", len(doc), maxPayload)
	}
	if err := checkJSON(doc); err != nil {
		return t, err
	}
	if err := uniqueNames(doc); err != nil {
		return t, err
	}
	found, err := members(doc, "targetArtifact")
	if err != nil {
		return t, err
	}
	for _, m := range found {
		if m.name != "targetArtifact" {
			continue
		}
		if _, err := members(m.value, "mediaType", "digest", "size", "annotations"); err != nil {
			return t, within("targetArtifact", err)
		}
		if err := json.Unmarshal(m.value, &t); err != nil {
			return t, failed(ReasonPayload, err, "targetArtifact")
		}
		return t, t.check()
	}
	return t, fail(ReasonPayload, "targetArtifact is missing")
}

// check holds the fields to the OCI image specification, "Content Descriptors".
func (t Target) check() error {
	if t.MediaType == "" {
		return fail(ReasonPayload, "targetArtifact: mediaType is missing")
	}
	if err := digest.Digest(t.Digest).Validate(); err != nil {
		return failed(ReasonPayload, err, "targetArtifact: digest %.140q", t.Digest)
	}
	if t.Size < 0 {
		return fail(ReasonPayload, "targetArtifact: size is %d", t.Size)
	}
	return nil
}
