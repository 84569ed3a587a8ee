package interop

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An answer is what an authority sends.
type answer struct {
	status      int
	contentType string
	body        []byte
}

// startBent starts a server that asks an authority, and changes its answers. Another is the authority's answer to
// the request before.
func startBent(t *testing.T, a *tsa, bend func(ans *answer, another []byte)) *tsa {
	t.Helper()
	var last []byte
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		resp, err := http.Post(a.url, r.Header.Get("Content-Type"), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
			return
		}
		ans := answer{resp.StatusCode, resp.Header.Get("Content-Type"), bytes.Clone(body)}
		bend(&ans, last)
		last = body
		rw.Header().Set("Content-Type", ans.contentType)
		rw.WriteHeader(ans.status)
		// A client that refuses what it sees first reads no further.
		_, _ = rw.Write(ans.body)
	}))
	t.Cleanup(server.Close)
	bent := *a
	bent.base, bent.url = server.URL, server.URL
	return &bent
}

// TestNotationStamping: with which answers of an authority everybody signs. Where they do not, nothing is stored.
func TestNotationStamping(t *testing.T) {
	a, p, s := startDev(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t)}
	for _, test := range []struct {
		name   string
		bend   func(ans *answer, another []byte)
		theirs bool
		ours   bool
	}{
		{"as it is", func(*answer, []byte) {}, true, true},
		{"another's", func(ans *answer, another []byte) { ans.body = another }, false, false},
		{"a broken signature", func(ans *answer, _ []byte) { ans.body = flip(ans.body, 10) }, false, false},
		{"cut short", func(ans *answer, _ []byte) { ans.body = ans.body[:len(ans.body)-1] }, false, false},
		{"nothing", func(ans *answer, _ []byte) { ans.body = nil }, false, false},
		{"only the status", func(ans *answer, _ []byte) { ans.body = []byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00} }, false, false},
		{"a rejection", func(ans *answer, _ []byte) { ans.body = []byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02} }, false, false},
		{"more than a mebibyte", func(ans *answer, _ []byte) { ans.body = append(ans.body, make([]byte, 1<<20)...) }, false, false},
		{"another type", func(ans *answer, _ []byte) { ans.contentType = "text/html" }, false, false},
		{"status 404", func(ans *answer, _ []byte) { ans.status = http.StatusNotFound }, false, false},
		{"status 503", func(ans *answer, _ []byte) { ans.status = http.StatusServiceUnavailable }, false, false},
		// sigstore's timestamp-server answers so with --use-http-201.
		{"status 201", func(ans *answer, _ []byte) { ans.status = http.StatusCreated }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bent := startBent(t, a, test.bend)
			for _, signer := range notaries() {
				w, img := scratch(t), p.push(t)
				_, isOurs := signer.(own)
				want := test.theirs
				if isOurs {
					want = test.ours
				}
				r := w.run(t, signer.signArgs(img, s, signing{format: "jws", stamp: bent})...)
				if (r.code == 0) != want {
					t.Errorf("%v: want to sign: %v, got: %v", signer, want, r)
				}
				w.rules(t, img, how, always(map[bool]string{true: "", false: "none"}[want]))
			}
		})
	}
}

// TestNotationLeafOnly: sigstore's timestamp-server leaves the chain out unless it is told to put it in, and then
// nobody can sign with it; ours says what to tell it.
func TestNotationLeafOnly(t *testing.T) {
	a, p, s := startPeer(t), startPlace(t, placeReferrers), newIdentity(t, "p256", day)
	for _, signer := range notaries() {
		want := "certificate signed by unknown authority"
		if _, ok := signer.(own); ok {
			want = "--include-chain-in-response"
		}
		scratch(t).refuse(t, []string{want}, signer.signArgs(p.push(t), s, signing{format: "jws", stamp: a})...)
	}
}
