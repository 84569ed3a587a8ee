package countersign_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/tspclient-go"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// stamper asks the given URLs and trusts the root of f.
func stamper(t testing.TB, f *tsptest.Forge, urls ...string) *countersign.Stamper {
	t.Helper()
	return stamperWith(t, f, tsphttp.ClientConfig{URLs: urls})
}

func stamperWith(t testing.TB, f *tsptest.Forge, cfg tsphttp.ClientConfig) *countersign.Stamper {
	t.Helper()
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	cfg.Retries = -1
	var clients []*tsphttp.Client
	for _, url := range cfg.URLs {
		one := cfg
		one.URLs = []string{url}
		client, err := tsphttp.NewClient(one)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	return &countersign.Stamper{Clients: clients, Checker: &countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{root}}}}
}

// TestStamp: what is asked, and what comes back.
func TestStamp(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	s := stamper(t, f, server.URL+"/")
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		signature := []byte("a signature value")
		stamp, err := s.Stamp(t.Context(), signature, h)
		if err != nil {
			t.Fatal(err)
		}
		seen := tsa.Exchanges()
		req, err := tsp.ParseRequest(seen[len(seen)-1].Body)
		if err != nil {
			t.Fatal(err)
		}
		w := h.New()
		w.Write(signature)
		algorithm := der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.OfHash(h))), der.Make(der.TagNull))
		switch {
		case req.Imprint.Hash != h || string(req.Imprint.Digest) != string(w.Sum(nil)) || string(req.Imprint.RawAlgorithm()) != string(algorithm):
			t.Errorf("%v: the imprint is %v %x, algorithm %x", h, req.Imprint.Hash, req.Imprint.Digest, req.Imprint.RawAlgorithm())
		case !req.CertReq, len(req.Nonce) < 8 || len(req.Nonce) > 20, len(req.Extensions) > 0, !oid.IsZero(req.Policy):
			t.Errorf("%v: the request is %+v", h, req)
		}
		if stamp.URL != server.URL+"/" || len(stamp.Failed) != 0 || time.Since(stamp.Time).Abs() > time.Minute || stamp.Nonce == nil {
			t.Errorf("%v: the stamp is %+v", h, stamp)
		}
		again, err := s.Checker.Verify(t.Context(), stamp.Token.Raw, signature, h)
		if err != nil || !again.Time.Equal(stamp.Time) || again.URL != "" {
			t.Errorf("%v: verified again: %+v, %v", h, again, err)
		}
	}
	if _, err := s.Stamp(t.Context(), nil, crypto.SHA3_256); reasonOf(err) != reason(verify.ReasonWeakHash) {
		t.Errorf("SHA3-256: %v, want %s", err, verify.ReasonWeakHash)
	}
	if n := len(tsa.Exchanges()); n != 3 {
		t.Errorf("%d requests, want 3: none for a hash that nobody takes", n)
	}
}

// TestStampFaults: every way in which an authority can fail.
func TestStampFaults(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f, Delay: 2 * time.Second})
	s := stamperWith(t, f, tsphttp.ClientConfig{URLs: []string{server.URL + "/"}, Timeout: 300 * time.Millisecond})
	want := map[tsptest.Fault]countersign.Reason{
		tsptest.WrongNonce: "nonce", tsptest.NoNonce: "nonce", tsptest.Replay: "nonce",
		tsptest.WrongImprint: "imprint", tsptest.WrongHash: "imprint",
		tsptest.SwappedCertificate: "untrusted", tsptest.WrongKey: "signature", tsptest.CorruptSignature: "signature",
		tsptest.NoCertificate: "certificate-missing", tsptest.BareToken: "malformed", tsptest.GrantedEmpty: "malformed",
		tsptest.RefusedWithToken: "malformed", tsptest.Truncated: "malformed", tsptest.Empty: "malformed", tsptest.TrailingBytes: "malformed",
		tsptest.Garbage: "malformed", tsptest.HTMLPage: "malformed", tsptest.Base64: "malformed",
		// Nobody asked for a policy, and what comes elsewhere in the token or in
		// the answer's header makes no difference to it.
		tsptest.WrongPolicy: "", tsptest.InjectedLeaf: "", tsptest.Created: "", tsptest.Redirect: "",
	}
	for _, fault := range tsptest.Faults() {
		client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{server.URL + "/" + fault.String()}, Timeout: 300 * time.Millisecond, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		r, ok := want[fault]
		switch {
		case fault >= tsptest.Waiting && fault <= tsptest.RefuseWithoutReason:
			r = reason(verify.ReasonRefused)
		case !ok:
			r = countersign.ReasonNoAnswer
		}
		stamp, err := (&countersign.Stamper{Clients: []*tsphttp.Client{client}, Checker: s.Checker}).Stamp(t.Context(), []byte("x"), crypto.SHA256)
		if got := reasonOf(err); got != r || (stamp == nil) != (err != nil) {
			t.Errorf("%s: %v, want reason %q", fault, err, r)
		}
		if err != nil && (!strings.Contains(err.Error(), server.URL) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: the error does not name the authority in one line: %v", fault, err)
		}
	}
}

