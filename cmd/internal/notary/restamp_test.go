package notary_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/notaryproject/notation-core-go/signature"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestRestamp: signatures of others get their first timestamp or another one,
// and stay what they are.
func TestRestamp(t *testing.T) {
	_, server := tsptest.Serve(t, tsptest.TSAConfig{})
	s := stamper(t, authorityRoot(t, authority(t)), server.URL+"/")
	for _, row := range []struct {
		name  string
		draft draft
	}{
		{"first timestamp", draft{}},
		{"another timestamp", draft{stamped: stampedAt()}},
		{"instead of a broken one", draft{bend: bend(func(p *parts) { p.token = []byte("garbage") })}},
		{"with attributes that nobody knows", draft{attributes: []signature.Attribute{{Key: "com.example.x", Critical: true, Value: "x"}}}},
	} {
		for _, format := range envelope.Formats() {
			e := row.draft.parse(t, format)
			raw := bytes.Clone(e.Raw)
			sig, err := notary.Restamp(t.Context(), e, s, time.Now)
			if err != nil {
				t.Errorf("%s, %s: %v", row.name, format, err)
				continue
			}
			before, after := dissect(t, format, raw), dissect(t, format, sig.Envelope)
			before.token, after.token = nil, nil
			switch {
			case !bytes.Equal(e.Raw, raw):
				t.Errorf("%s, %s: the old envelope was changed", row.name, format)
			case !bytes.Equal(before.join(t, format), after.join(t, format)):
				t.Errorf("%s, %s: more than the timestamp was changed", row.name, format)
			case sig.Timestamp == nil || time.Since(sig.Timestamp.Time).Abs() > time.Minute || !bytes.Equal(sig.Content.Timestamp, sig.Timestamp.Token.Raw):
				t.Errorf("%s, %s: stamped %+v", row.name, format, sig.Timestamp)
			case sig.Format != format:
				t.Errorf("%s: the format is %s, want %s", row.name, sig.Format, format)
			}
		}
	}
}

// TestRestampForeign: what somebody else has put beside the signature stays.
func TestRestampForeign(t *testing.T) {
	_, server := tsptest.Serve(t, tsptest.TSAConfig{})
	s := stamper(t, authorityRoot(t, authority(t)), server.URL+"/")
	var doc map[string]any
	if err := json.Unmarshal(draft{}.make(t, envelope.JWS), &doc); err != nil {
		t.Fatal(err)
	}
	doc["header"].(map[string]any)["com.example.note"] = "hello"
	data, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Parse(envelope.JWS, data)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := notary.Restamp(t.Context(), e, s, time.Now)
	if err != nil || !bytes.Contains(sig.Envelope, []byte(`"com.example.note"`)) || !bytes.Contains(sig.Envelope, []byte("\t\"payload\"")) {
		t.Errorf("%v: %v", err, sig)
	}

	var c sign1
	if err := cbor.Unmarshal(draft{}.make(t, envelope.COSE)[1:], &c); err != nil {
		t.Fatal(err)
	}
	c.Unprotected["com.example.note"] = "hello"
	if data, err = cbor.Marshal(cbor.Tag{Number: 18, Content: c}); err != nil {
		t.Fatal(err)
	}
	if e, err = envelope.Parse(envelope.COSE, data); err != nil {
		t.Fatal(err)
	}
	if sig, err = notary.Restamp(t.Context(), e, s, time.Now); err != nil || !bytes.Contains(sig.Envelope, []byte("com.example.note")) {
		t.Errorf("%v: %v", err, sig)
	}
}

// TestRestampRefused: what could never be verified, and nobody asked for it.
func TestRestampRefused(t *testing.T) {
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{})
	s := stamper(t, authorityRoot(t, authority(t)), server.URL+"/")
	window := notarytest.Options{NotBefore: signedAt().Add(-day), NotAfter: signedAt().Add(day)}
	for _, row := range []struct {
		name   string
		draft  draft
		now    time.Time
		reason notary.Reason
	}{
		{"the certificate has expired", draft{by: window}, window.NotAfter.Add(time.Second), notary.ReasonCertificateValidity},
		{"the certificate has expired, stamped in time", draft{by: window, stamped: stampedAt()}, window.NotAfter.Add(time.Second), notary.ReasonCertificateValidity},
		{"the certificate is not valid yet", draft{by: window}, window.NotBefore.Add(-time.Second), notary.ReasonCertificateValidity},
		{"a signing authority's", draft{scheme: signature.SigningSchemeX509SigningAuthority}, verifyAt(), notary.ReasonCertificateValidity},
		{"altered", draft{bend: bend(func(p *parts) { p.signature = flip(p.signature) })}, verifyAt(), "envelope-signature"},
	} {
		for _, format := range envelope.Formats() {
			sig, err := notary.Restamp(t.Context(), row.draft.parse(t, format), s, func() time.Time { return row.now })
			if reason, verdict := notary.ReasonOf(err); sig != nil || reason != row.reason || !verdict {
				t.Errorf("%s, %s: %v, want the reason %q", row.name, format, err, row.reason)
			}
		}
	}
	if n := len(tsa.Exchanges()); n != 0 {
		t.Errorf("the authority was asked %d times for nothing", n)
	}
	// The last moment is too late: the stamp may come after it. Here the clock
	// of this machine is far behind.
	sig, err := notary.Restamp(t.Context(), draft{by: window}.parse(t, envelope.JWS), s, func() time.Time { return window.NotAfter })
	if reason, _ := notary.ReasonOf(err); sig != nil || string(reason) != string(countersign.ReasonInterval) {
		t.Errorf("%v, want that the interval is not covered", err)
	}
	s = stamper(t, authorityRoot(t, authority(t)), server.URL+"/"+tsptest.WrongImprint.String())
	var wrong *countersign.Error
	if sig, err = notary.Restamp(t.Context(), draft{}.parse(t, envelope.JWS), s, time.Now); sig != nil || !errors.As(err, &wrong) {
		t.Errorf("%v, %v: want that the timestamp is refused", sig, err)
	}
}

// TestRestampStored: the new signature stands beside the old one, and verifies
// when the old one does not any more.
func TestRestampStored(t *testing.T) {
	_, server := tsptest.Serve(t, tsptest.TSAConfig{})
	s := newShelf(t, ocitest.Config{})
	first := s.add(draft{}, envelope.COSE)
	sig, err := notary.Restamp(t.Context(), s.of(draft{}).parse(t, envelope.COSE), stamper(t, authorityRoot(t, authority(t)), server.URL+"/"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := notary.Push(t.Context(), s.repository, s.subject, sig)
	if err != nil {
		t.Fatal(err)
	}
	r, err := scene{now: time.Now()}.verifier(t).Image(t.Context(), notary.Image{Repository: s.repository, Subject: s.subject, Statement: policy{}.statement(t)})
	if err != nil || told(r) != "verified refused:no-timestamp verified" {
		t.Fatal(r, err)
	}
	if r.Signatures[0].Descriptor.Digest != first.Digest || r.Signatures[1].Descriptor.Digest != second.Digest {
		t.Errorf("%+v, want %s and %s", r.Signatures, first.Digest, second.Digest)
	}
}
