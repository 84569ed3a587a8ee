package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// A timeServer is a chronyd on the loopback that serves this machine's clock, or one that faketime makes wrong.
// Stopped and started, it keeps its port. It sets no clock.
type timeServer struct {
	w    *tool
	port int
	cmd  *exec.Cmd
	log  recorder
}

// startTimeServers starts as many, all of them right.
func startTimeServers(t *testing.T, n int) (list []*timeServer) {
	t.Helper()
	for range n {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		s := &timeServer{w: scratch(t), port: conn.LocalAddr().(*net.UDPAddr).Port}
		conn.Close()
		t.Cleanup(func() {
			s.stop(t)
			if t.Failed() {
				t.Logf("chronyd %d printed:\n%s", s.port, s.log.String())
			}
		})
		s.start(t, 0)
		list = append(list, s)
	}
	return list
}

// start starts it with a clock that is ahead by so much, and waits until it answers.
func (s *timeServer) start(t *testing.T, ahead time.Duration) {
	t.Helper()
	config := s.w.write(t, "chrony.conf", fmt.Appendf(nil, "local stratum 5\nport %d\nbindaddress 127.0.0.1\nallow 127.0.0.1\n"+
		"cmdport 0\nbindcmdaddress /\npidfile %s\nuser root\n", s.port, s.w.path("pid")))
	s.cmd = exec.Command("chronyd", "-x", "-n", "-f", config)
	s.cmd.Env = append(os.Environ(), s.w.env...)
	if ahead != 0 {
		// Its variables and not the command, which would stay between chronyd and the signals that are to end it.
		for _, name := range []string{"LD_PRELOAD", "FAKETIME"} {
			r := s.w.accept(t, nil, "faketime", "-f", fmt.Sprintf("%+.3fs", ahead.Seconds()), "printenv", name)
			s.cmd.Env = append(s.cmd.Env, name+"="+strings.TrimSpace(r.stdout))
		}
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startTimeout); !s.answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("chronyd does not answer:\n%s", s.log.String())
		}
	}
}

// answers reports whether it says the time when asked.
func (s *timeServer) answers() bool {
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port})
	if err != nil {
		return false
	}
	defer conn.Close()
	question := make([]byte, 48)
	question[0] = 4<<3 | 3 // version 4, client
	if _, err := conn.Write(question); err != nil {
		return false
	}
	answer := make([]byte, 48)
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	n, err := conn.Read(answer)
	return err == nil && n == 48 && answer[1] == 5
}

// stop ends it. Nothing happens if it has ended.
func (s *timeServer) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	kill := time.AfterFunc(startTimeout, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	s.cmd.Wait() // its status says how it was ended
	s.cmd = nil
}

// skew has it run with another clock.
func (s *timeServer) skew(t *testing.T, ahead time.Duration) {
	t.Helper()
	s.stop(t)
	s.start(t, ahead)
}

// clockConfig is a configuration whose clock is compared with time servers; %s are the listener, the administrative
// one, and the servers.
const clockConfig = `listen: [%s]
admin: %s
tsa:
  key: file:tsa/key.pem
  chain: tsa/chain.pem
  policy: 1.3.6.1.4.1.57264.2
  accuracy: 1s
  clock:
    source: ntp
    servers: [%s]
    interval: 1s
    timeout: 1s
    max-age: 5s
`

// startClocked starts "fencepost serve" with the time servers, and returns it with the address of its
// administrative listener.
func (w *tool) startClocked(t *testing.T, servers []*timeServer) (a *tsa, admin string) {
	t.Helper()
	w.certCreate(t, "p256", "tsa")
	var uris []string
	for _, s := range servers {
		uris = append(uris, fmt.Sprintf("ntp://127.0.0.1:%d", s.port))
	}
	host := "127.0.0.1:" + freePort(t)
	admin = "127.0.0.1:" + freePort(t)
	config := w.write(t, "fencepost.yaml", fmt.Appendf(nil, clockConfig, host, admin, strings.Join(uris, ", ")))
	w.serve(t, "http://"+admin+"/readyz", ours("fencepost"), "serve", "--config", config)
	return newTSA(t, "http://"+host, chainAt(t, "http://"+host)), "http://" + admin
}

