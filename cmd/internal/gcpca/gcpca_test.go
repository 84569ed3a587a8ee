package gcpca_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fencepost-tsa/fencepost/cmd/internal/gcpca"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpcafake"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// The service in these tests is a fake that speaks the real protocol to
// Google's own client, and issues.

var timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

const day = 24 * time.Hour

func newKey(t *testing.T) *signer.Key {
	t.Helper()
	key, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// request asks for a certificate for key.
func request(key *signer.Key) gcpca.Request {
	return gcpca.Request{
		Parent: gcpca.Parent{Pool: gcpcafake.Pool}, PublicKey: key.Public(),
		Subject:  pkix.Name{CommonName: "Issuing CA", Organization: []string{"Example"}, Country: []string{"DE"}},
		Purpose:  timeStamping,
		Lifetime: 365 * day,
	}
}

// csr makes a request for the certificate of an intermediate.
func csr(t *testing.T, key *signer.Key) []byte {
	t.Helper()
	req, err := pki.CreateRequest(pki.RequestConfig{
		Role: pki.RoleTSA, Kind: pki.KindIntermediate,
		Subject: pkix.Name{CommonName: "Issuing CA"}, Key: signer.Crypto(t.Context(), key),
	})
	if err != nil {
		t.Fatal(err)
	}
	return req.Raw
}

// byCSR makes a request of that kind.
func byCSR(t *testing.T, key *signer.Key) func(*gcpca.Request) {
	return func(r *gcpca.Request) {
		r.PublicKey, r.Subject, r.Purpose, r.CSR = nil, pkix.Name{}, nil, csr(t, key)
	}
}

func TestIssue(t *testing.T) {
	ca := gcpcafake.New(t)
	key := newKey(t)
	for _, test := range []struct {
		name    string
		change  func(*gcpca.Request)
		length  int
		subject string
		end     time.Time // about
	}{
		{"by configuration", func(*gcpca.Request) {}, 2, "CN=Issuing CA,O=Example,C=DE", time.Now().Add(365 * day)},
		{"lifetime cut to that of the CA", func(r *gcpca.Request) { r.Lifetime = 7300 * day }, 2, "CN=Issuing CA,O=Example,C=DE", ca.Root().NotAfter},
		{"by one CA of the pool", func(r *gcpca.Request) { r.Parent.CA = gcpcafake.SubordinateCA }, 3, "CN=Issuing CA,O=Example,C=DE", time.Now().Add(365 * day)},
		{"by request", byCSR(t, key), 2, "CN=Issuing CA", time.Now().Add(365 * day)},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := request(key)
			test.change(&req)
			chain, err := gcpca.Issue(t.Context(), gcpca.Config{Options: ca.Options()}, req)
			if err != nil {
				t.Fatal(err)
			}
			issued, root := chain[0], chain[len(chain)-1]
			if got := issued.Subject.String(); got != test.subject || len(chain) != test.length || !root.Equal(ca.Root()) {
				t.Errorf("got %s and %d certificates up to %s, want %s and %d", got, len(chain), root.Subject, test.subject, test.length)
			}
			if off := issued.NotAfter.Sub(test.end).Abs(); off > time.Minute {
				t.Errorf("valid until %v, want about %v", issued.NotAfter, test.end)
			}
			// A leaf below it makes a chain that is fit.
			leaf, err := pki.CreateLeaf(pki.Config{
				Role: pki.RoleTSA, Subject: pkix.Name{CommonName: "Timestamp Authority"}, PublicKey: newKey(t).Public(),
				Issuer: issued, IssuerKey: signer.Crypto(t.Context(), key), NotAfter: time.Now().Add(day),
			})
			if err != nil {
				t.Fatal(err)
			}
			report := pki.Check(append([]*x509.Certificate{leaf}, chain...), pki.CheckOptions{
				// Google's own subordinate CAs have no extended key usage.
				Role: pki.RoleTSA, EnforceIntermediateEKU: len(chain) == 2, Time: time.Now().Add(time.Second),
			})
			for _, f := range report.Findings {
				if f.Severity >= pki.Warning && f.Certificate < 2 {
					t.Errorf("finding: %v", f)
				}
			}
			if err := report.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, r := range ca.Requests() {
		if r.Parent != gcpcafake.Pool || r.CertificateId == "" || r.RequestId == "" {
			t.Errorf("request for %q with the identifiers %q and %q", r.Parent, r.CertificateId, r.RequestId)
		}
	}
	if n := len(ca.Requests()); ca.Issued() != n {
		t.Errorf("%d certificates for %d requests", ca.Issued(), n)
	}
}

// TestRefused: what the service refuses is an error that says who has to mend
// what.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  gcpcafake.Fault
		change func(*gcpca.Request)
		kind   fault.Kind
		text   string // in the message
		hint   string // in the hint
	}{
		{"permission denied", gcpcafake.PermissionDenied, nil, fault.Denied, "'privateca.certificates.create' denied", "roles/privateca.certificateRequester"},
		{"service disabled", gcpcafake.ServiceDisabled, nil, fault.Denied, "has not been used", "gcloud services enable"},
		{"unauthenticated", gcpcafake.Unauthenticated, nil, fault.Credentials, "invalid authentication", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"no such pool", gcpcafake.None, func(r *gcpca.Request) { r.Parent.Pool += "-other" }, fault.NotFound, "caPools/tsa-other' was not found", "pools list"},
		{"no such CA", gcpcafake.None, func(r *gcpca.Request) { r.Parent.CA = "nobody" }, fault.NotFound, "certificateAuthorities/nobody", "pools list"},
		{"CA disabled", gcpcafake.CADisabled, nil, fault.Unfit, "no enabled CAs", "roots enable"},
		{"policy refuses", gcpcafake.PolicyRefuses, nil, fault.Unfit, "issuance policy", "path length 0"},
		{"quota used up", gcpcafake.QuotaUsedUp, nil, fault.Unreachable, "Quota exceeded", "wait"},
		{"internal", gcpcafake.Internal, nil, fault.Unreachable, "Internal error", "try again"},
		{"unavailable", gcpcafake.Unavailable, nil, fault.Unreachable, "currently unavailable", "privateca.googleapis.com"},
		{"hangs", gcpcafake.Hangs, nil, fault.Unreachable, "no answer in time", "privateca.googleapis.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ca := gcpcafake.New(t)
			ca.SetFault(test.fault)
			req := request(newKey(t))
			if test.change != nil {
				test.change(&req)
			}
			cfg := gcpca.Config{Options: ca.Options()}
			if test.fault == gcpcafake.Unavailable || test.fault == gcpcafake.Hangs {
				cfg.Timeout = 500 * time.Millisecond
			}
			chain, err := gcpca.Issue(t.Context(), cfg, req)
			if err == nil || chain != nil {
				t.Fatalf("got %d certificates and no error", len(chain))
			}
			if got := fault.KindOf(err); got != test.kind {
				t.Errorf("kind %q, want %q: %v", got, test.kind, err)
			}
			if !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), gcpcafake.Pool) {
				t.Errorf("error %q, want %q and the pool in it", err, test.text)
			}
			if got := fault.HintOf(err); !strings.Contains(got, test.hint) {
				t.Errorf("hint %q, want %q in it", got, test.hint)
			}
			if cfg.Timeout != 0 && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not a context.DeadlineExceeded", err)
			}
			if ca.Issued() != 0 {
				t.Error("a certificate was issued")
			}
		})
	}
}

