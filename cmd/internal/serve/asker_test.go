package serve

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/access"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// askAs asks for a timestamp with a header and returns the answer, whose body is
// closed.
func askAs(t *testing.T, url string, header map[string]string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+PathTimestamp, bytes.NewReader(tsptest.RequestDER()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", tsphttp.TypeQuery)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// TestClients: who may not ask is not served, and the log says who it was, also
// where it is one of many behind a proxy.
func TestClients(t *testing.T) {
	token, digest := access.NewToken()
	proxy, err := access.ParseProxy("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	control, err := access.New(access.Config{
		TrustedProxies: []access.Proxy{proxy}, Default: access.Limit{Quota: 1, Per: access.MaxPer},
		Clients: []access.ClientConfig{{Name: "ci", Tokens: []access.Digest{digest}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	at, b := start(t, func(b *bench) { b.config.Access, b.config.Limited = control, true })
	for i, test := range []struct {
		name   string
		header map[string]string
		status int
		answer string // a header of the answer that is not empty
		client string
		via    any
		reason any
	}{
		{"a token", map[string]string{"Authorization": "Bearer " + token, "X-Forwarded-For": "192.0.2.1"}, 200, "", "ci", nil, nil},
		{"a wrong token", map[string]string{"Authorization": "Bearer " + token + "x", "X-Forwarded-For": "192.0.2.1"}, 401, "Www-Authenticate", "192.0.2.1", nil, "unauthenticated"},
		{"an address", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 200, "", "192.0.2.1", nil, nil},
		{"its quota is used", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 429, "Retry-After", "192.0.2.1", nil, "quota"},
		{"it claims to be another", map[string]string{"X-Forwarded-For": "192.0.2.9, 192.0.2.1"}, 429, "Retry-After", "192.0.2.1", nil, "quota"},
		{"another address", map[string]string{"X-Forwarded-For": "192.0.2.2"}, 200, "", "192.0.2.2", nil, nil},
		{"the proxy says nothing", nil, 200, "", "127.0.0.1", "silent-proxy", nil},
		{"all that it says nothing of are one", nil, 429, "Retry-After", "127.0.0.1", "silent-proxy", "quota"},
		{"the proxy says nonsense", map[string]string{"X-Forwarded-For": "nonsense"}, 429, "Retry-After", "127.0.0.1", "malformed", "quota"},
	} {
		resp := askAs(t, at.Public[0], test.header)
		if resp.StatusCode != test.status || test.answer != "" && resp.Header.Get(test.answer) == "" {
			t.Errorf("%s: %s, %v", test.name, resp.Status, resp.Header)
		}
		message := "timestamp"
		if test.status != 200 {
			message = "request"
		}
		all := records(t, b.log, message)
		if len(all) == 0 {
			t.Fatalf("%s: not logged", test.name)
		}
		if last := all[len(all)-1]; last["client"] != test.client || last["via"] != test.via || last["refused"] != test.reason {
			t.Errorf("%s: row %d: logged %v", test.name, i, last)
		}
	}
	if bytes.Contains([]byte(b.log.String()), []byte(token)) {
		t.Error("the token is in the log")
	}
}

// TestReloadClients: a section about clients that is added, changed or removed
// holds at once, and gives nobody a new quota.
func TestReloadClients(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	token, digest := access.NewToken()
	file, p := filepath.Join(dir, "fencepost.yaml"), NewProcess(nil)
	write := func(clients string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(fileTSA+"listen: ['127.0.0.1:0']\nadmin: off\nwatch: 0s\n"+clients), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(ctx context.Context) (Config, error) {
		conf, err := config.Load(file)
		if err != nil {
			return Config{}, err
		}
		return Load(ctx, conf, Options{Process: p, Build: cli.Build{Version: "test"}})
	}
	write("")
	cfg, err := load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask, done, listening := make(chan struct{}), make(chan error, 1), make(chan Addresses, 1)
	cfg.Reload = Reload{Ask: ask, Load: load}
	cfg.Listening = func(a Addresses) { listening <- a }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx) }()
	url := (<-listening).Public[0]
	bearer := map[string]string{"Authorization": "Bearer " + token}
	named := "  named: [{name: ci, tokens: [" + digest.String() + "], quota: 2/8784h}]\n"
	for _, test := range []struct {
		name, clients string
		header        map[string]string
		status        int
	}{
		{"nothing", "", bearer, 200},
		{"added", "clients:\n  anonymous: refused\n" + named, nil, 401},
		{"the first of two", "clients:\n  anonymous: refused\n" + named, bearer, 200},
		{"strangers are let in", "clients:\n" + named, nil, 200},
		{"the second of two", "clients:\n" + named, bearer, 200},
		{"there is no third", "clients:\n  rate: 1/s\n" + named, bearer, 429},
		{"removed", "", bearer, 200},
		{"added again", "clients:\n  anonymous: refused\n" + named, nil, 401},
	} {
		write(test.clients)
		before := s.access.Load()
		ask <- struct{}{}
		for deadline := time.Now().Add(10 * time.Second); s.access.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not reloaded", test.name)
			}
		}
		ask <- struct{}{} // taken when the reload before has ended
		if resp := askAs(t, url, test.header); resp.StatusCode != test.status {
			t.Errorf("%s: %s", test.name, resp.Status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
