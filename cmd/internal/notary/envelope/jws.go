package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// The members of a JWS (RFC 7515, 7.2.2 and 4.1).
const (
	memberPayload   = "payload"
	memberProtected = "protected"
	memberHeader    = "header"
	memberSignature = "signature"

	memberAlgorithm   = "alg"
	memberContentType = "cty"
	memberCritical    = "crit"
	memberChain       = "x5c"
)

func (e *Envelope) parseJWS() error {
	if err := checkJSON(e.Raw); err != nil {
		return err
	}
	found, err := members(e.Raw, memberPayload, memberProtected, memberHeader, memberSignature)
	if err != nil {
		return err
	}
	raw := map[string]member{}
	for _, m := range found {
		raw[m.name] = m
	}
	var encoded, decoded [3][]byte
	for i, name := range []string{memberProtected, memberPayload, memberSignature} {
		m, ok := raw[name]
		if !ok {
			return fail(ReasonMalformed, "the member %q is missing", name)
		}
		s, err := unquote(m.value)
		if err == nil {
			decoded[i], err = base64Bytes(s, base64.RawURLEncoding)
		}
		if err != nil {
			return within(name, err)
		}
		encoded[i] = []byte(s)
	}
	h, err := parseProtectedJWS(decoded[0])
	if err != nil {
		return within("protected header", err)
	}
	open, ok := raw[memberHeader]
	if !ok {
		return fail(ReasonMalformed, "the member %q is missing", memberHeader)
	}
	u, err := parseHeaderJWS(open.value)
	if err != nil {
		return within("header", err)
	}
	u.signature = decoded[2]
	// RFC 7515, 5.1: the signing input.
	e.signed, e.open = [][]byte{encoded[0], {'.'}, encoded[1]}, open.at
	return e.fill(h, u, decoded[1])
}

// parseProtectedJWS reads the signed attributes.
func parseProtectedJWS(doc []byte) (*header, error) {
	if len(doc) > maxProtected {
		return nil, fail(ReasonMalformed, "%d bytes; at most %d are read", len(doc), maxProtected)
	}
	if err := checkJSON(doc); err != nil {
		return nil, err
	}
	found, err := members(doc, memberAlgorithm, memberContentType, memberCritical, nameScheme, nameSigningTime, nameAuthenticTime, nameExpiry)
	if err != nil {
		return nil, err
	}
	h := new(header)
	for _, m := range found {
		var s string
		switch m.name {
		case memberAlgorithm:
			s, err = unquote(m.value)
			h.algorithm = named(s)
		case memberContentType:
			h.contentType, err = unquote(m.value)
		case memberCritical:
			var names []string
			names, err = stringArray(m.value, maxMembers)
			for _, n := range names {
				h.critical = append(h.critical, text(n))
			}
		case nameScheme:
			s, err = unquote(m.value)
			h.scheme = Scheme(s)
		case nameSigningTime:
			h.signingTime, err = jsonTime(m.value)
		case nameAuthenticTime:
			h.authenticTime, err = jsonTime(m.value)
		case nameExpiry:
			h.expiry, err = jsonTime(m.value)
		default:
			var v any
			if err = uniqueNames(m.value); err == nil {
				err = json.Unmarshal(m.value, &v)
			}
			h.extended, h.values = append(h.extended, text(m.name)), append(h.values, v)
		}
		if err != nil {
			return nil, within(printable(m.name), err)
		}
	}
	return h, nil
}

// jsonTime reads a time of RFC 3339 in whole seconds.
func jsonTime(value []byte) (*time.Time, error) {
	s, err := unquote(value)
	switch {
	case err != nil:
		return nil, err
	case bytes.IndexByte(value, '\\') >= 0: // package time takes it as it is written
		return nil, fail(ReasonTime, "%.60q is written with escapes", value)
	case strings.ContainsAny(s, ".,"):
		return nil, fail(ReasonTime, "%.60q has a fraction of a second", s)
	}
	t, err := time.Parse(time.RFC3339, s)
	// time.Parse takes an hour of one digit.
	if full := len(time.RFC3339); err != nil || len(s) != full && len(s) != len("2006-01-02T15:04:05Z") {
		return nil, fail(ReasonTime, "%.60q is not a time of RFC 3339", s)
	}
	return checkTime(t)
}

// parseHeaderJWS reads what is not signed.
func parseHeaderJWS(doc []byte) (u unsigned, err error) {
	if len(doc) > maxUnprotected {
		return u, fail(ReasonMalformed, "%d bytes; at most %d are read", len(doc), maxUnprotected)
	}
	found, err := members(doc, memberChain, nameTimestamp, nameAgent)
	if err != nil {
		return u, err
	}
	unknown := 0
	for _, m := range found {
		var s string
		switch m.name {
		case memberChain:
			u.certificates, err = jsonCertificates(m.value)
		case nameTimestamp:
			if s, err = unquote(m.value); err == nil {
				u.timestamp, err = base64Bytes(s, base64.StdEncoding)
			}
			if err == nil && len(u.timestamp) == 0 {
				err = fail(ReasonMalformed, "it is empty")
			}
		case nameAgent:
			u.agent, err = unquote(m.value)
		default:
			unknown += len(m.value)
		}
		if err != nil {
			return u, within(m.name, err)
		}
	}
	if unknown > maxUnknown {
		return u, fail(ReasonMalformed, "%d bytes in unknown members; at most %d are read", unknown, maxUnknown)
	}
	return u, nil
}

func jsonCertificates(value []byte) ([][]byte, error) {
	list, err := stringArray(value, maxCertificates)
	if err != nil {
		return nil, err
	}
	ders := make([][]byte, len(list))
	for i, s := range list {
		// Not the URL alphabet here (RFC 7515, 4.1.6).
		if ders[i], err = base64Bytes(s, base64.StdEncoding); err != nil {
			return nil, err
		}
	}
	return ders, nil
}

// withTimestampJWS returns the header with another token in it, and everything
// else as it is.
func withTimestampJWS(doc, token []byte) ([]byte, error) {
	found, err := members(doc, memberChain, nameTimestamp, nameAgent)
	if err != nil {
		return nil, err
	}
	value := []byte(`"` + base64.StdEncoding.EncodeToString(token) + `"`)
	for _, m := range found {
		if m.name == nameTimestamp {
			return splice(doc, m.at, value), nil
		}
	}
	// First, which is where notation-core-go has it. There is a chain, and so
	// something that a comma separates it from.
	first := space(doc, 0) + 1
	return splice(doc, span{first, first}, []byte(`"`+nameTimestamp+`":`+string(value)+`,`)), nil
}

// splice returns a copy of doc with another part in the place of one.
func splice(doc []byte, at span, part []byte) []byte {
	out := make([]byte, 0, len(doc)+len(part)-(at.to-at.from))
	out = append(out, doc[:at.from]...)
	out = append(out, part...)
	return append(out, doc[at.to:]...)
}
