package certcmd

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	begin := time.Date(2024, 2, 29, 23, 0, 0, 0, time.UTC)
	for _, row := range []struct{ text, end string }{
		{"1y", "2025-03-01T22:59:59Z"},
		{"15mo", "2025-05-29T22:59:59Z"},
		{"90d", "2024-05-29T22:59:59Z"},
		{"8h", "2024-03-01T06:59:59Z"},
		{"0h", ""}, {"-1h", ""}, {"h", ""}, {"1.5h", ""}, {"878401h", ""}, {"101y", ""}, {"90", ""}, {"1m", ""}, {"1h30m", ""}, {"", ""},
	} {
		var s span
		err := s.Set(row.text)
		if (err != nil) != (row.end == "") {
			t.Errorf("%q: %v", row.text, err)
		} else if err == nil && (s.String() != row.text || s.end(begin).Format(time.RFC3339) != row.end) {
			t.Errorf("%q: %s until %s, want %s", row.text, &s, s.end(begin).Format(time.RFC3339), row.end)
		}
	}
}
