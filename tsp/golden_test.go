package tsp_test

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // an old token
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// fromOpenSSL returns a file that testdata/openssl.sh made.
func fromOpenSSL(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "openssl", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digestOf(h crypto.Hash) []byte {
	w := h.New()
	w.Write([]byte(tsptest.Artifact))
	return w.Sum(nil)
}

func TestOpenSSLRequests(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hash    crypto.Hash
		policy  string
		nonce   bool
		certReq bool
	}{
		{"minimal", crypto.SHA256, "", false, false},
		{"nonce", crypto.SHA256, "", true, false},
		{"cert", crypto.SHA384, "", true, true},
		{"policy", crypto.SHA512, "1.2.3.4.5.6", true, true},
		{"other-policy", crypto.SHA256, "1.2.3.4.9", true, true},
		{"sha1", crypto.SHA1, "", true, true},
		{"sha3", crypto.SHA3_256, "", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := fromOpenSSL(t, tt.name+".tsq")
			r, err := tsp.ParseRequest(raw)
			if err != nil {
				t.Fatal(err)
			}
			if r.Imprint.Hash != tt.hash || !bytes.Equal(r.Imprint.Digest, digestOf(tt.hash)) || (r.Nonce != nil) != tt.nonce ||
				r.CertReq != tt.certReq || r.Extensions != nil || policyString(r.Policy) != tt.policy {
				t.Errorf("ParseRequest = %+v, want %+v", r, tt)
			}
			if again, err := r.Marshal(); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("Marshal = %x, %v; want %x", again, err, raw)
			}
			if tt.hash == crypto.SHA1 {
				return
			}
			// Made here, with the same nonce, it has the same octets.
			imprint, err := tsp.NewImprint(tt.hash, digestOf(tt.hash))
			if err != nil {
				t.Fatal(err)
			}
			made := &tsp.Request{Imprint: imprint, Policy: r.Policy, Nonce: r.Nonce, CertReq: tt.certReq}
			if got, err := made.Marshal(); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("made here: %x, %v; want %x", got, err, raw)
			}
		})
	}
}

func policyString(id x509.OID) string {
	if oid.IsZero(id) {
		return ""
	}
	return id.String()
}

