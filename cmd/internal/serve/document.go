package serve

import (
	"bytes"
	_ "embed" // the documents are part of the program
	"net/http"
	"strconv"
	"time"
)

// A document is a body that does not change from one request to the next.
type document struct {
	mediaType string
	body      []byte
	etag      string
	maxAge    time.Duration // zero: one hour
}

// documentMaxAge is for what changes only with the program.
const documentMaxAge = time.Hour

func newDocument(mediaType string, body []byte) document {
	return document{mediaType: mediaType, body: body, etag: etag(body), maxAge: documentMaxAge}
}

// ServeHTTP answers GET and HEAD, with 304 to those who have it already.
func (d *document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", d.mediaType)
	h.Set("Etag", d.etag)
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(d.maxAge.Seconds())))
	h.Set("X-Content-Type-Options", "nosniff")
	if d.mediaType == htmlType {
		// The page brings its style along and needs nothing else.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	}
	r.Header.Del("Range") // a few kilobytes are sent as a whole
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
}

const htmlType = "text/html; charset=utf-8"

//go:embed openapi.json
var openAPI []byte

//go:embed docs.html
var docsPage []byte

// documents describe the interface.
type documents struct{ openAPI, docs document }

func newDocuments() documents {
	return documents{
		openAPI: newDocument("application/json", openAPI),
		docs:    newDocument(htmlType, docsPage),
	}
}
