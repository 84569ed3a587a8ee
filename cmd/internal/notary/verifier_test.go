package notary_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/opencontainers/go-digest"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A row is a signature, and what comes of it under each level.
type row struct {
	name  string
	draft draft
	scene scene
	// policy but for its level.
	policy policy
	want   notary.Want // the zero value means wanting()
	// strict, permissive and audit are summaries: see [summary].
	strict, permissive, audit string
}

func (r row) run(t *testing.T) {
	for _, format := range envelope.Formats() {
		t.Run(r.name+", "+string(format), func(t *testing.T) { r.check(t, format) })
	}
}

func (r row) check(t *testing.T, format envelope.Format) {
	v := r.scene.verifier(t)
	if r.want.Target == nil {
		r.want.Target = wanting().Target
	}
	e, err := envelope.Parse(format, r.draft.make(t, format))
	for _, level := range []struct {
		name trustpolicy.Level
		want string
	}{{trustpolicy.LevelStrict, r.strict}, {trustpolicy.LevelPermissive, r.permissive}, {trustpolicy.LevelAudit, r.audit}} {
		r.policy.level = level.name
		st := r.policy.statement(t)
		var o *notary.Outcome
		if err != nil {
			o = notary.Broken(st, err)
			consistent(t, o)
		} else {
			o = judge(t, v, e, st, r.want)
		}
		if got := summary(o); got != level.want {
			t.Errorf("%s:\n got %s\nwant %s%s", level.name, got, level.want, explain(o))
		}
	}
}

// Summaries that many rows share.
const (
	passStrict     = "eP eP eP eP eP eP eP eP eP verified"
	passPermissive = "eP eP eP lP lP lP eP eP eP verified"
	passAudit      = "eP lP lP lP lP lP eP eP eP verified"
)

// integrity are the summaries of a signature that says nothing.
func integrity(r row, reason string) row {
	r.strict = "eF:" + reason + " e- e- e- e- e- e- e- e- refused"
	r.permissive = "eF:" + reason + " e- e- l- l- l- e- e- e- refused"
	r.audit = "eF:" + reason + " l- l- l- l- l- e- e- e- refused"
	return r
}

// stamp are the summaries of one whose check of the timestamp comes out so.
func stampFails(r row, result string) row {
	verdict := "refused"
	if strings.HasPrefix(result, "U:") {
		verdict = "undecided"
	}
	r.strict = "eP eP eP eP e" + result + " e- e- e- e- " + verdict
	r.permissive = "eP eP eP lP l" + result + " lP eP eP eP verified"
	r.audit = "eP lP lP lP l" + result + " lP eP eP eP verified"
	return r
}

// last are the summaries of one that fails at the end, where all levels enforce.
func last(r row, results string) row {
	r.strict, r.permissive, r.audit = "eP eP eP eP eP eP "+results+" refused", "eP eP eP lP lP lP "+results+" refused", "eP lP lP lP lP lP "+results+" refused"
	return r
}

func passes(r row) row {
	r.strict, r.permissive, r.audit = passStrict, passPermissive, passAudit
	return r
}

func bend(change func(p *parts)) func(testing.TB, *parts) {
	return func(_ testing.TB, p *parts) { change(p) }
}

// replace puts another text, as long, in the place of one.
func replace(b []byte, old, new string) []byte {
	return []byte(strings.Replace(string(b), old, new, 1))
}

