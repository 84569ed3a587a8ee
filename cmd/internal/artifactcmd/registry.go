package artifactcmd

import (
	"context"
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
)

// maxPassword is the longest password, in bytes. Tokens of registries have some
// 3 KiB.
const maxPassword = 64 << 10

// registry are the flags that say how registries are reached.
type registry struct {
	layout        bool
	insecure      bool
	ca            string
	username      string
	passwordStdin bool
	referrersTag  bool
}

func (r *registry) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.layout, "oci-layout", false, "REF is an OCI image layout: DIRECTORY:TAG or DIRECTORY@DIGEST")
	f.BoolVar(&r.insecure, "insecure-registry", false, "speak plain HTTP to the registry, as is done to localhost")
	f.StringVar(&r.ca, "registry-ca", "", "trust the certificates in this PEM `file` for https to the registry, instead of the system's")
	f.StringVarP(&r.username, "username", "u", "", "log in to the registry as this `name`; needs --password-stdin or $"+passwordVariable)
	f.BoolVar(&r.passwordStdin, "password-stdin", false, "read the password of --username, or a token, from standard input")
}

// pushFlags are those of commands that store signatures.
func (r *registry) pushFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.referrersTag, "force-referrers-tag", false, "list the signature under a tag, as old registries need it, without trying the referrers API")
}

// passwordVariable has the password of --username.
const passwordVariable = "FENCEPOST_PASSWORD"

// An artifact is what a reference names.
type artifact struct {
	repository *oci.Repository
	// name is the repository as it is shown, HOST/REPOSITORY or a directory.
	name string
	// target is the digest or the tag by which it was named.
	target  string
	subject oci.Descriptor
}

// String is the artifact, by its digest.
func (a *artifact) String() string { return a.name + "@" + a.subject.Digest.String() }

// warnOfTag warns of a tag by which the artifact was named. verb is what is done
// with it.
func (a *artifact) warnOfTag(env *cli.Env, verb string) {
	if _, err := digest.Parse(a.target); err != nil {
		env.Warn("always %s the artifact by its digest (@%s) rather than by a tag (:%s), because what a tag names can change", verb, a.subject.Digest, a.target)
	}
}

// open finds the artifact that ref names.
func (r *registry) open(ctx context.Context, env *cli.Env, dir directory.Dir, ref string) (*artifact, error) {
	cfg := oci.Config{
		UserAgent:    env.UserAgent(),
		ReferrersTag: r.referrersTag,
		Warn:         func(err error) { env.Warn("%v", err) },
		Progress:     transfers(env),
	}
	var a artifact
	if r.layout {
		if r.insecure || r.ca != "" || r.username != "" || r.passwordStdin {
			return nil, cli.Usagef("--oci-layout is on this machine: flags for registries do not go with it")
		}
		parsed, err := oci.ParseLayoutReference(ref)
		if err != nil {
			return nil, &cli.Error{Usage: true, Err: err}
		}
		if a.repository, err = oci.OpenLayout(parsed.Dir, cfg); err != nil {
			return nil, err
		}
		a.name, a.target = parsed.Dir, parsed.Target()
	} else {
		parsed, err := oci.ParseReference(ref)
		if err != nil {
			return nil, &cli.Error{Usage: true, Err: err}
		}
		if err := r.reach(env, dir, parsed.Host, &cfg); err != nil {
			return nil, err
		}
		if a.repository, err = oci.OpenRegistry(parsed, cfg); err != nil {
			return nil, err
		}
		a.name, a.target = parsed.Name(), parsed.Target()
	}
	var err error
	if a.subject, err = a.repository.Resolve(ctx, a.target); err != nil {
		return nil, err
	}
	return &a, nil
}

// reach says how to connect to the registry of one host.
func (r *registry) reach(env *cli.Env, dir directory.Dir, host string, cfg *oci.Config) error {
	settings, err := dir.Config()
	if err != nil {
		return err
	}
	for _, w := range settings.Warnings {
		env.Warn("%s: %v", directory.ConfigName, w)
	}
	if r.insecure || slices.Contains(settings.InsecureRegistries, host) {
		cfg.PlainHTTP = func(h string) bool { return h == host }
	}
	if r.ca != "" {
		roots, err := env.ReadRoots(r.ca)
		if err != nil {
			return err
		}
		cfg.TLS = &tls.Config{RootCAs: roots}
	}
	password, err := r.password(env)
	if err != nil {
		return err
	}
	if password != "" {
		cfg.Credential = oci.Static(host, oci.Credential{Username: r.username, Password: password})
		return nil
	}
	cfg.Credential = oci.DockerCredentials(oci.CredsConfig{LookupEnv: env.LookupEnv, Store: settings.CredsStore, Helpers: settings.CredHelpers})
	return nil
}

// password returns that of --username, "" without one.
func (r *registry) password(env *cli.Env) (string, error) {
	var password string
	switch {
	case r.passwordStdin:
		data, err := io.ReadAll(io.LimitReader(env.Stdin, maxPassword+1))
		if err != nil {
			return "", err
		}
		if len(data) > maxPassword {
			return "", cli.Usagef("the password on standard input has more than %d bytes", maxPassword)
		}
		password = strings.TrimRight(string(data), "\r\n")
		if password == "" {
			return "", cli.Usagef("--password-stdin is given, and standard input is empty")
		}
	case r.username != "":
		if password = env.Getenv(passwordVariable); password == "" {
			return "", cli.Hint(cli.Usagef("--username without a password"), "give it by --password-stdin or in $%s; docker login keeps one for longer", passwordVariable)
		}
	}
	return password, nil
}

// transfers returns what shows how far the transfer of a blob is, a line for
// each.
func transfers(env *cli.Env) func(oci.Transfer) {
	var mu sync.Mutex
	lines := map[string]*line{}
	return func(t oci.Transfer) {
		mu.Lock()
		defer mu.Unlock()
		l := lines[t.Digest.String()]
		if l == nil {
			verb := "fetching"
			if t.Push {
				verb = "pushing"
			}
			l = &line{Progress: env.Progress(verb+" "+t.Digest.String(), t.Total)}
			lines[t.Digest.String()] = l
		}
		l.Add(t.Done - l.done)
		l.done = t.Done
		if t.Done >= t.Total {
			l.End()
			delete(lines, t.Digest.String())
		}
	}
}

// line is a progress line, and how far it is.
type line struct {
	*cli.Progress
	done int64
}