// A witness asks an authority for tokens all the time. Each token has to be true, within the accuracy that it
// declares, at the moment it is issued; what is no token has to say that the time is not available.
type witness struct {
	granted, refused int
	wrong            []string
}

// observe starts one. The function that it returns ends it.
func observe(t *testing.T, a *tsa, query []byte) func() witness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var w witness
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for ctx.Err() == nil {
			if err := w.ask(a, query); err != nil && len(w.wrong) < 10 {
				w.wrong = append(w.wrong, err.Error())
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	end := sync.OnceValue(func() witness {
		cancel()
		tasks.Wait()
		return w
	})
	t.Cleanup(func() { end() })
	return end
}

func (w *witness) ask(a *tsa, query []byte) error {
	before := time.Now()
	resp, err := http.Post(a.url, "application/timestamp-query", bytes.NewReader(query))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return err
	}
	after := time.Now()
	reply, err := tsp.ParseResponse(body)
	switch {
	case err != nil:
		return err
	case reply.Token == nil && errors.Is(reply.Rejection, tsp.TimeNotAvailable):
		w.refused++
		return nil
	case reply.Token == nil:
		return reply.Rejection
	}
	w.granted++
	info := reply.Token.UnverifiedInfo
	if !info.HasAccuracy || info.GenTime.Add(info.Accuracy).Before(before) || info.GenTime.Add(-info.Accuracy).After(after) {
		return fmt.Errorf("a token says %v ± %v, and it was between %v and %v", info.GenTime, info.Accuracy, before.UTC(), after.UTC())
	}
	return nil
}

// refusesTime wants openssl to show that the authority knows no time.
func (w *tool) refusesTime(t *testing.T, a *tsa) {
	t.Helper()
	w.ask(t, a, "refused", "data", "-sha256", "-cert")
	w.accept(t, []string{"Status: Rejected.", "the TSA's time source is not available"},
		"openssl", "ts", "-reply", "-in", "refused.tsr", "-text")
}

// TestClockFaults: with three time servers the clock bears one that lies; with two that lie, or all gone for
// longer than an answer counts, there are no tokens, and there are again when they are back. No token is ever
// wrong by more than it says.
func TestClockFaults(t *testing.T) {
	servers := startTimeServers(t, 3)
	w := scratch(t)
	a, admin := w.startClocked(t, servers)
	w.stamps(t, a)
	end := observe(t, a, w.read(t, "openssl.tsq"))
	ready := admin + "/readyz"

	servers[0].skew(t, 2*time.Second)
	time.Sleep(3 * time.Second) // rounds in which it lies
	waitStatus(t, ready, http.StatusOK)
	w.stamps(t, a)

	servers[1].skew(t, 2*time.Second)
	waitStatus(t, ready, http.StatusServiceUnavailable)
	w.refusesTime(t, a)
	time.Sleep(5 * time.Second) // the two are believed, and this machine's clock is not
	waitStatus(t, ready, http.StatusServiceUnavailable)
	w.refusesTime(t, a)

	servers[0].skew(t, 0)
	servers[1].skew(t, 0)
	waitStatus(t, ready, http.StatusOK)
	w.stamps(t, a)

	for _, s := range servers {
		s.stop(t)
	}
	waitStatus(t, ready, http.StatusServiceUnavailable)
	w.refusesTime(t, a)
	for _, s := range servers {
		s.start(t, 0)
	}
	waitStatus(t, ready, http.StatusOK)
	w.stamps(t, a)

	got := end()
	t.Logf("%d tokens, %d refusals", got.granted, got.refused)
	for _, text := range got.wrong {
		t.Error(text)
	}
	if got.granted == 0 || got.refused == 0 {
		t.Errorf("%d tokens and %d refusals: not much was tried", got.granted, got.refused)
	}
}
