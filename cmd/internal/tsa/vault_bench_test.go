//go:build interop

package tsa

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// vaultCall makes a call of the Vault that the environment names.
func vaultCall(b *testing.B, method, path, body string) {
	b.Helper()
	req, err := http.NewRequest(method, os.Getenv("FENCEPOST_TEST_VAULT_ADDR")+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", os.Getenv("FENCEPOST_TEST_VAULT_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

// vaultKey opens a new P-256 key in a Vault, with a mount of its own.
func vaultKey(b *testing.B) *kms.Key {
	b.Helper()
	mount := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	vaultCall(b, "POST", "sys/mounts/"+mount, `{"type":"transit"}`)
	b.Cleanup(func() { vaultCall(b, "DELETE", "sys/mounts/"+mount, "") })
	vaultCall(b, "POST", mount+"/keys/tsa", `{"type":"ecdsa-p256"}`)
	env := map[string]string{
		"VAULT_ADDR": os.Getenv("FENCEPOST_TEST_VAULT_ADDR"), "VAULT_TOKEN": os.Getenv("FENCEPOST_TEST_VAULT_TOKEN"),
		"TRANSIT_SECRET_ENGINE_PATH": mount,
	}
	u, err := signer.ParseURI("hashivault://tsa")
	if err != nil {
		b.Fatal(err)
	}
	key, err := kms.Open(b.Context(), u, kms.Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { key.Close() })
	return key
}

// newChain certifies a key.
func newChain(b *testing.B, key signer.Signer) []*x509.Certificate {
	b.Helper()
	var once [2]crypto.Signer
	for i := range once {
		k, err := signer.Generate(signer.P256)
		if err != nil {
			b.Fatal(err)
		}
		once[i] = signer.Crypto(b.Context(), k)
	}
	chain, err := pki.CreateChain(pki.ChainConfig{
		Role: pki.RoleTSA, Subject: pkix.Name{CommonName: "bench"},
		RootKey: once[0], IntermediateKey: once[1], LeafKey: key.Public(),
	})
	if err != nil {
		b.Fatal(err)
	}
	return chain
}

func benchTSA(b *testing.B, key authority.Signer, chain []*x509.Certificate, external bool) *TSA {
	b.Helper()
	policy, err := x509.ParseOID(tsptest.PolicyOID)
	if err != nil {
		b.Fatal(err)
	}
	a, err := authority.New(authority.Config{Signer: key, Chain: chain, Clock: testClock(), Policy: policy})
	if err != nil {
		b.Fatal(err)
	}
	t, err := New(b.Context(), Config{Units: []Unit{{Authority: a, External: external}}, Clock: testClock(), SignTimeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// BenchmarkVault is a timestamp with a key in Vault beside one transit signature and one verification. Both
// are made in turn, so that other work on the machine falls on both; the ratio is what counts.
func BenchmarkVault(b *testing.B) {
	key := vaultKey(b)
	public := key.Public().(*ecdsa.PublicKey)
	t := benchTSA(b, key, newChain(b, key), true)
	request := tsptest.RequestDER()
	stamp := func(ctx context.Context) error {
		if _, out := t.Respond(ctx, request); out.Rejection != nil {
			return out.Rejection
		}
		return nil
	}
	bare := func(ctx context.Context) error {
		var message [32]byte
		rand.Read(message[:])
		digest := sha256.Sum256(message[:])
		signature, err := key.Sign(ctx, digest[:], crypto.SHA256)
		if err != nil {
			return err
		}
		if !ecdsa.VerifyASN1(public, digest[:], signature) {
			return errors.New("the signature is wrong")
		}
		return nil
	}
	for _, inFlight := range []int{1, 8} {
		b.Run(fmt.Sprintf("in flight %d", inFlight), func(b *testing.B) {
			const batch = 50
			var stamping, signing time.Duration
			for b.Loop() {
				signing += together(b, inFlight, batch, bare)
				stamping += together(b, inFlight, batch, stamp)
			}
			n := float64(b.N * batch)
			b.ReportMetric(0, "ns/op") // of both together, which says nothing
			b.ReportMetric(float64(stamping.Microseconds())/n, "µs/timestamp")
			b.ReportMetric(float64(signing.Microseconds())/n, "µs/sign+verify")
			b.ReportMetric(float64(stamping)/float64(signing), "ratio")
		})
	}
}

// together makes n calls, so many at once, and returns how long they took.
func together(b *testing.B, inFlight, n int, call func(context.Context) error) time.Duration {
	var group sync.WaitGroup
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	start := time.Now()
	for range inFlight {
		group.Go(func() {
			for range work {
				if err := call(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}
