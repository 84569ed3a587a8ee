package verify_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// now is the local time in these tests: an hour after the canned tokens.
func now() time.Time { return tsptest.Time().Add(time.Hour) }

// policyFor returns a policy that trusts the root of the forge's chain.
func policyFor(t testing.TB, f *tsptest.Forge) verify.Policy {
	t.Helper()
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	return verify.Policy{Roots: certs(root), Now: now}
}

// TestVariants holds every variant of tsptest against its verdict, and every
// refusal against the reason given for it.
func TestVariants(t *testing.T) {
	for _, v := range tsptest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			// The forge as it was before the variant bent it.
			p := policyFor(t, tsptest.NewForge(t, v.Options))
			r, err := tsp.ParseResponse(v.Response(t))
			if err != nil {
				if v.Verdict != tsptest.Malformed {
					t.Fatalf("ParseResponse: %v, verdict is %s", err, v.Verdict)
				}
				return
			}
			_, err = p.Response(r, tsptest.Request())
			t.Log(err)
			var e *verify.Error
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("error is a %T", err)
			}
			if (err == nil) != (v.Verdict == tsptest.Good) {
				t.Errorf("verdict %s: %v", v.Verdict, err)
			}
		})
	}
}
