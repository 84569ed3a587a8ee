package tsphttp

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// The messages that clients of sigstore/timestamp-authority know.
const (
	messageGeneric   = "Error generating timestamp response"
	messageWeakHash  = "Weak hash algorithm in timestamp request"
	messageLength    = "Message digest has incorrect length for specified algorithm"
	messagePolicy    = "unaccepted policy: requested TSA policy is not supported by the TSA"
	messageExtension = "unaccepted extension: requested extensions are not supported by the TSA"
	messageOID       = "OID should be comprised of at most 128 components"
	messageTooLarge  = "timestamp request is too large"
	messageGone      = "client disconnected during request"
)

// A jsonError is the body of a refusal in JSON. Detail is ours: the public
// text of a Rejection that the message of the same clients does not tell.
type jsonError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
}

// reject refuses a request, in JSON if it came so or [RefusalJSON] is set.
func (h *Handler) reject(w http.ResponseWriter, x *Exchange, r *tsp.Rejection) {
	x.Outcome.Rejection = r
	if x.Form != FormJSON && h.refusals == RefusalRFC3161 {
		h.write(w, x, message{status: http.StatusOK, mediaType: headerReply, body: r.Marshal()})
		return
	}
	e := jsonError{Code: http.StatusBadRequest, Message: peerMessage(&x.Outcome)}
	switch r.Info {
	case tsp.TimeNotAvailable:
		e.Code = http.StatusServiceUnavailable
		w.Header()["Retry-After"] = headerRetryClock
	case tsp.SystemFailure:
		e.Code = http.StatusInternalServerError
	}
	if e.Message == messageGeneric {
		e.Detail = r.Text
	}
	h.writeError(w, x, e)
}

// peerMessage returns the message that sigstore/timestamp-authority has for a
// refusal.
func peerMessage(out *tsp.Outcome) string {
	r := out.Rejection
	switch {
	case errors.Is(r.Err, errPolicyText):
		return messageOID
	case errors.Is(r.Err, errWeakHash), r.Info == tsp.BadAlg && out.Imprint.Hash == crypto.SHA1:
		return messageWeakHash
	case errors.Is(r.Err, errDigestLength), r.Info == tsp.BadDataFormat && strings.HasPrefix(r.Text, "messageImprint: digest is"):
		return messageLength
	case r.Info == tsp.UnacceptedPolicy:
		return messagePolicy
	case r.Info == tsp.UnacceptedExtension:
		return messageExtension
	}
	return messageGeneric
}

// refuse answers that HTTP itself does not allow the request.
func (h *Handler) refuse(w http.ResponseWriter, x *Exchange, status int, text string) {
	if x.Err == nil {
		x.Err = errors.New(text)
	}
	h.writeError(w, x, jsonError{Code: status, Message: text})
}

// tooLarge answers a body above the limit: 413, but 400 to a request in JSON,
// whose limit is part of that form.
func (h *Handler) tooLarge(w http.ResponseWriter, x *Exchange) {
	status := http.StatusRequestEntityTooLarge
	if x.Form == FormJSON {
		status = http.StatusBadRequest
	}
	x.Err = errTooLarge
	h.refuse(w, x, status, messageTooLarge)
}

// gone ends a request whose client has hung up.
func (h *Handler) gone(w http.ResponseWriter, x *Exchange) {
	h.refuse(w, x, statusClientGone, messageGone)
}

func (h *Handler) writeError(w http.ResponseWriter, x *Exchange, e jsonError) {
	body, err := json.Marshal(e)
	if err != nil { // a struct of texts and a number
		body = []byte(`{"code":500,"message":"` + messageGeneric + `"}`)
	}
	h.write(w, x, message{status: e.Code, mediaType: headerJSON, body: append(body, '\n')})
}

// unsupportedType says which media types there are, and which one it was.
func unsupportedType(h http.Header) string {
	got := "application/octet-stream" // RFC 9110, 8.3
	if values := h["Content-Type"]; len(values) > 0 {
		got = clip(values[0])
		if len(values) > 1 {
			got += ", " + clip(values[1])
		}
	}
	return fmt.Sprintf("unsupported media type %q, only [%s %s] are allowed", got, TypeQuery, TypeJSON)
}

// maxQuoted is how much of a client's text is quoted to it, in octets.
const maxQuoted = 80

// clip shortens what a client sent to what is worth repeating.
func clip(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted]
		for len(text) > 0 && !utf8.ValidString(text) && len(text) > maxQuoted-utf8.UTFMax {
			text = text[:len(text)-1]
		}
		text += "..."
	}
	return text
}
