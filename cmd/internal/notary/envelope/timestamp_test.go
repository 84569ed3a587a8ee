package envelope_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestRestamp: an envelope of others gets another token, and keeps everything
// else byte for byte, whatever it is.
func TestRestamp(t *testing.T) {
	for name, row := range map[string]struct {
		only   envelope.Format
		change func(testing.TB, *forge)
	}{
		"no timestamp":           {},
		"an old timestamp":       {change: unprotected(`"`+timestamp+`":"AAEC",`, coded{timestamp, []byte{0, 1, 2}})},
		"unknown members":        {change: unprotected(`"x":{"y":["]}",1.50]},`, coded{"x", []any{map[string]any{"y": 1.5}}})},
		"a member that is later": {change: unprotected(`"zzz":1,`, coded{strings.Repeat("z", 40), 1})},
		"a plugin":               {change: all(critical(scheme, expiry, plugin), attribute(plugin, `"com.example"`, "com.example"))},
		"space":                  {envelope.JWS, text(`"header":{`, "\"header\"\t:\r\n {\n  ")},
		"x5c last":               {envelope.JWS, func(_ testing.TB, f *forge) { f.header = ` "` + agent + `" : "a\/b" , ` }},
		"escaped name":           {envelope.JWS, unprotected(`"io.cncf.notary.timestamp\u0053ignature" : "AAEC" ,`, coded{})},
		"pairs in another order": {envelope.COSE, func(_ testing.TB, f *forge) { f.unprotected = []coded{{agent, "a"}, {4, []byte("k")}} }},
		"24 pairs": {envelope.COSE, func(_ testing.TB, f *forge) {
			for i := range 22 {
				f.unprotected = append(f.unprotected, coded{100 + i, i})
			}
		}},
	} {
		for _, format := range envelope.Formats() {
			if row.only != "" && row.only != format {
				continue
			}
			t.Run(name+", "+string(format), func(t *testing.T) {
				f := newForge(t, notarytest.Options{})
				if row.change != nil {
					row.change(t, f)
				}
				data := f.make(t, format)
				before := verify(t, format, data)
				stamp := token(t, before)
				stamped, err := parse(t, format, data).WithTimestamp(stamp)
				if err != nil {
					t.Fatal(err)
				}
				after := verify(t, format, stamped)
				compare(t, format, stamped, after)
				if !bytes.Equal(after.Timestamp, stamp) {
					t.Error("the token is another")
				}
				old, now := body(t, format, data), body(t, format, stamped)
				from, to := differ(old, now)
				if n := len(now) - from - to; n > len(stamp)*4/3+100 {
					t.Errorf("%d bytes are new, for a token of %d", n, len(stamp))
				}
				if lost := len(old) - from - to; lost > len(before.Timestamp)*4/3 {
					t.Errorf("%d bytes are gone, for a token of %d", lost, len(before.Timestamp))
				}
				second := token(t, after)
				again, err := parse(t, format, stamped).WithTimestamp(second)
				if err != nil {
					t.Fatal(err)
				}
				if len(again)-len(second) != len(stamped)-len(stamp) && format == envelope.COSE {
					t.Error("the second token has another place")
				}
			})
		}
	}
}

