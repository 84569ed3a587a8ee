package tsphttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// Header values that are the same in every answer. net/http only reads them;
// that they are shared saves their allocation.
var (
	headerReply      = []string{TypeReply}
	headerJSON       = []string{TypeJSON}
	headerPOST       = []string{http.MethodPost}
	headerIdentity   = []string{"identity"}
	headerRetryClock = []string{"10"}

	// An answer is good once. These are what sigstore/timestamp-authority sends.
	headerCacheControl = []string{"no-cache, no-store, no-transform, must-revalidate, private, max-age=0"}
	headerPragma       = []string{"no-cache"}
	headerExpires      = []string{"Thu, 01 Jan 1970 00:00:00 GMT"}
	headerAccelExpires = []string{"0"}
)

// statusClientGone is what nginx logs when a client hangs up, and
// sigstore/timestamp-authority too. No client sees it.
const statusClientGone = 499

// A message is an answer as HTTP has it.
type message struct {
	status    int
	mediaType []string
	body      []byte
}

// write sends m. That it could not be sent is noted, and is nobody's fault here.
func (h *Handler) write(w http.ResponseWriter, x *Exchange, m message) {
	header := w.Header()
	header["Content-Type"] = m.mediaType
	header["Content-Length"] = h.lengths.header(len(m.body))
	header["Cache-Control"] = headerCacheControl
	header["Pragma"] = headerPragma
	header["Expires"] = headerExpires
	header["X-Accel-Expires"] = headerAccelExpires
	x.Status = m.status
	w.WriteHeader(m.status)
	n, err := w.Write(m.body)
	x.ReplySize = n
	if err != nil && x.Err == nil {
		x.Err = err
	}
}

// grantJSON wraps a reply into the JSON answer.
func (h *Handler) grantJSON(w http.ResponseWriter, x *Exchange, reply []byte) {
	out := &x.Outcome
	body, err := json.Marshal(&jsonReply{
		Status:    tsp.StatusGranted.String(),
		Timestamp: reply,
		GenTime:   out.GenTime.UTC().Format(time.RFC3339Nano),
		Serial:    out.Serial.String(),
		Policy:    out.Policy.String(),
		Accuracy:  json.Number(strconv.FormatFloat(out.Accuracy.Seconds(), 'f', -1, 64)),
	})
	if err != nil { // nothing in it can fail to be encoded
		x.Err = err
		h.reject(w, x, tsp.AsRejection(err))
		return
	}
	h.write(w, x, message{status: h.granted, mediaType: headerJSON, body: body})
}

// A lengthCache holds the last few values of Content-Length. Replies of one
// authority differ in length by a few octets at most.
type lengthCache [16]atomic.Pointer[contentLength]

type contentLength struct {
	length int
	header []string
}

func (c *lengthCache) header(length int) []string {
	slot := &c[length%len(c)]
	if l := slot.Load(); l != nil && l.length == length {
		return l.header
	}
	l := &contentLength{length, []string{strconv.Itoa(length)}}
	slot.Store(l)
	return l.header
}