// TestAltered: what anybody on the way may have changed.
func TestAltered(t *testing.T) {
	good := draft{stamped: stampedAt()}
	altered := func(change func(testing.TB, *parts)) draft {
		d := good
		d.bend = change
		return d
	}
	mallory := notarytest.Options{Name: "Mallory"}
	_, others := notarytest.Chain(t, mallory)
	_, chain := notarytest.Chain(t, notarytest.Options{})
	for _, r := range []row{
		passes(row{name: "good", draft: good}),
		integrity(row{name: "payload", draft: altered(bend(func(p *parts) { p.payload = replace(p.payload, `"size":5`, `"size":6`) }))}, "envelope-signature"),
		integrity(row{name: "payload that is no JSON", draft: altered(bend(func(p *parts) { p.payload = []byte("{") }))}, "envelope-signature"),
		integrity(row{name: "signature", draft: altered(bend(func(p *parts) { p.signature = flip(p.signature) }))}, "envelope-signature"),
		integrity(row{name: "signature cut", draft: altered(bend(func(p *parts) { p.signature = p.signature[:len(p.signature)-1] }))}, "envelope-signature"),
		integrity(row{name: "no signature", draft: altered(bend(func(p *parts) { p.signature = []byte{} }))}, "malformed"),
		integrity(row{name: "signed attribute", draft: altered(bend(func(p *parts) { p.protected = replace(p.protected, "payload.v1+json", "payload.v2+json") }))}, "envelope-signature"),
		integrity(row{name: "chain of somebody else", draft: altered(bend(func(p *parts) {
			p.chain = [][]byte{others[0].Raw, others[1].Raw, others[2].Raw}
		}))}, "envelope-signature"),
		integrity(row{name: "somebody else's leaf below our root", draft: draft{by: mallory, stamped: stampedAt(), bend: bend(func(p *parts) {
			p.chain[1], p.chain[2] = chain[1].Raw, chain[2].Raw
		})}}, "certificate-chain"),
		integrity(row{name: "our root appended", draft: draft{by: mallory, stamped: stampedAt(), bend: bend(func(p *parts) {
			p.chain = append(p.chain, chain[2].Raw)
		})}}, "certificate-chain"),
		integrity(row{name: "chain without the intermediate", draft: altered(bend(func(p *parts) { p.chain = [][]byte{p.chain[0], p.chain[2]} }))}, "certificate-chain"),
		integrity(row{name: "chain without the root", draft: altered(bend(func(p *parts) { p.chain = p.chain[:2] }))}, "certificate-chain"),
		integrity(row{name: "certificate altered", draft: altered(bend(func(p *parts) { p.chain[1] = flip(p.chain[1]) }))}, "certificate-chain"),
		integrity(row{name: "no certificates", draft: altered(bend(func(p *parts) { p.chain = [][]byte{} }))}, "certificate-chain"),

		stampFails(row{name: "timestamp's signature", draft: altered(bend(func(p *parts) { p.token[len(p.token)-5] ^= 1 }))}, "F:signature"),
		stampFails(row{name: "timestamp cut", draft: altered(bend(func(p *parts) { p.token = p.token[:len(p.token)-1] }))}, "F:malformed"),
		stampFails(row{name: "bytes behind the timestamp", draft: altered(bend(func(p *parts) { p.token = append(p.token, 0) }))}, "F:malformed"),
		stampFails(row{name: "timestamp that is a response", draft: draft{bend: func(t testing.TB, p *parts) {
			f := *authority(t)
			f.Time = stampedAt()
			response, err := f.MakeResponse()
			if err != nil {
				t.Fatal(err)
			}
			p.token = response
		}}}, "F:malformed"),
		stampFails(row{name: "timestamp of another signature", draft: draft{bend: func(t testing.TB, p *parts) {
			p.token = tokenOver(t, authority(t), []byte("another signature"), crypto.SHA256, stampedAt())
		}}}, "F:imprint"),
		stampFails(row{name: "timestamp of the payload", draft: draft{bend: func(t testing.TB, p *parts) {
			p.token = tokenOver(t, authority(t), p.payload, crypto.SHA256, stampedAt())
		}}}, "F:imprint"),
		stampFails(row{name: "timestamp by another hash", draft: draft{bend: func(t testing.TB, p *parts) {
			p.token = tokenOver(t, authority(t), p.signature, crypto.SHA384, stampedAt())
		}}}, "F:imprint"),
		// The agent is not signed, and nothing depends on it.
		passes(row{name: "agent", draft: altered(bend(func(p *parts) { p.agent = "somebody else" }))}),
	} {
		r.run(t)
	}
}

