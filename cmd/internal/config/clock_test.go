package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
)

const ofMemory = "tsa: {key: 'memory:p256', policy: 1.2.3, clock: {"

func TestClockDefaults(t *testing.T) {
	c, err := config.Parse("/etc/f", []byte(ofMemory+"source: ntp, servers: ['nts://a.example', 'ntp://192.0.2.1', 'ntp://[2001:db8::1]:1123'], ca: ca.pem}}\n"+
		"audit: {dir: audit}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := c.TSA.Clock
	if len(got.Servers) != 3 || got.Servers[0] != (config.TimeServer{NTS: true, Address: "a.example"}) || got.Servers[2].String() != "ntp://[2001:db8::1]:1123" {
		t.Errorf("servers = %v", got.Servers)
	}
	if time.Duration(got.Interval) != 64*time.Second || time.Duration(got.Timeout) != 5*time.Second || time.Duration(got.MaxAge) != time.Hour ||
		got.Drift != 0 || got.Attempts != 2 || got.Agree != 0 || got.CA != "/etc/ca.pem" {
		t.Errorf("clock = %+v", *got)
	}
	if a := c.Audit; a.Dir != "/etc/audit" || a.Segment != 64<<20 || time.Duration(a.SegmentAge) != 24*time.Hour || len(a.Stamp) != 1 || a.Stamp[0] != config.StampSelf {
		t.Errorf("audit = %+v", *a)
	}
	if files := c.Files(); len(files) != 1 || files[0] != "/etc/ca.pem" {
		t.Errorf("files = %v", files)
	}
	for _, test := range []struct{ name, text, want string }{
		{"short interval", "interval: 2s", "2s 2s 1h0m0s"},
		{"long interval", "interval: 2h", "2h0m0s 5s 16h0m0s"},
	} {
		c, err := config.Parse("f", []byte(ofMemory+"source: ntp, servers: ['ntp://a'], "+test.text+"}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		cl := c.TSA.Clock
		if got := strings.Join([]string{time.Duration(cl.Interval).String(), time.Duration(cl.Timeout).String(), time.Duration(cl.MaxAge).String()}, " "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestClockRefused(t *testing.T) {
	const three = "source: ntp, servers: ['ntp://a', 'ntp://b', 'ntp://c'], "
	for _, test := range []struct{ name, clock, want string }{
		{"no servers", "source: ntp", "tsa.clock.servers: required for source ntp"},
		{"servers of the kernel", "source: kernel, servers: ['ntp://a']", "tsa.clock.servers: is for source ntp, and the source is kernel"},
		{"drift of the system clock", "source: system, bound: 1s, drift: 5", "tsa.clock.drift: is for source ntp"},
		{"a declared bound", three + "bound: 1s", "tsa.clock.bound: is for the sources system and kernel"},
		{"twice", "source: ntp, servers: ['ntp://a', 'nts://a']", "tsa.clock.servers: a is there twice"},
		{"no scheme", "source: ntp, servers: [a.example]", `"a.example" is not a time server`},
		{"another scheme", "source: ntp, servers: ['http://a']", `"http://a" is not a time server`},
		{"no host", "source: ntp, servers: ['ntp://']", "the host is neither"},
		{"a path", "source: ntp, servers: ['ntp://a/b']", "the host is neither"},
		{"port", "source: ntp, servers: ['ntp://a:0']", "the port is not a number"},
		{"too few to agree", three + "agree: 1", "tsa.clock.agree: 1 of 3: it must be more than half"},
		{"too many to agree", three + "agree: 4", "tsa.clock.agree: 4 of 3"},
		{"agree of those asked", three + "ask: 1, agree: 1", "tsa.clock.agree: 1 of 3"},
		{"ask too many", three + "ask: 4", "tsa.clock.ask: 4 of 3"},
		{"often", three + "interval: 999ms", "tsa.clock.interval: 999ms is less than 1s"},
		{"seldom", three + "interval: 25h", "tsa.clock.interval: 25h0m0s is more than 24h0m0s"},
		{"patient", three + "interval: 4s, timeout: 5s", "tsa.clock.timeout: 5s is more than"},
		{"forgetful", three + "interval: 1h, max-age: 30m", "tsa.clock.max-age: 30m0s is not between"},
		{"credulous", three + "max-age: 48h", "tsa.clock.max-age: 48h0m0s is not between"},
		{"drift", three + "drift: .nan", "tsa.clock.drift: NaN is not between"},
		{"no drift", three + "drift: -1", "tsa.clock.drift: -1 is not between"},
		{"attempts", three + "attempts: 11", "tsa.clock.attempts: 11 is not between"},
		{"ca without nts", three + "ca: f", "tsa.clock.ca: is for servers with nts"},
		{"limit above the accuracy", "source: kernel, limit: 2s}, accuracy: 1s, hashes: [sha256], delegate: {", "tsa.clock.limit: 2s is more than tsa.accuracy, 1s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.Parse("f", []byte(ofMemory+test.clock+"}}\n"))
			if err == nil || c != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s:\n got %v\nwant %s", test.clock, err, test.want)
			}
		})
	}
}

func TestAuditRefused(t *testing.T) {
	for _, test := range []struct{ name, audit, want string }{
		{"no folder", "{}", "f:2: audit.dir: required"},
		{"small files", "{dir: d, segment: 100KiB}", "f:2: audit.segment: 102400 is less"},
		{"retention without its unit", "{dir: d, retention: 730}", `"730" is not a duration`},
		{"days for years", "{dir: d, retention: 730m}", "f:2: audit.retention: 12h10m0s is less than 720h0m0s"},
		{"a stamp each moment", "{dir: d, stamp-every: 1ms}", "f:2: audit.stamp-every: 1ms is less"},
		{"off and on", "{dir: d, stamp: ['off', self]}", "f:2: audit.stamp: off stands alone"},
		{"no URL", "{dir: d, stamp: [tsa.example]}", "not a URL such as"},
		{"a password", "{dir: d, stamp: ['http://u:p@tsa.example']}", "are secrets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.Parse("f", []byte("tsa: {key: 'memory:p256', policy: 1.2.3}\naudit: "+test.audit+"\n"))
			if err == nil || c != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s:\n got %v\nwant %s", test.audit, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "u:p") {
				t.Errorf("%v repeats the password", err)
			}
		})
	}
}

func TestClientsAndTraces(t *testing.T) {
	const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	const tsa = "tsa: {key: 'memory:p256', policy: 1.2.3}\n"
	c, err := config.Parse("f", []byte(tsa+"tls: {certificate: c, key: k, client-ca: a}\ntraces: {endpoint: 'http://127.0.0.1:4318', headers: h}\n"+
		"clients: {anonymous: refused, rate: 300/m, burst: 7, quota: 1000/24h, trusted-proxies: [unix, 10.0.0.0/8], proxy-header: forwarded, addresses: 10,\n"+
		" named: [{name: ci, tokens: ["+digest+"], certificates: ['dns:ci.example'], rate: 9/s}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Clients.Access()
	if a.Default.Rate != 5 || a.Default.Burst != 7 || a.Default.Quota != 1000 || a.Default.Per != 24*time.Hour || len(a.TrustedProxies) != 2 ||
		a.Header.String() != "Forwarded" || a.MaxAddresses != 10 || len(a.Clients) != 1 || a.Clients[0].Tokens[0].String() != digest || a.Clients[0].Limit.Rate != 9 {
		t.Errorf("clients: %+v", a)
	}
	if c.Traces.Part() != 0.01 || c.Traces.Headers != "h" {
		t.Errorf("traces: %+v", *c.Traces)
	}
	for _, test := range []struct{ name, text, want string }{
		{"rate without its unit", "clients: {rate: 20}\n", "f:2: "},
		{"quota", "clients: {quota: 20}\n", "f:2: "},
		{"policy", "clients: {anonymous: maybe}\n", "f:2: "},
		{"everybody is a proxy", "clients: {trusted-proxies: [0.0.0.0/0]}\n", "f:2: "},
		{"header", "clients: {proxy-header: X-Real-IP}\n", "f:2: "},
		{"a token for its digest", "clients: {named: [{name: ci, tokens: [sesame]}]}\n", "f:2: "},
		{"no credential", "clients: {named: [{name: ci}]}\n", "f:2: clients: "},
		{"unknown key", "clients:\n  named:\n  - {nmae: ci}\n", `f:4: unknown key "nmae"`},
		{"certificates without a CA", "clients: {named: [{name: ci, certificates: ['cn:ci']}]}\n", `f:2: clients.named: "ci" is known by its certificate`},
		{"no collector", "traces: {}\n", "f:2: traces.endpoint: required"},
		{"no URL", "traces: {endpoint: 'localhost:4318'}\n", "f:2: traces.endpoint: not a URL"},
		{"a password", "traces: {endpoint: 'http://u:sesame@localhost:4318'}\n", "f:2: traces.endpoint: a user and a password"},
		{"more than all", "traces: {endpoint: 'http://localhost', sample: 2}\n", "f:2: traces.sample: 2 is not between"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(tsa+test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sesame@") {
				t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
			}
		})
	}
}
