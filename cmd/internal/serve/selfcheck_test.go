package serve

import (
	"context"
	"crypto"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// failing is a signer elsewhere that begins to sign wrongly.
type failing struct {
	authority.Signer
	broken atomic.Bool
}

func (f *failing) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if f.broken.Load() {
		digest = append([]byte{digest[0] ^ 1}, digest[1:]...)
	}
	return f.Signer.Sign(ctx, digest, opts)
}

func TestSelfCheckAlert(t *testing.T) {
	var key *failing
	s, b := newServer(t, func(b *bench) {
		key = &failing{Signer: b.authority.Signer}
		b.authority.Signer = key
	})
	key.broken.Store(true)
	reply, err := tsp.ParseResponse(post(s, PathTimestamp, query()).Body.Bytes())
	if err != nil || reply.Rejection == nil || reply.Rejection.Info != tsp.SystemFailure {
		t.Fatalf("a broken signer: %+v, %v; want systemFailure", reply, err)
	}
	if log := b.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"timestamp"`) {
		t.Errorf("no error in the log: %s", log)
	}
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\nfencepost_self_check_failures_total 1\n") {
		t.Error("the failure is not counted")
	}
}
