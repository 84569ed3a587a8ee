package verify_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestCacheSavesWork: the first token of an authority has its certificates
// parsed, the next ones only their signature verified.
func TestCacheSavesWork(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	p := policyFor(t, f)
	p.Cache = new(verify.ChainCache)
	token, imprint := f.ParsedToken(t), tsptest.Request().Imprint
	for i, want := range []verify.Work{{Hashed: 1, Parsed: 2, Signatures: 1}, {Hashed: 1, Signatures: 1}, {Hashed: 1, Signatures: 1}} {
		_, got, err := verify.TokenWork(p, token, imprint)
		if err != nil {
			t.Fatal(err)
		}
		// Which certificate comes first is up to their bytes.
		if got.Hashed = min(got.Hashed, 1); got != want {
			t.Errorf("verification %d cost %+v, want %+v", i+1, got, want)
		}
	}
}

// TestCacheNeverDecides: what one policy verified is not trusted by another,
// and a chain counts only where its certificates are at hand.
func TestCacheNeverDecides(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	warm := policyFor(t, f)
	warm.Cache = new(verify.ChainCache)
	check(t, warm, f, "")

	p := warm
	p.Roots = []*x509.Certificate{parse(t, f.Other.Chain[2])}
	check(t, p, f, verify.ReasonUntrusted)
	p.Roots = []*x509.Certificate{parse(t, f.Chain[0])}
	check(t, p, f, "")
	// An equal root that is another object is the same root.
	p.Roots = []*x509.Certificate{parse(t, f.Chain[2])}
	if _, got, err := verify.TokenWork(p, f.ParsedToken(t), tsptest.Request().Imprint); err != nil || got.Parsed != 0 {
		t.Errorf("with an equal root: %+v, %v, want nothing parsed", got, err)
	}
	bare := *f
	bare.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{f.Chain[0]} }
	check(t, warm, &bare, verify.ReasonUntrusted)
	p = warm
	p.Intermediates = []*x509.Certificate{parse(t, f.Chain[1])}
	check(t, p, &bare, "")
	check(t, warm, &bare, verify.ReasonUntrusted)
}

// TestCacheKeepsToItself: the chain in a Timestamp is the caller's, whatever
// becomes of it.
func TestCacheKeepsToItself(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Data = func(d *tsptest.DataFields) { d.Certificates = f.Chain }
	p := policyFor(t, f)
	p.Cache = new(verify.ChainCache)
	for range 3 {
		stamp := check(t, p, f, "")
		if stamp == nil {
			t.FailNow()
		}
		if got := len(stamp.Chain); got != 3 || !stamp.Chain[1].Equal(parse(t, f.Chain[1])) {
			t.Fatalf("chain of %d, the issuer is %q", got, stamp.Chain[1].Subject)
		}
		// In place: what is left of the old slice is leaf, root, root.
		stamp.Chain = slices.Delete(stamp.Chain, 1, 2)
		stamp.Chain = append(stamp.Chain, stamp.Chain[1])
	}
}

// TestCacheOfAlteredCertificates: a caller may have handled a critical
// extension, or may trust a root for less time than it claims. Neither is
// anything to another policy with the same cache.
func TestCacheOfAlteredCertificates(t *testing.T) {
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
	}
	handle := func(c *x509.Certificate) { c.UnhandledCriticalExtensions = nil }
	end := func(c *x509.Certificate) { c.NotAfter = tsptest.Time().Add(-1) }
	for _, tt := range []struct {
		name        string
		options     pkitest.Options
		alter       func(*x509.Certificate)
		n           int // which of the chain
		plain, with verify.Reason
	}{
		{"extension of the root handled", pkitest.Options{Root: critical}, handle, 2, verify.ReasonUntrusted, ""},
		{"extension of the issuer handled", pkitest.Options{Intermediate: critical}, handle, 1, verify.ReasonUntrusted, ""},
		{"root trusted for less", pkitest.Options{}, end, 2, "", verify.ReasonValidity},
		{"issuer trusted for less", pkitest.Options{}, end, 1, "", verify.ReasonValidity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tsptest.NewForge(t, tt.options)
			plain, with := policyFor(t, f), policyFor(t, f)
			with.Intermediates = []*x509.Certificate{parse(t, f.Chain[1])}
			tt.alter([]*x509.Certificate{nil, with.Intermediates[0], with.Roots[0]}[tt.n])
			check(t, plain, f, tt.plain)
			check(t, with, f, tt.with)
			plain.Cache = new(verify.ChainCache)
			with.Cache = plain.Cache
			for range 2 {
				check(t, plain, f, tt.plain)
				check(t, with, f, tt.with)
			}
		})
	}
}

