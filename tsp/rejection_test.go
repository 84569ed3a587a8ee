package tsp_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// TestRejectionMarshal compares with octets made by hand, which "openssl ts
// -reply -text" reads as what is meant.
func TestRejectionMarshal(t *testing.T) {
	for _, tt := range []struct {
		info tsp.FailureInfo
		name string
		want string
	}{
		// SEQUENCE { SEQUENCE { INTEGER 2, SEQUENCE { UTF8String "no" }, BIT STRING … } }
		{tsp.BadAlg, "badAlg", "300f 300d 020102 3004 0c026e6f 03020780"},
		{tsp.BadRequest, "badRequest", "300f 300d 020102 3004 0c026e6f 03020520"},
		{tsp.BadDataFormat, "badDataFormat", "300f 300d 020102 3004 0c026e6f 03020204"},
		{tsp.TimeNotAvailable, "timeNotAvailable", "3010 300e 020102 3004 0c026e6f 0303010002"},
		{tsp.UnacceptedPolicy, "unacceptedPolicy", "3010 300e 020102 3004 0c026e6f 0303000001"},
		{tsp.UnacceptedExtension, "unacceptedExtension", "3011 300f 020102 3004 0c026e6f 030407000080"},
		{tsp.AddInfoNotAvailable, "addInfoNotAvailable", "3011 300f 020102 3004 0c026e6f 030406000040"},
		{tsp.SystemFailure, "systemFailure", "3012 3010 020102 3004 0c026e6f 03050600000040"},
		{tsp.NoFailureInfo, "none", "300b 3009 020102 3004 0c026e6f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tsp.Reject(tt.info, "%s", "no")
			r.Err = errors.New("secret")
			got := r.Marshal()
			if want := strings.ReplaceAll(tt.want, " ", ""); hex.EncodeToString(got) != want {
				t.Errorf("Marshal of %v = %x, want %s", tt.info, got, want)
			}
			if tt.info.String() != tt.name {
				t.Errorf("String is %s, want %s", tt.info, tt.name)
			}
			parsed, err := tsp.ParseResponse(got)
			if err != nil || parsed.Rejection.Info != tt.info || parsed.Rejection.Text != "no" || parsed.Status != tsp.StatusRejection {
				t.Errorf("ParseResponse(%x) = %+v, %v", got, parsed, err)
			}
		})
	}
	if got := len(tsp.FailureInfos()); got != 8 {
		t.Errorf("FailureInfos() has %d values, want 8", got)
	}
	bare := &tsp.Rejection{Status: tsp.StatusWaiting, Info: tsp.NoFailureInfo}
	if got := hex.EncodeToString(bare.Marshal()); got != "30053003020103" {
		t.Errorf("Marshal of waiting = %s, want 30053003020103", got)
	}
}

func TestRejectionError(t *testing.T) {
	cause := fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
	r := &tsp.Rejection{Info: tsp.SystemFailure, Text: "no", Err: cause}
	wrapped := fmt.Errorf("request 7: %w", r)
	if !errors.Is(wrapped, tsp.SystemFailure) || !errors.Is(wrapped, io.ErrUnexpectedEOF) || errors.Is(wrapped, tsp.BadAlg) {
		t.Errorf("%v is not what it wraps", wrapped)
	}
	if got := tsp.AsRejection(wrapped); got != r {
		t.Errorf("AsRejection(%v) = %v, want the rejection in it", wrapped, got)
	}
	if got, want := r.Error(), "tsp: no (systemFailure): reading: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	got := tsp.AsRejection(cause)
	if got.Info != tsp.SystemFailure || !errors.Is(got, io.ErrUnexpectedEOF) || strings.Contains(string(got.Marshal()), "EOF") {
		t.Errorf("AsRejection(%v) = %+v, want a systemFailure that tells nobody the cause", cause, got)
	}
	if got := tsp.AsRejection(nil); got != nil {
		t.Errorf("AsRejection(nil) = %v", got)
	}
	var none *tsp.Rejection
	if got := tsp.AsRejection(error(none)); got == nil || got.Info != tsp.SystemFailure {
		t.Errorf("AsRejection of a nil *Rejection = %v, want a systemFailure", got)
	}
	waiting := &tsp.Rejection{Status: tsp.StatusWaiting, Info: tsp.NoFailureInfo}
	if got, want := waiting.Error(), "tsp: waiting: no reason given"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	for _, f := range append(tsp.FailureInfos(), tsp.NoFailureInfo, 3, 31) {
		if f.Error() == "" || f != tsp.NoFailureInfo && !strings.Contains(f.Error(), f.String()) {
			t.Errorf("Error of %d is %q", f, f.Error())
		}
	}
}

// TestRejectionText holds that any text gives a response that parses.
func TestRejectionText(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"long":               strings.Repeat("x", 100_000),
		"long, of two bytes": strings.Repeat("é", 100_000),
		"long, of four":      "x" + strings.Repeat("🕰", 1000),
		"not UTF-8":          "a\xffb\xc3",
		"long, not UTF-8":    strings.Repeat("\xff", 1000),
		"control octets":     "a\x00\n\x1b[31m",
	} {
		t.Run(name, func(t *testing.T) {
			r := &tsp.Rejection{Info: tsp.BadAlg, Text: text}
			parsed, err := tsp.ParseResponse(r.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			if got := parsed.Rejection.Text; len(got) > 400 || !utf8.ValidString(got) || (got == "") != (text == "") {
				t.Errorf("text of %d octets is %q", len(text), got)
			}
		})
	}
}

func TestStatusString(t *testing.T) {
	for status, want := range map[tsp.Status]string{
		0: "granted", 1: "grantedWithMods", 2: "rejection", 3: "waiting", 4: "revocationWarning", 5: "revocationNotification", 6: "status 6",
	} {
		if got := status.String(); got != want {
			t.Errorf("Status(%d) is called %s, want %s", int(status), got, want)
		}
	}
}
