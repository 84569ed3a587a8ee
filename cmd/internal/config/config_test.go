package config_test

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

const good = `
listen: ["127.0.0.1:3000", "http://[::1]:80", "unix:run.sock"]
admin: off
tls: {certificate: tls.crt, key: /abs/tls.key}
log: {format: text, level: debug}
limits: {max-request: 64KiB, concurrency: 8, read-timeout: 5s}
http: {created: true, refusal-format: json, cors: false, request-id-header: x-trace}
tsa:
  key: file:tsa.key?passphrase-file=pass
  chain: chain.pem
  policy: 1.3.6.1.4.1.99999.10
  accepted-policies: [1.2, 1.3.6.1.4.1.99999.2]
  hashes: [sha256, sha3-512]
  accuracy: 500ms
  precision: 1us
  include: full
  digest: sha512
  tsa-name: true
  clock: {source: system, bound: 100ms}
`

func TestParse(t *testing.T) {
	c, err := config.Parse("/etc/fp/fencepost.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key       string
		got, want any
	}{
		{"listen[0]", c.Listen[0], config.Address{Scheme: config.SchemeHTTPS, Host: "127.0.0.1", Port: "3000"}},
		{"listen[1]", c.Listen[1], config.Address{Scheme: config.SchemeHTTP, Host: "::1", Port: "80"}},
		{"listen[2]", c.Listen[2], config.Address{Scheme: config.SchemeUnix, Path: "/etc/fp/run.sock"}},
		{"admin", c.Admin.Off, true},
		{"tls.certificate", c.TLS.Certificate, config.Path("/etc/fp/tls.crt")},
		{"tls.key", c.TLS.Key, config.Path("/abs/tls.key")},
		{"log.format", c.Log.Format, config.LogText},
		{"limits.max-request", c.Limits.MaxRequest, config.Size(64 << 10)},
		{"limits.read-timeout", time.Duration(c.Limits.ReadTimeout), 5 * time.Second},
		{"http.refusal-format", c.HTTP.RefusalFormat.RefusalFormat, tsphttp.RefusalJSON},
		{"http.cors", *c.HTTP.CORS, false},
		{"http.request-id-header", c.HTTP.RequestIDHeader, "X-Trace"},
		{"tsa.key", c.TSA.Key.Path, "/etc/fp/tsa.key"},
		{"tsa.key passphrase", c.TSA.Key.PassphraseFile, "/etc/fp/pass"},
		{"tsa.policy", c.TSA.Policy.String(), "1.3.6.1.4.1.99999.10"},
		{"tsa.accepted-policies", c.TSA.AcceptedPolicies[0].String(), "1.2"},
		{"tsa.hashes", c.TSA.Hashes[1].Hash, crypto.SHA3_512},
		{"tsa.include", c.TSA.Include.Include, authority.IncludeRoot},
		{"tsa.clock", *c.TSA.Clock, config.Clock{Source: config.ClockSystem, Bound: config.Duration(100 * time.Millisecond)}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s = %v, want %v", test.key, test.got, test.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := config.Parse("f", []byte("tsa: {key: 'memory:p256', policy: 1.2.3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Listen; len(got) != 1 || got[0].Listen() != "127.0.0.1:3000" || got[0].Scheme != config.SchemeHTTP {
		t.Errorf("listen = %v", got)
	}
	if c.Admin.Listen() != "127.0.0.1:2112" || !*c.HTTP.CORS || c.Log.Format != config.LogJSON || c.HTTP.RequestIDHeader != "X-Request-Id" {
		t.Errorf("defaults: %+v", c)
	}
}

func TestRefused(t *testing.T) {
	const tsa = "tsa: {key: 'memory:p256', policy: 1.2.3}\n"
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "f: the file is empty"},
		{"comment only", "# nothing\n", "f: the file is empty"},
		{"unknown key", tsa + "listne: []\n", `f:2: unknown key "listne"`},
		{"unknown key below", "tsa:\n  key: 'memory:p256'\n  polcy: 1.2\n", `f:3: unknown key "polcy"`},
		{"duplicate key", tsa + "admin: off\nadmin: off\n", `f:3: mapping key "admin" already defined at line 2`},
		{"second document", tsa + "---\nadmin: off\n", "f: there is more than one document in the file"},
		{"garbage after the document", tsa + "...\n}\n", "f: there is more than one document in the file"},
		{"wrong kind", tsa + "limits: 5\n", "f:2: such a number is not what belongs here"},
		{"not a number", tsa + "limits: {queue: many}\n", "f:2: a text is not what belongs here"},
		{"standby in memory", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, standby: [{key: 'memory:p256', chain: c}]}\n", "f:1: tsa.standby: number 1 is a key in memory"},
		{"standby without a chain", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, standby: [{key: 'file:k', chain: c}, {key: 'file:k'}]}\n", "f:1: tsa.standby: number 2 has no chain"},
		{"standby of a key in memory", "tsa: {key: 'memory:p256', policy: 1.2.3, standby: [{key: 'file:k', chain: c}]}\n", "f:1: tsa.standby: a key in memory has no standby"},
		{"unknown key of a standby", "tsa:\n  key: 'memory:p256'\n  policy: 1.2.3\n  standby:\n  - {kye: 'file:k'}\n", `f:5: unknown key "kye"`},
		{"delegate without validity", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, delegate: {rotate: 24h}}\n", "f:1: tsa.delegate.validity: required"},
		{"delegate without rotate", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, delegate: {validity: 24h}}\n", "f:1: tsa.delegate.rotate: required"},
		{"delegate often", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, delegate: {rotate: 59m, validity: 24h}}\n", "f:1: tsa.delegate.rotate: 59m0s is less than 1h0m0s"},
		{"delegate short-lived", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, delegate: {rotate: 24h, validity: 24h}}\n", "f:1: tsa.delegate.validity: 24h0m0s is not more than"},
		{"delegate ending in use", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, delegate: {rotate: 24h, validity: 25h}}\n", "f:1: tsa.delegate.validity: 25h0m0s is less than"},
		{"delegate without history", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, delegate: {rotate: 24h, validity: 240h}}\n", "f:1: tsa.history: required"},
		{"delegate announced for long", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, announce: 48h, delegate: {rotate: 24h, validity: 240h}}\n", "f:1: tsa.announce: 48h0m0s is more than"},
		{"delegate in memory", "tsa: {key: 'memory:p256', policy: 1.2.3, history: h, delegate: {rotate: 24h, validity: 240h}}\n", "f:1: tsa.delegate: a CA in memory"},
		{"delegate with standby", "tsa: {key: 'file:k', chain: c, policy: 1.2.3, clock: {source: system, bound: 1s}, history: h, standby: [{key: 'file:k', chain: c}], delegate: {rotate: 24h, validity: 240h}}\n", "f:1: tsa.delegate: stamping keys have no standby"},
		{"negative delay", tsa + "watch: -1s\n", "f:2: -1s is negative"},
		{"delay without a unit", tsa + "watch: 10\n", `f:2: "10" is not a duration such as 0s`},
		{"no role", "admin: off\n", "f: tsa: required: there is nothing to serve"},
		{"null role", "tsa:\n", "f:1: tsa: required: there is nothing to serve"},
		{"no key", "tsa: {policy: 1.2.3}\n", "f:1: tsa.key: required: a key such as file:/etc/fencepost/tsa.key\nf:1: tsa.clock: required"},
		{"no policy", "tsa:\n  key: 'memory:p256'\n", "f:1: tsa.policy: required: the object identifier of your policy"},
		{"null policy", "tsa:\n  key: 'memory:p256'\n  policy:\n", "f:3: tsa.policy: required"},
		{"no chain", "tsa: {key: 'file:k', policy: 1.2.3, clock: {source: system, bound: 1s}}\n", "f:1: tsa.chain: required"},
		{"no clock", "tsa: {key: 'file:k', policy: 1.2.3, chain: c}\n", "f:1: tsa.clock: required"},
		{"no bound", "tsa:\n  key: 'memory:p256'\n  policy: 1.2.3\n  clock:\n    source: system\n", "f:4: tsa.clock.bound: required"},
		{"empty clock", "tsa: {key: 'memory:p256', policy: 1.2.3, clock: {}}\n", "f:1: tsa.clock.source: required"},
		{"chain of a memory key", "tsa: {key: 'memory:p256', policy: 1.2.3, chain: c}\n", "f:1: tsa.chain: a key in memory has its chain made with it"},
		{"unknown scheme", "tsa: {key: 'ftp:x', policy: 1.2.3}\n", "f:1: signer: "},
		{"policy with an arc too many", "tsa: {key: 'memory:p256', policy: 5.99999}\n", `f:1: "5.99999" is not an object identifier`},
		{"weak hash", "tsa: {key: 'memory:p256', policy: 1.2.3, hashes: [sha1]}\n", `f:1: "sha1" is not a hash`},
		{"token hash", "tsa: {key: 'memory:p256', policy: 1.2.3, digest: sha3-256}\n", "f:1: tsa.digest: not one of"},
		{"duration without a unit", tsa + "limits: {read-timeout: 10}\n", `f:2: "10" is not a duration`},
		{"negative duration", tsa + "limits: {read-timeout: -1s}\n", "f:2: -1s is not a positive duration"},
		{"negative queue", tsa + "limits: {queue: -1}\n", "f:2: limits.queue: -1 is negative"},
		{"size", tsa + "limits: {max-request: 1M}\n", `f:2: "1M" is not a size`},
		{"giant size", tsa + "limits: {max-request: 9999999999GiB}\n", "is not a size"},
		{"all interfaces by omission", tsa + "listen: [':3000']\n", `f:2: ":3000" has no host; all interfaces are`},
		{"listen on a name", tsa + "listen: ['example.org:3000']\n", "neither an IP address nor localhost"},
		{"https without tls", tsa + "listen: ['https://127.0.0.1:1']\n", "f:2: listen: 127.0.0.1:1 is https and there is no tls section"},
		{"twice", tsa + "listen: ['127.0.0.1:1', '127.0.0.1:1']\n", "f:2: listen: 127.0.0.1:1 is there twice"},
		{"client authentication without CAs", tsa + "tls: {certificate: c, key: k, client-auth: optional}\n", "f:2: tls.client-auth: is for tls.client-ca"},
		{"client authentication", tsa + "tls: {certificate: c, key: k, client-ca: a, client-auth: maybe}\n", `f:2: "maybe" is not a kind of client authentication`},
		{"mode of a socket", tsa + "unix-mode: 0999\n", `f:2: "0999" is not an octal mode`},
		{"mode in words", tsa + "unix-mode: rw\n", `f:2: "rw" is not an octal mode`},
		{"negative share", tsa + "limits: {connections-per-address: -1}\n", "f:2: limits.connections-per-address: -1 is negative"},
		{"tls without a key", tsa + "tls: {certificate: c}\n", "f:2: tls.key: required"},
		{"a header with another meaning", tsa + "http: {request-id-header: content-type}\n", "f:2: http.request-id-header: Content-Type has another meaning"},
		{"a secret header", tsa + "http: {request-id-header: AUTHORIZATION}\n", "f:2: http.request-id-header: Authorization has another meaning"},
		{"header", tsa + "http: {request-id-header: 'X Id'}\n", "f:2: http.request-id-header"},
		{"level", tsa + "log: {level: loud}\n", `f:2: "loud" is not a log level: debug, info, warn, error`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.Parse("f", []byte(test.text))
			if err == nil || c != nil {
				t.Fatalf("Parse(%q) = %+v, no error", test.text, c)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse(%q):\n got %v\nwant %s", test.text, err, test.want)
			}
			var ce *config.Error
			if !errors.As(err, &ce) || ce.File != "f" {
				t.Errorf("%v is no *config.Error", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if _, err := config.Load(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file = %v", err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("#", config.MaxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Load of a giant file = %v", err)
	}
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := config.Parse("f", data); err == nil && (c == nil || c.TSA == nil) {
			t.Errorf("Parse(%q) = %+v without an error", data, c)
		}
	})
}
