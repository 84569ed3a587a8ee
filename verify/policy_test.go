package verify_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// now is the local time in these tests: an hour after the canned tokens.
func now() time.Time { return tsptest.Time().Add(time.Hour) }

// policyFor returns a policy that trusts the root of the forge's chain.
func policyFor(t testing.TB, f *tsptest.Forge) verify.Policy {
	t.Helper()
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	return verify.Policy{Roots: []*x509.Certificate{root}, Now: now}
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// check verifies the forge's token on the canned imprint and holds the reason.
func check(t *testing.T, p verify.Policy, f *tsptest.Forge, want verify.Reason) *verify.Timestamp {
	t.Helper()
	stamp, err := p.Token(f.ParsedToken(t), tsptest.Request().Imprint)
	if got := reasonOf(err); got != want {
		t.Errorf("Token: %v, want reason %q", err, want)
	}
	return stamp
}

func TestTimestamp(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	stamp := check(t, policyFor(t, f), f, "")
	if stamp == nil {
		t.FailNow()
	}
	switch {
	case !stamp.Time.Equal(tsptest.Time()), stamp.Time.Location() != time.UTC:
		t.Errorf("Time = %v, want %v", stamp.Time, tsptest.Time())
	case stamp.Accuracy != time.Second, !stamp.HasAccuracy:
		t.Errorf("Accuracy = %v, %v, want 1s", stamp.Accuracy, stamp.HasAccuracy)
	case stamp.Latest().Sub(stamp.Earliest()) != 2*time.Second:
		t.Errorf("from %v to %v, want 2s", stamp.Earliest(), stamp.Latest())
	case stamp.Policy.String() != tsptest.PolicyOID:
		t.Errorf("Policy = %v, want %s", stamp.Policy, tsptest.PolicyOID)
	case !stamp.Nonce.Equal(tsptest.Request().Nonce):
		t.Errorf("Nonce = %v", stamp.Nonce)
	case !stamp.Imprint.Equal(tsptest.Request().Imprint):
		t.Errorf("Imprint = %v", stamp.Imprint)
	case len(stamp.Serial) != 20, stamp.Ordering, stamp.Info == nil:
		t.Errorf("Serial = %v, Ordering = %v, Info = %v", stamp.Serial, stamp.Ordering, stamp.Info)
	case !slices.EqualFunc(stamp.Chain, f.Chain, func(c *x509.Certificate, der []byte) bool { return string(c.Raw) == string(der) }):
		t.Errorf("Chain has %d certificates, want the forge's %d", len(stamp.Chain), len(f.Chain))
	}
}

// TestAccuracyAtTheEdges is attack A26: what the parser lets pass does not
// overflow.
func TestAccuracyAtTheEdges(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) {
		c.NotBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}})
	f.Info = func(i *tsptest.InfoFields) {
		i.Accuracy = der.Make(der.TagSequence, der.AppendInt(nil, 1_000_000_000))
	}
	stamp := check(t, policyFor(t, f), f, "")
	if stamp == nil {
		t.FailNow()
	}
	want := 1_000_000_000 * time.Second
	if got := stamp.Latest().Sub(stamp.Time); got != want {
		t.Errorf("Latest - Time = %v, want %v", got, want)
	}
	if _, err := json.Marshal([]time.Time{stamp.Earliest(), stamp.Latest()}); err != nil {
		t.Errorf("the edges cannot be encoded: %v", err)
	}
	f.Info = func(i *tsptest.InfoFields) { i.Accuracy = nil }
	if stamp = check(t, policyFor(t, f), f, ""); stamp != nil && (stamp.HasAccuracy || !stamp.Earliest().Equal(stamp.Time)) {
		t.Errorf("without accuracy: %v, from %v", stamp.HasAccuracy, stamp.Earliest())
	}
}

