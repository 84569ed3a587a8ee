package tsptest_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestRequests(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range tsptest.Requests() {
		t.Run(v.Name, func(t *testing.T) {
			if seen[v.Name] {
				t.Error("name occurs twice")
			}
			seen[v.Name] = true
			if v.Parse != tsptest.Granted && v.Answer != v.Parse {
				t.Errorf("Answer is %v although parsing fails with %v", v.Answer, v.Parse)
			}
			r, err := tsp.ParseRequest(v.DER)
			if v.Parse != tsptest.Granted {
				if !errors.Is(err, v.Parse) || r != nil {
					t.Errorf("ParseRequest = %v, %v; want nil and %v", r, err, v.Parse)
				}
				var rejection *tsp.Rejection
				if !errors.As(err, &rejection) || rejection.Text == "" || rejection.Err != nil {
					t.Errorf("error is %#v, want a *tsp.Rejection with a text", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseRequest(%.100x): %v", v.DER, err)
			}
			again, err := r.Marshal()
			if err != nil || !bytes.Equal(again, v.DER) || !bytes.Equal(r.Raw, v.DER) {
				t.Errorf("Marshal of the parsed request = %x, %v; want %x", again, err, v.DER)
			}
		})
	}
}
