package envelope_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestHashFor(t *testing.T) {
	for kind, want := range keyTypes {
		key, _ := notarytest.Chain(t, notarytest.Options{Key: kind})
		if got, err := envelope.HashFor(key.Public()); got != want.hash || err != nil {
			t.Errorf("%s: %v, %v; want %v", kind, got, err, want.hash)
		}
	}
	for name, pub := range map[string]crypto.PublicKey{
		"nil":      nil,
		"Ed25519":  ed25519.PublicKey(make([]byte, 32)),
		"P-224":    pkitest.Key(t, pkitest.P224, "leaf").Public(),
		"RSA-1024": pkitest.Key(t, pkitest.RSA1024, "leaf").Public(),
		"RSA-2047": oddRSA(2047),
		"RSA-2056": oddRSA(2056),
	} {
		got, err := envelope.HashFor(pub)
		wantReason(t, name, err, envelope.ReasonAlgorithm)
		if got != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// oddRSA returns a public key with a modulus of that many bits. It is nobody's.
func oddRSA(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func TestCheckChain(t *testing.T) {
	early, late := signingTime(), signingTime().Add(time.Hour)
	_, chain := notarytest.Chain(t, notarytest.Options{NotBefore: early, NotAfter: late})
	for name, row := range map[string]struct {
		chain []*x509.Certificate
		at    time.Time
		want  envelope.Reason
	}{
		"no time":            {chain, time.Time{}, ""},
		"first moment":       {chain, early, ""},
		"last moment":        {chain, late, ""},
		"a moment too early": {chain, early.Add(-1), envelope.ReasonValidity},
		"a moment too late":  {chain, late.Add(1), envelope.ReasonValidity},
		"nothing":            {nil, early, envelope.ReasonChain},
		"nil certificate":    {[]*x509.Certificate{chain[0], nil}, early, envelope.ReasonChain},
		"never parsed":       {[]*x509.Certificate{{}}, early, envelope.ReasonChain},
		"no root":            {chain[:2], early, envelope.ReasonChain},
	} {
		err := envelope.CheckChain(row.chain, row.at)
		if row.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantReason(t, name, err, row.want)
	}
	_, chain = notarytest.Chain(t, notarytest.Options{Key: signer.Ed25519})
	wantReason(t, "Ed25519", envelope.CheckChain(chain, early), envelope.ReasonAlgorithm)
}

// TestHugeKey: a key that would take minutes to verify with is not used.
func TestHugeKey(t *testing.T) {
	_, chain := notarytest.Chain(t, notarytest.Options{})
	huge := *chain[1]
	huge.PublicKey = oddRSA(100_000)
	chain[1] = &huge
	wantReason(t, "100,000 bits", envelope.CheckChain(chain, time.Time{}), envelope.ReasonChain)
}

// TestCache: a verdict is the same with a cache as without, and chains are
// parsed once.
func TestCache(t *testing.T) {
	var cache envelope.Cache
	for _, format := range envelope.Formats() {
		good := newForge(t, notarytest.Options{})
		bad := newForge(t, bent(0, func(c *x509.Certificate) { c.IsCA = true }))
		forged := newForge(t, notarytest.Options{})
		forged.key, _ = other(t)
		swapped := newForge(t, notarytest.Options{})
		_, o := other(t)
		swapped.chain = []*x509.Certificate{swapped.chain[0], o[1], o[2]}
		first, err := cache.Parse(format, good.make(t, format))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for name, row := range map[string]struct {
				forge *forge
				want  envelope.Reason
			}{"good": {good, ""}, "bad chain": {bad, envelope.ReasonChain}, "forged": {forged, envelope.ReasonSignature}, "swapped": {swapped, envelope.ReasonChain}} {
				e, err := cache.Parse(format, row.forge.make(t, format))
				if err != nil {
					t.Fatal(err)
				}
				_, err = e.Verify()
				if row.want != "" {
					wantReason(t, name, err, row.want)
				} else if err != nil || e.Unverified.Chain[0] != first.Unverified.Chain[0] {
					t.Errorf("%s: %v, the same certificate: %t", name, err, e.Unverified.Chain[0] == first.Unverified.Chain[0])
				}
			}
		}
		// What a caller does to its own copy is its own business.
		first.Unverified.Chain[0] = o[0]
		if content, err := first.Verify(); err != nil || content.Chain[0].Equal(o[0]) {
			t.Errorf("after the copy was changed: %v", err)
		}
	}
}

// TestCacheBounded: anybody can make chains.
func TestCacheBounded(t *testing.T) {
	var cache envelope.Cache
	f := newForge(t, notarytest.Options{})
	for i := range 600 {
		f.x5c = [][]byte{f.chain[0].Raw, f.chain[i%3].Raw, f.chain[i/3%3].Raw, f.chain[i/9%3].Raw, f.chain[i/27%3].Raw, f.chain[i/81%3].Raw, f.chain[i/243%3].Raw}
		if _, err := cache.Parse(envelope.COSE, f.make(t, envelope.COSE)); err != nil {
			t.Fatal(err)
		}
	}
	if n := cache.Len(); n != 256 {
		t.Errorf("%d chains are remembered, want 256", n)
	}
	big := newForge(t, notarytest.Options{Bend: func(_ int, c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"http://" + string(make([]byte, 40<<10))}
	}})
	if _, err := new(envelope.Cache).Parse(envelope.COSE, big.make(t, envelope.COSE)); err != nil {
		t.Fatal(err)
	}
}

// TestChainKeepsNoEnvelope: a chain outlives the envelope that it came in, and
// does not keep its bytes alive.
func TestChainKeepsNoEnvelope(t *testing.T) {
	for _, format := range envelope.Formats() {
		f := newForge(t, notarytest.Options{})
		f.payload = bytes.Repeat([]byte(" "), 1<<20)
		e, err := new(envelope.Cache).Parse(format, f.make(t, format))
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range e.Unverified.Chain {
			if got, most := cap(c.Raw), 2*len(c.Raw); got > most {
				t.Errorf("%s: certificate %d of %d bytes keeps %d", format, i, len(c.Raw), got)
			}
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	var cache envelope.Cache
	data := newForge(t, notarytest.Options{}).make(t, envelope.JWS)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				e, err := cache.Parse(envelope.JWS, data)
				if err == nil {
					_, err = e.Verify()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := cache.Len(); n != 1 {
		t.Errorf("%d chains are remembered, want 1", n)
	}
}

// TestCacheSavesWork: with the next envelope of a signer, no certificate is
// parsed and no signature of an issuer verified. Both show in what is
// allocated, which can be told more surely than the time they take.
func TestCacheSavesWork(t *testing.T) {
	_, chain := notarytest.Chain(t, notarytest.Options{})
	work := testing.AllocsPerRun(20, func() {
		for _, c := range chain {
			if _, err := x509.ParseCertificate(c.Raw); err != nil {
				t.Error(err)
			}
		}
		if err := envelope.CheckChain(chain, time.Time{}); err != nil {
			t.Error(err)
		}
	})
	for _, format := range envelope.Formats() {
		data := newForge(t, notarytest.Options{}).make(t, format)
		count := func(cache *envelope.Cache) float64 {
			return testing.AllocsPerRun(20, func() {
				e, err := cache.Parse(format, data)
				if err == nil {
					_, err = e.Verify()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		if warm, cold := count(new(envelope.Cache)), count(nil); cold-warm < work*9/10 {
			t.Errorf("%s: %v allocations with a cache, %v without; the chain alone has %v", format, warm, cold, work)
		}
	}
}
