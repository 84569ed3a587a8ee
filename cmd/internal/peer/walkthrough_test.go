package peer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve runs timestamp-server and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	log := new(buffer)
	env := &cli.Env{Program: "timestamp-server", Stdout: log, Stderr: log, Getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(ctx, env, peerserver.New(env), []string{"serve", "--metrics-address", "off", "--disable-ntp-monitoring"})
	}()
	t.Cleanup(func() {
		cancel()
		if status := <-ended; status != 0 {
			t.Errorf("the server ended with %d:\n%s", status, log)
		}
	})
	for range 2000 {
		if m := regexp.MustCompile(`Serving timestamp server at (\S+?)"`).FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the server does not listen:\n%s", log)
	return ""
}

func client(t *testing.T, args ...string) (status int, stdout string) {
	t.Helper()
	var out bytes.Buffer
	env := &cli.Env{Program: "timestamp-cli", Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	status = cli.Run(t.Context(), env, peercli.New(env), args)
	return status, out.String()
}

// TestWalkthrough is what the documentation of the namesakes has one do: ask
// our server with our client, verify, inspect, and ask in JSON as with curl.
func TestWalkthrough(t *testing.T) {
	url := serve(t)
	dir := t.TempDir()
	blob, out, chain := filepath.Join(dir, "myblob"), filepath.Join(dir, "response.tsr"), filepath.Join(dir, "ts_chain.pem")
	if err := os.WriteFile(blob, []byte("myblob"), 0o600); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(url + "/api/v1/timestamp/certchain")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(chain, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"--timestamp_server", url, "timestamp", "--hash", "sha256", "--artifact", blob, "--out", out}, "Wrote timestamp response to " + out},
		{[]string{"verify", "--timestamp", out, "--artifact", blob, "--certificate-chain", chain}, "Successfully verified timestamp " + out},
		{[]string{"verify", "--timestamp", out, "--artifact", blob, "--certificate-chain", chain, "--format", "json"}, `"ParsedTimestamp":{`},
		{[]string{"inspect", "--timestamp", out, "--format", "json"}, `"HashAlgorithm":5,`},
	} {
		if status, stdout := client(t, step.args...); status != 0 || !strings.Contains(stdout, step.want) {
			t.Errorf("%q: exit status %d, want %q in\n%s", step.args, status, step.want, stdout)
		}
	}

	body := `{"artifactHash":"n4bQgYhMfWWaL-qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=","certificates":true,"hashAlgorithm":"sha256","nonce":1123343434,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"}`
	resp, err = http.Post(url+"/api/v1/timestamp", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := tsp.ParseResponse(reply)
	if err != nil || answer.Token == nil {
		t.Fatalf("the JSON request: %d, %v, %q", resp.StatusCode, err, reply)
	}
	if got := answer.Token.UnverifiedInfo.Nonce.String(); got != "1123343434" {
		t.Errorf("nonce %s", got)
	}

	// A refusal in JSON has the words of the namesake.
	resp, err = http.Post(url+"/api/v1/timestamp", "application/json", strings.NewReader(strings.Replace(body, "57264.2", "1", 1)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var refusal struct {
		Code    int
		Message string
	}
	if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil {
		t.Fatal(err)
	}
	if refusal.Code != 400 || refusal.Message != "unaccepted policy: requested TSA policy is not supported by the TSA" {
		t.Errorf("refusal: %+v", refusal)
	}
	http.DefaultClient.CloseIdleConnections()
}
