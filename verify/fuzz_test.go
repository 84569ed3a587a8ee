package verify_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// FuzzVerify holds that no input makes a verifier fall over, that each is
// accepted or refused for a reason of the closed set, that a cache changes
// nothing, and that what is accepted is one of the tokens that were signed: it
// has the signature of one over the content and the attributes of that one.
func FuzzVerify(f *testing.F) {
	forge := tsptest.NewForge(f, pkitest.Options{})
	policy := policyFor(f, forge)
	policy.Intermediates = []*x509.Certificate{parse(f, forge.Chain[0]), parse(f, forge.Chain[1])}
	policy.AllowLegacyESSCertIDv1 = true

	// What a key below the trusted root signed, by signature.
	signed := map[string][]*tsp.Token{}
	for _, v := range tsptest.Variants() {
		raw := v.Response(f)
		if len(raw) > 64<<10 {
			continue // not to slow the fuzzer down
		}
		f.Add(raw)
		if m, err := tsp.ParseAny(raw); err == nil {
			if token, err := m.TimeStampToken(); err == nil {
				signature := string(token.Signer.Signature)
				signed[signature] = append(signed[signature], token)
			}
		}
	}
	reasons := map[verify.Reason]bool{"": true}
	for _, r := range verify.Reasons() {
		reasons[r] = true
	}
	cached := policy
	cached.Cache = new(verify.ChainCache)
	f.Fuzz(func(t *testing.T, data []byte) {
		stamp, err := policy.Bytes(data, tsptest.Imprint())
		if (stamp == nil) != (err != nil) {
			t.Fatalf("Bytes = %v, %v", stamp, err)
		}
		if !reasons[reasonOf(err)] {
			t.Fatalf("%v has the reason %q", err, reasonOf(err))
		}
		if _, again := cached.Bytes(data, tsptest.Imprint()); reasonOf(again) != reasonOf(err) {
			t.Errorf("with a cache: %v, without: %v", again, err)
		}
		m, parseErr := tsp.ParseAny(data)
		if parseErr != nil {
			return
		}
		token, parseErr := m.TimeStampToken()
		if parseErr != nil {
			return
		}
		verify.Lint(token)
		if err != nil {
			return
		}
		if !slices.ContainsFunc(signed[string(token.Signer.Signature)], func(good *tsp.Token) bool { return differs(good, token, nil) == "" }) {
			t.Error("a token was accepted that nobody signed")
		}
	})
}

// FuzzCRLs holds that no list makes the reader fall over.
func FuzzCRLs(f *testing.F) {
	chain := pkitest.TSA(f, pkitest.Options{})
	f.Add(chain.CRL(f))
	f.Add(rootCRL(f, chain))
	list := crlForge{issuer: chain.Intermediate, key: chain.IntermediateKey, this: now(), next: now(),
		entries: [][]byte{revoked(chain.Leaf, now(), 4)}}
	f.Add(list.make(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := verify.NewCRLs(data)
		if (lists == nil) != (err != nil) {
			t.Fatalf("NewCRLs = %v, %v", lists, err)
		}
		if err != nil {
			return
		}
		q := verify.RevocationQuery{Certificate: chain.Leaf, Issuer: chain.Intermediate, GenTime: now(), Now: now()}
		if r, err := lists.CheckRevocation(q); r != nil && err != nil {
			t.Errorf("CheckRevocation = %v, %v", r, err)
		}
	})
}

// FuzzOCSPResponses holds that no response makes the reader fall over, and that
// whatever a mutation does, it says nothing that nobody signed.
func FuzzOCSPResponses(f *testing.F) {
	s := newOCSPScene(f, pkitest.Options{})
	q := verify.RevocationQuery{Certificate: s.Leaf, Issuer: s.Intermediate, GenTime: now(), Now: now()}
	said := map[string]bool{}
	text := func(s verify.RevocationStatus) string {
		return fmt.Sprint(s.Source, s.ThisUpdate.Unix(), s.NextUpdate.Unix(), s.Revocation)
	}
	for _, raw := range [][]byte{
		s.leaf(), s.leaf(s.delegated(s.responder())), s.intermediate(),
		s.leaf(func(f *ocspForge) { f.singles[0].status = ocspRevoked(now(), 4) }),
		s.leaf(func(f *ocspForge) { f.byKey, f.extensions = true, [][]byte{nonceExtension(1, 2, 3)} }),
		s.leaf(func(f *ocspForge) { f.singles[0].status = ocspUnknown }),
		s.leaf(func(f *ocspForge) { f.status = 3 }),
	} {
		f.Add(raw)
		if o, err := verify.NewOCSPResponses(raw); err == nil {
			if status, err := o.RevocationStatus(q); err == nil {
				said[text(status)] = true
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := verify.NewOCSPResponses(data)
		if (o == nil) != (err != nil) {
			t.Fatalf("NewOCSPResponses = %v, %v", o, err)
		}
		if answer := verify.OCSPAnswers(data, []byte{1, 2, 3}); answer == nil && err != nil {
			t.Errorf("OCSPAnswers = nil, NewOCSPResponses: %v", err)
		}
		if err != nil {
			return
		}
		status, err := o.RevocationStatus(q)
		if err != nil && status != (verify.RevocationStatus{}) {
			t.Errorf("RevocationStatus = %+v, %v", status, err)
		}
		if err == nil && !said[text(status)] {
			t.Errorf("nobody signed %+v", status)
		}
	})
}