// TestCacheIsBounded: more signers than it holds push others out, and a
// token that is not accepted leaves nothing behind.
func TestCacheIsBounded(t *testing.T) {
	root := pkitest.TSA(t, pkitest.Options{NoIntermediate: true})
	cache := new(verify.ChainCache)
	p := verify.Policy{Roots: []*x509.Certificate{root.Root}, Now: now, Cache: cache}
	for i := range verify.MaxCached + 20 {
		tmpl := *root.Leaf
		tmpl.SerialNumber = big.NewInt(int64(i + 1))
		pkitest.EKU(true, "1.3.6.1.5.5.7.3.8")(&tmpl)
		raw, err := x509.CreateCertificate(nil, &tmpl, root.Root, root.LeafKey.Public(), pkitest.Deterministic(root.RootKey))
		if err != nil {
			t.Fatal(err)
		}
		f := &tsptest.Forge{Identity: tsptest.Identity{Chain: [][]byte{raw, root.Root.Raw}, Key: root.LeafKey}}
		check(t, p, f, "")
	}
	if signers, _ := cache.Len(); signers != verify.MaxCached {
		t.Errorf("the cache holds %d signers, want %d", signers, verify.MaxCached)
	}
	cache = new(verify.ChainCache)
	p.Cache = cache
	check(t, p, tsptest.NewForge(t, pkitest.Options{Name: "Stranger"}), verify.ReasonUntrusted)
	if signers, _ := cache.Len(); signers != 0 {
		t.Errorf("a stranger is in the cache")
	}
}

// TestCacheBoundsChains: cross-certificates without end.
func TestCacheBoundsChains(t *testing.T) {
	a := pkitest.TSA(t, pkitest.Options{Name: "A"})
	f := tsptest.NewForge(t, pkitest.Options{Name: "A"})
	cache := new(verify.ChainCache)
	for i := range verify.MaxChains + 5 {
		tmpl := *a.Intermediate
		tmpl.SerialNumber = big.NewInt(int64(i + 1))
		tmpl.Extensions = nil
		raw, err := x509.CreateCertificate(nil, &tmpl, a.Root, a.IntermediateKey.Public(), pkitest.Deterministic(a.RootKey))
		if err != nil {
			t.Fatal(err)
		}
		g := *f
		g.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{f.Chain[0], raw} }
		check(t, verify.Policy{Roots: []*x509.Certificate{a.Root}, Now: now, Cache: cache}, &g, "")
	}
	if _, chains := cache.Len(); chains != verify.MaxChains {
		t.Errorf("the cache holds %d chains of one signer, want %d", chains, verify.MaxChains)
	}
}