func TestOpenSSLResponses(t *testing.T) {
	all := time.Second + 500*time.Millisecond + 100*time.Microsecond
	for _, tt := range []struct {
		name, request string
		policy        string
		accuracy      time.Duration // -1: absent
		ordering, tsa bool
		certificates  int
		digest        crypto.Hash
		ess           string // attribute
	}{
		{"minimal-ec", "minimal", "1.2.3.4.1", time.Second, false, false, 0, crypto.SHA256, oid.SigningCertificateV2},
		{"nonce-rsa", "nonce", "1.2.3.4.1", time.Second, false, false, 0, crypto.SHA256, oid.SigningCertificateV2},
		{"cert-ec", "cert", "1.2.3.4.1", time.Second, false, false, 2, crypto.SHA256, oid.SigningCertificateV2},
		{"cert-rsa", "cert", "1.2.3.4.1", time.Second, false, false, 2, crypto.SHA256, oid.SigningCertificateV2},
		{"rich-ec", "policy", "1.2.3.4.5.6", all, true, true, 2, crypto.SHA512, oid.SigningCertificateV2},
		{"rich-rsa", "policy", "1.2.3.4.5.6", all, true, true, 2, crypto.SHA512, oid.SigningCertificateV2},
		{"old-rsa", "sha1", "1.2.3.4.1", -1, false, false, 2, crypto.SHA256, oid.SigningCertificate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := fromOpenSSL(t, tt.name+".tsr")
			req, err := tsp.ParseRequest(fromOpenSSL(t, tt.request+".tsq"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := tsp.ParseResponse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != tsp.StatusGranted || r.Rejection != nil || r.Text != nil || !bytes.Equal(r.Raw, raw) {
				t.Errorf("ParseResponse = %+v", r)
			}
			i := r.Token.UnverifiedInfo
			if !i.Imprint.Equal(req.Imprint) || !i.Nonce.Equal(req.Nonce) || i.Policy.String() != tt.policy || len(i.Serial) == 0 {
				t.Errorf("TSTInfo is %+v, which does not answer %+v", i, req)
			}
			if i.HasAccuracy != (tt.accuracy >= 0) || i.HasAccuracy && i.Accuracy != tt.accuracy || i.Ordering != tt.ordering || (i.TSA != nil) != tt.tsa {
				t.Errorf("accuracy %v, %v, ordering %v, tsa %x; want %+v", i.HasAccuracy, i.Accuracy, i.Ordering, i.TSA, tt)
			}
			if i.GenTime.Year() < 2026 || i.GenTime.Location() != time.UTC || (i.GenTime.Nanosecond() != 0) != tt.ordering {
				t.Errorf("genTime is %v", i.GenTime)
			}
			if again, err := i.Marshal(); err != nil || !bytes.Equal(again, r.Token.Content()) {
				t.Errorf("Marshal of the TSTInfo = %x, %v; want %x", again, err, r.Token.Content())
			}
			if len(r.Token.Certificates) != tt.certificates || r.Token.Version != 3 {
				t.Errorf("%d certificates, version %d; want %d, 3", len(r.Token.Certificates), r.Token.Version, tt.certificates)
			}
			s := r.Token.Signer
			if !oid.Is(s.Digest.OID, oid.OfHash(tt.digest)) || s.Version != 1 || s.Issuer == nil {
				t.Errorf("signer is %+v", s)
			}
			found := false
			for _, a := range s.SignedAttributes {
				found = found || oid.Is(a.Type, tt.ess)
			}
			if !found {
				t.Errorf("no %s among the signed attributes", oid.Dotted([]byte(tt.ess)))
			}
		})
	}
}

func TestOpenSSLRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		info tsp.FailureInfo
		text string
	}{
		{"refused-policy", tsp.UnacceptedPolicy, "Requested policy is not supported."},
		{"refused-sha1", tsp.BadAlg, "Message digest algorithm is not supported."},
		{"refused-sha3", tsp.BadAlg, "Message digest algorithm is not supported."},
		{"refused-version", tsp.BadRequest, "Bad request version."},
	} {
		raw := fromOpenSSL(t, tt.name+".tsr")
		r, err := tsp.ParseResponse(raw)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if r.Token != nil || r.Rejection.Info != tt.info || r.Rejection.Text != tt.text {
			t.Errorf("%s: refused with %v, want %v and %q", tt.name, r.Rejection, tt.info, tt.text)
		}
		// The same refusal, made here, has the same octets.
		if got := tsp.Reject(tt.info, "%s", tt.text).Marshal(); !bytes.Equal(got, raw) {
			t.Errorf("%s: made here: %x, want %x", tt.name, got, raw)
		}
	}
	if r, err := tsp.ParseRequest(fromOpenSSL(t, "version-2.tsq")); tsp.AsRejection(err).Info != tsp.BadRequest {
		t.Errorf("ParseRequest of version 2 = %v, %v; want badRequest", r, err)
	}
}

// TestOpenSSLForms reads the same token in all the forms that a file may have.
func TestOpenSSLForms(t *testing.T) {
	response, err := tsp.ParseAny(fromOpenSSL(t, "cert-ec.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	inBase64, err := tsp.ParseAny(fromOpenSSL(t, "cert-ec.b64"))
	if err != nil || inBase64.Form != tsp.FormBase64 || !bytes.Equal(inBase64.Response.Raw, response.Response.Raw) {
		t.Errorf("in base64: %+v, %v", inBase64, err)
	}
	token, err := tsp.ParseAny(fromOpenSSL(t, "token-ec.tst"))
	if err != nil || token.Token == nil || token.Token.UnverifiedInfo.Policy.String() != "1.2.3.4.1" {
		t.Errorf("token: %+v, %v", token, err)
	}
	if m, err := tsp.ParseAny(fromOpenSSL(t, "root.pem")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate: %+v, %v; want it named", m, err)
	}
}