func TestPolicy(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	leaf, issuer := parse(t, f.Chain[0]), parse(t, f.Chain[1])
	otherLeaf, reissued := parse(t, f.Other.Chain[0]), parse(t, f.Reissued)
	oids := func(dotted ...string) (out []x509.OID) {
		for _, d := range dotted {
			id, err := x509.ParseOID(d)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, id)
		}
		return out
	}
	at := func(d time.Duration) func() time.Time {
		return func() time.Time { return tsptest.Time().Add(d) }
	}
	for _, test := range []struct {
		name   string
		change func(p *verify.Policy)
		want   verify.Reason
	}{
		{"as it is", func(*verify.Policy) {}, ""},
		{"zero value", func(p *verify.Policy) { *p = verify.Policy{} }, verify.ReasonNoRoots},
		{"empty roots", func(p *verify.Policy) { p.Roots = []*x509.Certificate{} }, verify.ReasonNoRoots},
		{"root of another", func(p *verify.Policy) { p.Roots = []*x509.Certificate{parse(t, f.Other.Chain[2])} }, verify.ReasonUntrusted},
		{"intermediate is the anchor", func(p *verify.Policy) { p.Roots = []*x509.Certificate{issuer} }, ""},
		{"signer is the anchor", func(p *verify.Policy) { p.Roots = []*x509.Certificate{leaf} }, ""},
		{"reissued signer is the anchor", func(p *verify.Policy) { p.Roots = []*x509.Certificate{reissued} }, verify.ReasonUntrusted},
		{"signer expected", func(p *verify.Policy) { p.Certificate = leaf }, ""},
		{"another signer expected", func(p *verify.Policy) { p.Certificate = otherLeaf }, verify.ReasonPinned},
		{"reissued signer expected", func(p *verify.Policy) { p.Certificate = reissued }, verify.ReasonPinned},
		{"issuer expected", func(p *verify.Policy) { p.Certificate = issuer }, verify.ReasonPinned},
		{"common name", func(p *verify.Policy) { p.CommonName = "Test TSA" }, ""},
		{"another common name", func(p *verify.Policy) { p.CommonName = "Test" }, verify.ReasonPinned},
		{"policy accepted", func(p *verify.Policy) { p.Policies = oids("1.2.3", tsptest.PolicyOID) }, ""},
		{"policy not accepted", func(p *verify.Policy) { p.Policies = oids("1.2.3", tsptest.PolicyOID+".1") }, verify.ReasonPolicy},
		{"nonce", func(p *verify.Policy) { p.Nonce = tsptest.Request().Nonce }, ""},
		{"another nonce", func(p *verify.Policy) { p.Nonce = tsp.Integer{5} }, verify.ReasonNonce},
		{"5 minutes ahead", func(p *verify.Policy) { p.Now = at(-5 * time.Minute) }, ""},
		{"a bit more ahead", func(p *verify.Policy) { p.Now = at(-5*time.Minute - 1) }, verify.ReasonFuture},
		{"30 minutes ahead", func(p *verify.Policy) { p.Now = at(-30 * time.Minute) }, verify.ReasonFuture},
		{"30 minutes ahead, an hour allowed", func(p *verify.Policy) { p.Now, p.MaxFuture = at(-30*time.Minute), time.Hour }, ""},
		{"just now, none allowed", func(p *verify.Policy) { p.Now, p.MaxFuture = at(0), -1 }, ""},
		{"a bit ahead, none allowed", func(p *verify.Policy) { p.Now, p.MaxFuture = at(-1), -1 }, verify.ReasonFuture},
		{"a hundred years later", func(p *verify.Policy) { p.Now = at(100 * 365 * 24 * time.Hour) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			test.change(&p)
			check(t, p, f, test.want)
			p.Cache = new(verify.ChainCache)
			check(t, p, f, test.want)
			check(t, p, f, test.want)
		})
	}
}

// TestRealClock: without Now the clock is the machine's.
func TestRealClock(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	p := policyFor(t, f)
	p.Now = nil
	f.Time = time.Now().Add(-time.Minute).Truncate(time.Second)
	check(t, p, f, "")
	f.Time = time.Now().Add(10 * time.Minute).Truncate(time.Second)
	check(t, p, f, verify.ReasonFuture)
}

// TestCertificateFromPolicy: a token without certificates verifies with the
// ones of the policy, wherever in it they are.
func TestCertificateFromPolicy(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Data = func(d *tsptest.DataFields) { d.Certificates = nil }
	leaf, issuer := parse(t, f.Chain[0]), parse(t, f.Chain[1])
	list := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	for _, test := range []struct {
		name   string
		change func(p *verify.Policy)
		want   verify.Reason
	}{
		{"none", func(*verify.Policy) {}, verify.ReasonCertificateMissing},
		{"intermediate only", func(p *verify.Policy) { p.Intermediates = list(issuer) }, verify.ReasonCertificateMissing},
		{"signer only", func(p *verify.Policy) { p.Certificate = leaf }, verify.ReasonUntrusted},
		{"both", func(p *verify.Policy) { p.Certificate, p.Intermediates = leaf, list(issuer) }, ""},
		{"chain as intermediates", func(p *verify.Policy) { p.Intermediates = list(issuer, leaf) }, ""},
		{"signer as root", func(p *verify.Policy) { p.Roots = append(p.Roots, leaf) }, ""},
		{"the wrong signer", func(p *verify.Policy) { p.Certificate, p.Intermediates = parse(t, f.Reissued), list(issuer) }, verify.ReasonCertificateMissing},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policyFor(t, f)
			test.change(&p)
			check(t, p, f, test.want)
		})
	}
}

