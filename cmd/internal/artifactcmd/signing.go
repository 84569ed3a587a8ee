package artifactcmd

import (
	"context"
	"crypto/x509"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsaclient"
)

// signing are the flags of the commands that sign.
type signing struct {
	key      string
	chain    string
	format   string
	expiry   time.Duration
	metadata []string
	stamping stamping
}

func (o *signing) flags(env *cli.Env, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.key, "key", "k", "", "sign with the key of this `name` in signingkeys.json, or at this URI; without it, the default key of signingkeys.json")
	f.StringVar(&o.chain, "certificate-chain", "", "the certificates of a key that a URI names, in this PEM `file`: the signer's first, the root last")
	f.StringVar(&o.format, "signature-format", "", "the `format` of the signature, jws or cose; without it that of config.json, else jws")
	f.DurationVarP(&o.expiry, "expiry", "e", 0, "how long the signature holds, in whole seconds; for ever by default")
	f.StringArrayVarP(&o.metadata, "user-metadata", "m", nil, "sign `KEY=VALUE` with the artifact; may be repeated")
	o.stamping.flags(cmd)
	cli.Mirror(env, cmd, "key", "certificate-chain", "timestamp-url", "timestamp-root-cert")
}

// open makes of the flags what signs. Close gives the key back.
func (o *signing) open(ctx context.Context, env *cli.Env, dir directory.Dir) (s *notary.Signing, closeKey func(), err error) {
	if o.expiry < 0 || o.expiry%time.Second != 0 {
		return nil, nil, cli.Usagef("--expiry is a number of whole seconds, not %s", o.expiry)
	}
	metadata, err := pairs("user-metadata", o.metadata)
	if err != nil {
		return nil, nil, err
	}
	format, err := o.formatOf(dir)
	if err != nil {
		return nil, nil, err
	}
	stamper, err := o.stamping.stamper(env)
	if err != nil {
		return nil, nil, err
	}
	id, err := o.identity(ctx, env, dir)
	if err != nil {
		return nil, nil, err
	}
	return &notary.Signing{
		Format: format, Key: id.key, Chain: id.chain, Expiry: o.expiry, Metadata: metadata,
		Agent: agent(env), Stamper: stamper,
	}, func() { id.key.Close() }, nil
}

func (o *signing) formatOf(dir directory.Dir) (envelope.Format, error) {
	if o.format != "" {
		format, err := envelope.ParseFormat(o.format)
		if err != nil {
			return "", cli.Usagef("--signature-format: %s", strings.TrimPrefix(err.Error(), "envelope: "))
		}
		return format, nil
	}
	settings, err := dir.Config()
	if err != nil || settings.SignatureFormat == "" {
		return envelope.JWS, err
	}
	return envelope.ParseFormat(settings.SignatureFormat)
}

// agent is how this program calls itself in signatures.
func agent(env *cli.Env) string { return env.Program + "/" + cli.ReadBuild().Version }

// stamping are the flags that say who stamps.
type stamping struct {
	connection  tsaclient.Connection
	roots       []string
	systemRoots bool
	asking      asking
}

func (o *stamping) flags(cmd *cobra.Command) {
	o.connection.Flags(cmd, "timestamp-")
	f := cmd.Flags()
	f.StringArrayVar(&o.roots, "timestamp-root-cert", nil, "the root certificate of the timestamp authority, in this PEM or DER `file`; repeat it for those of several authorities")
	f.BoolVar(&o.systemRoots, "timestamp-system-roots", false, "trust the system's roots for the timestamp authority, instead of --timestamp-root-cert")
	o.asking.flags(cmd)
}

// stamper returns what asks for timestamps, nil if none is wanted.
func (o *stamping) stamper(env *cli.Env) (*countersign.Stamper, error) {
	given, err := o.connection.Given()
	if err != nil {
		return nil, err
	}
	trusts := len(o.roots) > 0 || o.systemRoots
	switch {
	case !given && !trusts && o.asking.given():
		return nil, cli.Usagef("--crl, --offline and --no-cache are about the timestamp authority: they go with --timestamp-url")
	case !given && !trusts:
		return nil, nil
	case !given:
		return nil, cli.Usagef("--timestamp-root-cert goes with --timestamp-url; without both there is no timestamp")
	case !trusts:
		return nil, cli.Hint(cli.Usagef("--timestamp-url without the root certificate of the authority"), "name it with --timestamp-root-cert FILE, or trust the system's with --timestamp-system-roots")
	case len(o.roots) > 0 && o.systemRoots:
		return nil, cli.Usagef("--timestamp-root-cert and --timestamp-system-roots exclude each other")
	}
	checker := &countersign.Checker{Config: countersign.Config{Cache: &countersign.Cache{}}}
	if o.systemRoots {
		if checker.Roots, err = countersign.SystemRoots(env.Getenv); err != nil {
			return nil, err
		}
	}
	for _, file := range o.roots {
		root, err := readRoot(env, file)
		if err != nil {
			return nil, err
		}
		checker.Roots = append(checker.Roots, root)
	}
	if checker.Revocation, err = o.asking.fetcher(env); err != nil {
		return nil, err
	}
	clients, err := o.connection.Clients(env)
	if err != nil {
		return nil, err
	}
	return &countersign.Stamper{Clients: clients, Checker: checker}, nil
}

// maxRoot is the longest file with one certificate, in bytes.
const maxRoot = 64 << 10

func readRoot(env *cli.Env, file string) (*x509.Certificate, error) {
	data, err := env.ReadFile(file, maxRoot)
	if err != nil {
		return nil, err
	}
	root, err := countersign.ReadRoot(data)
	if err != nil {
		return nil, &worded{file + ": " + notary.Detail(err), err}
	}
	return root, nil
}

// pairs reads KEY=VALUE flags.
func pairs(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		switch _, twice := out[key]; {
		case !ok || key == "":
			return nil, cli.Usagef("--%s %q is not KEY=VALUE", flag, text)
		case twice:
			return nil, cli.Usagef("--%s: %q is given twice", flag, key)
		}
		out[key] = value
	}
	return out, nil
}

// required returns what asks for timestamps, for a command that does nothing
// else.
func (o *stamping) required(env *cli.Env) (*countersign.Stamper, error) {
	stamper, err := o.stamper(env)
	if err == nil && stamper == nil {
		err = cli.Usagef("--timestamp-url and --timestamp-root-cert are missing")
	}
	return stamper, err
}
