package tsptest_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

var update = flag.Bool("update", false, "write the variants to testdata")

// TestVariants holds the table against the parsers and against the committed
// bytes, which others may use.
func TestVariants(t *testing.T) {
	const dir = "testdata/variants"
	var index strings.Builder
	index.WriteString("# Responses to request.tsq whose authority has chain.pem, and what a careful client concludes.\n")
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	golden := func(t *testing.T, name string, got []byte) {
		t.Helper()
		file := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the committed one", name)
		}
	}
	seen := map[string]bool{}
	for _, v := range tsptest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			if seen[v.Name] {
				t.Error("name occurs twice")
			}
			seen[v.Name] = true
			raw := v.Response(t)
			golden(t, v.Name+".tsr", raw)
			fmt.Fprintf(&index, "%-9s %s\n", v.Verdict, v.Name)

			r, err := tsp.ParseResponse(raw)
			if v.Verdict == tsptest.Malformed {
				if !errors.Is(err, tsp.ErrMalformed) || r != nil {
					t.Errorf("ParseResponse = %v, %v; want nil, malformed", r, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseResponse: %v; want verdict %s", err, v.Verdict)
			}
			if (v.Verdict == tsptest.Refusal) != (r.Rejection != nil) || (r.Rejection == nil) != (r.Token != nil) {
				t.Errorf("ParseResponse: rejection %v, token %v; want verdict %s", r.Rejection, r.Token, v.Verdict)
			}
			if r.Token != nil {
				again, err := r.Token.UnverifiedInfo.Marshal()
				if err != nil || !bytes.Equal(again, r.Token.Content()) {
					t.Errorf("Marshal of the parsed TSTInfo = %x, %v; want %x", again, err, r.Token.Content())
				}
			}
		})
	}
	golden(t, "verdicts.txt", []byte(index.String()))
	golden(t, "chain.pem", pkitest.TSA(t, pkitest.Options{}).PEM())
	golden(t, "request.tsq", tsptest.RequestDER())
}

// TestOnlyOneThingIsWrong holds that the first variant is sound, which gives
// the others their meaning.
func TestOnlyOneThingIsWrong(t *testing.T) {
	v := tsptest.Variants()[0]
	if v.Name != "plain" || v.Verdict != tsptest.Good {
		t.Fatalf("the first variant is %s, %s; want plain, good", v.Name, v.Verdict)
	}
	f := v.Forge(t)
	token := f.ParsedToken(t)
	info := token.UnverifiedInfo
	if !info.GenTime.Equal(tsptest.Time()) || !info.Nonce.Equal(tsptest.Nonce()) || !info.Imprint.Equal(tsptest.Imprint()) {
		t.Errorf("TSTInfo is %+v, want the canned time, nonce and imprint", info)
	}
}
