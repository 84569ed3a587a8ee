package tsp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestParseAny(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	response, err := forge.MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	token, err := forge.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	ber := *forge
	ber.Indefinite = true
	berResponse, err := ber.MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	berToken, err := ber.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	refusal := tsp.Reject(tsp.BadAlg, "no").Marshal()

	messages := []struct {
		name string
		raw  []byte
		is   func(*tsp.Message) bool
	}{
		{"request", tsptest.RequestDER(), func(m *tsp.Message) bool {
			return m.Request != nil && m.Response == nil && m.Token == nil && bytes.Equal(m.Request.Raw, tsptest.RequestDER())
		}},
		{"response", response, func(m *tsp.Message) bool {
			return m.Request == nil && m.Response != nil && m.Token == nil && m.Response.Token != nil && bytes.Equal(m.Response.Raw, response)
		}},
		{"response in BER", berResponse, func(m *tsp.Message) bool { return m.Response != nil && bytes.Equal(m.Response.Raw, response) }},
		{"refusal", refusal, func(m *tsp.Message) bool { return m.Response != nil && m.Response.Rejection != nil }},
		{"token", token, func(m *tsp.Message) bool {
			return m.Request == nil && m.Response == nil && m.Token != nil && bytes.Equal(m.Token.Raw, token)
		}},
		{"token in BER", berToken, func(m *tsp.Message) bool { return m.Token != nil && bytes.Equal(m.Token.Raw, token) }},
	}
	wrappings := []struct {
		name string
		form tsp.Form
		wrap func([]byte) []byte
	}{
		{"DER", tsp.FormDER, func(b []byte) []byte { return b }},
		{"PEM", tsp.FormPEM, func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "TIMESTAMP", Bytes: b}) }},
		{"PEM in white space", tsp.FormPEM, func(b []byte) []byte {
			return append([]byte("\r\n  "), append(pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: b}), "\n\n"...)...)
		}},
		{"base64", tsp.FormBase64, func(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }},
		{"base64 without padding", tsp.FormBase64, func(b []byte) []byte { return base64.RawStdEncoding.AppendEncode(nil, b) }},
		{"base64 for URLs", tsp.FormBase64, func(b []byte) []byte { return base64.URLEncoding.AppendEncode(nil, b) }},
		{"base64 in lines", tsp.FormBase64, func(b []byte) []byte {
			return []byte(strings.Join(strings.SplitAfter(base64.StdEncoding.EncodeToString(b), "A"), "\r\n") + "\n")
		}},
	}
	for _, m := range messages {
		for _, w := range wrappings {
			t.Run(m.name+" in "+w.name, func(t *testing.T) {
				got, err := tsp.ParseAny(w.wrap(bytes.Clone(m.raw)))
				if err != nil {
					t.Fatal(err)
				}
				if got.Form != w.form || !m.is(got) {
					t.Errorf("ParseAny = %+v, want a %s in %s", got, m.name, w.form)
				}
				tok, err := got.TimeStampToken()
				switch {
				case strings.Contains(m.name, "token"), strings.Contains(m.name, "response"):
					if err != nil || !bytes.Equal(tok.Raw, token) {
						t.Errorf("TimeStampToken = %v, %v", tok, err)
					}
				case m.name == "refusal":
					if !errors.Is(err, tsp.BadAlg) || tok != nil {
						t.Errorf("TimeStampToken = %v, %v; want badAlg", tok, err)
					}
				default:
					if err == nil || tok != nil {
						t.Errorf("TimeStampToken = %v, %v; want an error", tok, err)
					}
				}
			})
		}
	}
}

func TestParseAnyRefuses(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	bareInfo := info(t, nil)
	response, err := tsptest.NewForge(t, pkitest.Options{}).MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(typ string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}) }
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "not a timestamp"},
		{"white space", []byte(" \n"), "neither DER nor PEM nor base64"},
		{"text", []byte("hello"), "neither DER nor PEM nor base64"},
		{"JSON", []byte(`{"code":400}`), "neither DER nor PEM nor base64"},
		{"web page", []byte("<!DOCTYPE html>"), "neither DER nor PEM nor base64"},
		{"base64 of text", []byte("aGVsbG8gd29ybGQ="), "neither DER nor PEM nor base64"},
		{"base64 twice", base64.StdEncoding.AppendEncode(nil, base64.StdEncoding.AppendEncode(nil, response)), "neither DER nor PEM nor base64"},
		{"one byte", []byte{0x30}, "not a timestamp"},
		{"empty SEQUENCE", []byte{0x30, 0}, "not a timestamp"},
		{"SEQUENCE of NULL", []byte{0x30, 2, 5, 0}, "not a timestamp"},
		{"length of nothing", []byte{0x30, 0xff}, "not a timestamp"},
		{"bare TSTInfo", bareInfo, "nobody signed"},
		{"bare TSTInfo in base64", base64.StdEncoding.AppendEncode(nil, bareInfo), "nobody signed"},
		{"certificate", chain.DER[0], "response"},
		{"PEM certificate", pemOf("CERTIFICATE", chain.DER[0]), "holds a certificate"},
		{"PEM private key", pemOf("EC PRIVATE KEY", []byte{0x30, 0}), "holds a ec private key"},
		{"PEM with a header", bytes.Replace(pemOf("X", response), []byte("\n"), []byte("\na: b\n\n"), 1), "headers"},
		{"PEM, damaged", pemOf("X", response)[:200], "PEM block is malformed"},
		{"PEM, and more", append(pemOf("X", response), "more"...), "after the PEM block"},
		{"two PEM blocks", append(pemOf("X", response), pemOf("X", response)...), "after the PEM block"},
		{"response and a byte", append(bytes.Clone(response), 0), "after the end"},
		{"response and a line end in base64", base64.StdEncoding.AppendEncode(nil, append(bytes.Clone(response), '\n')), "after the end"},
		{"response, truncated", response[:len(response)-1], "beyond the end"},
		{"two responses", append(bytes.Clone(response), response...), "after the end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := tsp.ParseAny(tt.in)
			if !errors.Is(err, tsp.ErrMalformed) || m != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseAny(%.60x) = %v, %v; want nil and a malformed that says %q", tt.in, m, err, tt.want)
			}
		})
	}
	// A request that is refused is refused as one.
	m, err := tsp.ParseAny(append(tsptest.RequestDER(), 0))
	if !errors.Is(err, tsp.BadDataFormat) || m != nil {
		t.Errorf("ParseAny of a request and a byte = %v, %v; want badDataFormat", m, err)
	}
}
