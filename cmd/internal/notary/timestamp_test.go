package notary_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestTimestampSettings: a signature with or without a timestamp, of a chain
// that is valid, has expired or is not valid yet, under each level and each
// setting, with and without a store of the type tsa.
func TestTimestampSettings(t *testing.T) {
	valid := notarytest.Options{}
	expired := notarytest.Options{NotBefore: signedAt().Add(-day), NotAfter: signedAt().Add(day)}
	// The chain of a signer whose root expires, and nothing else.
	oldRoot := notarytest.Options{Bend: func(i int, c *x509.Certificate) {
		if i == 2 {
			c.NotAfter = signedAt().Add(day)
		}
	}}
	none, early, late := time.Time{}, stampedAt(), signedAt().Add(2*day)
	const (
		passed    = "P"
		window    = "F:certificate-validity"
		missing   = "F:no-timestamp"
		interval  = "F:interval"
		signature = "F:signature"
	)
	for _, row := range []struct {
		name    string
		by      notarytest.Options
		stamped time.Time
		broken  bool // the signature of the timestamp
		now     time.Time
		// What comes of the check without a store tsa, whatever the setting;
		// with one under always; with one under afterCertExpiry.
		without, always, after string
	}{
		{"valid, no timestamp", valid, none, false, verifyAt(), passed, missing, passed},
		{"valid, stamped", valid, early, false, verifyAt(), passed, passed, passed},
		{"valid, broken timestamp", valid, early, true, verifyAt(), passed, signature, passed},
		{"expired, no timestamp", expired, none, false, verifyAt(), window, missing, missing},
		{"expired, stamped before", expired, early, false, verifyAt(), window, passed, passed},
		{"expired, stamped after", expired, late, false, verifyAt(), window, interval, interval},
		{"expired, broken timestamp", expired, early, true, verifyAt(), window, signature, signature},
		{"root expired, no timestamp", oldRoot, none, false, verifyAt(), window, missing, missing},
		{"root expired, stamped before", oldRoot, early, false, verifyAt(), window, passed, passed},
		{"root expired, stamped after", oldRoot, late, false, verifyAt(), window, interval, interval},
		{"last second, stamped", expired, early, false, expired.NotAfter, passed, passed, passed},
		{"last second, no timestamp", expired, none, false, expired.NotAfter, passed, missing, passed},
		{"a second later, no timestamp", expired, none, false, expired.NotAfter.Add(time.Second), window, missing, missing},
		{"a second later, stamped", expired, early, false, expired.NotAfter.Add(time.Second), window, passed, passed},
		{"first second, no timestamp", expired, none, false, expired.NotBefore, passed, missing, passed},
		{"not yet valid, no timestamp", expired, none, false, expired.NotBefore.Add(-time.Second), window, missing, window},
		// The clock is two days slow. A timestamp that far in the future is not
		// believed, where Notation would.
		{"not yet valid, stamped in the future", expired, early, false, expired.NotBefore.Add(-day), window, "F:future", window},
	} {
		d := draft{by: row.by, stamped: row.stamped}
		if row.broken {
			d.bend = bend(func(p *parts) { p.token[len(p.token)-5] ^= 1 })
		}
		stores := trusting(t)
		_, chain := notarytest.Chain(t, row.by)
		stores["ca/app"] = []*x509.Certificate{chain[1]}
		v := scene{now: row.now, stores: stores}.verifier(t)
		for _, format := range envelope.Formats() {
			e := d.parse(t, format)
			for _, setting := range []struct {
				stores []string
				when   trustpolicy.Timestamps
				want   string
			}{
				{[]string{"ca:app"}, "", row.without},
				{[]string{"ca:app"}, trustpolicy.AfterCertExpiry, row.without},
				{[]string{"ca:app", "tsa:stamps"}, "", row.always},
				{[]string{"ca:app", "tsa:stamps"}, trustpolicy.Always, row.always},
				{[]string{"ca:app", "tsa:stamps"}, trustpolicy.AfterCertExpiry, row.after},
			} {
				for _, level := range []trustpolicy.Level{trustpolicy.LevelStrict, trustpolicy.LevelPermissive, trustpolicy.LevelAudit} {
					t.Run(fmt.Sprintf("%s, %s, %s, %s, %s", row.name, strings.Join(setting.stores, " "), setting.when, level, format), func(t *testing.T) {
						o := judge(t, v, e, policy{level: level, when: setting.when, stores: setting.stores}.statement(t), wanting())
						if got, want := summary(o), settingSummary(level, setting.want); got != want {
							t.Errorf("\n got %s\nwant %s%s", got, want, explain(o))
						}
						// Only a timestamp that was looked at and held is shown.
						shown := setting.want == passed && !row.stamped.IsZero() && len(setting.stores) == 2 &&
							(setting.when != trustpolicy.AfterCertExpiry || row.now.After(chain[0].NotAfter) || row.now.After(chain[2].NotAfter))
						if (o.Timestamp != nil) != shown {
							t.Errorf("the outcome has a timestamp: %t, want %t", o.Timestamp != nil, shown)
						}
					})
				}
			}
		}
	}
}

