package tsaclient_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsaclient"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// parsed is a Connection whose flags have been parsed.
func parsed(t *testing.T, prefix string, args ...string) *tsaclient.Connection {
	t.Helper()
	c := new(tsaclient.Connection)
	cmd := &cobra.Command{Use: "x"}
	c.Flags(cmd, prefix)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFlagNames(t *testing.T) {
	for _, test := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"header-file", "password-file", "retries", "timeout", "tls-ca", "tls-certificate", "tls-key", "tsa", "user"}},
		{"timestamp-", []string{"timestamp-header-file", "timestamp-password-file", "timestamp-retries", "timestamp-timeout",
			"timestamp-tls-ca", "timestamp-tls-certificate", "timestamp-tls-key", "timestamp-url", "timestamp-user"}},
	} {
		cmd := &cobra.Command{Use: "x"}
		new(tsaclient.Connection).Flags(cmd, test.prefix)
		var got []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { got = append(got, f.Name) })
		if !slices.Equal(got, test.want) {
			t.Errorf("flags with prefix %q: %q, want %q", test.prefix, got, test.want)
		}
	}
}

// TestWrong holds that what is wrong is called by the name that was typed.
func TestWrong(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const url = "http://127.0.0.1:1/"
	for _, test := range []struct {
		name  string
		args  []string // % is the prefix, @ the flag of the URL
		want  string   // in the message or the hint
		usage bool
	}{
		{"no authority", nil, "no timestamp authority to ask", true},
		{"an empty one", []string{"--@="}, "--@ is given, and empty", true},
		{"not a URL", []string{"--@=ftp://x"}, "has scheme \"ftp\"", true},
		{"no time", []string{"--@", url, "--%timeout=0s"}, "--%timeout must be positive", true},
		{"less than never", []string{"--@", url, "--%retries=-1"}, "--%retries must not be negative", true},
		{"a certificate without a key", []string{"--@", url, "--%tls-certificate=x"}, "--%tls-certificate and --%tls-key go together", true},
		{"a key without a certificate", []string{"--@", url, "--%tls-key=x"}, "--%tls-certificate and --%tls-key go together", true},
		{"a user without a password", []string{"--@", url, "--%user=x"}, "--%user and --%password-file go together", true},
		{"a password without a user", []string{"--@", url, "--%password-file=x"}, "--%user and --%password-file go together", true},
		{"an empty password", []string{"--@", url, "--%user=x", "--%password-file", file("empty", "")}, "the passphrase is empty", false},
		{"no roots", []string{"--@", url, "--%tls-ca", file("none.pem", "none\n")}, "none.pem", false},
		{"no header", []string{"--@", url, "--%header-file", file("header", "# nothing\n\n")}, "no header in it", false},
		{"half a header", []string{"--@", url, "--%header-file", file("half", "A: b\nsecret\n")}, "line 2 is not \"Name: value\"", false},
		{"no key pair", []string{"--@", url, "--%tls-certificate", file("a", "a"), "--%tls-key", file("b", "b")}, "b: tls: ", false},
	} {
		for prefix, name := range map[string]string{"": "tsa", "timestamp-": "timestamp-url"} {
			typed := strings.NewReplacer("@", name, "%", prefix)
			var args []string
			for _, a := range test.args {
				if strings.HasPrefix(a, "--") {
					a = typed.Replace(a)
				}
				args = append(args, a)
			}
			_, err := parsed(t, prefix, args...).Client(&cli.Env{Program: "fencepost"}, nil)
			if err == nil || !strings.Contains(err.Error(), typed.Replace(test.want)) {
				t.Errorf("%s: %q gave %v, want an error with %q", test.name, args, err, typed.Replace(test.want))
			}
			var ce *cli.Error
			if errors.As(err, &ce) && ce.Usage != test.usage && test.want != "no timestamp authority to ask" {
				t.Errorf("%s: %q gave usage %v, want %v", test.name, args, ce.Usage, test.usage)
			}
			if test.name == "no authority" && !strings.Contains(cli.HintOf(err), "--"+name+" URL") {
				t.Errorf("%s: hint %q does not name --%s", test.name, cli.HintOf(err), name)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error shows what is in the file: %v", test.name, err)
			}
		}
	}
}

func TestGiven(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want bool
		err  string
	}{
		{"nothing", nil, false, ""},
		{"an authority", []string{"--timestamp-url=http://a"}, true, ""},
		{"an authority and how", []string{"--timestamp-url=http://a", "--timestamp-retries=1"}, true, ""},
		{"only how", []string{"--timestamp-tls-ca=x"}, false, "--timestamp-tls-ca goes with --timestamp-url"},
		{"how, as it is anyway", []string{"--timestamp-retries=2"}, false, "--timestamp-retries goes with --timestamp-url"},
	} {
		got, err := parsed(t, "timestamp-", test.args...).Given()
		if text := message(err); got != test.want || text != test.err {
			t.Errorf("%s: Given = %v, %q, want %v, %q", test.name, got, text, test.want, test.err)
		}
	}
	if got, err := (&tsaclient.Connection{URLs: []string{"http://a"}}).Given(); !got || err != nil {
		t.Errorf("Given without flags = %v, %v", got, err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestClient asks an authority that wants to see a certificate, a header and a
// password.
func TestClient(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{Forge: tsptest.NewForge(t, pkitest.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	var agent string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		agent = r.UserAgent()
		if user != "me" || password != "sesame" || r.Header.Get("X-Key") != "k 1" || len(r.TLS.PeerCertificates) != 1 {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		tsa.ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	c := parsed(t, "timestamp-",
		"--timestamp-url", srv.URL,
		"--timestamp-tls-ca", file("ca.pem", block("CERTIFICATE", srv.Certificate().Raw)),
		"--timestamp-tls-certificate", file("client.pem", block("CERTIFICATE", der)),
		"--timestamp-tls-key", file("client.key", block("PRIVATE KEY", pkcs8)),
		"--timestamp-header-file", file("headers", []byte("# for the gateway\r\nX-Key: k 1\r\n")),
		"--timestamp-user", "me", "--timestamp-password-file", file("password", []byte("sesame\n")),
		"--timestamp-retries", "0")
	client, err := c.Client(&cli.Env{Program: "fencepost"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	imprint, err := tsp.NewImprint(crypto.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Ask(t.Context(), tsp.NewRequest(imprint)); err != nil {
		t.Errorf("the authority was not satisfied: %v", err)
	}
	if !strings.HasPrefix(agent, "fencepost/") {
		t.Errorf("User-Agent %q", agent)
	}
}
