package config_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
)

func TestParseAddress(t *testing.T) {
	for _, test := range []struct {
		text            string
		network, listen string // "": refused
	}{
		{"127.0.0.1:3000", "tcp", "127.0.0.1:3000"},
		{"https://[::1]:443", "tcp", "[::1]:443"},
		{"unix:/run/fencepost.sock", "unix", "/run/fencepost.sock"},
		{"unix:///run/fencepost.sock", "unix", "/run/fencepost.sock"},
		{"systemd:", "systemd", ""},
		{"systemd:web", "systemd", "web"},
		{"systemd:fencepost.socket", "systemd", "fencepost.socket"},
		{"systemd:a:b", "", ""},
		{"systemd:a b", "", ""},
		{"systemd:é", "", ""},
		{"systemd:" + strings.Repeat("a", 256), "", ""},
		{"unix:", "", ""},
		{"unix:@", "", ""},
		{"ftp://127.0.0.1:21", "", ""},
		{"localhost", "", ""},
		{":3000", "", ""},
		{"tsa.example:3000", "", ""},
		{"127.0.0.1:65536", "", ""},
	} {
		a, err := config.ParseAddress(test.text)
		if (err == nil) != (test.network != "") || err == nil && (a.Network() != test.network || a.Listen() != test.listen) {
			t.Errorf("%q: %q %q, %v; want %q %q", test.text, a.Network(), a.Listen(), err, test.network, test.listen)
		}
	}
	abstract, err := config.ParseAddress("unix:@fencepost")
	if (err == nil) != (runtime.GOOS == "linux") || err == nil && abstract.Listen() != "@fencepost" {
		t.Errorf("an abstract socket: %+v, %v", abstract, err)
	}
}

// TestSocketNamesStay: the name of an abstract socket and that of one of the
// service manager are no paths.
func TestSocketNamesStay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Logf("%s has no abstract sockets", runtime.GOOS)
		return
	}
	conf, err := config.Parse("/etc/fp/x.yaml", []byte("listen: ['unix:@fp', 'systemd:web', 'systemd:', 'unix:run.sock']\nadmin: 'unix:@fp-admin'\ntsa: {key: 'memory:p256', policy: 1.2.3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range append(conf.Listen, conf.Admin.Address) {
		got = append(got, a.Listen())
	}
	if want := "@fp web  /etc/fp/run.sock @fp-admin"; strings.Join(got, " ") != want {
		t.Errorf("listening on %q, want %q", got, want)
	}
	if _, err := config.Parse("x.yaml", []byte("listen: ['systemd:web', 'systemd:web']\ntsa: {key: 'memory:p256', policy: 1.2.3}\n")); err == nil {
		t.Error("the same socket twice")
	}
}
