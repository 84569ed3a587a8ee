package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// readAudit returns the records in a folder as any reader of JSON has them.
func readAudit(t *testing.T, dir string) []map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	var all []map[string]any
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var r map[string]any
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, line)
			}
			all = append(all, r)
		}
	}
	return all
}

// audited runs a server on files in dir, with a record of issue, and returns
// what it listens on and how to end it.
func audited(t *testing.T, dir, text string) (url string, reload chan struct{}, stop func()) {
	t.Helper()
	file := filepath.Join(dir, "fencepost.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := NewProcess(nil)
	load := func(ctx context.Context) (Config, error) {
		conf, err := config.Load(file)
		if err != nil {
			return Config{}, err
		}
		return Load(ctx, conf, Options{Process: p, Build: cli.Build{Version: "test"}, Files: []string{file}})
	}
	cfg, err := load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reload = make(chan struct{})
	cfg.Reload = Reload{Ask: reload, Load: load}
	listening := make(chan Addresses, 1)
	cfg.Listening = func(a Addresses) { listening <- a }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	select {
	case a := <-listening:
		return a.Public[0], reload, stop
	case err := <-done:
		t.Fatal(err)
		return "", nil, nil
	}
}

func stampOnce(t *testing.T, url string) *tsp.Response {
	t.Helper()
	resp, err := http.Post(url+PathTimestamp, "application/timestamp-query", bytes.NewReader(tsptest.RequestDER()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	r, err := tsp.ParseResponse(b.Bytes())
	if err != nil {
		t.Fatalf("status %d: %v: %q", resp.StatusCode, err, b.String())
	}
	return r
}

const auditedTSA = fileTSA + "listen: ['127.0.0.1:0']\nadmin: off\nwatch: 0s\naudit: {dir: audit, stamp-every: 1s}\n"

// TestAudit: what a server issues, and each change of what it issues with, is on
// record, in order, over restarts.
func TestAudit(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	url, reload, stop := audited(t, dir, auditedTSA)
	serial := hex.EncodeToString(stampOnce(t, url).Token.UnverifiedInfo.Serial)
	if err := os.WriteFile(filepath.Join(dir, "fencepost.yaml"), []byte(strings.Replace(auditedTSA, "policy: 1.2.3", "policy: 1.2.4", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	reload <- struct{}{}
	for deadline := time.Now().Add(10 * time.Second); stampOnce(t, url).Token.UnverifiedInfo.Policy.String() != "1.2.4"; {
		if time.Now().After(deadline) {
			t.Fatal("not reloaded")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// A reload that wants another folder is refused, and recorded.
	if err := os.WriteFile(filepath.Join(dir, "fencepost.yaml"), []byte(strings.Replace(auditedTSA, "dir: audit", "dir: other", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	reload <- struct{}{}
	time.Sleep(1500 * time.Millisecond) // and a stamp is due
	stop()
	if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
		t.Error("another record was begun")
	}
	_, _, stop = audited(t, dir, auditedTSA)
	stop()

	var events []string
	found := false
	for _, r := range readAudit(t, filepath.Join(dir, "audit")) {
		switch r["kind"] {
		case "token":
			found = found || r["serial"] == serial && r["key"] == "primary" && r["client"] == "127.0.0.1" && r["clock_state"] == "unmonitored" && r["policy"] == "1.2.3"
		case "config", "key":
			events = append(events, r["kind"].(string)+" "+r["event"].(string))
		case "start", "stop", "stamp":
			events = append(events, r["kind"].(string))
		}
	}
	if !found {
		t.Errorf("the token %s is not on record", serial)
	}
	if i := slices.Index(events, "stamp"); i < 0 {
		t.Error("the record was not stamped")
	}
	events = slices.DeleteFunc(events, func(e string) bool { return e == "stamp" })
	want := []string{"start", "config loaded", "key opened", "config reloaded", "config refused", "stop", "start", "config loaded", "key opened", "stop"}
	if !slices.Equal(slices.Compact(events), want) {
		t.Errorf("recorded:\n%q, want\n%q", events, want)
	}
}

// TestAuditLocked: two servers do not share a record.
func TestAuditLocked(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	_, _, stop := audited(t, dir, auditedTSA)
	defer stop()
	conf, err := config.Load(filepath.Join(dir, "fencepost.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), conf, Options{}); err == nil || !strings.Contains(err.Error(), "audit: dir: ") {
		t.Errorf("a second server on the same folder: %v", err)
	}
	if _, err := Load(t.Context(), conf, Options{CheckOnly: true}); err != nil {
		t.Errorf("checking the configuration of a server that runs: %v", err)
	}
}

// TestAuditGone: what cannot be recorded is not issued, and readiness says so.
func TestAuditGone(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	conf, err := config.Parse(filepath.Join(dir, "f"), []byte(auditedTSA))
	if err != nil {
		t.Fatal(err)
	}
	p := NewProcess(nil)
	cfg, err := Load(t.Context(), conf, Options{Process: p})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.trail.log.Close(); err != nil { // as good as a disk that is gone
		t.Fatal(err)
	}
	if err := s.ready(t.Context()); !errors.Is(err, tsp.SystemFailure) || !strings.Contains(err.Error(), "record of issue") {
		t.Errorf("ready: %v", err)
	}
	_, out := cfg.TSA.Respond(t.Context(), tsptest.RequestDER())
	if !errors.Is(out.Rejection, tsp.SystemFailure) || out.Token != nil {
		t.Errorf("outcome %+v", out)
	}
}

// TestStampFallback: that the first authority does not stamp the record is said,
// also when another does.
func TestStampFallback(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	log := new(lockedBuffer)
	p := NewProcess(slog.New(slog.NewTextHandler(log, nil)))
	s, _ := newServer(t, nil)
	p.tsa.Store(s.cfg.TSA)
	digest := sha256.Sum256([]byte("head"))
	for _, test := range []struct {
		name string
		who  []config.StampURL
		want string
	}{
		{"self", []config.StampURL{config.StampSelf}, ""},
		{"another", []config.StampURL{config.StampURL(gone.URL), config.StampSelf}, "stamped by another than the first"},
		{"nobody", []config.StampURL{config.StampURL(gone.URL)}, "record of issue not stamped"},
	} {
		stamp, err := p.stamper(test.who)
		if err != nil {
			t.Fatal(err)
		}
		before := len(log.String())
		token, err := stamp(t.Context(), digest[:])
		if (err == nil) != (test.name != "nobody") || (err == nil) != (token != nil) {
			t.Errorf("%s: %d octets, %v", test.name, len(token), err)
		}
		if said := log.String()[before:]; !strings.Contains(said, test.want) || test.want == "" && said != "" {
			t.Errorf("%s: the log says %q", test.name, said)
		}
	}
}