// TestAnswers is attacks A9, A22, A24 and A36 on the client's side: the
// response must answer the request that was sent.
func TestAnswers(t *testing.T) {
	other, err := tsp.NewImprint(crypto.SHA256, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	policy, _ := x509.ParseOID("1.2.3")
	same, _ := x509.ParseOID(tsptest.PolicyOID)
	for _, test := range []struct {
		name   string
		change func(req *tsp.Request, f *tsptest.Forge)
		want   verify.Reason
	}{
		{"as asked", func(*tsp.Request, *tsptest.Forge) {}, ""},
		{"other data", func(r *tsp.Request, _ *tsptest.Forge) { r.Imprint = other }, verify.ReasonImprint},
		{"no imprint", func(r *tsp.Request, _ *tsptest.Forge) { r.Imprint = tsp.Imprint{} }, verify.ReasonImprint},
		{"other nonce", func(r *tsp.Request, _ *tsptest.Forge) { r.Nonce = tsp.NewNonce() }, verify.ReasonNonce},
		{"negative nonce", func(r *tsp.Request, f *tsptest.Forge) {
			r.Nonce = tsp.Integer{0xfb}
			f.Request = r
		}, ""},
		{"nonce not asked for", func(r *tsp.Request, _ *tsptest.Forge) { r.Nonce = nil }, ""},
		{"nonce absent in the answer", func(_ *tsp.Request, f *tsptest.Forge) {
			f.Info = func(i *tsptest.InfoFields) { i.Nonce = nil }
		}, verify.ReasonNonce},
		{"policy as asked", func(r *tsp.Request, _ *tsptest.Forge) { r.Policy = same }, ""},
		{"other policy than asked", func(r *tsp.Request, _ *tsptest.Forge) { r.Policy = policy }, verify.ReasonPolicy},
		{"no certificates though asked for", func(_ *tsp.Request, f *tsptest.Forge) {
			f.Data = func(d *tsptest.DataFields) { d.Certificates = nil }
		}, verify.ReasonCertificateMissing},
		{"certificates though not asked for", func(r *tsp.Request, _ *tsptest.Forge) { r.CertReq = false }, ""},
		{"refused", func(_ *tsp.Request, f *tsptest.Forge) {
			f.Response = func(r *tsptest.ResponseFields) { r.Status, r.Token = der.AppendInt(nil, 2), nil }
		}, verify.ReasonRefused},
		{"granted with modifications", func(_ *tsp.Request, f *tsptest.Forge) {
			f.Response = func(r *tsptest.ResponseFields) { r.Status = der.AppendInt(nil, 1) }
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, req := tsptest.NewForge(t, pkitest.Options{}), tsptest.Request()
			test.change(req, f)
			r := f.ParsedResponse(t)
			if got := reasonOf(verify.Answers(r, req)); got != test.want {
				t.Errorf("Answers: %q, want %q", got, test.want)
			}
			if _, err := policyFor(t, f).Response(r, req); reasonOf(err) != test.want {
				t.Errorf("Response: %v, want reason %q", err, test.want)
			}
		})
	}
	f := tsptest.NewForge(t, pkitest.Options{})
	if got := reasonOf(verify.Answers(nil, tsptest.Request())); got != verify.ReasonMalformed {
		t.Errorf("Answers(nil, request): %q", got)
	}
	if got := reasonOf(verify.Answers(f.ParsedResponse(t), nil)); got != verify.ReasonMalformed {
		t.Errorf("Answers(response, nil): %q", got)
	}
	if _, err := policyFor(t, f).Token(nil, tsptest.Request().Imprint); reasonOf(err) != verify.ReasonMalformed {
		t.Errorf("Token(nil): %v", err)
	}
	if _, err := policyFor(t, f).Token(new(tsp.Token), tsptest.Request().Imprint); reasonOf(err) != verify.ReasonMalformed {
		t.Errorf("Token(zero): %v", err)
	}
}

// TestReasons holds that Reasons has every constant once and in order, and
// that each is one word.
func TestReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []verify.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, verify.Reason(value))
		}
		return true
	})
	if got := verify.Reasons(); !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("Reasons() = %v, the constants are %v", got, want)
	}
	for i, r := range want {
		if slices.Contains(want[:i], r) || strings.Trim(string(r), "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("reason %q occurs twice or is not one word", r)
		}
	}
}
