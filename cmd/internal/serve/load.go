package serve

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/access"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Options are what [Load] needs besides the configuration.
type Options struct {
	// LookupEnv finds environment variables that a key URI names. Nil: none.
	LookupEnv func(string) (string, bool)
	// Files are watched besides those that the configuration names: its own.
	Files []string
	// Warn is told what should be mended but does not keep the server from
	// starting. Nil is not called.
	Warn func(text string)
	// Process keeps the clock and the record of issue from one Load to the next.
	// Nil: a new one is made.
	Process *Process
	// CheckOnly leaves the history of chains as it is, and does not make its
	// folder.
	CheckOnly bool
	// Log and Build are those of the [Config].
	Log   *slog.Logger
	Build cli.Build
}

// Load opens all that a configuration names, keys, chain and TLS files, and
// checks it: the key must fit the chain and make a signature. It listens
// nowhere. Its errors say which setting is at fault.
func Load(ctx context.Context, conf *config.Config, opts Options) (Config, error) {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	if opts.Process == nil {
		opts.Process = NewProcess(opts.Log)
	}
	cfg := Config{
		Log:             opts.Log,
		Build:           opts.Build,
		MaxRequest:      int64(conf.Limits.MaxRequest),
		MaxConcurrent:   conf.Limits.Concurrency,
		MaxQueue:        conf.Limits.Queue,
		SignConcurrency: conf.Limits.SignConcurrency,
		Created:         conf.HTTP.Created,
		Refusals:        conf.HTTP.RefusalFormat.RefusalFormat,
		RequestIDHeader: conf.HTTP.RequestIDHeader,
		ShutdownTimeout: time.Duration(conf.Limits.ShutdownTimeout),
	}
	cfg.Watch(append(conf.Files(), opts.Files...))
	cfg.DrainDelay, cfg.Process = time.Duration(conf.Limits.DrainDelay), opts.Process
	for _, section := range opts.Process.changed(conf) {
		opts.Warn(section + ": changed, which takes effect with the next start")
	}
	cfg.own, cfg.digest = opts.Files, digestOf(opts.Files)
	cfg.Reload.Every = conf.Watch.Or(DefaultWatch)
	if conf.HTTP.CORS != nil && !*conf.HTTP.CORS {
		cfg.CORS = CORSNone
	}
	if err := loadListeners(conf, &cfg, opts); err != nil {
		return Config{}, err
	}
	var err error
	if cfg.Access, err = access.New(conf.Clients.Access()); err != nil {
		return Config{}, err
	}
	cfg.Limited = conf.Clients != nil
	if !opts.CheckOnly {
		if err := opts.Process.OpenAudit(conf.Audit, opts.Build); err != nil {
			return Config{}, fmt.Errorf("audit: %w", err)
		}
	}
	if err := opts.Process.OpenTraces(conf.Traces, opts.Build); err != nil {
		return Config{}, fmt.Errorf("traces: %w", err)
	}
	clock, err := opts.Process.Clock(ctx, conf.TSA.Clock)
	if err != nil {
		return Config{}, err
	}
	if c := conf.TSA.Clock; c == nil || c.Source == config.ClockSystem {
		opts.Warn(fmt.Sprintf("the clock is not monitored: its error is taken to be at most %v", clock.declared))
	}
	if c := conf.TSA.Clock; c != nil && c.Source == config.ClockNTP && len(c.Servers) < outvoting {
		opts.Warn(fmt.Sprintf("tsa.clock.servers: of fewer than %d time servers nobody outvotes one that is wrong", outvoting))
	}
	cfg.UseClock(clock, time.Duration(conf.TSA.Accuracy))
	if cfg.TSA, err = loadTSA(ctx, conf, opts); err != nil {
		opts.Process.drop(clock)
	}
	return cfg, err
}

// outvoting is how many time servers it takes for one of them to be wrong without
// effect.
const outvoting = 3

func loadListeners(conf *config.Config, cfg *Config, opts Options) error {
	base := Listener{
		Flag:        "--listen",
		Connections: conf.Limits.Connections,
		PerAddress:  conf.Limits.ConnectionsPerAddress,
		Streams:     conf.Limits.Streams,
		UnixMode:    fs.FileMode(conf.UnixMode),
		MaxHeader:   int(conf.Limits.MaxHeader),
		Timeouts: Timeouts{
			ReadHeader: time.Duration(conf.Limits.ReadHeaderTimeout),
			Read:       time.Duration(conf.Limits.ReadTimeout),
			Write:      time.Duration(conf.Limits.WriteTimeout),
			Idle:       time.Duration(conf.Limits.IdleTimeout),
		},
	}
	for _, a := range conf.Listen {
		l := base
		l.Network, l.Address = a.Network(), a.Listen()
		if a.Scheme == config.SchemeHTTPS || a.Scheme == config.SchemeSystemd && conf.TLS != nil {
			files := TLSFiles{Certificate: string(conf.TLS.Certificate), Key: string(conf.TLS.Key), ClientCA: string(conf.TLS.ClientCA), Warn: opts.Warn}
			if conf.TLS.ClientAuth.Optional {
				files.ClientAuth = ClientAuthOptional
			}
			t, err := LoadTLS(files)
			if err != nil {
				return err
			}
			l.TLS = t
		}
		cfg.Listeners = append(cfg.Listeners, l)
	}
	if !conf.Admin.Off {
		cfg.Admin = &Listener{Network: conf.Admin.Network(), Address: conf.Admin.Listen(), Flag: "--admin"}
	}
	return nil
}

