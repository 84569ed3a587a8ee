package auditcmd

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// A table shows records to people, a line each. Columns have a width that fits
// what is usual, so that the first line can be written before the last is known.
type table struct {
	out     io.Writer
	tokens  bool // nothing else comes
	folders bool // there are several
	begun   bool
}

// row is the form of a line of tokens: time, serial number, policy, hash,
// digest, key, clock, client.
const row = "%-27s  %-40s  %-24s  %-8s  %-13s  %-10s  %-20s  %s"

// digestShown is how many digits of a digest tell one from another.
const digestShown = 12

func (t *table) write(r *record) error {
	if !t.begun {
		t.begun = true
		head := "TIME                         KIND       WHAT"
		if t.tokens {
			head = fmt.Sprintf(row, "TIME", "SERIAL", "POLICY", "HASH", "DIGEST", "KEY", "CLOCK", "CLIENT")
		}
		if t.folders {
			head += "  FOLDER"
		}
		if _, err := io.WriteString(t.out, head+"\n"); err != nil {
			return err
		}
	}
	var text string
	token, ok := r.Record.(*audit.Token)
	if t.tokens && ok {
		text = fmt.Sprintf(row, shown(token.GenTime), hex.EncodeToString(token.Serial), token.Policy, token.Algorithm,
			short(hex.EncodeToString(token.Digest), digestShown), token.Key, clock(token), orDash(token.Client))
	} else {
		at := r.Time
		if ok {
			at = token.GenTime
		}
		text = fmt.Sprintf("%-27s  %-9s  %s", shown(at), r.Kind, members(r.Raw))
	}
	if t.folders {
		text += "  " + r.from.dir
	}
	if !r.verified() {
		text += "  UNVERIFIED"
	}
	_, err := io.WriteString(t.out, cli.Printable(text)+"\n")
	return err
}

// clock is how wrong the clock could be, and its state.
func clock(t *audit.Token) string {
	return roundUp(t.ClockBound, time.Microsecond).String() + " " + t.ClockState
}

func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// valueShown is how much of a value is shown, in bytes: a digest in hexadecimal
// is, a timestamp is not.
const valueShown = 200

// members lists what is particular to a record, of whatever kind, those of later
// versions too: name=value, spans of time in their units.
func members(raw []byte) string {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return ""
	}
	var list []string
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			break
		}
		value, err := dec.Token()
		if err != nil {
			break
		}
		switch name {
		case "n", "synced", "time", "kind", "hash":
			continue
		}
		text := fmt.Sprint(value)
		if span, ok := strings.CutSuffix(fmt.Sprint(name), "_ns"); ok {
			if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
				name, text = span, time.Duration(ns).String()
			}
		}
		if len(text) > valueShown {
			text = strings.ToValidUTF8(text[:valueShown], "") + "…"
		}
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '=' }) {
			text = strconv.Quote(text)
		}
		list = append(list, fmt.Sprintf("%v=%s", name, text))
	}
	return strings.Join(list, " ")
}
