// Package tsaclient turns what a command line says about timestamp authorities
// into a client of them: which to ask, what TLS trusts, which certificate,
// headers or password they want to see, how long to wait.
//
// Two groups of commands ask authorities, under different names: "timestamp
// create --tsa URL --tls-ca FILE", and "image sign --timestamp-url URL
// --timestamp-tls-ca FILE", where those flags stand beside a registry's. One
// [Connection] serves both, and what it says is wrong it calls by the name that
// was typed.
package tsaclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// maxFile is the longest file with headers, a key or a certificate of a client,
// in bytes. A chain of certificates has some 10 KiB.
const maxFile = 64 << 10

// Connection is how authorities are reached. It becomes a [tsphttp.Client]. One
// that no flags were made for is as good; its errors name the flags of
// "timestamp create".
type Connection struct {
	URLs         []string      // the authorities, in the order in which they are asked
	CA           string        // file of the roots that TLS trusts; "" means the system's
	ClientCert   string        // files of the certificate and key shown to the server
	ClientKey    string        // …
	HeaderFile   string        // file of "Name: value" lines
	User         string        // with PasswordFile, for HTTP's basic authentication
	PasswordFile string        // …
	Timeout      time.Duration // of one try
	Retries      int           // how often an authority that is not available is asked again; 0 means never

	prefix string
	flags  *pflag.FlagSet // those that Flags made; nil if none
}

// The names of the flags, behind the prefix.
const (
	flagURL         = "url"
	flagCA          = "tls-ca"
	flagCertificate = "tls-certificate"
	flagKey         = "tls-key"
	flagHeader      = "header-file"
	flagUser        = "user"
	flagPassword    = "password-file"
	flagTimeout     = "timeout"
	flagRetries     = "retries"
)

// flagNames are all of them, that of the URL first.
var flagNames = [...]string{flagURL, flagCA, flagCertificate, flagKey, flagHeader, flagUser, flagPassword, flagTimeout, flagRetries}

// Flags defines the flags of c on cmd, each name behind a prefix such as
// "timestamp-". Without a prefix, that of the URL is "tsa".
func (c *Connection) Flags(cmd *cobra.Command, prefix string) {
	f := cmd.Flags()
	c.prefix, c.flags = prefix, f
	who := "the server"
	if prefix != "" {
		who = "the timestamp authority"
	}
	f.StringArrayVar(&c.URLs, c.name(flagURL), nil, "ask the authority at this `URL`; repeat it for others to fall back on")
	f.StringVar(&c.CA, c.name(flagCA), "", "trust the certificates in this PEM `file` for https to "+who+", instead of the system's")
	f.StringVar(&c.ClientCert, c.name(flagCertificate), "", "show the certificate in this PEM `file` to "+who)
	f.StringVar(&c.ClientKey, c.name(flagKey), "", "the key of --"+c.name(flagCertificate)+", in this PEM `file`")
	f.StringVar(&c.HeaderFile, c.name(flagHeader), "", "send the \"Name: value\" lines of this `file` as headers to "+who)
	f.StringVar(&c.User, c.name(flagUser), "", "authenticate to "+who+" as this `name`; needs --"+c.name(flagPassword))
	f.StringVar(&c.PasswordFile, c.name(flagPassword), "", "the password of --"+c.name(flagUser)+", in this `file`")
	f.DurationVar(&c.Timeout, c.name(flagTimeout), tsphttp.DefaultTimeout, "how long one try to be given a timestamp may take")
	f.IntVar(&c.Retries, c.name(flagRetries), tsphttp.DefaultRetries, "how often an authority that is not available is asked again")
}

// name is that of a flag as it is typed, without the dashes.
func (c *Connection) name(flag string) string {
	if c.prefix == "" && flag == flagURL {
		return "tsa"
	}
	return c.prefix + flag
}

