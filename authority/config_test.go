package authority_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

func TestNewRefuses(t *testing.T) {
	other := pkitest.TSA(t, pkitest.Options{Name: "Other"})
	// chain returns a row that bends the leaf of the chain.
	leaf := func(change func(*x509.Certificate)) func(*testing.T, *authority.Config) {
		return func(t *testing.T, cfg *authority.Config) {
			cfg.Chain = pkitest.TSA(t, pkitest.Options{Leaf: change}).Certificates()
		}
	}
	key := func(kind pkitest.KeyType) func(*testing.T, *authority.Config) {
		return func(t *testing.T, cfg *authority.Config) {
			chain := pkitest.TSA(t, pkitest.Options{Key: kind})
			cfg.Chain, cfg.Signer = chain.Certificates(), memory{chain.LeafKey}
		}
	}
	broken := func(sign func(context.Context, []byte, crypto.SignerOpts) ([]byte, error)) func(*testing.T, *authority.Config) {
		return func(t *testing.T, cfg *authority.Config) {
			cfg.Signer = &remote{cfg.Signer.(memory).key, sign}
		}
	}
	errBroken := errors.New("no such slot")
	eku := asn1.ObjectIdentifier{2, 5, 29, 37}
	timeStamping := []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08}
	for _, test := range []struct {
		name   string
		change func(*testing.T, *authority.Config)
		want   string // in the error
	}{
		{"no signer", func(_ *testing.T, c *authority.Config) { c.Signer = nil }, "no signer"},
		{"no chain", func(_ *testing.T, c *authority.Config) { c.Chain = nil }, "no certificate chain"},
		{"no clock", func(_ *testing.T, c *authority.Config) { c.Clock = nil }, "no clock"},
		{"no policy", func(_ *testing.T, c *authority.Config) { c.Policy = x509.OID{} }, "no policy"},
		{"empty accepted policy", func(_ *testing.T, c *authority.Config) { c.AcceptedPolicies = []x509.OID{{}} }, "accepted policy is empty"},
		{"no hashes", func(_ *testing.T, c *authority.Config) { c.Hashes = []crypto.Hash{} }, "no hash"},
		{"SHA-1", func(_ *testing.T, c *authority.Config) { c.Hashes = []crypto.Hash{crypto.SHA256, crypto.SHA1} }, "SHA-1"},
		{"SHA-224", func(_ *testing.T, c *authority.Config) { c.Hashes = []crypto.Hash{crypto.SHA224} }, "SHA-224"},
		{"unknown hash", func(_ *testing.T, c *authority.Config) { c.Hashes = []crypto.Hash{99} }, "number 99"},
		{"negative accuracy", func(_ *testing.T, c *authority.Config) { c.Accuracy = -1 }, "accuracy is -1ns"},
		{"giant accuracy", func(_ *testing.T, c *authority.Config) { c.Accuracy = 25 * time.Hour }, "accuracy is 25h"},
		{"odd precision", func(_ *testing.T, c *authority.Config) { c.Precision = 10 * time.Millisecond }, "precision is 10ms"},
		{"precision above accuracy", func(_ *testing.T, c *authority.Config) { c.Precision = time.Second }, "precision 1s is not below"},
		{"precision equal to accuracy", func(_ *testing.T, c *authority.Config) { c.Accuracy = time.Millisecond }, "precision 1ms is not below"},
		{"negative CheckEvery", func(_ *testing.T, c *authority.Config) { c.CheckEvery = -1 }, "CheckEvery"},
		{"unknown Include", func(_ *testing.T, c *authority.Config) { c.Include = 7 }, "Include"},
		{"root wanted, not there", func(_ *testing.T, c *authority.Config) {
			c.Include, c.Chain = authority.IncludeRoot, c.Chain[:2]
		}, "does not end in one"},
		{"weak digest", func(_ *testing.T, c *authority.Config) { c.Digest = crypto.SHA1 }, "digest SHA-1"},
		{"SHA-3 digest", func(_ *testing.T, c *authority.Config) { c.Digest = crypto.SHA3_256 }, "digest SHA3-256"},
		{"Ed25519 with SHA-256", func(t *testing.T, c *authority.Config) {
			key(pkitest.Ed25519)(t, c)
			c.Digest = crypto.SHA256
		}, "must be SHA-512"},
		{"P-224", key(pkitest.P224), "P-224"},
		{"RSA with 1024 bits", key(pkitest.RSA1024), "1024 bits"},

		{"nil certificate", func(_ *testing.T, c *authority.Config) { c.Chain[1] = nil }, "certificate 2 of the chain is empty"},
		{"root first", func(_ *testing.T, c *authority.Config) { slices.Reverse(c.Chain) }, "CA"},
		{"foreign issuer", func(_ *testing.T, c *authority.Config) { c.Chain[1] = other.Intermediate }, "must begin with the leaf"},
		{"intermediate missing", func(_ *testing.T, c *authority.Config) { c.Chain = slices.Delete(c.Chain, 1, 2) }, "not by certificate 2"},
		{"issuer of the same name", func(t *testing.T, c *authority.Config) {
			c.Chain[1] = pkitest.TSA(t, pkitest.Options{IssuerKey: pkitest.P384}).Intermediate
		}, "was not issued by certificate 2"},
		{"endless chain", func(_ *testing.T, c *authority.Config) { c.Chain = slices.Repeat(c.Chain, 4) }, "at most 10"},
		{"another key", func(_ *testing.T, c *authority.Config) { c.Signer = memory{other.LeafKey} }, "not that of the certificate"},
		{"intermediate that may not issue TSAs", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
			}}).Certificates()
		}, "incompatible key usage"},
		{"intermediate with an empty key usage", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
				c.KeyUsage = 0
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 1, 0}})
			}}).Certificates()
		}, "does not allow to sign certificates"},
		{"intermediate that no verifier reads out of a token", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, 70_000)})
			}}).Certificates()
		}, "octets"},
		{"expired before it begins", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{
				NotBefore: pkitest.NotBefore().AddDate(-2, 0, 0), NotAfter: pkitest.NotBefore().AddDate(-1, 0, 0)}).Certificates()
		}, "no time at which"},

		{"CA leaf", leaf(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "CA"},
		{"no EKU", leaf(func(c *x509.Certificate) { c.ExtKeyUsage, c.ExtraExtensions = nil, nil }), "no extended key usage"},
		{"EKU not critical", leaf(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.ExtraExtensions = nil, []pkix.Extension{{Id: eku, Value: timeStamping}}
		}), "not critical"},
		{"another EKU", leaf(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.ExtraExtensions = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, nil
		}), "must be timeStamping and nothing else"},
		{"EKU and another", leaf(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageCodeSigning}
			c.ExtraExtensions = nil
		}), "must be timeStamping and nothing else"},
		{"EKU and an unknown one", leaf(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.ExtraExtensions = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}, nil
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 99999, 1}}
		}), "must be timeStamping and nothing else"},
		{"any EKU", leaf(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.ExtraExtensions = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, nil
		}), "must be timeStamping and nothing else"},
		{"key usage without signing", leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "the key usage must be digitalSignature"},
		{"key usage with certificates", leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), "and nothing else"},
		// Whatever verifiers refuse must not start, to refuse every request later.
		{"key usage with encryption", leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), "and nothing else"},
		{"weak key of the issuer", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{IssuerKey: pkitest.P224}).Certificates()
		}, "certificate 2 of the chain"},
		{"malformed usage period", leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 16}, Value: []byte{0x30, 0}})
		}), "privateKeyUsagePeriod"},
		{"unknown critical extension", leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions,
				pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}, Critical: true, Value: []byte{5, 0}})
		}), "unhandled critical extension"},

		{"signer fails", broken(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errBroken }), "no such slot"},
		{"signer signs wrongly", broken(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return []byte("hm"), nil }), "signature is wrong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
			test.change(t, &cfg)
			a, err := authority.New(cfg)
			if err == nil || a != nil {
				t.Fatalf("New = %v, %v; want an error", a, err)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "authority: ") {
				t.Errorf("New: %q does not contain %q", err, test.want)
			}
		})
	}
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	broken(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errBroken })(t, &cfg)
	if _, err := authority.New(cfg); !errors.Is(err, errBroken) {
		t.Errorf("New with a broken signer: %v does not wrap its error", err)
	}
}