// defaultSignTimeout is how long a key elsewhere may take; see
// config.Limits.SignTimeout.
const defaultSignTimeout = 10 * time.Second

func loadTSA(ctx context.Context, conf *config.Config, opts Options) (_ *tsa.TSA, err error) {
	t := conf.TSA
	l := &loader{conf: conf, opts: opts, timeout: time.Duration(conf.Limits.SignTimeout)}
	if l.timeout == 0 {
		l.timeout = defaultSignTimeout
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.closeAll())
		}
	}()
	cfg := tsa.Config{Clock: opts.Process, SignTimeout: l.timeout, Announce: t.AnnounceTime(), Log: opts.Log, Event: opts.Process.Event}
	cfg.Policies = append(cfg.Policies, t.Policy.OID)
	for _, p := range t.AcceptedPolicies {
		cfg.Policies = append(cfg.Policies, p.OID)
	}
	if t.History != "" {
		open := tsa.OpenHistory
		if opts.CheckOnly {
			open = tsa.FindHistory
		}
		if cfg.History, err = open(string(t.History)); err != nil {
			return nil, fmt.Errorf("tsa.history: %w", err)
		}
		if st, err := os.Stat(string(t.History)); err == nil && st.Mode().Perm()&0o002 != 0 && filepath.Separator == '/' {
			opts.Warn(fmt.Sprintf("tsa.history: every user of this machine can write to %s, and what is there is published as a chain of this authority; chmod o-w %s", t.History, t.History))
		}
	}
	if cfg.Past, err = loadChains("tsa.past-chains", t.PastChains); err != nil {
		return nil, err
	}
	if cfg.Announced, err = loadChains("tsa.announced-chains", t.AnnouncedChains); err != nil {
		return nil, err
	}
	if t.Delegate != nil {
		if cfg.Delegate, err = l.delegate(ctx); err != nil {
			return nil, err
		}
		return tsa.New(ctx, cfg)
	}
	if cfg.Units, err = l.units(ctx); err != nil {
		return nil, err
	}
	return tsa.New(ctx, cfg)
}

func loadChains(setting string, files []config.Path) ([][]*x509.Certificate, error) {
	var all [][]*x509.Certificate
	for _, file := range files {
		chain, err := loadChain(string(file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		all = append(all, chain)
	}
	return all, nil
}

// A ChainFile is the file of a chain and what the chain must be fit for.
type ChainFile struct {
	Setting string // that names the file, for errors
	Path    string
	// EnforceIntermediateEKU demands intermediates that are limited to
	// timestamping.
	EnforceIntermediateEKU bool
	Warn                   func(text string) // gets what some clients refuse
	// Role is what the chain is for. "": pki.RoleTSA.
	Role pki.Role
}

// Read reads the chain of a timestamp authority. It is not checked. One that is
// out of order is put in order, and is warned about.
func (f ChainFile) Read() ([]*x509.Certificate, error) {
	data, err := new(cli.Env).ReadFile(f.Path, pki.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Setting, err)
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", f.Setting, f.Path, err)
	}
	asWritten, err := pki.ParseCertificates(data)
	if err == nil && !slices.EqualFunc(chain, asWritten, (*x509.Certificate).Equal) {
		f.Warn(fmt.Sprintf("%s: %s is not in order, the leaf first and each issuer after it; it is used in that order, but other programs may refuse it", f.Setting, f.Path))
	}
	return chain, nil
}

// Check refuses a chain that no client would trust, or that is not that of the
// signer with the key.
func (f ChainFile) Check(chain []*x509.Certificate, key crypto.PublicKey) error {
	role := f.Role
	if role == "" {
		role = pki.RoleTSA
	}
	report := pki.Check(chain, pki.CheckOptions{Role: role, PublicKey: key, EnforceIntermediateEKU: f.EnforceIntermediateEKU})
	if err := report.Err(); err != nil {
		return cli.Hint(fmt.Errorf("%s: %s: %w", f.Setting, f.Path, err), "%q shows all that is wrong with a chain",
			fmt.Sprintf("fencepost cert check --role %s %s", role, f.Path))
	}
	for _, finding := range report.Findings {
		if finding.Severity == pki.Warning {
			f.Warn(fmt.Sprintf("%s: %s", f.Setting, finding))
		}
	}
	return nil
}

func loadChain(path string) ([]*x509.Certificate, error) {
	data, err := new(cli.Env).ReadFile(path, pki.MaxFileSize)
	if err != nil {
		return nil, err
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain, nil
}

// developmentChain makes the chain of a key in memory. Its names say what it
// is worth.
func developmentChain(ctx context.Context, key signer.Signer) ([]*x509.Certificate, error) {
	return NewChain(ctx, key, pkix.Name{Organization: []string{"development, do not trust"}, CommonName: "Fencepost development TSA"})
}

// NewChain makes a root and an intermediate with keys that are forgotten at
// once, and has them certify key: nobody can ever issue another certificate in
// their name.
func NewChain(ctx context.Context, key signer.Signer, subject pkix.Name) ([]*x509.Certificate, error) {
	var once [2]crypto.Signer
	for i := range once {
		k, err := signer.Generate(signer.P256)
		if err != nil {
			return nil, err
		}
		once[i] = signer.Crypto(ctx, k)
	}
	return pki.CreateChain(pki.ChainConfig{
		Role: pki.RoleTSA, Subject: subject,
		RootKey: once[0], IntermediateKey: once[1], LeafKey: key.Public(),
	})
}