// Given reports whether an authority is named, for commands that may do without
// one. Flags that say how to reach an authority, and none that says which, are
// an error: whoever wrote them wanted to be given a timestamp.
func (c *Connection) Given() (bool, error) {
	if len(c.URLs) > 0 || c.flags == nil {
		return len(c.URLs) > 0, nil
	}
	for _, flag := range flagNames[1:] {
		if c.flags.Changed(c.name(flag)) {
			return false, cli.Usagef("--%s goes with --%s", c.name(flag), c.name(flagURL))
		}
	}
	return false, nil
}

// Client returns the client that c describes, which verifies what it gets by
// trust, or by nothing but the request if that is nil.
func (c *Connection) Client(env *cli.Env, trust *verify.Policy) (*tsphttp.Client, error) {
	cfg, err := c.config(env)
	if err != nil {
		return nil, err
	}
	cfg.Trust = trust
	return newClient(cfg)
}

// Clients is one client for each of the authorities, in the order in which they
// are to be asked, for who decides whether an answer will do.
func (c *Connection) Clients(env *cli.Env) ([]*tsphttp.Client, error) {
	cfg, err := c.config(env)
	if err != nil {
		return nil, err
	}
	var out []*tsphttp.Client
	for _, url := range c.URLs {
		cfg.URLs = []string{url}
		client, err := newClient(cfg)
		if err != nil {
			return nil, err
		}
		out = append(out, client)
	}
	return out, nil
}

func newClient(cfg tsphttp.ClientConfig) (*tsphttp.Client, error) {
	client, err := tsphttp.NewClient(cfg)
	if err != nil {
		if slices.ContainsFunc(cfg.URLs, func(url string) bool { return !strings.Contains(url, "://") }) {
			return nil, cli.Hint(err, "the URL of an authority begins with https:// or http://")
		}
		return nil, &cli.Error{Usage: true, Err: err}
	}
	return client, nil
}

// config reads the files that c names.
func (c *Connection) config(env *cli.Env) (cfg tsphttp.ClientConfig, err error) {
	cfg = tsphttp.ClientConfig{
		URLs:      c.URLs,
		Timeout:   c.Timeout,
		Retries:   c.Retries,
		UserAgent: env.UserAgent(),
	}
	switch {
	case len(c.URLs) == 0:
		hint := "name one with --" + c.name(flagURL) + " URL"
		if c.prefix == "" {
			hint += " or in $" + cli.EnvName(env.Program, c.name(flagURL))
		}
		return cfg, cli.Hint(cli.Usagef("no timestamp authority to ask"), "%s", hint)
	case slices.Contains(c.URLs, ""):
		return cfg, cli.Usagef("--%s is given, and empty", c.name(flagURL))
	case c.Timeout <= 0:
		return cfg, cli.Usagef("--%s must be positive", c.name(flagTimeout))
	case c.Retries < 0:
		return cfg, cli.Usagef("--%s must not be negative", c.name(flagRetries))
	case c.Retries == 0:
		cfg.Retries = -1
	}
	if cfg.TLS, err = c.tls(env); err != nil {
		return cfg, err
	}
	if cfg.Header, err = c.header(env); err != nil {
		return cfg, err
	}
	if (c.User == "") != (c.PasswordFile == "") {
		return cfg, c.together(flagUser, flagPassword)
	}
	if c.User != "" {
		password, err := env.ReadSecret(c.PasswordFile)
		if err != nil {
			return cfg, err
		}
		cfg.User = url.UserPassword(c.User, string(password))
	}
	return cfg, nil
}

func (c *Connection) together(a, b string) error {
	return cli.Usagef("--%s and --%s go together", c.name(a), c.name(b))
}

func (c *Connection) tls(env *cli.Env) (*tls.Config, error) {
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, c.together(flagCertificate, flagKey)
	}
	if c.CA == "" && c.ClientCert == "" {
		return nil, nil
	}
	cfg := &tls.Config{}
	if c.CA != "" {
		roots, err := env.ReadRoots(c.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = roots
	}
	if c.ClientCert != "" {
		cert, err := env.ReadFile(c.ClientCert, maxFile)
		if err != nil {
			return nil, err
		}
		key, err := env.ReadFile(c.ClientKey, maxFile)
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
	data, err := env.ReadFile(c.HeaderFile, maxFile)
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