func TestNewAccepts(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *authority.Config)
	}{
		{"leaf alone", func(_ *testing.T, c *authority.Config) { c.Chain = c.Chain[:1] }},
		{"no root", func(_ *testing.T, c *authority.Config) { c.Chain = c.Chain[:2] }},
		{"no intermediate", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{NoIntermediate: true}).Certificates()
		}},
		{"no key usage", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = 0 }}).Certificates()
		}},
		{"nonRepudiation", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }}).Certificates()
		}},
		{"certificates of tomorrow", func(t *testing.T, c *authority.Config) {
			c.Chain = pkitest.TSA(t, pkitest.Options{NotBefore: testTime.AddDate(0, 0, 1)}).Certificates()
		}},
		{"SHA-3", func(_ *testing.T, c *authority.Config) {
			c.Hashes = []crypto.Hash{crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512}
		}},
		{"P-256 with SHA-512", func(_ *testing.T, c *authority.Config) { c.Digest = crypto.SHA512 }},
		{"a key elsewhere", func(_ *testing.T, c *authority.Config) { c.Signer = &remote{key: c.Signer.(memory).key} }},
		{"all checked", func(_ *testing.T, c *authority.Config) { c.CheckEvery = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
			test.change(t, &cfg)
			a := newAuthority(t, cfg)
			// With each hash, each token checked by its maker.
			for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA3_512} {
				imprint, err := tsp.NewImprint(h, make([]byte, h.Size()))
				if err != nil {
					t.Fatal(err)
				}
				_, in := request(t, func(r *tsp.Request) { r.Imprint = imprint })
				_, out := a.Respond(t.Context(), in)
				current := !cfg.Chain[0].NotBefore.After(testTime)
				offered := cfg.Hashes == nil && h == crypto.SHA256 || slices.Contains(cfg.Hashes, h)
				if out.Granted() != (current && offered) {
					t.Errorf("%v: %v", h, out.Rejection)
				}
			}
		})
	}
}

