package notary_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// stamper asks these addresses in turn, and trusts a root.
func stamper(t testing.TB, root *x509.Certificate, urls ...string) *countersign.Stamper {
	t.Helper()
	s := &countersign.Stamper{Checker: &countersign.Checker{Config: countersign.Config{
		Roots: []*x509.Certificate{root}, Revocation: revocation.New(revocation.Config{Mode: revocation.Named, Timeout: 20 * time.Second})}}}
	for _, u := range urls {
		client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{u}, Timeout: 20 * time.Second, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		s.Clients = append(s.Clients, client)
	}
	return s
}

// signing signs by a chain.
func signing(t testing.TB, by notarytest.Options, stamper *countersign.Stamper) *notary.Signing {
	t.Helper()
	key, chain := notarytest.Chain(t, by)
	return &notary.Signing{Format: envelope.JWS, Key: key, Chain: chain, Agent: "fencepost/test", Stamper: stamper}
}

// TestSign: what we sign we verify, with every key, in both formats.
func TestSign(t *testing.T) {
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{})
	forge := authority(t)
	for _, key := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.RSA3072, signer.RSA4096} {
		for _, format := range envelope.Formats() {
			t.Run(string(key)+", "+string(format), func(t *testing.T) {
				by := notarytest.Options{Key: key}
				s := signing(t, by, stamper(t, authorityRoot(t, forge), server.URL+"/"))
				s.Format, s.Expiry, s.Metadata = format, time.Hour, map[string]string{"build": "7"}
				begin := time.Now().UTC().Truncate(time.Second)
				sig, err := s.Sign(t.Context(), target())
				if err != nil {
					t.Fatal(err)
				}
				c := sig.Content
				switch {
				case sig.Format != format || sig.Uncovered != nil || sig.Timestamp == nil || sig.Timestamp.URL != server.URL+"/":
					t.Errorf("made %s, stamped %+v, uncovered because %v", sig.Format, sig.Timestamp, sig.Uncovered)
				case c.SigningTime.Before(begin) || c.SigningTime.After(time.Now()) || c.SigningTime.Nanosecond() != 0:
					t.Errorf("signed on %s, want now", c.SigningTime)
				case !c.Expiry.Equal(c.SigningTime.Add(time.Hour)):
					t.Errorf("expires on %s, want an hour after %s", c.Expiry, c.SigningTime)
				case c.Agent != "fencepost/test" || c.Scheme != envelope.SchemeX509 || len(c.Chain) != 3:
					t.Errorf("the content is %+v", c)
				case len(s.Metadata) != 1 || target().Annotations != nil:
					t.Error("what was given to Sign was changed")
				}
				e, err := envelope.Parse(format, sig.Envelope)
				if err != nil {
					t.Fatal(err)
				}
				v := scene{now: time.Now()}.verifier(t)
				want := wanting()
				want.Metadata = s.Metadata
				if o := judge(t, v, e, policy{}.statement(t), want); !o.Verified || o.Timestamp == nil {
					t.Error(summary(o), explain(o))
				}
			})
		}
	}
	if n := len(tsa.Exchanges()); n != 12 {
		t.Errorf("the authority was asked %d times, want 12", n)
	}
}

// TestSignPlain: without an authority there is no timestamp, and nothing else
// is different.
func TestSignPlain(t *testing.T) {
	sig, err := signing(t, notarytest.Options{}, nil).Sign(t.Context(), target())
	if err != nil || sig.Timestamp != nil || sig.Content.Timestamp != nil || !sig.Content.Expiry.IsZero() || sig.Uncovered != nil {
		t.Errorf("%+v, %v", sig, err)
	}
}

