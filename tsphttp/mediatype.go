package tsphttp

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// The media types of RFC 3161, 3.4, and of the JSON form.
const (
	TypeQuery = "application/timestamp-query"
	TypeReply = "application/timestamp-reply"
	TypeJSON  = "application/json"
)

// typeResponse is what RFC 3161 calls the reply in one place, by mistake
// (erratum 1879). A few servers took it from there; nobody sends it here.
const typeResponse = "application/timestamp-response"

// A Form is the encoding of the request that a Handler was sent.
type Form string

// The forms of a request. FormUnknown is that of one refused before its media
// type was known.
const (
	FormUnknown Form = ""
	FormDER     Form = "der"
	FormJSON    Form = "json"
)

// maxContentType is the longest Content-Type that is parsed, in octets. Ours
// have under 60 with a charset; parsing many parameters costs memory for
// nothing.
const maxContentType = 256

// maxAccept is the longest Accept header that is considered, in octets, all
// its lines together. Browsers send some 150.
const maxAccept = 1024

// requestForm tells the form of a request by its Content-Type: letter case and
// parameters do not matter, but it must be there once and well formed.
func requestForm(h http.Header) Form {
	values := h["Content-Type"]
	if len(values) != 1 {
		return FormUnknown
	}
	switch values[0] { // as nearly everybody writes it
	case TypeQuery:
		return FormDER
	case TypeJSON:
		return FormJSON
	}
	switch baseType(values[0]) {
	case TypeQuery:
		return FormDER
	case TypeJSON:
		return FormJSON
	}
	return FormUnknown
}

// baseType returns a media type in lower case without its parameters, "" for
// one that is malformed or too long.
func baseType(value string) string {
	if len(value) > maxContentType {
		return ""
	}
	base, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return base
}

// unencoded reports whether the body of a request came without a content
// coding. A compressed body is refused, not misread.
func unencoded(h http.Header) bool {
	for _, v := range h["Content-Encoding"] {
		if v != "" && !strings.EqualFold(v, "identity") {
			return false
		}
	}
	return true
}

// prefersJSON reports whether an Accept header wants JSON more than a
// TimeStampResp. On a tie, as in "application/json, */*", it does not: clients
// of the JSON form have always been answered in DER.
func prefersJSON(h http.Header) bool {
	values := h["Accept"]
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if size == 0 || size > maxAccept {
		return false
	}
	var json, reply preference
	for _, line := range values {
		for part := range strings.SplitSeq(line, ",") {
			base, params, _ := strings.Cut(part, ";")
			base, q := strings.ToLower(strings.TrimSpace(base)), quality(params)
			switch base {
			case TypeJSON:
				json.take(3, q)
			case TypeReply:
				reply.take(3, q)
			case "application/*":
				json.take(2, q)
				reply.take(2, q)
			case "*/*":
				json.take(1, q)
				reply.take(1, q)
			}
		}
	}
	return json.q > reply.q
}

// A preference is the weight of one media type: that of the most specific
// range that covers it (RFC 9110, 12.5.1).
type preference struct {
	specific int
	q        float64
}

func (p *preference) take(specific int, q float64) {
	if specific > p.specific || specific == p.specific && q > p.q {
		*p = preference{specific, q}
	}
}

// quality returns the q among the parameters of a media range, 1 if there is
// none that can be read.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(param, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}
