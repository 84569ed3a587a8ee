package peerserver_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/ntptest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// ntpFile writes a file for --ntp-monitoring.
func ntpFile(t *testing.T, threshold, delta int, servers ...*ntptest.Server) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "request_attempts: 1\nrequest_timeout: 1\nnum_servers: %d\nserver_threshold: %d\nmax_time_delta: %d\nperiod: 1\nservers:\n", len(servers), threshold, delta)
	for _, s := range servers {
		fmt.Fprintf(&b, "- %s\n", s.Addr())
	}
	file := filepath.Join(t.TempDir(), "ntp.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestNTPMonitoring: the file of the namesake is taken, and what it only counts
// stops issuing here, until the servers agree again.
func TestNTPMonitoring(t *testing.T) {
	server := func() *ntptest.Server { return ntptest.Start(t, ntptest.Config{}) }
	a, b, c := server(), server(), server()
	r := start(t, nil, "--metrics-address", "off", "--ntp-monitoring", ntpFile(t, 1, 6, a, b, c))
	for _, text := range []string{"server_threshold 1 is taken for 2", "nothing monitors"} {
		if got, want := strings.Contains(r.log.String(), text), text[0] == 's'; got != want {
			t.Errorf("the log says %q: %v\n%s", text, got, r.log)
		}
	}
	issues := func() error {
		_, err := stamp(t, r.urls[0], request(t), nil)
		return err
	}
	until := func(what string, want error) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if err = issues(); errors.Is(err, want) {
				return
			}
		}
		t.Fatalf("%s: %v, want %v\n%s", what, err, want, r.log)
	}
	until("at first", nil)
	ahead := ntptest.Edit(func(reply *ntptest.Reply) {
		by := uint64(2 << 32) // two seconds
		reply.Receive += by
		reply.Transmit += by
	})
	a.Set(ahead)
	time.Sleep(2500 * time.Millisecond) // two rounds
	if err := issues(); err != nil {
		t.Fatalf("one of three servers stopped it: %v\n%s", err, r.log)
	}
	b.Set(ahead)
	until("with two of three ahead", tsp.TimeNotAvailable)
	a.Set(ntptest.Good)
	b.Set(ntptest.Good)
	until("with all right again", nil)
	for _, text := range []string{"clock lost, nothing is issued", "clock recovered", "time server disagrees"} {
		if !strings.Contains(r.log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, r.log)
		}
	}
}

// TestMaxTimeDelta: what the file allows to be less than a timestamp promises is
// kept, and more than that is not.
func TestMaxTimeDelta(t *testing.T) {
	half := ntptest.Start(t, ntptest.Config{Clock: func() time.Time { return time.Now().Add(1500 * time.Millisecond) }})
	r := start(t, nil, "--metrics-address", "off", "--ntp-monitoring", ntpFile(t, 1, 6, half))
	if _, err := stamp(t, r.urls[0], request(t), nil); !errors.Is(err, tsp.TimeNotAvailable) {
		t.Errorf("a clock that is 1.5 s off, beside a max_time_delta of 6 s: %v", err)
	}
}

func TestNTPFlags(t *testing.T) {
	good := ntptest.Start(t, ntptest.Config{})
	for _, test := range []struct {
		name, want string
		args       []string
	}{
		{"on and off", "exclude each other", []string{"--ntp-monitoring", ntpFile(t, 1, 6, good), "--disable-ntp-monitoring"}},
		{"no such file", "--ntp-monitoring: ", []string{"--ntp-monitoring", filepath.Join(t.TempDir(), "ntp.yaml")}},
		{"threshold above the number", "--ntp-monitoring: ", []string{"--ntp-monitoring", ntpFile(t, 2, 6, good)}},
	} {
		if status, log := refused(t, nil, append([]string{"--metrics-address", "off"}, test.args...)...); status == 0 || !strings.Contains(log, test.want) {
			t.Errorf("%s: status %d\n%s", test.name, status, log)
		}
	}
}

// TestAuditDir: with --audit-dir there is a record of issue, and without the
// folder no server.
func TestAuditDir(t *testing.T) {
	dir := t.TempDir()
	r := start(t, nil, quiet("--audit-dir", filepath.Join(dir, "audit"))...)
	resp, err := stamp(t, r.urls[0], request(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	files, err := filepath.Glob(filepath.Join(dir, "audit", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	serial := fmt.Sprintf("%q:%q", "serial", fmt.Sprintf("%x", []byte(resp.Token.UnverifiedInfo.Serial)))
	if !strings.Contains(string(data), serial) {
		t.Errorf("%s is not on record:\n%s", serial, data)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, log := refused(t, nil, quiet("--audit-dir", file)...); status == 0 || !strings.Contains(log, "--audit-dir: ") {
		t.Errorf("a file for a folder: status %d\n%s", status, log)
	}
}
