package tsp

import (
	"crypto/x509/pkix"
	encasn1 "encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// maxExtensions bounds the extensions of a request or of a TSTInfo. None is
// common; qualified timestamps have one.
const maxExtensions = 32

// readExtensions reads Extensions with the given tag (RFC 5280, 4.1).
//
//	Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension
//	Extension  ::= SEQUENCE {
//	  extnID     OBJECT IDENTIFIER,
//	  critical   BOOLEAN DEFAULT FALSE,
//	  extnValue  OCTET STRING }
func readExtensions(s *cryptobyte.String, tag asn1.Tag) ([]pkix.Extension, error) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, tag) {
		return nil, errors.New("malformed")
	}
	if list.Empty() {
		return nil, errors.New("empty, at least one extension is needed")
	}
	var out []pkix.Extension
	for !list.Empty() {
		if len(out) == maxExtensions {
			return nil, fmt.Errorf("more than %d", maxExtensions)
		}
		var body, value cryptobyte.String
		var content []byte
		var ext pkix.Extension
		if !list.ReadASN1(&body, asn1.SEQUENCE) || !der.OID(&body, &content) {
			return nil, fmt.Errorf("extension %d: malformed extnID", len(out)+1)
		}
		id, ok := oid.Public(content)
		if ok {
			ext.Id, ok = oid.ASN1(id)
		}
		if !ok {
			return nil, fmt.Errorf("extension %d: extnID is too large", len(out)+1)
		}
		if body.PeekASN1Tag(asn1.BOOLEAN) && (!der.Boolean(&body, &ext.Critical) || !ext.Critical) {
			return nil, fmt.Errorf("extension %d: critical is not TRUE or absent", len(out)+1)
		}
		if !body.ReadASN1(&value, asn1.OCTET_STRING) || !body.Empty() {
			return nil, fmt.Errorf("extension %d: malformed extnValue", len(out)+1)
		}
		for _, earlier := range out { // RFC 5280, 4.2
			if earlier.Id.Equal(ext.Id) {
				return nil, fmt.Errorf("extension %v occurs twice", ext.Id)
			}
		}
		ext.Value = value
		out = append(out, ext)
	}
	return out, nil
}

func appendExtensions(b []byte, tag byte, list []pkix.Extension) ([]byte, error) {
	var body []byte
	for _, ext := range list {
		id, err := encasn1.Marshal(ext.Id)
		if err != nil {
			return nil, fmt.Errorf("extension %v: %w", ext.Id, err)
		}
		var critical []byte
		if ext.Critical {
			critical = []byte{der.TagBoolean, 1, 0xff}
		}
		body = der.Append(body, der.TagSequence, id, critical, der.Make(der.TagOctetString, ext.Value))
	}
	return der.Append(b, tag, body), nil
}
