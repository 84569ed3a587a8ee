package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// An identity is a certificate that a test made, with its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newIdentity makes a certificate out of a template, by an issuer or by itself.
func newIdentity(t testing.TB, template *x509.Certificate, issuer *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert: cert, key: key}
}

func newCA(t testing.TB) *identity {
	return newIdentity(t, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
}

// clientTemplate is a certificate for a client with alternative names, of which
// those with a scheme are URIs.
func clientTemplate(cn string, names ...string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if strings.Contains(name, "://") {
			u, err := url.Parse(name)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, u)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	return c
}

func mustMatch(t testing.TB, text string) CertificateMatch {
	t.Helper()
	m, err := ParseCertificateMatch(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCertificateMatches(t *testing.T) {
	ca := newCA(t)
	cert := newIdentity(t, clientTemplate("ci", "spiffe://example.org/ci", "CI.example.org", "b.example.org"), ca).cert
	two := newIdentity(t, clientTemplate("", "spiffe://example.org/ci", "https://example.org/"), ca).cert
	sum, key := sha256.Sum256(cert.Raw), sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	for _, tt := range []struct {
		match string
		cert  *x509.Certificate
		want  bool
	}{
		{"uri:spiffe://example.org/ci", cert, true},
		{"uri:spiffe://example.org/c", cert, false},
		{"uri:spiffe://example.org/ci/x", cert, false},
		{"uri:spiffe://example.org/CI", cert, false},
		{"uri:spiffe://example.org/ci", two, false}, // not the only URI
		{"uri:https://example.org/", two, true},
		{"dns:ci.example.org", cert, true},
		{"dns:CI.Example.ORG", cert, true},
		{"dns:b.example.org", cert, true},
		{"dns:example.org", cert, false},
		{"dns:ci", cert, false}, // the common name is none
		{"cn:ci", cert, true},
		{"cn:CI", cert, false},
		{"cn:ci.example.org", cert, false},
		{"sha256:" + hex.EncodeToString(sum[:]), cert, true},
		{"sha256:" + strings.ToUpper(hex.EncodeToString(sum[:])), cert, true},
		{"sha256:" + hex.EncodeToString(key[:]), cert, false},
		{"sha256:" + hex.EncodeToString(sum[:]), two, false},
		{"key-sha256:" + hex.EncodeToString(key[:]), cert, true},
		{"key-sha256:" + hex.EncodeToString(sum[:]), cert, false},
	} {
		var c certificates
		if err := c.add(mustMatch(t, tt.match), 3); err != nil {
			t.Fatal(err)
		}
		if i, ok := c.find(tt.cert); ok != tt.want || ok && i != 3 {
			t.Errorf("%s: got %d, %t; want %t", tt.match, i, ok, tt.want)
		}
	}
	var c certificates
	for i, match := range []string{"cn:other", "dns:b.example.org", "uri:spiffe://example.org/ci", "cn:ci"} {
		if err := c.add(mustMatch(t, match), i); err != nil {
			t.Fatal(err)
		}
	}
	if i, ok := c.find(cert); i != 1 || !ok {
		t.Errorf("of several that fit, got %d, %t; want the first, 1", i, ok)
	}
	if err := c.add(mustMatch(t, "cn:ci"), 0); err == nil {
		t.Error("two clients have one match")
	}
	if err := c.add(CertificateMatch{Kind: MatchDNS, Value: "X.example.org"}, 0); err != nil {
		t.Error(err)
	}
	for name, m := range map[string]CertificateMatch{"zero": {}, "unknown kind": {Kind: matchKinds, Value: "x"}, "negative kind": {Kind: -1, Value: "x"}, "no value": {Kind: MatchCN}} {
		if err := c.add(m, 0); err == nil {
			t.Errorf("%s: %s is accepted", name, m)
		}
	}
}

func TestParseCertificateMatch(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		"uri:spiffe://example.org/ci": "uri:spiffe://example.org/ci",
		"uri:HTTPS://example.org":     "uri:https://example.org",
		"dns:A.example.org":           "dns:a.example.org",
		"cn:Jane Doe, CI":             "cn:Jane Doe, CI",
		"sha256:" + digest:            "sha256:" + digest,
		"sha256:" + strings.TrimSuffix(strings.Repeat("0A:", 32), ":"): "sha256:" + digest,
		"key-sha256:" + digest: "key-sha256:" + digest,
	} {
		var m CertificateMatch
		if err := m.UnmarshalText([]byte(text)); err != nil || m.String() != want {
			t.Errorf("ParseCertificateMatch(%q) = %s, %v; want %s", text, m, err, want)
		}
		if again := mustMatch(t, m.String()); again != m {
			t.Errorf("ParseCertificateMatch(%q) = %s", m, again)
		}
	}
	for _, text := range []string{
		"", "ci", "cn:", "dns:", "uri:", "sha256:", "CN:ci", "email:a@example.org", "uri:/ci", "uri:example.org", "uri:%zz://", "dns:*.example.org",
		"dns:a b", "dns:é.example.org", "dns:a\n", "sha256:" + digest[2:], "sha256:" + digest[1:] + "g", "sha256:" + digest + "00",
		"uri:spiffe:///ci", "uri:spiffe://u@example.org/ci", "uri:spiffe://example.org:1/ci", "uri:spiffe://example.org/ci?a", "uri:spiffe://example.org/ci#a",
	} {
		var m CertificateMatch
		if err := m.UnmarshalText([]byte(text)); err == nil || m != (CertificateMatch{}) {
			t.Errorf("ParseCertificateMatch(%q) = %s, %v; want an error", text, m, err)
		}
	}
}

// TestHandshake connects over TLS, with a verified certificate, with one of
// another authority that the listener only asked for, and without any.
func TestHandshake(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	matches := []CertificateMatch{mustMatch(t, "uri:spiffe://example.org/ci")}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	ci := newIdentity(t, clientTemplate("x", "spiffe://example.org/ci"), ca)
	nobody := newIdentity(t, clientTemplate("x", "spiffe://example.org/nobody"), ca)
	forged := newIdentity(t, clientTemplate("x", "spiffe://example.org/ci"), other)
	type result struct {
		name   string
		kind   Kind
		status int
	}
	for _, tt := range []struct {
		name     string
		auth     tls.ClientAuthType
		identity *identity
		policy   AnonymousPolicy
		want     result
	}{
		{"client", tls.VerifyClientCertIfGiven, ci, AnonymousRefused, result{"ci", KindCertificate, 0}},
		{"nobody's certificate", tls.VerifyClientCertIfGiven, nobody, AnonymousAllowed, result{"", KindAddress, 0}},
		{"nobody's certificate, refused", tls.VerifyClientCertIfGiven, nobody, AnonymousRefused, result{"", KindAddress, 403}},
		{"no certificate", tls.VerifyClientCertIfGiven, nil, AnonymousAllowed, result{"", KindAddress, 0}},
		{"no certificate, refused", tls.VerifyClientCertIfGiven, nil, AnonymousRefused, result{"", KindAddress, 403}},
		{"not verified", tls.RequireAnyClientCert, ci, AnonymousAllowed, result{"", KindAddress, 0}},
		{"forged and not verified", tls.RequireAnyClientCert, forged, AnonymousRefused, result{"", KindAddress, 403}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			control, err := New(Config{Anonymous: tt.policy, Clients: []ClientConfig{{Name: "ci", Certificates: matches}}})
			if err != nil {
				t.Fatal(err)
			}
			var got result
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, refusal := control.Admit(r)
				got = result{name: c.Name, kind: c.Kind}
				if refusal != nil {
					got.status = refusal.Status
				}
			}))
			srv.TLS = &tls.Config{ClientAuth: tt.auth, ClientCAs: pool}
			srv.StartTLS()
			defer srv.Close()
			client := srv.Client()
			if tt.identity != nil {
				client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{tt.identity.cert.Raw}, PrivateKey: tt.identity.key}}
			}
			resp, err := client.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