// TestTimestampBytes: a token that is put in afterwards makes the bytes that
// notation-core-go makes of all at once.
func TestTimestampBytes(t *testing.T) {
	r := request(t, notarytest.Options{})
	e := parse(t, envelope.COSE, sign(t, envelope.COSE, r))
	stamp := token(t, &e.Unverified)
	got, err := e.WithTimestamp(stamp)
	if err != nil {
		t.Fatal(err)
	}
	msg := cose.NewSign1Message()
	if err := msg.UnmarshalCBOR(e.Raw); err != nil {
		t.Fatal(err)
	}
	msg.Headers.RawUnprotected = nil
	msg.Headers.Unprotected[timestamp] = stamp
	if want, err := msg.MarshalCBOR(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("COSE: %d bytes are not the %d of go-cose, %v", len(got), len(want), err)
	}

	e = parse(t, envelope.JWS, sign(t, envelope.JWS, r))
	stamp = token(t, &e.Unverified)
	if got, err = e.WithTimestamp(stamp); err != nil {
		t.Fatal(err)
	}
	// The types of notation-core-go, which it does not export.
	var doc struct {
		Payload   string `json:"payload"`
		Protected string `json:"protected"`
		Header    struct {
			TimestampSignature []byte   `json:"io.cncf.notary.timestampSignature,omitempty"`
			CertChain          [][]byte `json:"x5c"`
			SigningAgent       string   `json:"io.cncf.notary.signingAgent,omitempty"`
		} `json:"header"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(e.Raw, &doc); err != nil {
		t.Fatal(err)
	}
	doc.Header.TimestampSignature = stamp
	if want, err := json.Marshal(doc); err != nil || !bytes.Equal(got, want) {
		t.Errorf("JWS: %d bytes are not the %d of notation-core-go, %v", len(got), len(want), err)
	}
}

// body returns an envelope without the one byte that counts its attributes.
func body(t testing.TB, format envelope.Format, data []byte) []byte {
	t.Helper()
	if format == envelope.JWS {
		return data
	}
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(data[1:], &parts); err != nil {
		t.Fatal(err)
	}
	head := 1
	if parts[1][0]&0x1f == 24 {
		head = 2
	}
	return slices.Concat(parts[0], parts[1][head:], parts[2], parts[3])
}

// differ returns how long two slices are the same from the beginning and from
// the end.
func differ(a, b []byte) (from, to int) {
	for from < len(a) && from < len(b) && a[from] == b[from] {
		from++
	}
	for to < len(a)-from && to < len(b)-from && a[len(a)-1-to] == b[len(b)-1-to] {
		to++
	}
	return from, to
}

func TestWithTimestampRefuses(t *testing.T) {
	for _, format := range envelope.Formats() {
		data := newForge(t, notarytest.Options{}).make(t, format)
		e := parse(t, format, data)
		good := token(t, &e.Unverified)
		forged := tsptest.NewForge(t, pkitest.Options{})
		strange, err := forged.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		response, err := forged.MakeResponse()
		if err != nil {
			t.Fatal(err)
		}
		h := e.Unverified.Algorithm.Hash.New()
		h.Write(data)
		imprint, err := tsp.NewImprint(e.Unverified.Algorithm.Hash, h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		forged.Request = &tsp.Request{Imprint: imprint, CertReq: true}
		envelopes, err := forged.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		for name, row := range map[string]struct {
			token  []byte
			detail string
		}{
			"nothing":                   {nil, "the token"},
			"garbage":                   {[]byte("garbage"), "the token"},
			"token cut":                 {good[:len(good)-1], "the token"},
			"token with bytes after it": {append(bytes.Clone(good), 0), "the token"},
			"response":                  {response, "a timestamp response; want the token in it"},
			"token of something else":   {strange, "not over the SHA-256 of this signature"},
			"token of the envelope":     {envelopes, "not over the SHA-256 of this signature"},
			"huge":                      {make([]byte, 2<<20), "at most"},
		} {
			out, err := e.WithTimestamp(row.token)
			wantReason(t, name, err, envelope.ReasonTimestamp)
			if err != nil && !strings.Contains(err.Error(), row.detail) || out != nil {
				t.Errorf("%s: %d bytes and %v, want none and %q", name, len(out), err, row.detail)
			}
		}

		f := newForge(t, notarytest.Options{})
		authority(t, f)
		e = parse(t, format, f.make(t, format))
		_, err = e.WithTimestamp(token(t, &e.Unverified))
		wantReason(t, "signing authority", err, envelope.ReasonTimestamp)

		f = newForge(t, notarytest.Options{})
		f.key, _ = other(t)
		e = parse(t, format, f.make(t, format))
		_, err = e.WithTimestamp(token(t, &e.Unverified))
		wantReason(t, "an envelope that does not verify", err, envelope.ReasonSignature)
	}
}
