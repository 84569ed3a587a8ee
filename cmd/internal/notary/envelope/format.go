package envelope

import "fmt"

// A Format is how an envelope is encoded. Its words are those of the command
// line and of the file names of detached signatures.
type Format string

const (
	// JWS is the flattened JSON serialisation of RFC 7515, 7.2.2.
	JWS Format = "jws"
	// COSE is COSE_Sign1, tagged (RFC 9052, 4.2).
	COSE Format = "cose"
)

const (
	// ArtifactType is that of a manifest whose layer is an envelope.
	ArtifactType = "application/vnd.cncf.notary.signature"
	// PayloadType is the content type of what is signed.
	PayloadType = "application/vnd.cncf.notary.payload.v1+json"
)

// The media types of RFC 7515, 9.2.1 and RFC 9052, 11.3.1.
const (
	mediaTypeJWS  = "application/jose+json"
	mediaTypeCOSE = "application/cose"
)

// Formats returns all formats.
func Formats() []Format { return []Format{JWS, COSE} }

// ParseFormat returns the format of that name, in lower case.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case JWS, COSE:
		return f, nil
	}
	return "", fmt.Errorf("envelope: unknown signature format %.40q; want jws or cose", name)
}

// MediaType returns the media type of an envelope, "" for an unknown format.
func (f Format) MediaType() string {
	switch f {
	case JWS:
		return mediaTypeJWS
	case COSE:
		return mediaTypeCOSE
	}
	return ""
}

// FormatOf returns the format of envelopes with that media type.
func FormatOf(mediaType string) (Format, error) {
	switch mediaType {
	case mediaTypeJWS:
		return JWS, nil
	case mediaTypeCOSE:
		return COSE, nil
	}
	return "", fmt.Errorf("envelope: media type %.80q is not that of a signature; want %s or %s", mediaType, mediaTypeJWS, mediaTypeCOSE)
}