// TestTrust: stores, identities, schemes.
func TestTrust(t *testing.T) {
	stamped := draft{stamped: stampedAt()}
	authority := draft{scheme: signature.SigningSchemeX509SigningAuthority}
	ours := root(t, notarytest.Options{})
	_, chain := notarytest.Chain(t, notarytest.Options{})
	stamps := trusting(t)["tsa/stamps"]
	with := func(name string, certs ...*x509.Certificate) scene {
		return scene{stores: map[string][]*x509.Certificate{name: certs, "tsa/stamps": stamps}}
	}
	// fails are the summaries of a chain that is in no trust store: nobody is
	// asked about its revocation then.
	fails := func(r row, result string) row {
		verdict := "refused"
		if strings.HasPrefix(result, "U:") {
			verdict = "undecided"
		}
		r.strict, r.permissive = "eP e"+result+" e- e- e- e- e- e- e- "+verdict, "eP e"+result+" e- l- l- l- e- e- e- "+verdict
		r.audit = "eP l" + result + " lP lP lP lU:revocation-unknown eP eP eP verified"
		return r
	}
	named := func(r row) row {
		r.strict, r.permissive = "eP eP eF:identity e- e- e- e- e- e- refused", "eP eP eF:identity l- l- l- e- e- e- refused"
		r.audit = "eP lP lF:identity lP lP lP eP eP eP verified"
		return r
	}
	for _, r := range []row{
		passes(row{name: "root in the store", draft: stamped, scene: with("ca/app", ours)}),
		passes(row{name: "intermediate in the store", draft: stamped, scene: with("ca/app", chain[1])}),
		passes(row{name: "self-signed signer in the store", draft: draft{by: notarytest.Options{Depth: 1}, stamped: stampedAt()},
			scene: with("ca/app", root(t, notarytest.Options{Depth: 1}))}),
		passes(row{name: "second of two stores", draft: stamped, policy: policy{stores: []string{"ca:none", "ca:app", "tsa:stamps"}},
			scene: scene{stores: map[string][]*x509.Certificate{"ca/none": stamps, "ca/app": {ours}, "tsa/stamps": stamps}}}),
		fails(row{name: "another root in the store", draft: stamped, scene: with("ca/app", root(t, notarytest.Options{Name: "Other"}))}, "F:untrusted"),
		fails(row{name: "a root of the same name in the store", draft: stamped, scene: with("ca/app",
			root(t, notarytest.Options{Bend: func(_ int, c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(-time.Hour) }}))}, "F:untrusted"),
		fails(row{name: "root in a tsa store only", draft: stamped, policy: policy{stores: []string{"tsa:app", "tsa:stamps"}}, scene: with("tsa/app", ours)}, "F:untrusted"),
		fails(row{name: "root in a signingAuthority store only", draft: stamped, policy: policy{stores: []string{"signingAuthority:app", "tsa:stamps"}},
			scene: with("signingAuthority/app", ours)}, "F:untrusted"),
		fails(row{name: "store missing", draft: stamped, scene: with("ca/other", ours)}, "U:trust-store"),
		fails(row{name: "store of another type", draft: stamped, scene: with("signingAuthority/app", ours)}, "U:trust-store"),
		fails(row{name: "store empty", draft: stamped, scene: with("ca/app")}, "U:trust-store"),
		fails(row{name: "garbage in the store", draft: stamped, scene: scene{stores: trusting(t), files: map[string]string{"truststore/x509/ca/app/a.crt": "garbage"}}}, "U:trust-store"),
		fails(row{name: "folder in the store", draft: stamped, scene: scene{stores: trusting(t), files: map[string]string{"truststore/x509/ca/app/b/c.crt": "x"}}}, "U:trust-store"),
		fails(row{name: "signer's certificate in the store", draft: stamped, scene: with("ca/app", chain[0])}, "U:trust-store"),
		fails(row{name: "another store cannot be read", draft: stamped, policy: policy{stores: []string{"ca:app", "ca:gone", "tsa:stamps"}}, scene: with("ca/app", ours)}, "U:trust-store"),

		passes(row{name: "signing authority", draft: authority, scene: with("signingAuthority/app", ours), policy: policy{stores: []string{"signingAuthority:app"}}}),
		passes(row{name: "signing authority with both stores", draft: authority, scene: scene{stores: map[string][]*x509.Certificate{
			"signingAuthority/app": {ours}, "ca/app": stamps, "tsa/stamps": stamps}},
			policy: policy{stores: []string{"ca:app", "signingAuthority:app", "tsa:stamps"}}}),
		fails(row{name: "signing authority in a ca store", draft: authority, scene: with("ca/app", ours)}, "F:untrusted"),
		// Its time is signed, and a timestamp is not looked at, whatever it is.
		passes(row{name: "signing authority with a bad timestamp", scene: with("signingAuthority/app", ours), policy: policy{stores: []string{"signingAuthority:app", "tsa:stamps"}},
			draft: draft{scheme: authority.scheme, bend: bend(func(p *parts) { p.token = []byte("garbage") })}}),
		passes(row{name: "signing authority, expired since", scene: scene{now: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC),
			stores: map[string][]*x509.Certificate{"signingAuthority/app": {ours}}}, draft: authority, policy: policy{stores: []string{"signingAuthority:app"}}}),

		passes(row{name: "identity", draft: stamped, policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Fencepost Tests"}}}),
		passes(row{name: "identity with all of the name", draft: stamped, policy: policy{identities: []string{"x509.subject: CN=Notary Test, C=US, ST=WA, O=Fencepost Tests"}}}),
		passes(row{name: "second of two identities", draft: stamped, policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Other", "x509.subject: C=US, ST=WA, O=Fencepost Tests"}}}),
		named(row{name: "another organisation", draft: stamped, policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Fencepost"}}}),
		named(row{name: "the name of the CA", draft: stamped, policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Fencepost Tests, CN=Notary Test CA 1"}}}),
		named(row{name: "a signer without a state", draft: draft{by: notarytest.Options{Subject: pkix.Name{Country: []string{"US"}, Organization: []string{"Fencepost Tests"}}}, stamped: stampedAt()},
			policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Fencepost Tests"}}}),
	} {
		r.run(t)
	}
}

// TestExpiryAndContent: the signed attributes and what was signed.
func TestExpiryAndContent(t *testing.T) {
	expired := func(r row) row {
		r.strict = "eP eP eP eF:expired e- e- e- e- e- refused"
		r.permissive, r.audit = "eP eP eP lF:expired lP lP eP eP eP verified", "eP lP lP lF:expired lP lP eP eP eP verified"
		return r
	}
	expires := func(at time.Time) draft { return draft{stamped: stampedAt(), expiry: at} }
	attribute := func(key string, critical bool) draft {
		return draft{stamped: stampedAt(), attributes: []signature.Attribute{{Key: key, Critical: critical, Value: "example"}}}
	}
	of := func(change func(*envelope.Target)) draft {
		d := draft{stamped: stampedAt(), of: target()}
		change(&d.of)
		return d
	}
	says := func(m map[string]string) draft {
		return of(func(target *envelope.Target) { target.Annotations = m })
	}
	asks := func(m map[string]string) notary.Want { return notary.Want{Metadata: m} }
	const plugin = "io.cncf.notary.verificationPlugin"
	for _, r := range []row{
		passes(row{name: "expires later", draft: expires(verifyAt().Add(time.Second))}),
		expired(row{name: "expires now", draft: expires(verifyAt())}),
		expired(row{name: "expired", draft: expires(verifyAt().Add(-time.Second))}),

		last(row{name: "plugin, critical", draft: attribute(plugin, true)}, "eF:verification-plugin e- e-"),
		last(row{name: "plugin, not critical", draft: attribute(plugin, false)}, "eF:verification-plugin e- e-"),
		last(row{name: "version of a plugin", draft: attribute(plugin+"MinVersion", true)}, "eF:verification-plugin e- e-"),
		last(row{name: "critical attribute", draft: attribute("com.example.x", true)}, "eF:critical-attribute e- e-"),
		passes(row{name: "attribute", draft: attribute("com.example.x", false)}),

		last(row{name: "another digest", draft: of(func(t *envelope.Target) { t.Digest = digest.FromString("other").String() })}, "eP eF:artifact e-"),
		last(row{name: "another size", draft: of(func(t *envelope.Target) { t.Size++ })}, "eP eF:artifact e-"),
		last(row{name: "another media type", draft: of(func(t *envelope.Target) { t.MediaType = "application/vnd.oci.image.index.v1+json" })}, "eP eF:artifact e-"),
		passes(row{name: "a media type that nobody asked for", draft: of(func(t *envelope.Target) { t.MediaType = "text/plain" }),
			want: notary.Want{Target: func(crypto.Hash) (envelope.Target, error) {
				return envelope.Target{Digest: target().Digest, Size: target().Size}, nil
			}}}),

		passes(row{name: "metadata", draft: says(map[string]string{"a": "1", "b": "2"}), want: asks(map[string]string{"b": "2"})}),
		passes(row{name: "metadata nobody asked for", draft: says(map[string]string{"a": "1"})}),
		last(row{name: "metadata missing", draft: says(map[string]string{"a": "1"}), want: asks(map[string]string{"b": "2"})}, "eP eP eF:user-metadata"),
		last(row{name: "metadata with another value", draft: says(map[string]string{"a": "1"}), want: asks(map[string]string{"a": "2"})}, "eP eP eF:user-metadata"),
		last(row{name: "metadata asked for and none there", draft: says(nil), want: asks(map[string]string{"a": ""})}, "eP eP eF:user-metadata"),
		last(row{name: "one of two", draft: says(map[string]string{"a": "1"}), want: asks(map[string]string{"a": "1", "b": "2"})}, "eP eP eF:user-metadata"),
	} {
		r.run(t)
	}
}

// TestUnreadableFile: a file that cannot be read leaves the question open.
func TestUnreadableFile(t *testing.T) {
	want := notary.Want{Target: func(crypto.Hash) (envelope.Target, error) { return envelope.Target{}, fs.ErrPermission }}
	r := row{name: "file", draft: draft{stamped: stampedAt()}, want: want}
	r.strict, r.permissive = "eP eP eP eP eP eP eP eU:fetch e- undecided", "eP eP eP lP lP lP eP eU:fetch e- undecided"
	r.audit = "eP lP lP lP lP lP eP eU:fetch e- undecided"
	r.run(t)
	o := judge(t, scene{}.verifier(t), draft{stamped: stampedAt()}.parse(t, envelope.JWS), policy{}.statement(t), want)
	if !errors.Is(o.Err, fs.ErrPermission) {
		t.Errorf("%v, want the error of the file", o.Err)
	}
}

// TestSeveralFailures: what a level logs does not hide what it enforces, and
// the first that it enforces is the error.
func TestSeveralFailures(t *testing.T) {
	bad := draft{
		by: notarytest.Options{Name: "Mallory"}, stamped: stampedAt(), tsa: tsptest.NewForge(t, pkitest.Options{Name: "Else"}), expiry: signedAt().Add(time.Hour),
		attributes: []signature.Attribute{{Key: "com.example.x", Critical: true, Value: "x"}},
		of:         envelope.Target{MediaType: "a/b", Digest: digest.FromString("other").String(), Size: 1},
	}
	row{
		name: "all wrong", draft: bad, policy: policy{identities: []string{"x509.subject: C=US, ST=WA, O=Nobody"}},
		strict:     "eP eF:untrusted e- e- e- e- e- e- e- refused",
		permissive: "eP eF:untrusted e- l- l- l- e- e- e- refused",
		audit:      "eP lF:untrusted lF:identity lF:expired lF:untrusted lU:revocation-unknown eF:critical-attribute e- e- refused",
	}.run(t)
	enforced := map[string]string{"expiry": "enforce", "authenticTimestamp": "enforce", "revocation": "enforce"}
	row{
		name: "overrides", draft: bad, policy: policy{override: enforced},
		strict:     "eP eF:untrusted e- e- e- e- e- e- e- refused",
		permissive: "eP eF:untrusted e- e- e- e- e- e- e- refused",
		audit:      "eP lF:untrusted lP eF:expired e- e- e- e- e- refused",
	}.run(t)
	row{
		name: "revocation enforced of a chain that is not trusted", draft: draft{by: notarytest.Options{Name: "Mallory"}, stamped: stampedAt()}, policy: policy{override: map[string]string{"revocation": "enforce"}},
		strict:     "eP eF:untrusted e- e- e- e- e- e- e- refused",
		permissive: "eP eF:untrusted e- l- l- e- e- e- e- refused",
		audit:      "eP lF:untrusted lP lP lP eU:revocation-unknown e- e- e- undecided",
	}.run(t)
	relaxed := map[string]string{"authenticity": "log", "expiry": "log", "authenticTimestamp": "log", "revocation": "skip"}
	row{
		name: "overrides that relax", draft: draft{by: notarytest.Options{Name: "Mallory"}, expiry: signedAt().Add(time.Hour)}, policy: policy{override: relaxed},
		strict:     "eP lF:untrusted lP lF:expired lF:no-timestamp sS eP eP eP verified",
		permissive: "eP lF:untrusted lP lF:expired lF:no-timestamp sS eP eP eP verified",
		audit:      "eP lF:untrusted lP lF:expired lF:no-timestamp sS eP eP eP verified",
	}.run(t)
}

// TestOutcome: what else an outcome says.
func TestOutcome(t *testing.T) {
	v, st := scene{}.verifier(t), policy{}.statement(t)
	for _, format := range envelope.Formats() {
		o := judge(t, v, draft{stamped: stampedAt(), of: func() envelope.Target {
			target := target()
			target.Annotations = map[string]string{"a": "1"}
			return target
		}()}.parse(t, format), st, wanting())
		switch {
		case o.Timestamp == nil || !o.Timestamp.Time.Equal(stampedAt()) || o.Timestamp.Upper.Sub(o.Timestamp.Lower) != 2*time.Second:
			t.Errorf("%s: the timestamp is %+v", format, o.Timestamp)
		case o.Target.Digest != target().Digest || o.Target.Annotations["a"] != "1":
			t.Errorf("%s: the target is %+v", format, o.Target)
		case len(o.Findings) != 2 || !o.Findings[0].NoSource:
			t.Errorf("%s: the findings are %+v", format, o.Findings)
		case !o.Content.SigningTime.Equal(signedAt()):
			t.Errorf("%s: signed on %s", format, o.Content.SigningTime)
		}
		// A timestamp that proved nothing is not shown as one that did.
		o = judge(t, v, draft{stamped: verifyAt(), by: notarytest.Options{NotAfter: verifyAt()}}.parse(t, format), policy{level: trustpolicy.LevelAudit}.statement(t), wanting())
		if o.Timestamp != nil || !o.Verified {
			t.Errorf("%s: verified %t with %+v, want verified without a timestamp", format, o.Verified, o.Timestamp)
		}
	}
}

func TestNewVerifier(t *testing.T) {
	if v, err := notary.NewVerifier(notary.VerifierConfig{Revocation: revocation.New(revocation.Config{})}); err == nil || v != nil {
		t.Error("a verifier without trust stores")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, err := scene{}.verifier(t).Verify(ctx, draft{}.parse(t, envelope.JWS), policy{}.statement(t), wanting())
	if !errors.Is(err, context.Canceled) || o != nil {
		t.Errorf("%v, %v after the context has ended", o, err)
	}
}