// TestAnswers: what was issued is compared with what was asked for.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		fault gcpcafake.Fault
		kind  fault.Kind
		text  string
	}{
		{gcpcafake.OtherKey, fault.Malformed, "another key"},
		{gcpcafake.NotCA, fault.Unfit, "is not a CA"},
		{gcpcafake.NoKeyUsage, fault.Unfit, "keyCertSign"},
		{gcpcafake.NoPathLength, fault.Unfit, "path length"},
		{gcpcafake.NoPurpose, fault.Unfit, "lacks the extended key usage 1.3.6.1.5.5.7.3.8"},
		{gcpcafake.MorePurposes, fault.Unfit, "other extended key usages"},
		{gcpcafake.NoChain, fault.Malformed, "no chain"},
		{gcpcafake.OtherChain, fault.Malformed, "is not issued by the next"},
		{gcpcafake.ChainInDisorder, fault.Malformed, "is not issued by the next"},
		{gcpcafake.LongChain, fault.Malformed, "want at most 10"},
		{gcpcafake.NoPEM, fault.Malformed, "not a certificate in PEM"},
		{gcpcafake.NoPEMInChain, fault.Malformed, "certificate 1 of the chain in the answer"},
		{gcpcafake.TwoCertificates, fault.Malformed, "something follows"},
		{gcpcafake.NotDER, fault.Malformed, "x509: malformed"},
		{gcpcafake.AnswerOfMegabyte, fault.Malformed, "larger than max"},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			ca := gcpcafake.New(t)
			ca.SetFault(test.fault)
			req := request(newKey(t))
			req.Parent.CA = gcpcafake.SubordinateCA // a chain of more than the root
			chain, err := gcpca.Issue(t.Context(), gcpca.Config{Options: ca.Options()}, req)
			if err == nil || chain != nil {
				t.Fatalf("got %d certificates and the error %v", len(chain), err)
			}
			if got := fault.KindOf(err); got != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %q, %v; want %q, %q", got, err, test.kind, test.text)
			}
			if hint := fault.HintOf(err); test.kind == fault.Unfit && !strings.Contains(hint, "revoke") {
				t.Errorf("hint %q", hint)
			}
		})
	}
}

