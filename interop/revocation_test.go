package interop

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// An opensslCA is a CA made and run by openssl: its certificates, its OCSP responder and its lists.
type opensslCA struct {
	*tool
	ocsp string // HOST:PORT of the responder
}

// opensslExtensions are the extensions of the certificates; %s are the addresses of responder and list.
const opensslExtensions = `[tsa]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
authorityInfoAccess = OCSP;URI:http://%s
crlDistributionPoints = URI:%s/ca.crl
[responder]
extendedKeyUsage = OCSPSigning
keyUsage = critical,digitalSignature
noCheck = ignored
[bystander]
extendedKeyUsage = clientAuth
keyUsage = critical,digitalSignature
[ca]
default_ca = here
[here]
database = index.txt
default_md = sha256
default_crl_days = 7
`

// serials of the certificates, in hexadecimal.
const (
	serialTSA       = "1001"
	serialResponder = "1002"
	serialBystander = "1003"
)

// startOpenSSLCA makes a root, a certificate for an authority, one for a responder, and one that is for
// neither, and serves the list of the CA, if there is one. The responder is started by respond.
func startOpenSSLCA(t *testing.T) *opensslCA {
	t.Helper()
	ca := &opensslCA{tool: scratch(t), ocsp: "127.0.0.1:" + freePort(t)}
	lists := httptest.NewServer(http.FileServer(http.Dir(ca.dir)))
	t.Cleanup(lists.Close)
	ca.write(t, "openssl.cnf", fmt.Appendf(nil, opensslExtensions, ca.ocsp, lists.URL))
	newKey := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	ca.accept(t, nil, append([]string{"openssl", "req", "-x509", "-days", "30", "-subj", "/CN=OpenSSL Root",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature", "-keyout", "root.key", "-out", "root.pem"}, newKey...)...)
	for name, serial := range map[string]string{"tsa": serialTSA, "responder": serialResponder, "bystander": serialBystander} {
		ca.accept(t, nil, append([]string{"openssl", "req", "-new", "-subj", "/CN=OpenSSL " + name,
			"-keyout", name + ".key", "-out", name + ".csr"}, newKey...)...)
		ca.accept(t, nil, "openssl", "x509", "-req", "-in", name+".csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "20",
			"-set_serial", "0x"+serial, "-extfile", "openssl.cnf", "-extensions", name, "-out", name+".pem")
	}
	ca.write(t, "chain.pem", append(ca.read(t, "tsa.pem"), ca.read(t, "root.pem")...))
	return ca
}

// index says what the CA knows of the authority: "" for nothing bad, a reason for revoked at that time, or
// "absent".
func (ca *opensslCA) index(t *testing.T, status string, at time.Time) {
	t.Helper()
	const utc = "060102150405Z"
	end := time.Now().Add(20 * 24 * time.Hour).UTC().Format(utc)
	line := "V\t" + end + "\t\t" + serialTSA
	switch status {
	case "":
	case "absent":
		line = "V\t" + end + "\t\t" + serialBystander
	default:
		line = "R\t" + end + "\t" + at.UTC().Format(utc) + "," + status + "\t" + serialTSA
	}
	ca.write(t, "index.txt", []byte(line+"\tunknown\t/CN=OpenSSL tsa\n"))
}

// respond starts the responder with the index as it is.
func (ca *opensslCA) respond(t *testing.T, flags ...string) {
	t.Helper()
	ca.accept(t, nil, "openssl", "ocsp", "-issuer", "root.pem", "-cert", "tsa.pem", "-no_nonce", "-reqout", "probe.der")
	probe := "http://" + ca.ocsp + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(ca.read(t, "probe.der")))
	_, port, _ := strings.Cut(ca.ocsp, ":")
	argv := []string{"openssl", "ocsp", "-index", "index.txt", "-CA", "root.pem", "-port", port}
	ca.serve(t, probe, append(argv, flags...)...)
}

// TestRevocation asks a responder of OpenSSL about the authority's certificate, and falls back on a list of
// OpenSSL's.
func TestRevocation(t *testing.T) {
	ca := startOpenSSLCA(t)
	host := "127.0.0.1:" + freePort(t)
	config := ca.write(t, "fencepost.yaml", fmt.Appendf(nil, `listen: [%s]
admin: "off"
tsa:
  key: file:tsa.key
  chain: chain.pem
  policy: %s
  clock: {source: system, bound: 500ms}
`, host, ourPolicy))
	ca.serve(t, "http://"+host+"/readyz", ours("fencepost"), "serve", "--config", config)
	a := newTSA(t, "http://"+host, ca.read(t, "chain.pem"))
	file := ca.write(t, "data", []byte("the data of "+t.Name()))
	ca.create(t, a, file, ca.path("data.tsr"))

	now := time.Now()
	delegated := []string{"-rsigner", "responder.pem", "-rkey", "responder.key"}
	with := func(flags ...string) []string { return append(delegated[:len(delegated):len(delegated)], flags...) }
	tests := []struct {
		name   string
		status string
		at     time.Time
		flags  []string // of the responder; nil: it is down
		list   bool
		code   int
		want   []string
	}{
		{"delegated", "", now, with("-nmin", "60"), false, 0, []string{"not revoked, says OCSP responder http://" + ca.ocsp, ", until 20"}},
		{"without nextUpdate", "", now, with(), false, 0, []string{"not revoked, says OCSP responder"}},
		{"by key", "", now, with("-nmin", "60", "-resp_key_id"), false, 0, []string{"not revoked, says OCSP responder"}},
		{"signed with SHA-384", "", now, with("-nmin", "60", "-rmd", "sha384"), false, 0, []string{"not revoked, says OCSP responder"}},
		{"the CA itself", "", now, []string{"-rsigner", "root.pem", "-rkey", "root.key", "-nmin", "60"}, false, 0, []string{"not revoked, says OCSP responder"}},
		{"compromised", "keyCompromise", now.Add(time.Hour), with("-nmin", "60"), false, 1, []string{"verify: revoked: ", "(keyCompromise)"}},
		{"superseded before", "superseded", now.Add(-time.Hour), with("-nmin", "60"), false, 1, []string{"verify: revoked: ", "(superseded)"}},
		{"superseded later", "superseded", now.Add(time.Hour), with("-nmin", "60"), false, 0, []string{"revoked on ", "(superseded), says OCSP responder"}},
		{"not known there", "absent", now, with("-nmin", "60"), false, 2, []string{"does not know the certificate"}},
		{"signature corrupted", "", now, with("-nmin", "60", "-badsig"), false, 2, []string{"signature does not verify"}},
		{"certificate left out", "", now, with("-nmin", "60", "-resp_no_certs"), false, 2, []string{"neither by the issuer nor by a responder"}},
		{"signed by a bystander", "", now, []string{"-rsigner", "bystander.pem", "-rkey", "bystander.key", "-nmin", "60"}, false, 2, []string{"does not have the purpose OCSPSigning"}},
		{"signed by the authority", "", now, []string{"-rsigner", "tsa.pem", "-rkey", "tsa.key", "-nmin", "60"}, false, 2, []string{"does not have the purpose OCSPSigning"}},
		{"down, no list", "", now, nil, false, 2, []string{"connection refused", "HTTP status 404"}},
		{"down, list", "", now, nil, true, 0, []string{"not revoked, says revocation list http://127.0.0.1:"}},
		{"down, compromised by the list", "keyCompromise", now.Add(-time.Hour), nil, true, 1, []string{"verify: revoked: ", "(keyCompromise), says revocation list"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ca.index(t, test.status, test.at)
			if err := os.RemoveAll(ca.path("ca.crl")); err != nil {
				t.Fatal(err)
			}
			if test.list {
				ca.accept(t, nil, "openssl", "ca", "-config", "openssl.cnf", "-gencrl", "-cert", "root.pem", "-keyfile", "root.key", "-out", "ca.pem")
				ca.accept(t, nil, "openssl", "crl", "-in", "ca.pem", "-outform", "DER", "-out", "ca.crl")
			}
			if test.flags != nil {
				ca.respond(t, test.flags...)
			}
			w := scratch(t)
			w.env = append(w.env, "XDG_CACHE_HOME="+w.path("cache"))
			for range 2 {
				r := w.run(t, verifyArgs(a.root, ca.path("data.tsr"), file, "--revocation", "require")...)
				if r.code != test.code {
					t.Fatalf("want exit status %d, got: %v", test.code, r)
				}
				expect(t, r, test.want)
			}
		})
	}
}
