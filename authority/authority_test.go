package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// memory is a key in the memory of this process.
type memory struct{ key crypto.Signer }

func (m memory) Public() crypto.PublicKey { return m.key.Public() }
func (m memory) InProcess() bool          { return true }
func (m memory) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m.key.Sign(rand.Reader, digest, opts)
}

// remote is the same key, not said to be in this process, with a switch.
type remote struct {
	key  crypto.Signer
	sign func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) // nil: as memory
}

func (r *remote) Public() crypto.PublicKey { return r.key.Public() }
func (r *remote) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if r.sign != nil {
		return r.sign(ctx, digest, opts)
	}
	return memory{r.key}.Sign(ctx, digest, opts)
}

func parseOID(t testing.TB, dotted string) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(dotted)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

const testPolicy = "1.3.6.1.4.1.57264.2"

// testTime is when the fixed clock of the tests stands still.
var testTime = time.Date(2025, 11, 21, 10, 20, 30, 123_456_789, time.UTC)

// config returns a good configuration for a chain.
func config(t testing.TB, chain *pkitest.Chain) authority.Config {
	t.Helper()
	return authority.Config{
		Signer: memory{chain.LeafKey},
		Chain:  chain.Certificates(),
		Clock:  clock.Fixed(testTime, 10*time.Millisecond),
		Policy: parseOID(t, testPolicy),
	}
}

func newAuthority(t testing.TB, cfg authority.Config) *authority.Authority {
	t.Helper()
	a, err := authority.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return a
}

// request returns a request and its DER.
func request(t testing.TB, change func(*tsp.Request)) (*tsp.Request, []byte) {
	t.Helper()
	digest := sha256.Sum256([]byte("what is to be stamped"))
	imprint, err := tsp.NewImprint(crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	req := tsp.NewRequest(imprint)
	if change != nil {
		change(req)
	}
	der, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return req, der
}

// respond returns the parsed token that a request is granted.
func respond(t testing.TB, a *authority.Authority, req []byte) (*tsp.Response, tsp.Outcome) {
	t.Helper()
	reply, out := a.Respond(t.Context(), req)
	if !out.Granted() {
		t.Fatalf("Respond(%x) = %v, want a token", req, out.Rejection)
	}
	r, err := tsp.ParseResponse(reply)
	if err != nil {
		t.Fatalf("Respond(%x) is malformed: %v\n%x", req, err, reply)
	}
	if r.Token == nil {
		t.Fatalf("Respond(%x) = %v, want a token", req, r.Rejection)
	}
	return r, out
}

// TestRespond holds that the tokens of every key verify for who trusts the
// root and nothing else, with the chain in the token and without.
func TestRespond(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		t.Run(kind.String(), func(t *testing.T) {
			chain := pkitest.TSA(t, pkitest.Options{Key: kind})
			for _, name := range []bool{false, true} {
				cfg := config(t, chain)
				cfg.TSAName = name
				a := newAuthority(t, cfg)
				policy := verify.Policy{Roots: []*x509.Certificate{chain.Root}}
				req, in := request(t, nil)
				r, out := respond(t, a, in)
				stamp, err := policy.Response(r, req)
				if err != nil {
					t.Fatalf("token with its chain: %v", err)
				}
				if !stamp.Time.Equal(out.GenTime) || stamp.Accuracy != out.Accuracy || !stamp.Serial.Equal(out.Serial) || !stamp.Policy.Equal(out.Policy) {
					t.Errorf("the outcome says %+v, the token %+v", out, stamp)
				}
				if !bytes.Equal(out.SigningCertificate, chain.Leaf.Raw) {
					t.Error("Outcome.SigningCertificate is not the leaf")
				}
				policy.Certificate, policy.Intermediates = chain.Leaf, []*x509.Certificate{chain.Intermediate}
				req, in = request(t, func(r *tsp.Request) { r.CertReq = false })
				r, _ = respond(t, a, in)
				if _, err := policy.Response(r, req); err != nil {
					t.Errorf("token without certificates: %v", err)
				}
			}
		})
	}
}

func TestReady(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	cfg := config(t, chain)
	if err := newAuthority(t, cfg).Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	cfg.Clock = clock.NewScript()
	if err := newAuthority(t, cfg).Ready(t.Context()); !errors.Is(err, tsp.TimeNotAvailable) {
		t.Errorf("Ready without a clock: %v, want timeNotAvailable", err)
	}
}