// TestRequestAnswers: what a certificate request asks for has to come, too.
func TestRequestAnswers(t *testing.T) {
	for _, test := range []struct {
		fault gcpcafake.Fault
		text  string
	}{
		{gcpcafake.NoPurpose, "lacks the extended key usage 1.3.6.1.5.5.7.3.8"},
		{gcpcafake.MorePurposes, "other extended key usages"},
		{gcpcafake.OtherKey, "another key"},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			ca := gcpcafake.New(t)
			ca.SetFault(test.fault)
			key := newKey(t)
			req := request(key)
			byCSR(t, key)(&req)
			if _, err := gcpca.Issue(t.Context(), gcpca.Config{Options: ca.Options()}, req); err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %q", err, test.text)
			}
		})
	}
}

// TestRetry: a service that comes back, and an answer that was lost, cost no
// second certificate.
func TestRetry(t *testing.T) {
	for _, f := range []gcpcafake.Fault{gcpcafake.UnavailableTwice, gcpcafake.LostAnswer} {
		t.Run(string(f), func(t *testing.T) {
			ca := gcpcafake.New(t)
			ca.SetFault(f)
			if _, err := gcpca.Issue(t.Context(), gcpca.Config{Options: ca.Options()}, request(newKey(t))); err != nil {
				t.Fatal(err)
			}
			requests := ca.Requests()
			if len(requests) < 2 || ca.Issued() != 1 {
				t.Fatalf("%d requests, %d certificates", len(requests), ca.Issued())
			}
			for _, r := range requests {
				if r.RequestId != requests[0].RequestId {
					t.Error("the identifier of the request changed")
				}
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	ca := gcpcafake.New(t)
	ca.SetFault(gcpcafake.Hangs)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(ca.Requests()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := gcpca.Issue(ctx, gcpca.Config{Options: ca.Options()}, request(newKey(t)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestNobodyThere: a port at which nothing listens.
func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, err = gcpca.Issue(t.Context(), gcpca.Config{Timeout: 300 * time.Millisecond, Options: []option.ClientOption{
		option.WithEndpoint(address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}}, request(newKey(t)))
	if fault.KindOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "refused") || !strings.Contains(fault.HintOf(err), "try again") {
		t.Errorf("got %v", err)
	}
}

// TestCredentials: without them nothing is sent.
func TestCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	_, err := gcpca.Issue(t.Context(), gcpca.Config{}, request(newKey(t)))
	if fault.KindOf(err) != fault.Credentials || !strings.Contains(err.Error(), "none.json") || !strings.Contains(fault.HintOf(err), "gcloud auth") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

// TestRequest: what is not a request is refused before anybody is asked.
func TestRequest(t *testing.T) {
	ca := gcpcafake.New(t)
	key := newKey(t)
	for _, test := range []struct {
		name   string
		change func(*gcpca.Request)
		text   string
	}{
		{"no parent", func(r *gcpca.Request) { r.Parent = gcpca.Parent{} }, "no CA pool"},
		{"no lifetime", func(r *gcpca.Request) { r.Lifetime = 0 }, "no lifetime"},
		{"no key", func(r *gcpca.Request) { r.PublicKey = nil }, "either a public key"},
		{"key and CSR", func(r *gcpca.Request) { r.CSR = csr(t, key) }, "either a public key"},
		{"purpose and CSR", func(r *gcpca.Request) { byCSR(t, key)(r); r.Purpose = timeStamping }, "a purpose beside"},
		{"unknown key", func(r *gcpca.Request) { r.PublicKey = "key" }, "public key"},
		{"no name", func(r *gcpca.Request) { r.Subject.CommonName = "" }, "common name"},
		{"two organizations", func(r *gcpca.Request) { r.Subject.Organization = []string{"a", "b"} }, "2 values of organization"},
		{"attribute without a field", func(r *gcpca.Request) { r.Subject.SerialNumber = "1" }, "serial number"},
		{"damaged CSR", func(r *gcpca.Request) { byCSR(t, key)(r); r.CSR = r.CSR[1:] }, "certificate request"},
		{"CSR signed by nobody", func(r *gcpca.Request) {
			byCSR(t, key)(r)
			r.CSR[len(r.CSR)-1] ^= 1
		}, "certificate request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := request(key)
			test.change(&req)
			if _, err := gcpca.Issue(t.Context(), gcpca.Config{Options: ca.Options()}, req); err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %q", err, test.text)
			}
		})
	}
	if n := len(ca.Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestParseParent(t *testing.T) {
	for _, test := range []struct {
		text string
		ok   bool
	}{
		{"projects/p/locations/us-central1/caPools/my_Pool-1", true},
		{"projects/example.com:p/locations/us-central1/caPools/tsa", true},
		{"projects/123456/locations/l/caPools/tsa/certificateAuthorities/root-1", true},
		{"", false},
		{"projects/p/locations/l/caPools/", false},
		{"projects/p/locations/l/certificateAuthorities/ca", false},
		{"projects/p/locations/l/caPools/tsa/certificates/c", false},
		{"projects/p/locations/l/caPools/tsa/", false},
		{"projects/p/locations/l/caPools/tsa\n", false},
		{"/projects/p/locations/l/caPools/tsa", false},
		{"gcpkms://projects/p/locations/l/caPools/tsa", false},
		{"projects/<project>/locations/<region>/caPools/<ca-pool>", false},
		{strings.Repeat("p", 10000), false},
	} {
		got, err := gcpca.ParseParent(test.text)
		switch {
		case (err == nil) != test.ok:
			t.Errorf("ParseParent(%.80q): %v", test.text, err)
		case err == nil && got.String() != test.text:
			t.Errorf("ParseParent(%q) is written %q", test.text, got)
		case err != nil && got != gcpca.Parent{}:
			t.Errorf("ParseParent(%.80q) = %v beside an error", test.text, got)
		}
	}
}

// FuzzParseParent: what is read is written as it was.
func FuzzParseParent(f *testing.F) {
	f.Add("projects/p/locations/l/caPools/tsa")
	f.Add("projects/p/locations/l/caPools/tsa/certificateAuthorities/root-1")
	f.Add("projects/example.com:p/locations/l/caPools/../tsa")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := gcpca.ParseParent(text); err == nil && p.String() != text {
			t.Errorf("%q is written %q", text, p)
		}
	})
}
