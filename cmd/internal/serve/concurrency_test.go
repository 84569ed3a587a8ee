package serve

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// TestConcurrentAfterReload: a key that moves elsewhere while the server runs
// leaves more requests let through than it can do, which is said.
func TestConcurrentAfterReload(t *testing.T) {
	dir, v := t.TempDir(), vaultfake.Start(t)
	writeIdentity(t, dir, pkitest.Options{}, nil)
	v.ImportKey("tsa", "ecdsa-p256", pkitest.TSA(t, pkitest.Options{}).LeafKey)
	env := map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
	log := new(lockedBuffer)
	logger := slog.New(slog.NewJSONHandler(log, nil))
	p, key := NewProcess(logger), "file:key.pem"
	load := func(ctx context.Context) (Config, error) {
		text := fmt.Sprintf("listen: ['127.0.0.1:0']\nadmin: off\ntsa: {key: '%s', chain: chain.pem, policy: 1.2.3, clock: {source: system, bound: 100ms}}\n", key)
		conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(text))
		if err != nil {
			return Config{}, err
		}
		return Load(ctx, conf, Options{Log: logger, Process: p, LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	}
	cfg, err := load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.TSA.Close()
	cfg.Reload.Load = load
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key    string
		warned int
	}{{"file:key.pem", 0}, {"hashivault://tsa", 1}} {
		key = test.key
		if _, _, err := s.reloadOnce(t.Context(), make([]*tlsIdentity, 1)); err != nil {
			t.Fatal(err)
		}
		if got := records(t, log, "warning"); len(got) != test.warned {
			t.Errorf("%s: warned %v", test.key, got)
		}
	}
}

// TestConcurrent: no more are let through to a key elsewhere than it can do soon.
func TestConcurrent(t *testing.T) {
	dir, v := t.TempDir(), vaultfake.Start(t)
	writeIdentity(t, dir, pkitest.Options{}, nil)
	v.ImportKey("tsa", "ecdsa-p256", pkitest.TSA(t, pkitest.Options{}).LeafKey)
	env := map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
	const here, elsewhere = "file:key.pem", "hashivault://tsa"
	for _, test := range []struct {
		name, key, limits string
		want              int // 0: the default of the handler
	}{
		{"in this process", here, "", 0},
		{"in this process, with limits", here, "concurrency: 300, sign-concurrency: 10", 300},
		{"elsewhere", elsewhere, "", 80},
		{"elsewhere, one at once", elsewhere, "concurrency: 300, sign-concurrency: 1", 2},
		{"elsewhere, with limits", elsewhere, "concurrency: 300, sign-concurrency: 100", 125},
		{"elsewhere, a low limit", elsewhere, "concurrency: 10, sign-concurrency: 100", 10},
		{"elsewhere, more than by default", elsewhere, "sign-concurrency: 1000", 256},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := fmt.Sprintf("limits: {%s}\ntsa: {key: '%s', chain: chain.pem, policy: 1.2.3, clock: {source: system, bound: 100ms}}\n", test.limits, test.key)
			conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(t.Context(), conf, Options{LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
			if err != nil {
				t.Fatal(err)
			}
			defer cfg.TSA.Close()
			if got := concurrent(&cfg); got != test.want {
				t.Errorf("%d at once, want %d", got, test.want)
			}
		})
	}
}
