//go:build interop && linux

package nts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
)

// chrony is a real chronyd that serves NTP and NTS on loopback, on ports of its
// own. It never touches the clock of the machine (-x).
type chrony struct {
	dir     string
	ntp, ke int
	roots   *x509.CertPool
	conf    []string
	stop    func()
}

// newChrony makes the configuration; run starts it.
func newChrony(t *testing.T) *chrony {
	t.Helper()
	c := &chrony{dir: t.TempDir(), ntp: freePort(t, "udp"), ke: freePort(t, "tcp"), stop: func() {}}
	t.Cleanup(func() { c.stop() })
	c.certify(t)
	c.configure(t,
		"local stratum 5", // its own clock is what it serves
		fmt.Sprintf("port %d", c.ntp),
		"bindaddress 127.0.0.1",
		"bindaddress ::1", // or it binds NTS-KE to all addresses of IPv6
		"allow 127.0.0.1",
		"cmdport 0",
		"bindcmdaddress "+c.path("sock"),
		"pidfile "+c.path("pid"),
		"ntsserverkey "+c.path("key.pem"),
		"ntsservercert "+c.path("cert.pem"),
		fmt.Sprintf("ntsport %d", c.ke),
		"user root",
	)
	return c
}

// configure adds lines to the configuration.
func (c *chrony) configure(t *testing.T, lines ...string) {
	t.Helper()
	c.conf = append(c.conf, lines...)
	c.write(t, "chrony.conf", []byte(strings.Join(c.conf, "\n")+"\n"))
}

func (c *chrony) path(name string) string { return filepath.Join(c.dir, name) }

func (c *chrony) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(c.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *chrony) address() string { return fmt.Sprintf("127.0.0.1:%d", c.ke) }

func freePort(t *testing.T, network string) int {
	t.Helper()
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.LocalAddr().(*net.UDPAddr).Port
}

// certify makes a CA and a certificate for 127.0.0.1.
func (c *chrony) certify(t *testing.T) {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "chrony"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	var err error
	if ca.Raw, err = x509.CreateCertificate(rand.Reader, ca, ca, keys[0].Public(), keys[0]); err != nil {
		t.Fatal(err)
	}
	if leaf.Raw, err = x509.CreateCertificate(rand.Reader, leaf, ca, keys[1].Public(), keys[0]); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(ca.Raw)
	if err != nil {
		t.Fatal(err)
	}
	c.roots = x509.NewCertPool()
	c.roots.AddCert(root)
	key, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	c.write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// run starts chronyd, or COMMAND... chronyd, and waits until it serves time.
func (c *chrony) run(t *testing.T, command ...string) {
	t.Helper()
	args := append(command, "chronyd", "-x", "-n", "-f", c.path("chrony.conf"))
	log, err := os.OpenFile(c.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // faketime and chronyd have children
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.stop = func() {
		c.stop = func() {}
		defer log.Close()
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		kill := time.AfterFunc(10*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		cmd.Wait() // its status says how it was ended
	}
	plain, err := timesrc.NTP(timesrc.NTPConfig{Address: fmt.Sprintf("127.0.0.1:%d", c.ntp), Local: newLocal(), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := plain.Measure(t.Context())
		if err == nil {
			var d net.Dialer
			var conn net.Conn
			if conn, err = d.DialContext(t.Context(), "tcp", c.address()); err == nil {
				conn.Close()
				return
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(c.path("log"))
			t.Fatalf("chronyd does not serve: %v\n%s", err, text)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		}
	}
}

func (c *chrony) client(t *testing.T, change func(*nts.Config)) *nts.Client {
	t.Helper()
	cfg := nts.Config{Address: c.address(), Roots: c.roots, Timeout: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	client, err := nts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestRealChrony(t *testing.T) {
	server := newChrony(t)
	server.run(t)
	client := server.client(t, nil)
	for i := range 20 { // more than the cookies of one exchange
		m, err := client.Measure(t.Context())
		if err != nil {
			t.Fatalf("measurement %d: %v", i, err)
		}
		near(t, m, 0)
		if m.Stratum != 5 || m.Error > 10*time.Millisecond {
			t.Errorf("%+v", m)
		}
	}

	client = server.client(t, func(cfg *nts.Config) { cfg.Roots = x509.NewCertPool() })
	var e *nts.Error
	if m, err := client.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonCertificate {
		t.Errorf("with other roots: %+v, %v", m, err)
	}
	client = server.client(t, func(cfg *nts.Config) { cfg.Now = func() time.Time { return time.Now().Add(24 * time.Hour) } })
	if m, err := client.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonCertificate {
		t.Errorf("with a clock that is a day ahead: %+v, %v", m, err)
	}
}

func TestRealChronySkewed(t *testing.T) {
	for _, offset := range []time.Duration{7500 * time.Millisecond, -2 * time.Second} {
		server := newChrony(t)
		server.run(t, "faketime", "-f", fmt.Sprintf("%+gs", offset.Seconds()))
		m, err := server.client(t, nil).Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		near(t, m, offset)
		if (m.Offset - offset).Abs() > 20*time.Millisecond {
			t.Errorf("offset %v, want %v", m.Offset, offset)
		}
	}
}

// Without a place to keep its keys chronyd makes new ones at each start.
func TestRealChronyRestarted(t *testing.T) {
	server := newChrony(t)
	server.run(t)
	clocks := newLocal()
	client := server.client(t, func(cfg *nts.Config) { cfg.Local = clocks })
	if _, err := client.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}

	server.stop()
	var network *timesrc.Error
	if m, err := client.Measure(t.Context()); !errors.As(err, &network) {
		t.Errorf("while it is down: %+v, %v", m, err)
	}

	server.run(t)
	clocks.advance(time.Minute)
	var e *nts.Error
	if m, err := client.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonCookies {
		t.Errorf("after its restart: %+v, %v", m, err)
	}
	for range 10 {
		m, err := client.Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		near(t, m, 0)
	}
}

// With one, the cookies outlive a restart.
func TestRealChronyKeepsKeys(t *testing.T) {
	server := newChrony(t)
	server.configure(t, "ntsdumpdir "+server.dir)
	server.run(t)
	client := server.client(t, nil)
	if _, err := client.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.stop()
	server.run(t)
	m, err := client.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	near(t, m, 0)
}

// A monitor that asks three servers by NTS, one of which is wrong.
func TestRealChronyMonitored(t *testing.T) {
	var references []clock.Reference
	for i := range 3 {
		server := newChrony(t)
		if i == 0 {
			server.run(t, "faketime", "-f", "+2s")
		} else {
			server.run(t)
		}
		references = append(references, server.client(t, nil))
	}
	monitor, err := clock.NewMonitor(clock.MonitorConfig{References: references, Local: timesrc.SystemLocal()})
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := monitor.Now(t.Context())
	if err != nil || r.State != clock.StateSynchronised || r.Bound > 50*time.Millisecond {
		t.Errorf("Now = %+v, %v", r, err)
	}
}