// TestSignRefused: what is not signed, and whether an authority was asked for
// it. There is no signature with an error.
func TestSignRefused(t *testing.T) {
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{})
	root := authorityRoot(t, authority(t))
	_, others := notarytest.Chain(t, notarytest.Options{Name: "Other"})
	p384, _ := notarytest.Chain(t, notarytest.Options{Key: signer.P384})
	for _, row := range []struct {
		name   string
		by     notarytest.Options
		change func(*notary.Signing)
		of     envelope.Target
		reason notary.Reason
	}{
		{"a fraction of a second", notarytest.Options{}, func(s *notary.Signing) { s.Expiry = 1500 * time.Millisecond }, target(), ""},
		{"a negative expiry", notarytest.Options{}, func(s *notary.Signing) { s.Expiry = -time.Hour }, target(), ""},
		{"reserved metadata", notarytest.Options{}, func(s *notary.Signing) { s.Metadata = map[string]string{"io.cncf.notary.x": "1"} }, target(), "payload"},
		{"metadata that is not UTF-8", notarytest.Options{}, func(s *notary.Signing) { s.Metadata = map[string]string{"x": "\xff"} }, target(), "payload"},
		{"no digest", notarytest.Options{}, nil, envelope.Target{MediaType: "a/b", Size: 1}, "payload"},
		{"a negative size", notarytest.Options{}, nil, envelope.Target{MediaType: "a/b", Digest: target().Digest, Size: -1}, "payload"},
		{"the key of somebody else", notarytest.Options{}, func(s *notary.Signing) { s.Chain = others }, target(), "signing-key"},
		{"a key of another type", notarytest.Options{}, func(s *notary.Signing) { s.Key = p384 }, target(), "signing-key"},
		{"no key", notarytest.Options{}, func(s *notary.Signing) { s.Key = nil }, target(), "signing-key"},
		{"no chain", notarytest.Options{}, func(s *notary.Signing) { s.Chain = nil }, target(), "certificate-chain"},
		{"a chain without its root", notarytest.Options{}, func(s *notary.Signing) { s.Chain = s.Chain[:2] }, target(), "certificate-chain"},
		{"a chain in the wrong order", notarytest.Options{}, func(s *notary.Signing) {
			s.Chain = []*x509.Certificate{s.Chain[2], s.Chain[1], s.Chain[0]}
		}, target(), "certificate-chain"},
		{"a certificate that has expired", notarytest.Options{NotAfter: time.Now().Add(-time.Hour)}, nil, target(), "certificate-validity"},
		{"a certificate that is not valid yet", notarytest.Options{NotBefore: time.Now().Add(time.Hour)}, nil, target(), "certificate-validity"},
		{"a certificate of another purpose", notarytest.Options{Bend: func(i int, c *x509.Certificate) {
			if i == 0 {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}
		}}, nil, target(), "certificate-chain"},
		{"a format that there is not", notarytest.Options{}, func(s *notary.Signing) { s.Format = "pgp" }, target(), "malformed"},
	} {
		s := signing(t, row.by, stamper(t, root, server.URL+"/"))
		if row.change != nil {
			row.change(s)
		}
		sig, err := s.Sign(t.Context(), row.of)
		if reason, _ := notary.ReasonOf(err); err == nil || sig != nil || reason != row.reason {
			t.Errorf("%s: %v with the reason %q, want %q", row.name, err, reason, row.reason)
		}
	}
	if n := len(tsa.Exchanges()); n != 0 {
		t.Errorf("the authority was asked %d times for nothing", n)
	}
}

