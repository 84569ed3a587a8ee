// Package servecmd is "fencepost serve": where the configuration comes from,
// what is said when it starts, and the rest is package serve.
//
// There are three ways to start, and exactly one has to be chosen, so that a
// variable that got lost or a volume that is not mounted never turns into a
// server with another identity:
//
//	serve --dev                     keys in memory, for trying things out
//	serve --data-dir DIR [--init]   key, chain and configuration in one folder
//	serve --config FILE             a configuration that names them
package servecmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// DevelopmentPolicy is the policy of --dev, of a new data directory, and of
// sigstore/timestamp-authority.
const DevelopmentPolicy = "1.3.6.1.4.1.57264.2"

// command holds the flags.
type command struct {
	env         *cli.Env
	dev, init   bool
	checkConfig bool
	dataDir     string
	configFile  string
	listen      []string
	admin       string
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	c := &command{env: env}
	cmd := &cobra.Command{
		Use:   "serve (--dev | --data-dir DIR [--init] | --config FILE)",
		Short: "Run the server",
		Long: `Run the server: a timestamp authority that answers RFC 3161 over HTTP.

  fencepost serve --dev                    keys in memory, on 127.0.0.1:3000
  fencepost serve --data-dir DIR --init    make a key and its chain in DIR, once
  fencepost serve --data-dir DIR           use them
  fencepost serve --config FILE            use what FILE names

Metrics, profiles and the details of readiness are on 127.0.0.1:2112.
SIGTERM or SIGINT ends the server when the requests under way are answered.
SIGHUP has it read its configuration again, with key, chain and TLS certificate;
with --dev it does nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.BoolVar(&c.dev, "dev", false, "make keys in memory; nobody should trust what they sign")
	f.StringVar(&c.dataDir, "data-dir", "", "folder with key, chain and configuration")
	f.BoolVar(&c.init, "init", false, "make them: the folder must be empty")
	f.StringVar(&c.configFile, "config", "", "configuration file")
	f.BoolVar(&c.checkConfig, "check-config", false, "load everything, keys too, and exit")
	f.StringSliceVar(&c.listen, "listen", nil, "address to listen on instead of the configured ones (default 127.0.0.1:3000)")
	f.StringVar(&c.admin, "admin", "", `address of the administrative listener, or "off" (default 127.0.0.1:2112)`)
	cli.Mirror(env, cmd, "dev", "data-dir", "init", "config", "listen", "admin")
	return cmd
}

func (c *command) run(ctx context.Context) error {
	conf, err := c.configuration(ctx)
	if err != nil {
		return err
	}
	if err := c.override(conf); err != nil {
		return err
	}
	log := serve.NewLogWriter(c.env.Stderr)
	defer log.Flush()
	// Once records in JSON are written, nothing else is: who collects them
	// could not read it.
	structured := conf.Log.Format != config.LogText && !c.checkConfig
	opts := serve.Options{
		LookupEnv: c.env.LookupEnv,
		Log:       serve.NewLogger(log, serve.LogConfig{Text: conf.Log.Format == config.LogText, Level: conf.Log.Level.Level}),
		Build:     cli.ReadBuild(),
		CheckOnly: c.checkConfig,
	}
	opts.Process = serve.NewProcess(opts.Log)
	defer opts.Process.Close()
	opts.Warn = func(text string) { c.env.Warn("%s", text) }
	if structured {
		opts.Warn = func(text string) {
			opts.Log.LogAttrs(ctx, slog.LevelWarn, "warning", slog.String("detail", text))
		}
	}
	if !c.dev {
		opts.Files = []string{c.ownFile()}
	}
	var hangups <-chan struct{}
	if !c.dev && !c.checkConfig {
		hangups = serve.Hangups(ctx) // one that comes while it starts does not end it
	}
	var manager serve.Manager
	if !c.checkConfig {
		if manager, err = serve.FindManager(c.env.LookupEnv); err != nil {
			return err
		}
	}
	cfg, err := serve.Load(ctx, conf, opts)
	if err != nil {
		return err
	}
	cfg.Sockets, cfg.Notify, cfg.Watchdog = manager.Sockets, manager.Notify, manager.Watchdog
	if err := cfg.TSA.Ready(ctx); err != nil {
		hint := ""
		if c := conf.TSA.Clock; errors.Is(err, tsp.TimeNotAvailable) && c != nil && c.Source == config.ClockKernel {
			hint = "; start a time service such as chronyd, or name time servers in the configuration (tsa.clock)"
		}
		opts.Warn(fmt.Sprintf("no timestamps for now: %v%s", err, hint))
	}
	if c.checkConfig {
		if err := cfg.TSA.Close(); err != nil {
			return err
		}
		return c.checked(conf)
	}
	if c.dev {
		signal.Ignore(syscall.SIGHUP)
		defer signal.Reset(syscall.SIGHUP)
	} else {
		cfg.Reload.Ask = hangups
		cfg.Reload.Load = func(ctx context.Context) (serve.Config, error) {
			c.init = false
			conf, err := c.configuration(ctx)
			if err != nil {
				return serve.Config{}, err
			}
			if err := c.override(conf); err != nil {
				return serve.Config{}, err
			}
			return serve.Load(ctx, conf, opts)
		}
	}
	cfg.Listening = func(a serve.Addresses) {
		// The answer of a server is where it can be found.
		if c.env.JSON {
			_ = c.env.WriteJSON(listeningJSON{Public: a.Public, Admin: a.Admin})
			return
		}
		if structured {
			return // there is a record of it
		}
		c.env.Errorf("listening on %s", strings.Join(a.Public, " "))
		if a.Admin != "" {
			c.env.Errorf("administration on %s", a.Admin)
		}
	}
	c.env.Drain()
	return serve.Run(ctx, cfg)
}

// listeningJSON is what --json writes when the listeners are open.
type listeningJSON struct {
	Public []string `json:"public"`          // URLs
	Admin  string   `json:"admin,omitempty"` // URL
}

// configuration finds the one that was chosen.
func (c *command) configuration(ctx context.Context) (*config.Config, error) {
	var chosen []string
	for _, way := range []struct {
		flag string
		set  bool
	}{{"--dev", c.dev}, {"--data-dir", c.dataDir != ""}, {"--config", c.configFile != ""}} {
		if way.set {
			chosen = append(chosen, way.flag)
		}
	}
	switch {
	case len(chosen) == 0:
		return nil, cli.Hint(cli.Usagef("nothing says which keys to use"),
			"--dev to try it out, --data-dir DIR --init to make keys once, --config FILE to name them")
	case len(chosen) > 1:
		return nil, cli.Hint(cli.Usagef("%s exclude each other", strings.Join(chosen, " and ")),
			"choose one; %s_ variables count as flags", strings.ToUpper(c.env.Program))
	case c.init && c.dataDir == "":
		return nil, cli.Usagef("--init needs --data-dir")
	case c.dev:
		return c.development()
	case c.dataDir != "":
		return c.data(ctx)
	}
	conf, err := config.Load(c.configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(fmt.Errorf("--config: %w", err), "without its configuration the server does not start; --dev needs none")
	}
	return conf, err
}

// ownFile is the configuration file.
func (c *command) ownFile() string {
	if c.dataDir != "" {
		return dataDir(c.dataDir).file(configName)
	}
	return c.configFile
}

// development is the configuration of --dev.
func (c *command) development() (*config.Config, error) {
	conf, err := config.Parse("--dev", []byte("tsa: {key: 'memory:p256', policy: "+DevelopmentPolicy+"}\nlog: {format: text}\n"))
	if err != nil {
		return nil, err
	}
	c.env.Warn("development mode: the keys are in memory and die with this process; nobody should trust these timestamps")
	return conf, nil
}

// override applies the flags that change a configuration.
func (c *command) override(conf *config.Config) error {
	if len(c.listen) > 0 {
		conf.Listen = nil
		for _, text := range c.listen {
			a, err := config.ParseAddress(text)
			if err != nil {
				return cli.Usagef("--listen: %w", err)
			}
			conf.Listen = append(conf.Listen, a)
		}
	}
	if c.admin != "" {
		a, err := config.ParseAdminAddress(c.admin)
		if err != nil {
			return cli.Usagef("--admin: %w", err)
		}
		conf.Admin = a
	}
	return conf.Check("command line")
}

// checkedJSON is what --check-config --json writes.
type checkedJSON struct {
	OK     bool     `json:"ok"`
	Listen []string `json:"listen"`
	Policy string   `json:"policy"`
}

func (c *command) checked(conf *config.Config) error {
	doc := checkedJSON{OK: true, Policy: conf.TSA.Policy.String()}
	for _, a := range conf.Listen {
		doc.Listen = append(doc.Listen, a.Listen())
	}
	if c.env.JSON {
		return c.env.WriteJSON(doc)
	}
	_, err := fmt.Fprintln(c.env.Stdout, "the configuration is good: the key fits the chain and signs")
	return err
}

// data is the configuration of a data directory.
func (c *command) data(ctx context.Context) (*config.Config, error) {
	dir := dataDir(c.dataDir)
	if c.init {
		if err := dir.create(ctx); err != nil {
			return nil, err
		}
		c.env.Errorf("made a key and its chain in %s; the root's key is used and not kept", c.dataDir)
		c.env.Errorf("the policy of the tokens is %s: name your own in %s", DevelopmentPolicy, dir.file(configName))
	}
	if err := dir.check(); err != nil {
		return nil, err
	}
	if st, err := os.Stat(c.dataDir); err == nil && st.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		c.env.Warn("%s is open to others than its owner (mode %04o)", c.dataDir, st.Mode().Perm())
	}
	return config.Load(dir.file(configName))
}
