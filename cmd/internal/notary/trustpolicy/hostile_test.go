package trustpolicy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// elements repeats a list element, or a member, with its number in it.
func elements(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestCostly: a document that was written to cost much costs no more than its
// size. Some took half a GiB, or time that grew with the square of it.
func TestCostly(t *testing.T) {
	for _, test := range []struct{ name, doc string }{
		{"places", strings.Repeat(`{"`+strings.Repeat(`\u0001`, 64)+`":`, 14) + "[" + elements(140_000, "%[1]d") + "]" + strings.Repeat("}", 14)},
		{"overrides", verification(`{"level": "strict", "override": {` + elements(80_000, `"%05x":1`) + `}}`)},
		{"stores", store("[" + elements(80_000, `"ca:%05x"`) + "]")},
		{"scopes", scope("[" + elements(80_000, `"a/%05x"`) + "]")},
		{"statements", images(elements(20_000, `"name":"%d"},{"x":1`))},
		{"identities", identity(strings.Split(elements(trustpolicy.MaxIdentities, "x509.subject:C=a;S=b;O=%d"), ",")...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if n := len(test.doc); n > trustpolicy.MaxSize {
				t.Fatalf("%d octets are not looked at", n)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := trustpolicy.ParseImages([]byte(test.doc))
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 256 {
				t.Errorf("it took %d MiB", mib)
			}
			if err != nil && len(err.Error()) > 4096 {
				t.Errorf("the message has %d octets", len(err.Error()))
			}
		})
	}
}