// TestSignStampFails: without the timestamp that was asked for there is no
// signature.
func TestSignStampFails(t *testing.T) {
	root := authorityRoot(t, authority(t))
	_, server := tsptest.Serve(t, tsptest.TSAConfig{})
	revoked, silent := revocationtest.Serve(t, revocationtest.Config{Name: "Revoked"}), revocationtest.Serve(t, revocationtest.Config{Name: "Silent", OCSP: []string{dead}, CRL: []string{}})
	revoked.Revoke(revoked.Chain.Leaf, time.Now().Add(-time.Minute), pki.ReasonKeyCompromise)
	_, revokedTSA := tsptest.Serve(t, tsptest.TSAConfig{Forge: revoked.Forge()})
	_, silentTSA := tsptest.Serve(t, tsptest.TSAConfig{Forge: silent.Forge()})
	_, pastTSA := tsptest.Serve(t, tsptest.TSAConfig{Now: stampedAt})
	for _, row := range []struct {
		name   string
		root   *x509.Certificate
		url    string
		reason countersign.Reason
	}{
		{"nobody there", root, dead, countersign.ReasonNoAnswer},
		{"refused", root, server.URL + "/" + tsptest.RefuseBadAlg.String(), "refused"},
		{"out of order", root, server.URL + "/" + tsptest.Unavailable.String(), countersign.ReasonNoAnswer},
		{"wrong nonce", root, server.URL + "/" + tsptest.WrongNonce.String(), "nonce"},
		{"wrong imprint", root, server.URL + "/" + tsptest.WrongImprint.String(), "imprint"},
		{"an answer of the past", root, pastTSA.URL + "/", countersign.ReasonNoAnswer},
		{"another root", revoked.Chain.Root, server.URL + "/", "untrusted"},
		{"revoked", revoked.Chain.Root, revokedTSA.URL + "/", "revoked"},
		{"dead responder", silent.Chain.Root, silentTSA.URL + "/", "revocation-unknown"},
	} {
		for _, format := range envelope.Formats() {
			s := signing(t, notarytest.Options{}, stamper(t, row.root, row.url))
			s.Format = format
			sig, err := s.Sign(t.Context(), target())
			var e *countersign.Error
			if sig != nil || !errors.As(err, &e) || e.Reason != row.reason {
				t.Errorf("%s, %s: %v, want the reason %q", row.name, format, err, row.reason)
			}
			if reason, verdict := notary.ReasonOf(err); string(reason) != string(row.reason) || verdict != (row.reason != "revocation-unknown" && row.reason != countersign.ReasonNoAnswer) {
				t.Errorf("%s: ReasonOf = %q, %t", row.name, reason, verdict)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sig, err := signing(t, notarytest.Options{}, stamper(t, root, server.URL+"/")).Sign(ctx, target()); sig != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v after the context has ended", sig, err)
	}
}

// TestSignFallback: several authorities, of which one will do.
func TestSignFallback(t *testing.T) {
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{})
	root := authorityRoot(t, authority(t))
	down, unsound := server.URL+"/"+tsptest.Unavailable.String(), server.URL+"/"+tsptest.WrongKey.String()
	sig, err := signing(t, notarytest.Options{}, stamper(t, root, down, unsound, server.URL+"/", dead)).Sign(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	if sig.Timestamp.URL != server.URL+"/" || len(sig.Timestamp.Failed) != 2 {
		t.Errorf("stamped by %s after %v", sig.Timestamp.URL, sig.Timestamp.Failed)
	}
	if n := len(tsa.Exchanges()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	_, err = signing(t, notarytest.Options{}, stamper(t, root, down, unsound)).Sign(t.Context(), target())
	if err == nil || !strings.Contains(err.Error(), down) || !strings.Contains(err.Error(), unsound) {
		t.Errorf("%v, want both authorities in it", err)
	}
}

// TestUncovered: a certificate so fresh that the stamp can have been before it.
func TestUncovered(t *testing.T) {
	_, server := tsptest.Serve(t, tsptest.TSAConfig{})
	begin := time.Now().Truncate(time.Second)
	s := signing(t, notarytest.Options{NotBefore: begin}, stamper(t, authorityRoot(t, authority(t)), server.URL+"/"))
	// Whenever the authority stamps, a signer whose certificate begins then is
	// not covered: its accuracy is a second.
	var sig *notary.Signature
	for sig == nil || sig.Timestamp.Lower.After(begin) {
		if sig != nil {
			begin = time.Now().Truncate(time.Second)
			s = signing(t, notarytest.Options{NotBefore: begin}, s.Stamper)
		}
		var err error
		if sig, err = s.Sign(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
	}
	if reason, verdict := notary.ReasonOf(sig.Uncovered); string(reason) != string(countersign.ReasonInterval) || !verdict {
		t.Errorf("uncovered because %v", sig.Uncovered)
	}
	e, err := envelope.Parse(sig.Format, sig.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	v := scene{now: time.Now(), stores: map[string][]*x509.Certificate{"ca/app": {s.Chain[2]}, "tsa/stamps": {authorityRoot(t, authority(t))}}}.verifier(t)
	if o := judge(t, v, e, policy{}.statement(t), wanting()); o.Verified || o.Err.Error() != sig.Uncovered.Error() {
		t.Errorf("%v, want what Sign has said: %v", o.Err, sig.Uncovered)
	}
}

// TestPush: the manifest of Notation's main branch.
func TestPush(t *testing.T) {
	for _, cfg := range []ocitest.Config{{}, {NoReferrers: true}} {
		s := newShelf(t, cfg)
		sig, err := signing(t, notarytest.Options{}, nil).Sign(t.Context(), notary.TargetOf(s.subject))
		if err != nil {
			t.Fatal(err)
		}
		subject := s.subject
		subject.Annotations, subject.ArtifactType = map[string]string{"org.opencontainers.image.ref.name": "v1"}, "x/y"
		stored, err := notary.Push(t.Context(), s.repository, subject, sig)
		if err != nil {
			t.Fatal(err)
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(s.registry.Manifest(repo, stored.Digest.String()), &m); err != nil {
			t.Fatal(err)
		}
		var prints []string
		for _, c := range sig.Content.Chain {
			sum := sha256.Sum256(c.Raw)
			prints = append(prints, `"`+hex.EncodeToString(sum[:])+`"`)
		}
		switch {
		case m.ArtifactType != "application/vnd.cncf.notary.signature" || m.Config.MediaType != "application/vnd.oci.empty.v1+json":
			t.Errorf("the types are %s and %s", m.ArtifactType, m.Config.MediaType)
		case len(m.Layers) != 1 || m.Layers[0].MediaType != "application/jose+json" || string(s.registry.Blob(repo, m.Layers[0].Digest)) != string(sig.Envelope):
			t.Errorf("the layers are %+v", m.Layers)
		case m.Subject == nil || m.Subject.Digest != s.subject.Digest || m.Subject.Annotations != nil || m.Subject.ArtifactType != "":
			t.Errorf("the subject is %+v", m.Subject)
		case m.Annotations["io.cncf.notary.x509chain.thumbprint#S256"] != "["+strings.Join(prints, ",")+"]":
			t.Errorf("the thumbprints are %s", m.Annotations["io.cncf.notary.x509chain.thumbprint#S256"])
		case m.Annotations[ocispec.AnnotationCreated] != sig.Content.SigningTime.Format(time.RFC3339):
			t.Errorf("created on %s", m.Annotations[ocispec.AnnotationCreated])
		}
		r, err := s.verify(t.Context(), func(img *notary.Image) { img.Statement = policy{stores: []string{"ca:app"}}.statement(t) })
		if err != nil || told(r) != "verified verified" {
			t.Errorf("%+v: %v, %v", cfg, r, err)
		}
	}
}

// TestPushNothing: a signature of something else is not stored, and of one that
// could not be stored nothing is listed.
func TestPushNothing(t *testing.T) {
	s := newShelf(t, ocitest.Config{})
	sig, err := signing(t, notarytest.Options{}, nil).Sign(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notary.Push(t.Context(), s.repository, s.subject, sig); err == nil || s.writes() != 0 {
		t.Errorf("%v after %d writes, want an error and none", err, s.writes())
	}
	for pattern, kind := range map[string]oci.Kind{"POST .*/uploads/": oci.Forbidden, "PUT .*/uploads/": oci.Unavailable, "PUT .*/manifests/": oci.Unauthorized} {
		s := newShelf(t, ocitest.Config{})
		s.registry.Fault(pattern, ocitest.Fault{Status: map[oci.Kind]int{oci.Forbidden: 403, oci.Unavailable: 500, oci.Unauthorized: 401}[kind]})
		sig, err := signing(t, notarytest.Options{}, nil).Sign(t.Context(), notary.TargetOf(s.subject))
		if err != nil {
			t.Fatal(err)
		}
		_, err = notary.Push(t.Context(), s.repository, s.subject, sig)
		var e *oci.Error
		if !errors.As(err, &e) || e.Kind != kind {
			t.Errorf("%s: %v, want %q", pattern, err, kind)
		}
		s.registry.Mend()
		if r, err := s.verify(t.Context(), nil); err != nil || !errors.Is(r.Err, notary.ErrNoSignature) {
			t.Errorf("%s: %v, %v, want that there is no signature", pattern, r, err)
		}
	}
}
