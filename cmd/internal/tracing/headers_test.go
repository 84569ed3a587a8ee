package tracing_test

import (
	"maps"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
)

func TestParseHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     map[string]string // nil: refused
		says     string
	}{
		{"nothing", "", map[string]string{}, ""},
		{"one", "X-Api-Key: sesame\n", map[string]string{"X-Api-Key": "sesame"}, ""},
		{"several", "# ours\n\nAuthorization: Bearer a:b\r\n X-Tenant :\tx\n", nil, "line 4"},
		{"spaces", "Authorization: Bearer a:b\r\n\tX-Tenant:\tx y \n\n#", map[string]string{"Authorization": "Bearer a:b", "X-Tenant": "x y"}, ""},
		{"no colon", "a: b\nsesame\n", nil, "line 2"},
		{"no name", ": sesame\n", nil, "line 1"},
		{"bad name", "X Api: sesame\n", nil, "line 1"},
		{"no value", "X-Api-Key:\n", nil, "line 1"},
		{"bad value", "X-Api-Key: sesame\x00\n", nil, "line 1"},
		{"twice", "a: sesame\nA: sesame\n", nil, "twice"},
		{"protocol", "content-TYPE: sesame\n", nil, "set by this program"},
		{"many", strings.Repeat("a", 1) + func() (s string) {
			for i := range 33 {
				s += strings.Repeat("x", i+1) + ": sesame\n"
			}
			return s
		}(), nil, "more than 32"},
		{"giant", "a: " + strings.Repeat("x", 64<<10), nil, "more than 65536"},
	} {
		got, err := tracing.ParseHeaders([]byte(tt.in))
		if tt.want == nil {
			if err == nil || got != nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("%s: ParseHeaders = %v, %v, want an error with %q", tt.name, got, err, tt.says)
			}
		} else if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%s: ParseHeaders = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// FuzzParseHeaders holds that what is read can be sent, and is read again as it
// was when it is written.
func FuzzParseHeaders(f *testing.F) {
	for _, s := range []string{"", "a: b\n", "# x\n\nAuthorization: Bearer x\r\n", ": x", "a:b\nA: c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		headers, err := tracing.ParseHeaders(data)
		if err != nil {
			if headers != nil {
				t.Errorf("an error and %v", headers)
			}
			return
		}
		var text strings.Builder
		h := http.Header{}
		for name, value := range headers {
			text.WriteString(name + ": " + value + "\n")
			if _, ok := h[textproto.CanonicalMIMEHeaderKey(name)]; ok {
				t.Errorf("%s is there twice", name)
			}
			h.Set(name, value)
		}
		again, err := tracing.ParseHeaders([]byte(text.String()))
		if err != nil || !maps.Equal(again, headers) {
			t.Errorf("%q is read as %v, %v, want %v", text.String(), again, err, headers)
		}
		r, err := http.NewRequest("POST", "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h
		if err := r.Write(discard{}); err != nil {
			t.Errorf("%v cannot be sent: %v", headers, err)
		}
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
