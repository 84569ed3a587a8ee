package certcmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

const soundList = `{
  "version": 1,
  "issuer": "CN=CA",
  "issuerKeySHA256": "0000000000000000000000000000000000000000000000000000000000000000",
  "crlNumber": "7",
  "revoked": [
    {
      "serial": "a1",
      "subject": "CN=<TSA> & Söhne",
      "time": "2026-01-01T00:00:00Z",
      "reason": "certificateHold",
      "released": "2026-01-02T00:00:00Z"
    },
    {
      "serial": "a1",
      "subject": "CN=TSA",
      "time": "2026-01-03T00:00:00Z",
      "reason": "superseded"
    }
  ]
}
`

func TestParseList(t *testing.T) {
	l, err := parseList([]byte(soundList))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.revocations(); len(got) != 1 || got[0].Reason != "superseded" || got[0].Serial.Int64() != 0xa1 {
		t.Errorf("revocations: %v", got)
	}
	if again, err := l.encode(); err != nil || string(again) != soundList {
		t.Errorf("written again: %s, %v", again, err)
	}
	if _, err := parseList([]byte(strings.ReplaceAll(soundList, "  ", "\t"))); err != nil {
		t.Errorf("with other white space: %v", err)
	}
}

func TestParseListRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, says string }{
		{"nothing", soundList, "", "EOF"},
		{"half", soundList[200:], "", "unexpected EOF"},
		{"two", soundList, soundList + soundList, "follows"},
		{"another version", `"version": 1`, `"version": 2`, "version: 2"},
		{"unknown field", `"issuer":`, `"issuers":`, "issuers"},
		{"entries twice", `"revoked": [`, `"revoked": [], "revoked": [`, "a field is there twice"},
		{"reason twice", `"reason": "superseded"`, `"reason": "keyCompromise", "reason": "superseded"`, "a field is there twice"},
		{"field in capitals", `"crlNumber"`, `"CRLNumber"`, "not written as"},
		{"no issuer", `  "issuer": "CN=CA",`, "", "missing"},
		{"short hash", "0000", "", "issuerKeySHA256"},
		{"negative number", `"7"`, `"-7"`, "crlNumber"},
		{"number with a zero", `"7"`, `"07"`, "crlNumber"},
		{"null for the entries", soundList[strings.Index(soundList, "[\n") : strings.LastIndex(soundList, "]")+1], "null", "revoked: missing"},
		{"serial in capitals", `"a1"`, `"A1"`, "serial"},
		{"serial with a prefix", `"a1"`, `"0xa1"`, "serial"},
		{"negative serial", `"a1"`, `"-a1"`, "serial"},
		{"serial twice", ",\n      \"released\": \"2026-01-02T00:00:00Z\"", "", "a1 is there twice"},
		{"released before the hold", "2026-01-02", "2025-01-02", "released"},
		{"released from a final revocation", `"certificateHold"`, `"keyCompromise"`, "released"},
		{"unknown reason", "superseded", "removeFromCRL", "reason"},
		{"no reason", "superseded", "", "reason"},
		{"no time", "2026-01-03T00:00:00Z", "0001-01-01T00:00:00Z", "time"},
		{"part of a second", "2026-01-03T00:00:00Z", "2026-01-03T00:00:00.5Z", "time"},
	} {
		text := strings.Replace(soundList, tt.old, tt.new, 1)
		if text == soundList {
			t.Fatalf("%s: nothing was changed", tt.name)
		}
		if l, err := parseList([]byte(text)); err == nil || l != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, %v, want an error with %q", tt.name, l, err, tt.says)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(soundList))
	f.Add([]byte(`{"version":1,"issuer":"","issuerKeySHA256":"` + strings.Repeat("00", 32) + `","crlNumber":"0","revoked":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseList(data)
		if err != nil {
			if l != nil {
				t.Fatalf("a list with error %v", err)
			}
			return
		}
		text, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseList(text)
		if err != nil {
			t.Fatalf("not read again: %v: %s", err, text)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(twice, text) {
			t.Fatalf("written in two ways: %s and %s", text, twice)
		}
		l.revocations()
	})
}

// TestWriteLongList: what could not be read again does not replace what can.
func TestWriteLongList(t *testing.T) {
	l, err := parseList([]byte(soundList))
	if err != nil {
		t.Fatal(err)
	}
	f := &listFile{list: l, path: filepath.Join(t.TempDir(), "list.json")}
	if err := os.WriteFile(f.path, []byte(soundList), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Revoked[1].Subject = strings.Repeat("A", maxListSize)
	if err := f.write(new(cli.Env)); err == nil || !strings.Contains(err.Error(), "nothing was recorded") {
		t.Errorf("write: %v", err)
	}
	if data, err := os.ReadFile(f.path); err != nil || string(data) != soundList {
		t.Errorf("the file has %d bytes now, %v", len(data), err)
	}
}
