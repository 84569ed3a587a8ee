package authority_test

import (
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
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
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
var testTime = time.Date(2026, 11, 21, 10, 20, 30, 123_456_789, time.UTC)

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

func TestRespond(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		t.Run(kind.String(), func(t *testing.T) {
			chain := pkitest.TSA(t, pkitest.Options{Key: kind})
			a := newAuthority(t, config(t, chain))
			req, der := request(t, nil)
			r, out := respond(t, a, der)
			info := r.Token.UnverifiedInfo
			if !info.Imprint.Equal(req.Imprint) || !info.Nonce.Equal(req.Nonce) || !info.Serial.Equal(out.Serial) {
				t.Errorf("token %+v does not answer %+v", info, req)
			}
			if !oid.Is(info.Policy, string(oid.Content(a.Policy()))) {
				t.Errorf("policy is %v", info.Policy)
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
