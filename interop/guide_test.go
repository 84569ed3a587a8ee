package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProductionGuide does what the operating guide says under "From nothing to production", word for word but for
// names, addresses and folders: with a real Vault, five real time servers with NTS, TLS, a client's token and a
// record that another authority stamps. openssl and curl are the client.
func TestProductionGuide(t *testing.T) {
	guide, err := os.ReadFile("../doc/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(guide), "\n## From nothing to production\n")
	if !ok {
		t.Fatal("the guide has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")

	w, v, other := scratch(t), startVault(t), startDev(t)
	v.key(t, "tsa", "ecdsa-p256")
	w.env = append(w.env, "PATH="+strings.TrimSuffix(ours("fencepost"), "/fencepost")+":"+os.Getenv("PATH"))
	w.accept(t, nil, "sh", "-euc", "mkdir etc offline lib")
	w.write(t, "etc/vault-token", []byte(v.token(t, "tsa", "1h")+"\n"))
	w.certify(t)
	servers := w.startNTS(t, 5)
	public, admin := freePort(t), freePort(t)
	here := strings.NewReplacer(
		"https://vault.example:8200", v.address,
		"/etc/fencepost", w.path("etc"), "/mnt/offline", w.path("offline"), "/var/lib/fencepost", w.path("lib"),
		"https://0.0.0.0:8443", "https://127.0.0.1:"+public, "127.0.0.1:2112", "127.0.0.1:"+admin,
		"https://tsa.example.org/api/v1/timestamp", other.url,
		"https://tsa.example:8443", "https://127.0.0.1:"+public,
		"time-a.example", servers[0], "time-b.example", servers[1], "time-c.example", servers[2],
		"time-d.example", servers[3], "time-e.example", servers[4],
		"runuser -u fencepost -- ", "", "--roots root.pem", "--roots "+w.path("etc/tsa/root.pem"), "-CAfile root.pem", "-CAfile "+w.path("etc/tsa/root.pem"),
	)
	// step is the block of a step with this in it.
	step := func(language, with string) string {
		t.Helper()
		for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(section, -1) {
			if strings.Contains(m[1], with) {
				return here.Replace(m[1])
			}
		}
		t.Fatalf("the section has no block of %s with %q", language, with)
		return ""
	}

	// What the service gets from its unit.
	for _, m := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(step("ini", "VAULT_TOKEN_FILE"), -1) {
		w.env = append(w.env, m[1])
	}
	w.accept(t, []string{"fit for tsa"}, "bash", "-euc", step("sh", "cert create"))
	digest := strings.Fields(w.accept(t, nil, "bash", "-euc", step("sh", "sha256sum")).stdout)[0]
	config := regexp.MustCompile(`tokens: \[[0-9a-f]{64}\]`).ReplaceAllString(step("yaml", "retention: 17520h"), "tokens: ["+digest+"]")
	w.write(t, "etc/fencepost.yaml", []byte(config))
	if r := w.accept(t, []string{"the configuration is good"}, "bash", "-euc", step("sh", "--check-config")); strings.Contains(r.stderr, "warning") {
		t.Errorf("it warns: %v", r)
	}

	server := w.start(t, "http://127.0.0.1:"+admin+"/readyz", ours("fencepost"), "serve", "--config", w.path("etc/fencepost.yaml"))
	var ready struct {
		Ready bool
		Clock struct {
			State   string
			Servers []struct{ Answers, Agrees, Authenticated bool }
		}
		Keys  []struct{ Works, External bool }
		Audit struct{ Works bool }
	}
	if err := json.Unmarshal(get(t, "http://127.0.0.1:"+admin+"/readyz"), &ready); err != nil {
		t.Fatal(err)
	}
	if !ready.Ready || ready.Clock.State != "synchronised" || len(ready.Clock.Servers) != 5 || len(ready.Keys) != 1 || !ready.Keys[0].Works || !ready.Keys[0].External || !ready.Audit.Works {
		t.Errorf("it is %+v", ready)
	}
	for i, s := range ready.Clock.Servers {
		if !s.Answers || !s.Agrees || !s.Authenticated {
			t.Errorf("time server %d is %+v", i, s)
		}
	}
	fromOutside := step("sh", "openssl ts -verify")
	w.accept(t, []string{"Verification: OK"}, "bash", "-euc", fromOutside)
	_, others, _ := strings.Cut(fromOutside, "openssl ts -query")
	w.refuse(t, []string{"401"}, "bash", "-euc", "openssl ts -query"+strings.ReplaceAll(others, "$(cat ci.token)", "another-token-than-that"))

	server.kill()
	w.accept(t, []string{"whole"}, ours("fencepost"), "audit", "verify", w.path("lib/audit"))
	w.accept(t, []string{"ci"}, ours("fencepost"), "audit", "find", w.path("lib/audit"), "--client", "ci", "--file", "hello.txt")
}

// certify makes a CA, a certificate for this machine, and an environment in which it is trusted: for the listener
// and for time servers.
func (w *tool) certify(t *testing.T) {
	t.Helper()
	w.write(t, "ext", []byte("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"))
	w.accept(t, nil, "sh", "-euc", `
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout etc/tls.key -out tls.csr -subj /CN=here
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out etc/tls.crt -extfile ext`)
	w.env = append(w.env, "SSL_CERT_FILE="+w.path("ca.pem"), "CURL_CA_BUNDLE="+w.path("ca.pem"))
}

// startNTS starts time servers with NTS, with the certificate that certify made, and returns their addresses.
func (w *tool) startNTS(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for i := range n {
		ntp, ke := freePort(t), freePort(t)
		dir := fmt.Sprintf("chrony-%d", i)
		if err := os.Mkdir(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		config := w.write(t, dir+"/conf", fmt.Appendf(nil, "local stratum 5\nport %s\nntsport %s\nbindaddress 127.0.0.1\nbindaddress ::1\nallow 127.0.0.1\n"+
			"cmdport 0\nbindcmdaddress /\npidfile %s\nntsserverkey %s\nntsservercert %s\nuser root\n",
			ntp, ke, w.path(dir+"/pid"), w.path("etc/tls.key"), w.path("etc/tls.crt")))
		var log recorder
		cmd := exec.Command("chronyd", "-x", "-n", "-f", config)
		cmd.Stdout, cmd.Stderr = &log, &log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // its status says how it was ended
			if t.Failed() {
				t.Logf("chronyd %d printed:\n%s", i, log.String())
			}
		})
		address := "127.0.0.1:" + ke
		for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("chronyd does not answer: %v\n%s", err, log.String())
			}
		}
		addresses = append(addresses, address)
	}
	return addresses
}