// notationStamp is what Notation does when it signs, at one authority.
func notationStamp(ctx context.Context, url string, root *x509.Certificate) error {
	req, err := tspclient.NewRequest(tspclient.RequestOptions{Content: []byte(tsptest.Artifact), HashAlgorithm: crypto.SHA256})
	if err != nil {
		return err
	}
	ts, err := tspclient.NewHTTPTimestamper(&http.Client{Timeout: 15 * time.Second}, url)
	if err != nil {
		return err
	}
	resp, err := ts.Timestamp(ctx, req)
	if err != nil {
		return err
	}
	token, err := resp.SignedToken()
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	chain, err := token.Verify(ctx, x509.VerifyOptions{Roots: pool})
	if err != nil {
		return err
	}
	return corex509.ValidateTimestampingCertChain(chain)
}

// TestStampVariants: what Notation refuses when it signs is refused here, and
// what is accepted can be verified by Notation.
func TestStampVariants(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	// What Notation refuses and is taken here, made fit.
	mended := []string{"ber-indefinite", "ber-signed-attributes"}
	for _, v := range tsptest.Variants() {
		if v.Options.Key != pkitest.P256 {
			continue
		}
		theirs := notationStamp(t.Context(), server.URL+"/"+v.Name, root)
		stamp, err := stamper(t, f, server.URL+"/"+v.Name).Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256)
		switch i := slices.Index(mended, v.Name); {
		case i >= 0:
			mended = slices.Delete(mended, i, i+1)
			if err != nil || theirs == nil {
				t.Errorf("%s: %v, Notation: %v; want it mended", v.Name, err, theirs)
			}
		case err == nil && theirs != nil:
			t.Errorf("%s: accepted, Notation refuses: %v", v.Name, theirs)
		}
		if err != nil {
			if r := reasonOf(err); !slices.Contains(countersign.Reasons(), r) {
				t.Errorf("%s: %v has the reason %q", v.Name, err, r)
			}
			continue
		}
		if err := notation(stamp.Token.Raw, []*x509.Certificate{root}); err != nil {
			t.Errorf("%s: accepted, and Notation cannot verify it: %v", v.Name, err)
		}
	}
	if len(mended) > 0 {
		t.Errorf("no variants %v", mended)
	}
}

// TestImprintParameters: the answer has to repeat them as they were asked for.
func TestImprintParameters(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Info = func(i *tsptest.InfoFields) {
		i.Imprint = tsptest.RawImprint(oid.SHA256, nil, tsptest.Imprint().Digest)
	}
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	_, err := stamper(t, f, server.URL+"/").Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256)
	if got := reasonOf(err); got != countersign.ReasonImprintParameters {
		t.Errorf("%v, want reason %q", err, countersign.ReasonImprintParameters)
	}
}

