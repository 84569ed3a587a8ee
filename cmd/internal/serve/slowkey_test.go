package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestSlowKey has the key service hang: so many requests wait for it, so many
// for them, others are answered 503 at once; those that waited are refused in
// the protocol's own terms when their time is over, the server is not ready,
// and all is well by itself when the service answers again. The service is a
// fake of Vault.
func TestSlowKey(t *testing.T) {
	dir, v := t.TempDir(), vaultfake.Start(t)
	writeIdentity(t, dir, pkitest.Options{}, nil)
	v.ImportKey("tsa", "ecdsa-p256", pkitest.TSA(t, pkitest.Options{}).LeafKey)
	const concurrency, queue, more = 4, 3, 5
	text := fmt.Sprintf("listen: ['127.0.0.1:0']\nadmin: '127.0.0.1:0'\nlimits: {concurrency: %d, queue: %d, sign-concurrency: 2, sign-timeout: 2s}\n", concurrency, queue) +
		"tsa: {key: 'hashivault://tsa', chain: chain.pem, policy: 1.2.3, clock: {source: system, bound: 100ms}}\n"
	conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
	cfg, err := Load(t.Context(), conf, Options{LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan Addresses, 1)
	cfg.Listening = func(a Addresses) { listening <- a }
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	at := <-listening

	// ask returns the status, and of a TimeStampResp the failure.
	ask := func() string {
		resp, err := http.Post(at.Public[0]+PathTimestamp, tsphttp.TypeQuery, query())
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		reply, err := tsp.ParseResponse(body)
		switch {
		case err != nil:
			return err.Error()
		case reply.Rejection != nil:
			return reply.Rejection.Info.String()
		}
		return "granted"
	}
	status := func(url string) int {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(); got != "granted" {
		t.Fatalf("before: %s", got)
	}

	v.Inject(vaultfake.Fault{On: "sign", Hang: true})
	answers := make(chan string, concurrency+queue+more)
	var group sync.WaitGroup
	start := time.Now()
	for range cap(answers) {
		group.Go(func() { answers <- ask() })
	}
	group.Wait()
	took := time.Since(start)
	close(answers)
	count := map[string]int{}
	for a := range answers {
		count[a]++
	}
	full := fmt.Sprintf("%d %s", http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable))
	if count["systemFailure"] < concurrency || count["systemFailure"] > concurrency+queue || count[full] < more || count["systemFailure"]+count[full] != concurrency+queue+more {
		t.Errorf("answers: %v", count)
	}
	if took > 20*time.Second {
		t.Errorf("the last was answered after %v", took)
	}
	if got := status(at.Public[0] + PathReady); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", got)
	}
	resp, err := http.Get(at.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if _, err := page.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, want := range []string{`"ready": false`, `"reason": "systemFailure"`, `"works": false`, `"external": true`, `"key": "hashivault://tsa (version 1)"`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%s is not in the details:\n%s", want, &page)
		}
	}

	v.Clear()
	for deadline := time.Now().Add(20 * time.Second); status(at.Public[0]+PathReady) != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not become ready by itself")
		}
	}
	if got := ask(); got != "granted" {
		t.Errorf("afterwards: %s", got)
	}
}