// TestCacheConcurrently is for the race detector.
func TestCacheConcurrently(t *testing.T) {
	cache := new(verify.ChainCache)
	var forges []*tsptest.Forge
	for i := range 4 {
		forges = append(forges, tsptest.NewForge(t, pkitest.Options{Name: "N" + strconv.Itoa(i)}))
	}
	var all verify.Policy
	for _, f := range forges {
		all.Roots = append(all.Roots, policyFor(t, f).Roots...)
	}
	all.Now, all.Cache = now, cache
	empty := pkitest.TSA(t, pkitest.Options{Name: "N0"})
	all.Revocation = checker(func(q verify.RevocationQuery) (*verify.Revocation, error) { return nil, nil })
	lists := crls(t, empty.CRL(t), rootCRL(t, empty))
	var wg sync.WaitGroup
	for _, f := range forges {
		token := f.ParsedToken(t)
		for range 4 {
			wg.Go(func() {
				for range 5 {
					p := all
					if f == forges[0] {
						p.Revocation = lists
					}
					if _, err := p.Token(token, tsptest.Request().Imprint); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// bag returns a forge whose token has the given certificates besides its own.
func bag(f *tsptest.Forge, more [][]byte) *tsptest.Forge {
	g := *f
	g.Data = func(d *tsptest.DataFields) { d.Certificates = append(more[:len(more):len(more)], d.Certificates...) }
	return &g
}

// TestHostileBags bounds what a token can make a verifier do, in certificates
// and in memory: files of up to 10 MB cost less than 100 MB.
func TestHostileBags(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	issuer := parse(t, f.Chain[1])
	imprint := tsptest.Request().Imprint
	key := pkitest.Key(t, pkitest.P256, "junk")
	// junk makes 62 certificates, which with the chain is all that is parsed.
	junk := func(change func(c *x509.Certificate, i int)) (out [][]byte) {
		for i := range 62 {
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotBefore: pkitest.NotBefore(), NotAfter: pkitest.NotAfter(),
				Subject: issuer.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
			change(tmpl, i)
			raw, err := x509.CreateCertificate(nil, tmpl, tmpl, key.Public(), pkitest.Deterministic(key))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, raw)
		}
		return out
	}
	names := func(n int) (out []string) {
		for i := range n {
			out = append(out, strconv.Itoa(i%10))
		}
		return out
	}
	padded := func(size int) (out [][]byte) {
		for i := range 62 {
			out = append(out, der.Make(der.TagSequence, der.Make(der.TagOctetString, bytes.Repeat([]byte{byte(i)}, size))))
		}
		return out
	}
	for _, test := range []struct {
		name   string
		junk   [][]byte
		parsed int
		want   verify.Reason
	}{
		{"of other names", junk(func(c *x509.Certificate, i int) { c.Subject.CommonName = "Junk " + strconv.Itoa(i) }), 2, ""},
		{"of the issuer's name", junk(func(*x509.Certificate, int) {}), verify.MaxIntermediates + 1, verify.ReasonUntrusted},
		{"of the issuer's name, 60 KB of names each", junk(func(c *x509.Certificate, _ int) { c.DNSNames = names(20000) }),
			verify.MaxIntermediates + 1, verify.ReasonUntrusted},
		{"of 160 KB each", padded(160_000), 2, ""},
		{"of 60 KB each", padded(60_000), 2, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw, err := bag(f, test.junk).MakeToken()
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > 10<<20 {
				t.Fatalf("the token has %d bytes", len(raw))
			}
			p := policyFor(t, f)
			var w verify.Work
			cost := allocated(func() {
				token, parseErr := tsp.ParseToken(raw)
				if parseErr != nil {
					t.Fatal(parseErr)
				}
				_, w, err = verify.TokenWork(p, token, imprint)
			})
			if got := reasonOf(err); got != test.want {
				t.Errorf("Token: %v, want reason %q", err, test.want)
			}
			if w.Parsed != test.parsed || w.Signatures != 1 || w.Hashed > 64 {
				t.Errorf("work %+v, want %d parsed and one signature", w, test.parsed)
			}
			if cost > 100<<20 {
				t.Errorf("%d bytes cost %d MiB", len(raw), cost>>20)
			}
		})
	}
}

// TestMaze: certificates that all certify one another lead nowhere, at a
// bounded cost.
func TestMaze(t *testing.T) {
	key, leafKey := pkitest.Key(t, pkitest.P256, "maze"), pkitest.Key(t, pkitest.P256, "maze leaf")
	good := pkitest.TSA(t, pkitest.Options{})
	issue := func(serial int, tmpl x509.Certificate, public any) []byte {
		tmpl.SerialNumber = big.NewInt(int64(serial))
		raw, err := x509.CreateCertificate(nil, &tmpl, &x509.Certificate{Subject: good.Intermediate.Subject}, public, pkitest.Deterministic(key))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	leaf := *good.Leaf
	pkitest.EKU(true, "1.3.6.1.5.5.7.3.8")(&leaf)
	f := &tsptest.Forge{Identity: tsptest.Identity{Chain: [][]byte{issue(1, leaf, leafKey.Public()), good.Root.Raw}, Key: leafKey}}
	var maze [][]byte
	for i := range 62 {
		maze = append(maze, issue(i+2, x509.Certificate{Subject: good.Intermediate.Subject, NotBefore: pkitest.NotBefore(),
			NotAfter: pkitest.NotAfter(), IsCA: true, BasicConstraintsValid: true}, key.Public()))
	}
	token := bag(f, maze).ParsedToken(t)
	p := verify.Policy{Roots: []*x509.Certificate{good.Root}, Now: now}
	var w verify.Work
	var err error
	cost := allocated(func() { _, w, err = verify.TokenWork(p, token, tsptest.Imprint()) })
	if got := reasonOf(err); got != verify.ReasonUntrusted {
		t.Errorf("Token: %v, want reason untrusted", err)
	}
	if w.Parsed != verify.MaxIntermediates+1 || cost > 10<<20 {
		t.Errorf("work %+v and %d KiB", w, cost>>10)
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileFiles: 10 MB of various kinds, most refused by the parser (A14,
// A17, A18), cost less than 100 MB.
func TestHostileFiles(t *testing.T) {
	const size = 10_000_000
	f := tsptest.NewForge(t, pkitest.Options{})
	forged := func(change func(g *tsptest.Forge)) []byte {
		g := *f
		change(&g)
		raw, err := g.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	attribute := func(id string) func(g *tsptest.Forge) {
		return func(g *tsptest.Forge) {
			g.Signed = func(a [][]byte) [][]byte {
				return append(a, tsptest.Attribute(id, der.Make(der.TagOctetString, make([]byte, size))))
			}
		}
	}
	leaf := parse(t, f.Chain[0])
	longName := der.Make(der.TagSequence, der.Make(der.TagSet, der.Make(der.TagSequence,
		der.Make(der.TagOID, []byte{0x55, 4, 3}), der.Make(der.TagUTF8String, bytes.Repeat([]byte("x "), size/2)))))
	for _, test := range []struct {
		name string
		data []byte
		want verify.Reason
	}{
		{"zeros", make([]byte, size), verify.ReasonMalformed},
		{"nested", bytes.Repeat([]byte{0x30, 0x80}, size/2), verify.ReasonMalformed},
		{"nested octet strings", append([]byte{0x30, 0x80, 6, 1, 0}, bytes.Repeat([]byte{0x24, 0x80}, size/2)...), verify.ReasonMalformed},
		{"long lengths", bytes.Repeat([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, size/6), verify.ReasonMalformed},
		{"base64", bytes.Repeat([]byte("MIAG"), size/4), verify.ReasonMalformed},
		{"signature", forged(func(g *tsptest.Forge) {
			g.Signer = func(s *tsptest.SignerFields) { s.Signature = der.Make(der.TagOctetString, make([]byte, size)) }
		}), verify.ReasonSignature},
		{"unknown attribute", forged(attribute("\x2a\x03\x04")), ""},
		{"messageDigest", forged(attribute(oid.MessageDigest)), verify.ReasonSignedAttributes},
		{"unsigned attribute", forged(func(g *tsptest.Forge) {
			g.Signer = func(s *tsptest.SignerFields) {
				s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute("\x2a\x03", der.Make(der.TagOctetString, make([]byte, size))))
			}
		}), ""},
		{"list", forged(func(g *tsptest.Forge) {
			g.Data = func(d *tsptest.DataFields) {
				d.CRLs = [][]byte{der.Make(der.TagSequence, der.Make(der.TagOctetString, make([]byte, size)))}
			}
		}), ""},
		{"extension of the TSTInfo", forged(func(g *tsptest.Forge) {
			g.Info = func(i *tsptest.InfoFields) {
				i.Extensions = der.Make(der.Context(1), tsptest.Extension("1.2.3", nil, der.Make(der.TagOctetString, make([]byte, size))))
			}
		}), ""},
		{"tsa name", forged(func(g *tsptest.Forge) {
			g.Info = func(i *tsptest.InfoFields) { i.TSA = der.Make(der.Context(0), der.Make(der.Context(4), longName)) }
		}), verify.ReasonTSAName},
		{"signer identifier", forged(func(g *tsptest.Forge) {
			g.Signer = func(s *tsptest.SignerFields) {
				s.SID = der.Make(der.TagSequence, longName, der.Make(der.TagInteger, leaf.SerialNumber.Bytes()))
			}
		}), verify.ReasonSigningCertificate},
		{"signer identifier and a bag", forged(func(g *tsptest.Forge) {
			g.Signer = func(s *tsptest.SignerFields) {
				s.SID = der.Make(der.TagSequence, longName, der.Make(der.TagInteger, leaf.SerialNumber.Bytes()))
			}
			g.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{f.Reissued, f.Other.Chain[0]} }
		}), verify.ReasonCertificateMissing},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			var err error
			cost := allocated(func() { _, err = p.Bytes(test.data, tsptest.Request().Imprint) })
			if got := reasonOf(err); got != test.want {
				t.Errorf("Bytes: %.200v, want reason %q", err, test.want)
			}
			if cost > 100<<20 {
				t.Errorf("%d bytes cost %d MiB", len(test.data), cost>>20)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("the error has %d characters", len(err.Error()))
			}
		})
	}
}

// TestLongKeys: a key whose use would take minutes is looked at and not used.
func TestLongKeys(t *testing.T) {
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), 400_000), 0, 1), E: 65537}
	chain := pkitest.TSA(t, pkitest.Options{})
	tmpl := *chain.Intermediate
	tmpl.SerialNumber = big.NewInt(9)
	tmpl.Extensions, tmpl.SubjectKeyId = nil, chain.Intermediate.SubjectKeyId
	raw, err := x509.CreateCertificate(nil, &tmpl, chain.Root, huge, pkitest.Deterministic(chain.RootKey))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > verify.MaxCertificate {
		t.Fatalf("the certificate has %d bytes and would not be read", len(raw))
	}
	f := tsptest.NewForge(t, pkitest.Options{})
	g := *f
	g.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{f.Chain[0], raw} }
	check(t, policyFor(t, f), &g, verify.ReasonUntrusted)
	g.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{raw, f.Chain[1], f.Chain[0]} }
	check(t, policyFor(t, f), &g, "")

	leaf := *chain.Leaf
	leaf.SerialNumber = big.NewInt(10)
	pkitest.EKU(true, "1.3.6.1.5.5.7.3.8")(&leaf)
	raw, err = x509.CreateCertificate(nil, &leaf, chain.Intermediate, huge, pkitest.Deterministic(chain.IntermediateKey))
	if err != nil {
		t.Fatal(err)
	}
	g = *f
	g.Chain = [][]byte{raw, f.Chain[1], f.Chain[2]}
	check(t, policyFor(t, f), &g, verify.ReasonCertificate)
}
