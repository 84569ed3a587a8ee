package timestampcmd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// maxSecretFile is the longest file with headers or a password.
const maxSecretFile = 64 << 10

// Connection is how authorities are reached. It becomes a [tsphttp.Client].
type Connection struct {
	URLs         []string
	CA           string // file of the roots that TLS trusts
	ClientCert   string // files of the certificate and key shown to the server
	ClientKey    string
	HeaderFile   string // file of "Name: value" lines
	User         string
	PasswordFile string
	Timeout      time.Duration
	Retries      int
}

func (c *Connection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&c.URLs, "tsa", nil, "ask the authority at this `URL`; repeat it for others to fall back on")
	f.StringVar(&c.CA, "tls-ca", "", "trust the certificates in this PEM `file` for https, instead of the system's")
	f.StringVar(&c.ClientCert, "tls-certificate", "", "show the certificate in this PEM `file` to the server")
	f.StringVar(&c.ClientKey, "tls-key", "", "the key of --tls-certificate, in this PEM `file`")
	f.StringVar(&c.HeaderFile, "header-file", "", "send the \"Name: value\" lines of this `file` as headers")
	f.StringVar(&c.User, "user", "", "authenticate as this `name`; needs --password-file")
	f.StringVar(&c.PasswordFile, "password-file", "", "the password of --user, in this `file`")
	f.DurationVar(&c.Timeout, "timeout", tsphttp.DefaultTimeout, "how long one try may take")
	f.IntVar(&c.Retries, "retries", tsphttp.DefaultRetries, "how often an authority that is not available is asked again")
}

// Client returns the client that c describes, which verifies what it gets by
// trust, or by nothing but the request if that is nil.
func (c *Connection) Client(env *cli.Env, trust *verify.Policy) (*tsphttp.Client, error) {
	cfg := tsphttp.ClientConfig{
		URLs:      c.URLs,
		Trust:     trust,
		Timeout:   c.Timeout,
		Retries:   c.Retries,
		UserAgent: userAgent(env),
	}
	switch {
	case len(c.URLs) == 0:
		return nil, cli.Hint(cli.Usagef("no timestamp authority to ask"), "name one with --tsa URL or in $%s", cli.EnvName(env.Program, "tsa"))
	case c.Timeout <= 0:
		return nil, cli.Usagef("--timeout must be positive")
	case c.Retries < 0:
		return nil, cli.Usagef("--retries must not be negative")
	case c.Retries == 0:
		cfg.Retries = -1
	}
	var err error
	if cfg.TLS, err = c.tls(env); err != nil {
		return nil, err
	}
	if cfg.Header, err = c.header(env); err != nil {
		return nil, err
	}
	if (c.User == "") != (c.PasswordFile == "") {
		return nil, cli.Usagef("--user and --password-file go together")
	}
	if c.User != "" {
		password, err := env.ReadSecret(c.PasswordFile)
		if err != nil {
			return nil, err
		}
		cfg.User = url.UserPassword(c.User, string(password))
	}
	client, err := tsphttp.NewClient(cfg)
	if err != nil {
		return nil, &cli.Error{Usage: true, Err: err}
	}
	return client, nil
}

// userAgent is how this program calls itself.
func userAgent(env *cli.Env) string {
	return fmt.Sprintf("%s/%s (%s; %s)", env.Program, cli.ReadBuild().Version, runtime.GOOS, runtime.GOARCH)
}

func (c *Connection) tls(env *cli.Env) (*tls.Config, error) {
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, cli.Usagef("--tls-certificate and --tls-key go together")
	}
	if c.CA == "" && c.ClientCert == "" {
		return nil, nil
	}
	cfg := &tls.Config{}
	if c.CA != "" {
		certs, err := ReadCertificates(env, c.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		for _, cert := range certs {
			cfg.RootCAs.AddCert(cert)
		}
	}
	if c.ClientCert != "" {
		cert, err := env.ReadFile(c.ClientCert, maxCertificateFile)
		if err != nil {
			return nil, err
		}
		key, err := env.ReadFile(c.ClientKey, maxSecretFile)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", c.ClientCert, c.ClientKey, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// header reads the header file. Headers hold API keys, which do not belong on
// a command line, where every user of the machine can see them.
func (c *Connection) header(env *cli.Env) (http.Header, error) {
	if c.HeaderFile == "" {
		return nil, nil
	}
	data, err := env.ReadFile(c.HeaderFile, maxSecretFile)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s: line %d is not \"Name: value\"", c.HeaderFile, i+1)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if len(header) == 0 {
		return nil, errors.New(c.HeaderFile + ": no header in it")
	}
	return header, nil
}
