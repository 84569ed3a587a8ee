package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An instance is one of several servers behind a proxy.
type instance struct {
	host, admin string
	argv        []string
	server      *process
}

// instanceConfig is the configuration of one; %s are the listener and the administrative one. Key and chain are those
// of all.
const instanceConfig = `listen: [%s]
admin: %s
limits: {drain-delay: 1s}
clients: {trusted-proxies: [127.0.0.1]}
log: {level: warn}
tsa:
  key: file:tsa/key.pem
  chain: tsa/chain.pem
  policy: 1.3.6.1.4.1.57264.2
  clock: {source: system, bound: 500ms}
`

func (w *tool) instance(t *testing.T, n int) *instance {
	t.Helper()
	i := &instance{host: "127.0.0.1:" + freePort(t), admin: "127.0.0.1:" + freePort(t)}
	config := w.write(t, fmt.Sprintf("instance-%d.yaml", n), fmt.Appendf(nil, instanceConfig, i.host, i.admin))
	i.argv = []string{ours("fencepost"), "serve", "--config", config}
	i.start(t, w)
	return i
}

func (i *instance) start(t *testing.T, w *tool) {
	t.Helper()
	i.server = w.start(t, "http://"+i.admin+"/readyz", i.argv...)
}

// issued is how many tokens it has issued since it was started.
func (i *instance) issued(t *testing.T) (n float64) {
	t.Helper()
	for line := range strings.Lines(string(get(t, "http://"+i.admin+"/metrics"))) {
		if value, found := strings.CutPrefix(line, "fencepost_tokens_issued_total{"); found {
			var count float64
			if _, err := fmt.Sscan(value[strings.LastIndexByte(value, ' '):], &count); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n += count
		}
	}
	return n
}

// TestScaleOut has three instances behind HAProxy, with the configuration that we deliver. One is killed while 32
// clients ask and started again, another is stopped in order. Every request is answered with a token that verifies,
// and no serial number is there twice.
func TestScaleOut(t *testing.T) {
	config, err := filepath.Abs("../deploy/haproxy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	w := scratch(t)
	w.certCreate(t, "p256", "tsa")
	var instances [3]*instance
	front := "127.0.0.1:" + freePort(t)
	w.env = append(w.env, "TSA_LISTEN="+front, "TSA_CHECK=100ms")
	for n := range instances {
		instances[n] = w.instance(t, n+1)
		w.env = append(w.env, fmt.Sprintf("TSA_%d=%s", n+1, instances[n].host))
	}
	proxy := w.start(t, "http://"+front+"/readyz", "haproxy", "-db", "-f", config)
	a := newTSA(t, "http://"+front, chainAt(t, "http://"+front))

	const clients = 32
	length := loadTime(t, 15*time.Second)
	l, shots := newLoad(t, a, 0), make(chan salvo, 1)
	l.rest = 5 * time.Millisecond // so that all that is kept of ten minutes has room
	go func() { shots <- l.closed(t.Context(), clients, length) }()
	pause := func() { time.Sleep(length / 6) }

	pause()
	for n, i := range instances {
		if i.issued(t) == 0 {
			t.Errorf("instance %d has issued nothing", n+1)
		}
	}
	killed, stopped := instances[0], instances[1]
	killed.server.kill()
	pause()
	killed.start(t, w)
	pause()
	if killed.issued(t) == 0 {
		t.Error("the instance that was started again has issued nothing")
	}
	stopped.server.stop()
	if text := stopped.server.log.String(); strings.Contains(text, "requests did not end in time") {
		t.Errorf("the instance that was stopped printed %s", text)
	}
	pause()
	stopped.start(t, w)

	all := <-shots
	serials := make(map[string]bool)
	all.complain(t, serials)
	t.Logf("%v", all)
	if n := len(all.shots); n == 0 || all.count(granted) != n {
		t.Errorf("%d of %d requests were answered with a token", all.count(granted), n)
	}
	if stopped.issued(t) == 0 {
		t.Error("the instance that was stopped and started again has issued nothing")
	}
	// HAProxy writes the retries of a request with a plus if the last was with another instance.
	again := strings.Count(proxy.log.String(), "/+")
	t.Logf("%d requests were sent again", again)
	if again == 0 {
		t.Error("no request was sent to another instance: nothing was lost because nothing was under way")
	}
}