// settingSummary is that of a signature of which all else is right.
func settingSummary(level trustpolicy.Level, stamp string) string {
	r := passes(row{})
	if stamp != "P" {
		r = stampFails(row{}, stamp)
	}
	return map[trustpolicy.Level]string{trustpolicy.LevelStrict: r.strict, trustpolicy.LevelPermissive: r.permissive, trustpolicy.LevelAudit: r.audit}[level]
}

// TestInterval: all of [time - accuracy, time + accuracy] has to lie in the
// validity of every certificate, bounds included.
func TestInterval(t *testing.T) {
	begin, end := signedAt().Add(-time.Hour), signedAt().Add(time.Hour)
	leaf := notarytest.Options{NotBefore: begin, NotAfter: end}
	issuer := func(i int) notarytest.Options {
		return notarytest.Options{Bend: func(n int, c *x509.Certificate) {
			if n == i {
				c.NotBefore, c.NotAfter = begin, end
			}
		}}
	}
	seconds := func(n int64) func(*tsptest.InfoFields) {
		return func(f *tsptest.InfoFields) { f.Accuracy = der.Make(der.TagSequence, der.AppendInt(nil, n)) }
	}
	none := func(f *tsptest.InfoFields) { f.Accuracy = nil }
	zero := func(f *tsptest.InfoFields) { f.Accuracy = der.Make(der.TagSequence) }
	etsi := func(accuracy func(*tsptest.InfoFields)) func(*tsptest.InfoFields) {
		return func(f *tsptest.InfoFields) {
			accuracy(f)
			f.Policy = tsptest.OID("0.4.0.2023.1.1")
		}
	}
	for _, row := range []struct {
		name string
		by   notarytest.Options
		at   time.Time
		info func(*tsptest.InfoFields)
		want string
	}{
		{"in the middle", leaf, signedAt(), seconds(1), "P"},
		{"lower bound on NotBefore", leaf, begin.Add(time.Second), seconds(1), "P"},
		{"lower bound a millisecond before", leaf, begin.Add(999 * time.Millisecond), seconds(1), "F:interval"},
		{"upper bound on NotAfter", leaf, end.Add(-time.Second), seconds(1), "P"},
		{"upper bound a millisecond after", leaf, end.Add(-999 * time.Millisecond), seconds(1), "F:interval"},
		{"across the beginning", leaf, begin, seconds(1), "F:interval"},
		{"across the end", leaf, end, seconds(1), "F:interval"},
		{"wholly before", leaf, begin.Add(-time.Minute), seconds(1), "F:interval"},
		{"wholly after", leaf, end.Add(time.Minute), seconds(1), "F:interval"},
		{"wider than the validity", leaf, signedAt(), seconds(7200), "F:interval"},
		{"as wide as the validity", leaf, signedAt(), seconds(3600), "P"},
		{"no accuracy, on NotBefore", leaf, begin, none, "P"},
		{"no accuracy, on NotAfter", leaf, end, none, "P"},
		{"empty accuracy, on NotAfter", leaf, end, zero, "P"},
		{"no accuracy, a millisecond after", leaf, end.Add(time.Millisecond), none, "F:interval"},
		{"ETSI without accuracy, on NotAfter", leaf, end, etsi(none), "F:interval"},
		{"ETSI with an empty accuracy, on NotAfter", leaf, end, etsi(zero), "F:interval"},
		{"ETSI without accuracy, a second before", leaf, end.Add(-time.Second), etsi(none), "P"},
		{"ETSI without accuracy, on NotBefore", leaf, begin, etsi(none), "F:interval"},
		{"ETSI with two seconds, a second before", leaf, end.Add(-time.Second), etsi(seconds(2)), "F:interval"},
		{"intermediate, on NotAfter", issuer(1), end, none, "P"},
		{"intermediate, after", issuer(1), end.Add(time.Second), none, "F:interval"},
		{"root, on NotBefore", issuer(2), begin, none, "P"},
		{"root, before", issuer(2), begin.Add(-time.Second), none, "F:interval"},
	} {
		forge := *authority(t)
		forge.Info = row.info
		stores := trusting(t)
		_, chain := notarytest.Chain(t, row.by)
		stores["ca/app"] = []*x509.Certificate{chain[2]}
		v := scene{stores: stores}.verifier(t)
		for _, format := range envelope.Formats() {
			t.Run(row.name+", "+string(format), func(t *testing.T) {
				o := judge(t, v, draft{by: row.by, stamped: row.at, tsa: &forge}.parse(t, format), policy{}.statement(t), wanting())
				if got, want := summary(o), settingSummary(trustpolicy.LevelStrict, row.want); got != want {
					t.Errorf("\n got %s\nwant %s%s", got, want, explain(o))
				}
			})
		}
	}
}

