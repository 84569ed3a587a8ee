// Package peerserver is timestamp-server: it takes the flags, the environment
// and the configuration file of its namesake in sigstore/timestamp-authority,
// and runs the server of this module with them.
//
// What would weaken the server in silence is an error here: a flag of the
// namesake that is not built yet, a key of the configuration file that is not
// a flag, an environment variable that looks like a flag and is none, a signer
// whose key is missing.
package peerserver

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
)

// DefaultPolicy is the policy of the Sigstore timestamp authority.
const DefaultPolicy = "1.3.6.1.4.1.57264.2"

// DefaultMetrics is where metrics are found. The namesake has the same port on
// all interfaces.
const DefaultMetrics = "127.0.0.1:2112"

// New returns the root command.
func New(env *cli.Env) *cobra.Command {
	o := &options{env: env}
	root := &cobra.Command{
		Use:   "timestamp-server",
		Short: "Timestamp authority service",
		Long: `An RFC 3161 timestamp authority over HTTP.

Each flag may also be given in the configuration file, by its name, and the host,
the port and the scheme by the environment variables HOST, PORT and SCHEME, those
of https by TLS_HOST, TLS_PORT, TLS_CERTIFICATE, TLS_PRIVATE_KEY and
TLS_CA_CERTIFICATE.`,
	}
	o.flags(root.PersistentFlags())
	root.AddCommand(&cobra.Command{
		Use:   "serve",
		Short: "Serve timestamps until told to stop",
		Long: `Serve timestamps until told to stop by SIGINT or SIGTERM. Requests that are under
way are answered first. SIGHUP has the server read the key, the chain and the
certificate of https again; they are also looked at every ten seconds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.settings(cmd.Flags()); err != nil {
				o.flush()
				return err
			}
			hangups := serve.Hangups(cmd.Context()) // one that comes while it starts does not end it
			manager, err := serve.FindManager(env.LookupEnv)
			if err != nil {
				o.flush()
				return err
			}
			s, err := o.build(cmd.Context())
			if err != nil {
				o.flush()
				return err
			}
			s.cfg.Sockets, s.cfg.Notify, s.cfg.Watchdog = manager.Sockets, manager.Notify, manager.Watchdog
			env.Drain()
			return s.run(cmd.Context(), hangups)
		},
	})
	peer.Root(env, root)
	return root
}

// options are the flags, under the names of the namesake.
type options struct {
	env     *cli.Env
	given   func(flag string) bool // it is not the default
	log     *slog.Logger           // nil until the flags are known
	before  []remark               // what was to be said before that
	process *serve.Process         // the clock and the record of issue

	config, logType                      string
	enablePprof, pingOnly                bool
	enforceEKU, created, includeChain    bool
	signer, signerHash                   *peer.Value
	chain, keyFile, keyPasswd            string
	keyPasswdFile                        string
	kmsKeyResource                       string
	tinkKeyResource, tinkKeyset          string
	tinkToken, tinkTokenFile             string
	announce, signTimeout                time.Duration
	requestID                            string
	maxBody                              uint64
	defaultPolicy                        string
	acceptedPolicies                     []string
	disableNTP                           bool
	ntpFile, auditDir                    string
	unmonitored                          bool // it was said that nothing monitors the clock
	refusals                             *peer.Value
	metrics                              string
	schemes                              []string
	host, tlsHost, socket                string
	port, tlsPort                        int
	limit, tlsLimit                      int
	keepAlive, tlsKeepAlive              time.Duration
	read, write, tlsRead, tlsWrite       time.Duration
	cleanup, graceful                    time.Duration
	maxHeader                            peer.Size
	tlsCertificate, tlsKey, tlsClientCAs string
}

// unbuilt are flags of the namesake that stand for something that is not built
// yet, and what to do instead.
var unbuilt = map[string]string{
	"allow-custom-extensions": "extensions are not copied into timestamps: leave the flag out, and requests with extensions are refused",
}

// flags defines all flags. Their names and defaults are those of the namesake,
// but for the last few.
func (o *options) flags(f *pflag.FlagSet) {
	o.signer = peer.OneOf("string", "memory", "file", "kms", "tink")
	o.signerHash = peer.OneOf("string", "sha256", "sha384", "sha512")
	o.refusals = peer.OneOf("string", "rfc3161", "json")
	o.maxHeader = 1e6
	const notBuilt = "not built in yet; refused if it is given"

	f.StringVar(&o.config, "config", "", "read flags from this YAML `file` (default timestamp-server.yaml or .timestamp-server.yaml in $HOME, or timestamp-server.yaml here, if it is there)")
	f.StringVar(&o.logType, "log-type", "dev", "how the log is written: dev is text, prod is JSON with the keys severity, ts and message")
	f.BoolVar(&o.enablePprof, "enable-pprof", false, "serve profiles on 127.0.0.1:6060 too; they are at --metrics-address in any case")
	f.BoolVar(&o.pingOnly, "http-ping-only", false, "serve only /ping over http, and everything over https and the socket")
	f.BoolVar(&o.enforceEKU, "enforce-intermediate-eku", true, "demand that intermediate certificates are limited to timestamping")
	f.BoolVar(&o.created, "use-http-201", false, "answer granted requests with status 201 instead of 200")
	f.Var(o.signer, "timestamp-signer", "where the key is: memory (made now, for tests: nothing can be trusted after a restart), file, kms or tink")
	f.Var(o.signerHash, "timestamp-signer-hash", "the hash of the signature: sha256, sha384 or sha512. If it is not given it follows the key: sha384 for P-384, sha512 for P-521 and Ed25519")
	f.BoolVar(&o.includeChain, "include-chain-in-response", false, "put the whole chain into timestamps, root included, instead of the authority's certificate alone")
	f.StringVar(&o.kmsKeyResource, "kms-key-resource", "", "the `URI` of the key of --timestamp-signer kms: awskms://, gcpkms://, azurekms://, hashivault://, openbao:// or pkcs11:")
	f.StringVar(&o.tinkKeyResource, "tink-key-resource", "", "the `URI` of the key that decrypts the keyset of --timestamp-signer tink: gcp-kms://, aws-kms:// or hcvault://")
	f.StringVar(&o.tinkKeyset, "tink-keyset-path", "", "the `file` with the encrypted keyset")
	f.StringVar(&o.tinkToken, "tink-hcvault-token", "", "the token for hcvault://; every user of this machine can read it here, so use --tink-hcvault-token-file")
	f.StringVar(&o.chain, "certificate-chain-path", "", "the PEM `file` with the certificate chain of the key, the authority's certificate first")
	f.StringVar(&o.keyFile, "file-signer-key-path", "", "the PEM `file` with the key of --timestamp-signer file: PKCS #1, PKCS #8 or SEC 1, encrypted or not")
	f.StringVar(&o.keyPasswd, "file-signer-passwd", "", "the password of the key; every user of this machine can read it here, so use --file-signer-passwd-file")
	f.StringVar(&o.ntpFile, "ntp-monitoring", "", "file that names time servers; while too few of them agree, or the clock is off, nothing is issued")
	f.BoolVar(&o.disableNTP, "disable-ntp-monitoring", false, "say that nothing monitors the system clock, which is so without --ntp-monitoring, and is otherwise warned about")
	f.StringVar(&o.requestID, "http-request-id-header-name", "X-Request-Id", "the header with the identifier of a request, taken and given back")
	f.Uint64Var(&o.maxBody, "max-request-body-size", 1<<20, "the longest body of a request, in bytes; at least 1")
	f.DurationVar(&o.cleanup, "cleanup-timeout", 620*time.Second, "how long a connection may be idle")
	f.StringVar(&o.defaultPolicy, "default-policy-oid", DefaultPolicy, "the policy of timestamps whose request names none; always accepted")
	f.StringSliceVar(&o.acceptedPolicies, "accepted-policy-oids", []string{DefaultPolicy}, "the policies that a request may name")
	f.Bool("allow-custom-extensions", false, notBuilt)

	f.StringSliceVar(&o.schemes, "scheme", []string{"http"}, "what to listen for: http, https, unix; may be repeated")
	f.DurationVar(&o.graceful, "graceful-timeout", 15*time.Second, "how long requests may take to end when the server is told to stop")
	f.Var(&o.maxHeader, "max-header-size", "the longest request line and header together, such as 64KiB")
	f.StringVar(&o.socket, "socket-path", "/var/run/todo-list.sock", "the socket of --scheme unix")
	f.StringVar(&o.host, "host", "localhost", "the address to listen on for http; 0.0.0.0 is all of IPv4")
	f.IntVar(&o.port, "port", 0, "the port for http; 0 is any free one")
	f.IntVar(&o.limit, "listen-limit", 0, "how many http connections may be open; 0 is 4096, -1 no limit")
	f.DurationVar(&o.keepAlive, "keep-alive", 3*time.Minute, "the time between TCP probes of an http connection")
	f.DurationVar(&o.read, "read-timeout", 30*time.Second, "how long an http request may take to arrive")
	f.DurationVar(&o.write, "write-timeout", 30*time.Second, "how long an http answer may take to be sent")
	f.StringVar(&o.tlsHost, "tls-host", "localhost", "the address to listen on for https")
	f.IntVar(&o.tlsPort, "tls-port", 0, "the port for https; 0 is any free one")
	f.StringVar(&o.tlsCertificate, "tls-certificate", "", "the PEM `file` with the server's certificate")
	f.StringVar(&o.tlsKey, "tls-key", "", "the PEM `file` with its key, not encrypted")
	f.StringVar(&o.tlsClientCAs, "tls-ca", "", "the PEM `file` of CAs, one of which must have issued the certificate of each client")
	f.IntVar(&o.tlsLimit, "tls-listen-limit", 0, "how many https connections may be open; 0 is 4096, -1 no limit")
	f.DurationVar(&o.tlsKeepAlive, "tls-keep-alive", 3*time.Minute, "the time between TCP probes of an https connection")
	f.DurationVar(&o.tlsRead, "tls-read-timeout", 30*time.Second, "how long an https request may take to arrive")
	f.DurationVar(&o.tlsWrite, "tls-write-timeout", 30*time.Second, "how long an https answer may take to be sent")

	// These are our own.
	f.StringVar(&o.keyPasswdFile, "file-signer-passwd-file", "", "the password of the key, in this `file` of one line")
	f.StringVar(&o.tinkTokenFile, "tink-hcvault-token-file", "", "the token for hcvault://, in this `file` of one line")
	f.DurationVar(&o.announce, "announce", 24*time.Hour, "how long a new chain is published before it is used; 0 is not at all")
	f.DurationVar(&o.signTimeout, "sign-timeout", 10*time.Second, "how long a key outside this process may take")
	f.StringVar(&o.metrics, "metrics-address", DefaultMetrics, "the address of metrics, profiles and the details of readiness, or off. The default one is left out, with a warning, if another program has it")
	f.StringVar(&o.auditDir, "audit-dir", "", "folder for the record of issue, in which each timestamp is before it is released (default: none)")
	f.Var(o.refusals, "refusal-format", "how requests in DER are refused: rfc3161 (a TimeStampResp, status 200) or json (an HTTP error, as the namesake does)")
}

// settings sets the flags that the command line does not, and refuses those
// that would do nothing.
func (o *options) settings(flags *pflag.FlagSet) error {
	onCommandLine := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { onCommandLine[f.Name] = true })
	if err := peer.Apply(flags, peer.Environment(o.env, flags, variables)); err != nil {
		return err
	}
	file := o.config
	if file == "" {
		file = peer.Find(o.places())
		if file != "" {
			o.say(slog.LevelInfo, "using the configuration file "+file)
		}
	}
	if file != "" {
		fromFile, err := peer.ReadFile(file, func(name string) bool { return flags.Lookup(name) != nil })
		if err != nil {
			return err
		}
		if err := peer.Apply(flags, fromFile); err != nil {
			return err
		}
	}
	o.given = flags.Changed
	if err := o.lookalikes(flags); err != nil {
		return err
	}
	for _, secret := range []string{"file-signer-passwd", "tink-hcvault-token"} {
		if onCommandLine[secret] {
			o.warn("--%s is a secret on the command line, which every user of this machine can read", secret)
		}
	}
	return refuseUnbuilt(flags)
}

// places are where a configuration file is looked for: what the namesake says
// and what it does.
func (o *options) places() []string {
	var places []string
	if home := o.env.Getenv("HOME"); home != "" {
		for _, name := range []string{".timestamp-server.yaml", "timestamp-server.yaml", "timestamp-server.yml"} {
			places = append(places, filepath.Join(home, name))
		}
	}
	return append(places, "timestamp-server.yaml", "timestamp-server.yml")
}

// variables are those that hold a flag for the namesake. It takes the name of
// any flag in capitals, dashes and all, which few shells can set but a
// container's manifest can; and a few names for https.
func variables(flag string) []string {
	switch flag {
	case "config", "help", "json": // the namesake does not take CONFIG
		return nil
	case "tls-host":
		return []string{"TLS_HOST", "TLS-HOST", "HOST"}
	case "tls-port", "tls-certificate":
		return []string{underscored(flag), strings.ToUpper(flag)}
	case "tls-key":
		return []string{"TLS_PRIVATE_KEY", "TLS-KEY"}
	case "tls-ca":
		return []string{"TLS_CA_CERTIFICATE", "TLS-CA"}
	}
	return []string{strings.ToUpper(flag)}
}

func underscored(flag string) string {
	return strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// general are the flags whose names in capitals may well be variables of
// something else.
var general = []string{"config", "cleanup-timeout", "graceful-timeout", "keep-alive", "listen-limit", "log-type",
	"max-header-size", "read-timeout", "socket-path", "tls-ca", "tls-key", "tls-keep-alive", "tls-listen-limit",
	"tls-read-timeout", "tls-write-timeout", "write-timeout"}

// lookalikes refuses a variable such as TIMESTAMP_SIGNER, which someone set in
// the belief that it does something: with the namesake it does not, and a key in
// memory signs.
func (o *options) lookalikes(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := underscored(f.Name)
		if err != nil || f.Changed || f.Name == "help" || f.Name == "json" || slices.Contains(variables(f.Name), name) || o.env.Getenv(name) == "" {
			return
		}
		if slices.Contains(general, f.Name) {
			o.warn("the environment variable %s is not read; --%s is what sets it", name, f.Name)
			return
		}
		err = cli.Hint(fmt.Errorf("the environment variable %s looks like --%s and is not read", name, f.Name),
			"give --%s on the command line or in the configuration file, or unset the variable", f.Name)
	})
	return err
}

// refuseUnbuilt refuses by name what is not built yet.
func refuseUnbuilt(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if hint := unbuilt[f.Name]; err == nil && hint != "" && f.Value.String() != f.DefValue {
			err = cli.Hint(fmt.Errorf("--%s is not built in yet", f.Name), "%s", hint)
		}
	})
	return err
}

// A remark is something to say when there is a log.
type remark struct {
	level slog.Level
	text  string
}

// warn says what may be a mistake.
func (o *options) warn(format string, args ...any) {
	o.say(slog.LevelWarn, fmt.Sprintf(format, args...))
}

// warning is warn for a text that is complete.
func (o *options) warning(text string) { o.say(slog.LevelWarn, text) }

// say writes to the log, which for --log-type prod is JSON throughout, as soon
// as there is one.
func (o *options) say(level slog.Level, text string) {
	if o.log == nil {
		o.before = append(o.before, remark{level, text})
		return
	}
	o.log.Log(context.Background(), level, text)
}

// flush says what waits for a log, and without one says it plainly.
func (o *options) flush() {
	waiting := o.before
	o.before = nil
	for _, r := range waiting {
		switch {
		case o.log != nil:
			o.say(r.level, r.text)
		case r.level >= slog.LevelWarn:
			o.env.Warn("%s", r.text)
		default:
			o.env.Errorf("%s", r.text)
		}
	}
}