// TestConfigIsCopied holds that an Authority does not change after New.
func TestConfigIsCopied(t *testing.T) {
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	cfg.Hashes = []crypto.Hash{crypto.SHA256}
	a := newAuthority(t, cfg)
	clear(cfg.Chain)
	cfg.Hashes[0] = crypto.SHA512
	clear(a.Chain())
	_, der := request(t, nil)
	respond(t, a, der)
	if got := len(a.Chain()); got != 3 || a.Chain()[0] == nil {
		t.Errorf("Chain() has %d certificates or was changed", got)
	}
}

func TestDigestFollowsKey(t *testing.T) {
	for _, test := range []struct {
		key    pkitest.KeyType
		digest crypto.Hash // configured
		want   string
		sig    string
	}{
		{pkitest.P256, 0, "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"},
		{pkitest.P384, 0, "2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3"},
		{pkitest.P521, 0, "2.16.840.1.101.3.4.2.3", "1.2.840.10045.4.3.4"},
		{pkitest.RSA2048, 0, "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.1"},
		{pkitest.Ed25519, 0, "2.16.840.1.101.3.4.2.3", "1.3.101.112"},
		{pkitest.P256, crypto.SHA384, "2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3"},
		{pkitest.RSA3072, crypto.SHA512, "2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.1"},
	} {
		chain := pkitest.TSA(t, pkitest.Options{Key: test.key})
		cfg := config(t, chain)
		cfg.Digest = test.digest
		_, der := request(t, nil)
		r, _ := respond(t, newAuthority(t, cfg), der)
		s := r.Token.Signer
		if s.Digest.OID.String() != test.want || s.Digest.Parameters != nil {
			t.Errorf("%v, digest %v: digest algorithm %v %x, want %s", test.key, test.digest, s.Digest.OID, s.Digest.Parameters, test.want)
		}
		var parameters string
		if _, ok := chain.LeafKey.Public().(*rsa.PublicKey); ok {
			parameters = "\x05\x00"
		}
		if s.Algorithm.OID.String() != test.sig || string(s.Algorithm.Parameters) != parameters {
			t.Errorf("%v: signature algorithm %v %x, want %s", test.key, s.Algorithm.OID, s.Algorithm.Parameters, test.sig)
		}
		if key, ok := chain.LeafKey.Public().(*ecdsa.PublicKey); ok {
			h := map[string]crypto.Hash{"2.16.840.1.101.3.4.2.1": crypto.SHA256, "2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512}[test.want]
			w := h.New()
			w.Write(s.RawSignedAttributes)
			if !ecdsa.VerifyASN1(key, w.Sum(nil), s.Signature) {
				t.Errorf("%v: signature does not verify", test.key)
			}
		}
	}
}

// TestInclude holds which certificates come along, and in what order.
func TestInclude(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	for _, test := range []struct {
		name    string
		include authority.Include
		chain   []*x509.Certificate
		certReq bool
		want    []*x509.Certificate
	}{
		{"not asked for", authority.IncludeRoot, chain.Certificates(), false, nil},
		{"chain", authority.IncludeChain, chain.Certificates(), true, chain.Certificates()[:2]},
		{"chain without root", authority.IncludeChain, chain.Certificates()[:2], true, chain.Certificates()[:2]},
		{"leaf", authority.IncludeLeaf, chain.Certificates(), true, chain.Certificates()[:1]},
		{"root", authority.IncludeRoot, chain.Certificates(), true, chain.Certificates()},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, chain)
			cfg.Include, cfg.Chain = test.include, test.chain
			_, der := request(t, func(r *tsp.Request) { r.CertReq = test.certReq })
			r, out := respond(t, newAuthority(t, cfg), der)
			if out.CertReq != test.certReq {
				t.Errorf("Outcome.CertReq = %v", out.CertReq)
			}
			var want []string
			for _, c := range test.want {
				want = append(want, string(c.Raw))
			}
			slices.Sort(want) // X.690, 11.6
			var got []string
			for _, c := range r.Token.Certificates {
				got = append(got, string(c))
			}
			if !slices.Equal(got, want) {
				t.Errorf("token has %d certificates, want the %d of the case, sorted", len(got), len(want))
			}
		})
	}
}