// TestTimestampAuthority: who stamped, and whom the policy trusts for that.
func TestTimestampAuthority(t *testing.T) {
	other := tsptest.NewForge(t, pkitest.Options{Name: "Other"})
	ours := trusting(t)
	with := func(name string, certs ...*x509.Certificate) scene {
		return scene{stores: map[string][]*x509.Certificate{"ca/app": ours["ca/app"], name: certs}}
	}
	inter, err := x509.ParseCertificate(authority(t).Chain[1])
	if err != nil {
		t.Fatal(err)
	}
	expired := tsptest.NewForge(t, pkitest.Options{NotBefore: signedAt().Add(-day), NotAfter: signedAt().Add(day)})
	leafOnly := *authority(t)
	leafOnly.Data = func(d *tsptest.DataFields) { d.Certificates = leafOnly.Chain[:1] }
	withCRL := *authority(t)
	withCRL.Data = func(d *tsptest.DataFields) { d.CRLs = [][]byte{withCRL.CRL} }
	purposeless := tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) {
		c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}})
	for _, r := range []row{
		stampFails(row{name: "another authority", draft: draft{stamped: stampedAt(), tsa: other}}, "F:untrusted"),
		passes(row{name: "another authority, trusted too", draft: draft{stamped: stampedAt(), tsa: other}, policy: policy{stores: []string{"ca:app", "tsa:stamps", "tsa:other"}},
			scene: scene{stores: map[string][]*x509.Certificate{"ca/app": ours["ca/app"], "tsa/stamps": ours["tsa/stamps"], "tsa/other": {authorityRoot(t, other)}}}}),
		stampFails(row{name: "the root in a ca store", draft: draft{stamped: stampedAt(), tsa: other},
			scene: scene{stores: map[string][]*x509.Certificate{"ca/app": append(ours["ca/app"], authorityRoot(t, other)), "tsa/stamps": ours["tsa/stamps"]}}}, "F:untrusted"),
		stampFails(row{name: "store missing", draft: draft{stamped: stampedAt()}, scene: with("tsa/else", ours["tsa/stamps"]...)}, "U:trust-store"),
		stampFails(row{name: "store of another type", draft: draft{stamped: stampedAt()}, scene: with("ca/stamps", ours["tsa/stamps"]...)}, "U:trust-store"),
		stampFails(row{name: "store empty", draft: draft{stamped: stampedAt()}, scene: with("tsa/stamps")}, "U:trust-store"),
		stampFails(row{name: "intermediate in the store", draft: draft{stamped: stampedAt()}, scene: with("tsa/stamps", inter)}, "U:trust-store"),
		stampFails(row{name: "another store cannot be read", draft: draft{stamped: stampedAt()}, policy: policy{stores: []string{"ca:app", "tsa:stamps", "tsa:gone"}}}, "U:trust-store"),
		stampFails(row{name: "no system store", draft: draft{stamped: stampedAt()}, policy: policy{stores: []string{"ca:app", "tsa:system"}}}, "U:trust-store"),
		// It was valid when it stamped.
		passes(row{name: "authority expired since", draft: draft{stamped: stampedAt(), tsa: expired}}),
		stampFails(row{name: "stamped after the authority expired", draft: draft{stamped: signedAt().Add(2 * day), tsa: expired}}, "F:validity"),
		stampFails(row{name: "only the leaf in the token", draft: draft{stamped: stampedAt(), tsa: &leafOnly}}, "F:untrusted"),
		stampFails(row{name: "revocation list in the token", draft: draft{stamped: stampedAt(), tsa: &withCRL}}, "F:revocation-data"),
		stampFails(row{name: "certificate of another purpose", draft: draft{stamped: stampedAt(), tsa: purposeless}}, "F:certificate"),
		// Clocks differ: nobody compares the signing time with that of the stamp.
		passes(row{name: "stamped before it was signed", draft: draft{stamped: signedAt().Add(-day)}}),
		passes(row{name: "stamped a minute from now", draft: draft{stamped: verifyAt().Add(time.Minute)}}),
		stampFails(row{name: "stamped an hour from now", draft: draft{stamped: verifyAt().Add(time.Hour)}}, "F:future"),
	} {
		r.run(t)
	}
}

// TestTimestampNotLookedAt: where the policy does not need it, a timestamp makes
// no difference, and its store is not opened.
func TestTimestampNotLookedAt(t *testing.T) {
	stores := trusting(t)
	delete(stores, "tsa/stamps")
	v := scene{stores: stores}.verifier(t)
	e := draft{bend: bend(func(p *parts) { p.token = []byte("garbage") })}.parse(t, envelope.JWS)
	o := judge(t, v, e, policy{when: trustpolicy.AfterCertExpiry}.statement(t), wanting())
	if !o.Verified || o.Timestamp != nil {
		t.Errorf("%s%s", summary(o), explain(o))
	}
	for _, c := range o.Checks {
		if c.Name == notary.AuthenticTimestamp && !strings.Contains(c.Detail, "only after") {
			t.Errorf("the detail is %q, want that the timestamp was not looked at", c.Detail)
		}
	}
	// The reason is named where one would look for it.
	v = scene{now: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)}.verifier(t)
	o = judge(t, v, draft{stamped: stampedAt()}.parse(t, envelope.JWS), policy{stores: []string{"ca:app"}}.statement(t), wanting())
	if o.Err == nil || !strings.Contains(o.Err.Error(), "tsa") {
		t.Errorf("%v, want that no store of the type tsa is named", o.Err)
	}
}
