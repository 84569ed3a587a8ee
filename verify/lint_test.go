package verify_test

import (
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestLint holds that each oddity gets its remark and no other, and that none
// of them keeps a token from being accepted.
func TestLint(t *testing.T) {
	integer := func(b ...byte) []byte { return der.Make(der.TagInteger, b) }
	info := func(change func(i *tsptest.InfoFields)) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Info = change }
	}
	accuracy := func(fields ...[]byte) func(*tsptest.Forge) {
		return info(func(i *tsptest.InfoFields) { i.Accuracy = der.Make(der.TagSequence, fields...) })
	}
	data := func(change func(d *tsptest.DataFields)) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Data = change }
	}
	add := func(attribute []byte) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.Signed = func(a [][]byte) [][]byte { return append(a, attribute) }
		}
	}
	signingTime := func(at time.Time) []byte { return tsptest.Attribute(oid.SigningTime, utcTime(at)) }
	extension := func(dotted string) func(*tsptest.Forge) {
		return info(func(i *tsptest.InfoFields) {
			i.Extensions = der.Make(der.Context(1), tsptest.Extension(dotted, nil, []byte{der.TagNull, 0}))
		})
	}
	ess := func(v1 bool, id tsptest.ESSCertID) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) {
			f.Signed = func(a [][]byte) [][]byte {
				id.Certificate, id.V1 = f.Chain[0], v1
				kind := oid.SigningCertificateV2
				if v1 {
					kind = oid.SigningCertificate
				}
				a[2] = tsptest.Attribute(kind, tsptest.SigningCertificate(id))
				return a
			}
		}
	}
	attributeCertificate := der.Make(der.Context(2), der.Make(der.TagSequence))
	for _, test := range []struct {
		name   string
		opts   pkitest.Options
		change func(f *tsptest.Forge)
		want   string
	}{
		{"plain", pkitest.Options{}, func(*tsptest.Forge) {}, ""},
		{"SignedData version 1", pkitest.Options{}, data(func(d *tsptest.DataFields) { d.Version = der.AppendInt(nil, 1) }), "signed-data-version"},
		{"digestAlgorithms empty", pkitest.Options{}, data(func(d *tsptest.DataFields) { d.DigestAlgorithms = nil }), "digest-algorithms"},
		{"no certificates", pkitest.Options{}, data(func(d *tsptest.DataFields) { d.Certificates = nil }), "certificates-missing"},
		{"unsorted certificates", pkitest.Options{}, data(func(d *tsptest.DataFields) { slices.Reverse(d.Certificates) }), "certificates-unsorted"},
		{"attribute certificate", pkitest.Options{}, data(func(d *tsptest.DataFields) { d.Certificates = append(d.Certificates, attributeCertificate) }), "other-certificates"},
		{"CRL", pkitest.Options{}, func(f *tsptest.Forge) {
			f.Data = func(d *tsptest.DataFields) { d.CRLs = [][]byte{f.CRL} }
		}, "crls-embedded"},
		{"giant policy", pkitest.Options{}, info(func(i *tsptest.InfoFields) {
			i.Policy = der.Make(der.TagOID, []byte("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
		}), "policy-odd"},
		{"long policy", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Policy = der.Make(der.TagOID, slices.Repeat([]byte{5}, 70)) }), "policy-odd"},
		{"negative serial", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Serial = integer(0xfb) }), "serial-negative"},
		{"serial 0", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Serial = integer(0) }), "serial-zero"},
		{"serial of 160 bits", pkitest.Options{}, info(func(i *tsptest.InfoFields) {
			i.Serial = integer(append([]byte{0}, slices.Repeat([]byte{0xff}, 20)...)...)
		}), ""},
		{"serial of 161 bits", pkitest.Options{}, info(func(i *tsptest.InfoFields) {
			i.Serial = integer(append([]byte{1}, make([]byte, 20)...)...)
		}), "serial-long"},
		{"no accuracy", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Accuracy = nil }), "accuracy-missing"},
		{"empty accuracy", pkitest.Options{}, accuracy(), "accuracy-zero"},
		{"accuracy of zero seconds", pkitest.Options{}, accuracy(der.AppendInt(nil, 0)), "accuracy-zero accuracy-seconds-encoded"},
		{"accuracy of zero seconds and 5 ms", pkitest.Options{}, accuracy(der.AppendInt(nil, 0), []byte{0x80, 1, 5}), "accuracy-seconds-encoded"},
		{"accuracy of 2 s", pkitest.Options{}, accuracy(der.AppendInt(nil, 2)), "accuracy-coarse"},
		{"ordering with 1 s", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Ordering = tsptest.Critical() }), "ordering-coarse"},
		{"ordering with 5 ms", pkitest.Options{}, info(func(i *tsptest.InfoFields) {
			i.Accuracy, i.Ordering = der.Make(der.TagSequence, []byte{0x80, 1, 5}), tsptest.Critical()
		}), "ordering"},
		{"ordering FALSE", pkitest.Options{}, info(func(i *tsptest.InfoFields) { i.Ordering = []byte{der.TagBoolean, 1, 0} }), "ordering-encoded"},
		{"extension", pkitest.Options{}, extension("1.2.3"), "extension"},
		{"qcStatements", pkitest.Options{}, extension("1.3.6.1.5.5.7.1.3"), "qualified"},
		{"key identifier", pkitest.Options{}, func(f *tsptest.Forge) { f.KeyID = true }, "key-identifier"},
		{"unsorted attributes", pkitest.Options{}, func(f *tsptest.Forge) {
			f.Unsorted = true
			f.Signed = func(a [][]byte) [][]byte {
				slices.SortFunc(a, func(x, y []byte) int { return strings.Compare(string(y), string(x)) })
				return a
			}
		}, "attributes-unsorted"},
		{"ESSCertID", pkitest.Options{}, ess(true, tsptest.ESSCertID{}), "ess-v1"},
		{"ESSCertIDv2 with its default", pkitest.Options{}, ess(false, tsptest.ESSCertID{Hash: crypto.SHA256}), "ess-default-encoded"},
		{"signingTime", pkitest.Options{}, add(signingTime(tsptest.Time())), "signing-time"},
		{"signingTime a year off", pkitest.Options{}, add(signingTime(tsptest.Time().AddDate(1, 0, 0))), "signing-time-differs"},
		{"signingTime malformed", pkitest.Options{}, add(tsptest.Attribute(oid.SigningTime, []byte{der.TagNull, 0})), "signing-time-malformed"},
		{"unsigned attribute", pkitest.Options{}, func(f *tsptest.Forge) {
			f.Signer = func(s *tsptest.SignerFields) {
				s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute("\x2a\x03", []byte{der.TagNull, 0}))
			}
		}, "unsigned-attributes"},
		{"PSS", pkitest.Options{Key: pkitest.RSA3072}, func(f *tsptest.Forge) { f.PSS = true }, "pss"},
		{"Ed25519", pkitest.Options{Key: pkitest.Ed25519}, func(*tsptest.Forge) {}, "ed25519"},
		{"RSA 2048", pkitest.Options{Key: pkitest.RSA2048}, func(*tsptest.Forge) {}, "rsa-short"},
		{"no key usage", pkitest.Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = 0 }}, func(*tsptest.Forge) {}, "key-usage-missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, test.opts)
			test.change(f)
			token := f.ParsedToken(t)
			var got []string
			for _, r := range verify.Lint(token) {
				if r.Clause == "" || r.Text == "" {
					t.Errorf("remark %+v is incomplete", r)
				}
				got = append(got, r.ID)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("Lint: %q, want %q", got, test.want)
			}
			p := policyFor(t, f)
			p.AllowLegacyESSCertIDv1 = true
			p.Intermediates = []*x509.Certificate{parse(t, f.Chain[0]), parse(t, f.Chain[1])}
			check(t, p, f, "")
		})
	}
}

// TestLintOfVariants: no token makes Lint fall over, and the plain one has no
// remark.
func TestLintOfVariants(t *testing.T) {
	for _, v := range tsptest.Variants() {
		if v.Verdict == tsptest.Malformed || v.Verdict == tsptest.Refusal {
			continue
		}
		got := verify.Lint(v.Forge(t).ParsedToken(t))
		if v.Name == "plain" && len(got) > 0 {
			t.Errorf("the plain token has remarks: %v", got)
		}
	}
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Info = func(i *tsptest.InfoFields) { i.Imprint = tsptest.RawImprint(oid.SHA1, nil, make([]byte, 20)) }
	if got := verify.Lint(f.ParsedToken(t)); len(got) != 1 || got[0].ID != "imprint-weak" {
		t.Errorf("a SHA-1 imprint has the remarks %v, want imprint-weak", got)
	}
}
