package ntptest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// chronydPatience bounds the start and the end of a chronyd.
const chronydPatience = 20 * time.Second

// A Chronyd is a real chronyd on the loopback that serves this machine's time,
// or another one by means of faketime, and sets no clock. It has to be
// installed. Stopped and started, it keeps its port.
type Chronyd struct {
	t    testing.TB
	addr netip.AddrPort
	dir  string

	cmd   *exec.Cmd
	ended chan error
	log   output
}

type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// StartChronyd starts a chronyd whose clock is ahead of this machine's by so
// much, and that ends with the test.
func StartChronyd(t testing.TB, ahead time.Duration) *Chronyd {
	t.Helper()
	conn := listen(t, "")
	c := &Chronyd{t: t, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	conn.Close()
	// Its socket has a path, which must be short.
	dir, err := os.MkdirTemp("", "chronyd-")
	if err != nil {
		t.Fatal(err)
	}
	c.dir = dir
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("chronyd %v printed:\n%s", c.addr, c.log.String())
		}
		os.RemoveAll(dir)
	})
	c.Start(ahead)
	return c
}

// Addr is where it serves.
func (c *Chronyd) Addr() netip.AddrPort { return c.addr }

// Start starts it after a Stop, with a clock that is ahead by so much, and
// waits until it answers.
func (c *Chronyd) Start(ahead time.Duration) {
	c.t.Helper()
	me, err := user.Current()
	if err != nil {
		c.t.Fatal(err)
	}
	config := filepath.Join(c.dir, "chrony.conf")
	text := fmt.Sprintf("local stratum 5\nport %d\nbindaddress 127.0.0.1\nallow 127.0.0.1\n"+
		"cmdport 0\nbindcmdaddress %s/sock\npidfile %s/pid\nuser %s\n", c.addr.Port(), c.dir, c.dir, me.Username)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	// -x: it never touches the clock. -U: it need not be root then.
	c.cmd = exec.Command("chronyd", "-x", "-n", "-U", "-f", config)
	if ahead != 0 {
		c.cmd.Env = append(os.Environ(), c.skewed(ahead)...)
	}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	endWithParent(c.cmd)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.ended = make(chan error, 1)
	go func() { c.ended <- c.cmd.Wait() }()
	for deadline := time.Now().Add(chronydPatience); !c.answers(); {
		select {
		case err := <-c.ended:
			c.ended <- err
			c.t.Fatalf("chronyd ended: %v\n%s", err, c.log.String())
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("chronyd does not answer:\n%s", c.log.String())
		}
	}
}

// skewed returns the environment in which faketime runs a program. Faketime
// itself stays between a program and the signals that are to end it.
func (c *Chronyd) skewed(ahead time.Duration) (env []string) {
	c.t.Helper()
	for _, name := range []string{"LD_PRELOAD", "FAKETIME"} {
		out, err := exec.Command("faketime", "-f", fmt.Sprintf("%+.3fs", ahead.Seconds()), "printenv", name).Output()
		if err != nil {
			c.t.Fatalf("faketime: %v", err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	return env
}

// answers reports whether it says the time when asked.
func (c *Chronyd) answers() bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.addr))
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Write(Reply{Version: 4, Mode: 3, Transmit: 1}.Marshal()); err != nil {
		return false
	}
	buf := make([]byte, HeaderSize)
	n, err := conn.Read(buf)
	if err != nil { // refused: at once
		time.Sleep(20 * time.Millisecond)
		return false
	}
	r, ok := Parse(buf[:n])
	return ok && r.Mode == 4 && r.Stratum == 5
}

// Stop ends it. Nothing happens if it has ended.
func (c *Chronyd) Stop() {
	c.t.Helper()
	if c.cmd == nil {
		return
	}
	defer func() { c.cmd = nil }()
	if err := c.cmd.Process.Signal(os.Interrupt); err == nil {
		select {
		case <-c.ended:
			return
		case <-time.After(chronydPatience):
			c.t.Error("chronyd does not end on SIGINT")
		}
		if err := c.cmd.Process.Kill(); err != nil {
			c.t.Error(err)
		}
		<-c.ended
	}
}
