package vault_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
)

// BenchmarkSign compares a signature through this package with the same
// request made by bare net/http, and by Vault's library. The fake, its P-256
// signature included, runs in the same process and is part of each figure.
func BenchmarkSign(b *testing.B) {
	v := vaultfake.Start(b)
	createKey(b, v, "tsa", "ecdsa-p256")
	key := open(b, v, "tsa")
	digest := sha256.Sum256([]byte("benchmark"))
	for _, way := range []struct {
		name string
		sign func(context.Context) error
	}{
		{"net-http", bareSign(v.URL+"/v1/transit", v.Root, digest[:])},
		{"fencepost", func(ctx context.Context) error {
			_, err := key.Sign(ctx, digest[:], crypto.SHA256)
			return err
		}},
		{"vault-api", librarySign(b, v, digest[:])},
	} {
		for _, inFlight := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", way.name, inFlight), func(b *testing.B) {
				b.ReportAllocs()
				run(b, inFlight, way.sign)
			})
		}
	}
}

// run shares b.N calls among some goroutines.
func run(b *testing.B, inFlight int, sign func(context.Context) error) {
	var wg sync.WaitGroup
	next := make(chan struct{}, inFlight)
	for range inFlight {
		wg.Go(func() {
			for range next {
				if err := sign(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		next <- struct{}{}
	}
	close(next)
	wg.Wait()
}

func bareSign(mount, token string, digest []byte) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return func(ctx context.Context) error {
		body := fmt.Appendf(nil, `{"input":%q,"prehashed":true,"key_version":1,"marshaling_algorithm":"asn1"}`,
			base64.StdEncoding.EncodeToString(digest))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, mount+"/sign/tsa/sha2-256", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("X-Vault-Token", token)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var a struct{ Data struct{ Signature string } }
		return json.Unmarshal(answer, &a)
	}
}

func librarySign(b *testing.B, v *vaultfake.Server, digest []byte) func(context.Context) error {
	conf := api.DefaultConfig()
	conf.Address, conf.MaxRetries = v.URL, 0
	conf.HttpClient.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	client, err := api.NewClient(conf)
	if err != nil {
		b.Fatal(err)
	}
	client.SetToken(v.Root)
	return func(ctx context.Context) error {
		_, err := client.Logical().WriteWithContext(ctx, "transit/sign/tsa/sha2-256", map[string]any{
			"input": base64.StdEncoding.EncodeToString(digest), "prehashed": true, "key_version": 1,
			"signature_algorithm": "pkcs1v15", "marshaling_algorithm": "asn1",
		})
		return err
	}
}