// TestFallback: the next authority is asked when one does not answer, when its
// answer is not to be trusted, and when no verifier would take it.
func TestFallback(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	last := server.URL + "/last"
	for _, fault := range []string{
		"internal-error", "hung-up", "wrong-nonce", "wrong-key", "swapped-certificate", "waiting", "refuse-bad-alg",
		"certificates-without-intermediate", "signeddata-crl",
	} {
		if _, err := tsptest.ParseFault(fault); err != nil && !slices.ContainsFunc(tsptest.Variants(), func(v tsptest.Variant) bool { return v.Name == fault }) {
			t.Errorf("%s: there is no such fault", fault)
		}
		stamp, err := stamper(t, f, server.URL+"/"+fault, last).Stamp(t.Context(), []byte("x"), crypto.SHA256)
		if err != nil {
			t.Errorf("%s: %v", fault, err)
			continue
		}
		if stamp.URL != last || len(stamp.Failed) != 1 || !strings.Contains(stamp.Failed[0].Error(), server.URL+"/"+fault) {
			t.Errorf("%s: stamped by %s after %v", fault, stamp.URL, stamp.Failed)
		}
	}
	_, err := stamper(t, f, server.URL+"/internal-error", server.URL+"/wrong-key").Stamp(t.Context(), []byte("x"), crypto.SHA256)
	var v *verify.Error
	var status *tsphttp.StatusError
	if reasonOf(err) != countersign.ReasonNoAnswer || !errors.As(err, &v) || !errors.As(err, &status) ||
		!strings.Contains(err.Error(), "/internal-error") || !strings.Contains(err.Error(), "/wrong-key") {
		t.Errorf("both: %v, want why each failed", err)
	}
	if _, err := (&countersign.Stamper{Checker: &countersign.Checker{}}).Stamp(t.Context(), []byte("x"), crypto.SHA256); reasonOf(err) != countersign.ReasonNoAnswer {
		t.Errorf("nobody to ask: %v", err)
	}
}

// TestLeafAlone is notation#1352: an authority that does not send its chain, and
// one whose root was not given.
func TestLeafAlone(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	s := stamper(t, f, server.URL+"/certificates-without-intermediate")
	_, err := s.Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256)
	var e *countersign.Error
	if !errors.As(err, &e) || e.Reason != reason(verify.ReasonUntrusted) || !strings.Contains(e.Detail, "the token carries only the leaf") ||
		!strings.Contains(e.Advice(), "ask the authority for its chain; sigstore's timestamp-server needs --include-chain-in-response") {
		t.Errorf("the leaf alone: %v, advice %q", err, advice(err))
	}
	var v *verify.Error
	if !errors.As(err, &v) {
		t.Errorf("no *verify.Error in %v", err)
	}
	stranger := stamper(t, &tsptest.Forge{Identity: f.Other}, server.URL+"/")
	_, err = stranger.Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256)
	if reasonOf(err) != reason(verify.ReasonUntrusted) || !strings.Contains(advice(err), "CN=Test Root CA") {
		t.Errorf("another root: %v, advice %q", err, advice(err))
	}
	// Root and chain are the right ones, and something else is wrong.
	client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{server.URL + "/certificates-without-intermediate"}, Trust: new(verify.Policy)})
	if err != nil {
		t.Fatal(err)
	}
	*s = countersign.Stamper{Clients: []*tsphttp.Client{client}, Checker: s.Checker}
	if _, err = s.Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256); reasonOf(err) != reason(verify.ReasonNoRoots) {
		t.Errorf("a client that trusts nobody: %v", err)
	}
}

func advice(err error) string {
	var knows interface{ Advice() string }
	if errors.As(err, &knows) {
		return knows.Advice()
	}
	return ""
}

// TestStampExpiredSince: an authority whose certificate has ended since the time
// in its answer cannot be verified by who signs now.
func TestStampExpiredSince(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{NotAfter: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f, Now: tsptest.Time})
	s := stamperWith(t, f, tsphttp.ClientConfig{URLs: []string{server.URL + "/"}, MaxSkew: -1})
	_, err := s.Stamp(t.Context(), []byte("x"), crypto.SHA256)
	if reasonOf(err) != reason(verify.ReasonValidity) || !strings.Contains(err.Error(), "not now") {
		t.Errorf("%v, want validity", err)
	}
	s.Checker.Now = now
	if _, err := s.Stamp(t.Context(), []byte("x"), crypto.SHA256); err != nil {
		t.Errorf("while it was valid: %v", err)
	}
}

// TestStampCancelled: who no longer waits gets the context's error.
func TestStampCancelled(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: f})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stamper(t, f, server.URL+"/").Stamp(ctx, []byte("x"), crypto.SHA256); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
