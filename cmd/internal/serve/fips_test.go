package serve

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// TestFIPS runs the others here in the modes of FIPS 140-3, which are chosen
// where a process starts, with what reads hostile requests.
func TestFIPS(t *testing.T) {
	for _, mode := range []fips.Mode{fips.On, fips.Only} {
		cmd := exec.Command(os.Args[0], "-test.run=^(TestFIPSListener|TestFIPSClock|TestClientCertificates|TestBadStart)$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+string(mode))
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

// TestFIPSListener holds that timestamps are given over https in every mode, by
// key exchanges that it approves, and that the log says the mode.
func TestFIPSListener(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, b := start(t, func(b *bench) { b.config.Listeners[0].TLS = conf })
	roots := pool(t, files.Certificate)
	mode := fips.Current()
	for _, tt := range []struct {
		name string
		conf *tls.Config
		ok   bool
	}{
		{"default", &tls.Config{}, true},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"P-256", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, true},
		{"hybrid", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, true},
		// The client here is in the same mode as the server.
		{"X25519", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, mode == fips.Off},
		{"ChaCha20", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, mode == fips.Off},
	} {
		tt.conf.RootCAs = roots
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: tt.conf}}
		resp, err := client.Post(at.Public[0]+PathTimestamp, "application/timestamp-query", query())
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d", tt.name, resp.StatusCode)
			}
		}
		client.CloseIdleConnections()
	}
	if said := strings.Contains(b.log.String(), `"msg":"FIPS 140-3 mode","mode":"`+string(mode)+`","module":"`); said != (mode != fips.Off) {
		t.Errorf("in the mode %s the log is\n%s", mode, b.log)
	}
}

// TestFIPSClock holds that NTS is refused where it would not work.
func TestFIPSClock(t *testing.T) {
	conf, err := config.Parse(filepath.Join(t.TempDir(), "f.yaml"), []byte("tsa: {key: 'memory:p256', policy: 1.2.3, clock: {source: ntp, servers: ['nts://127.0.0.1:4460']}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewProcess(nil).newClock(conf.TSA.Clock)
	if mode := fips.Current(); (err != nil) != (mode == fips.Only) {
		t.Errorf("in the mode %s: %v", mode, err)
	}
	if err != nil && (!strings.Contains(err.Error(), "nts://127.0.0.1:4460") || !strings.Contains(err.Error(), "fips140=only") || cli.HintOf(err) == "") {
		t.Errorf("got %v (hint %q)", err, cli.HintOf(err))
	}
}
