package audit

import (
	"testing"
)

// checkReport fails if a log is not in order.
func checkReport(t testing.TB, r *Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	for _, p := range r.Problems {
		t.Errorf("Verify: %v", p)
	}
}

func TestVerifyInOrder(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	for i := range 10 {
		if err := l.Append(t.Context(), tokenNumber(i)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	checkReport(t, r, err)
	if !r.Live || r.Tokens != 10 || r.Records != 11 || r.Head != l.State().Head {
		t.Errorf("report of a live log: %+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err = Verify(t.Context(), dir, VerifyOptions{Contains: []Hash{r.Head}})
	checkReport(t, r, err)
	if r.Live {
		t.Error("a closed log is said to be live")
	}
}
