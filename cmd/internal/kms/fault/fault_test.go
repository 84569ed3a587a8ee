package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

func TestError(t *testing.T) {
	cause := errors.New("403 permission denied")
	inner := fault.New(fault.Denied, "sign", "transit: %w", cause).WithHint("give %q the capability update", "tsa")
	outer := fmt.Errorf("tsa.key: %w", &fault.Error{Kind: fault.Credentials, Err: inner})
	if got, want := outer.Error(), "tsa.key: sign: transit: 403 permission denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(outer, cause) {
		t.Error("the cause is lost")
	}
	if got := fault.KindOf(outer); got != fault.Credentials {
		t.Errorf("the outermost kind: got %q", got)
	}
	if got := fault.HintOf(outer); got != `give "tsa" the capability update` {
		t.Errorf("the first hint: got %q", got)
	}
	if got := fault.KindOf(cause); got != "" {
		t.Errorf("a kind of an error without one: %q", got)
	}
	if fault.HintOf(nil) != "" || fault.KindOf(nil) != "" {
		t.Error("nil has no hint and no kind")
	}
	wrapped := fmt.Errorf("sign: %w", fault.New(fault.Unsupported, "", "no"))
	if !errors.Is(wrapped, errors.ErrUnsupported) || errors.Is(outer, errors.ErrUnsupported) {
		t.Error("errors.ErrUnsupported is that of the kind Unsupported alone")
	}
	for _, k := range []fault.Kind{fault.NotFound, fault.Denied, fault.Credentials, fault.Locked, fault.Unfit, fault.Malformed, fault.Unsupported} {
		if k.Temporary() {
			t.Errorf("%s is temporary", k)
		}
	}
	if !fault.Unreachable.Temporary() {
		t.Error("unreachable is not temporary")
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", " \n", ""},
		{"lines", "1 error:\n\t* denied\r\n", "1 error: * denied"},
		{"quotes, a path", `no "key" in C:\keys`, `no "key" in C:\keys`},
		{"another language", "accès refusé", "accès refusé"},
		{"terminal", "\x1b]0;x\x07\x1b[31mred\u202e\x9b", `\x1b]0;x\a\x1b[31mred\u202e\x9b`},
		{"long", strings.Repeat("é", 151), strings.Repeat("é", 150) + "..."},
		{"cut within a character", "x" + strings.Repeat("é", 150), "x" + strings.Repeat("é", 149) + "..."},
	} {
		if got := fault.Words(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
