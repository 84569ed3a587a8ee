package serve

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// chainsJSON is what a client reads of /api/v1/timestamp/certchains.
type chainsJSON struct {
	Chains []struct {
		Status       string
		From, Until  time.Time
		Certificates []struct{ Subject string }
		PEM          string
	}
}

func TestChain(t *testing.T) {
	s, b := newServer(t, nil)
	get := func(path, match string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		if match != "" {
			r.Header.Set("If-None-Match", match)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	pem := get(PathCertChain, "")
	if want := string(pkitest.TSA(t, pkitest.Options{}).PEM()); pem.Body.String() != want {
		t.Errorf("the chain is\n%s\nwant\n%s", pem.Body, want)
	}
	if got := pem.Header().Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("Cache-Control: %s", got)
	}
	for _, path := range []string{PathCertChain, PathCertChains} {
		tag := get(path, "").Header().Get("Etag")
		for _, match := range []string{tag, `"x", ` + tag, "W/" + tag, "*"} {
			if w := get(path, match); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("Etag") != tag {
				t.Errorf("%s with If-None-Match %s: %d", path, match, w.Code)
			}
		}
		if w := get(path, `"x"`); w.Code != 200 {
			t.Errorf("%s with another tag: %d", path, w.Code)
		}
	}
	var doc chainsJSON
	if err := json.Unmarshal(get(PathCertChains, "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Chains) != 1 || doc.Chains[0].Status != "current" || doc.Chains[0].PEM != pem.Body.String() ||
		len(doc.Chains[0].Certificates) != 3 || !doc.Chains[0].Until.Equal(pkitest.NotAfter()) {
		t.Errorf("certchains: %+v", doc)
	}

	// Another authority takes over while the server runs.
	next := pkitest.TSA(t, pkitest.Options{Name: "Next"})
	key, err := signer.New(next.LeafKey)
	if err != nil {
		t.Fatal(err)
	}
	first := b.authority.Chain[0]
	b.authority.Signer, b.authority.Chain = key, next.Certificates()
	a, err := authority.New(b.authority)
	if err != nil {
		t.Fatal(err)
	}
	later, old := pkitest.TSA(t, pkitest.Options{Name: "Later"}), pkitest.TSA(t, pkitest.Options{Name: "Old"})
	replacement, err := tsa.New(t.Context(), tsa.Config{Units: []tsa.Unit{{Authority: a}}, Clock: b.authority.Clock,
		Announced: [][]*x509.Certificate{later.Certificates(), next.Certificates()},
		Past:      [][]*x509.Certificate{old.Certificates()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.cfg.TSA.Adopt(t.Context(), replacement); err != nil {
		t.Fatal(err)
	}
	if w := get(PathCertChain, pem.Header().Get("Etag")); w.Code != 200 || w.Body.String() != string(next.PEM()) {
		t.Errorf("after a rotation: %d", w.Code)
	}
	reply, err := tsp.ParseResponse(post(s, PathTimestamp, query()).Body.Bytes())
	if err != nil || reply.Token == nil || !bytes.Equal(reply.Token.Certificates[0], next.DER[0]) && !bytes.Equal(reply.Token.Certificates[1], next.DER[0]) {
		t.Errorf("after a rotation the token is not of the new certificate: %v", err)
	}
	doc = chainsJSON{}
	if err := json.Unmarshal(get(PathCertChains, "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range doc.Chains {
		got = append(got, c.Status+" "+c.Certificates[0].Subject)
	}
	want := []string{
		"announced " + later.Leaf.Subject.String(),
		"current " + next.Leaf.Subject.String(), // and announced no more
		"past " + first.Subject.String(),
		"past " + old.Leaf.Subject.String(),
	}
	if !slices.Equal(got, want) {
		t.Errorf("certchains after a rotation: %q, want %q", got, want)
	}
	// A request that is under way may take ten seconds.
	if until := doc.Chains[2].Until; until.After(time.Now().Add(time.Minute)) {
		t.Errorf("the chain that was replaced is said to be in use until %v", until)
	}
}
