package peerserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// maxBody is the greatest --max-request-body-size: a request has some 200
// bytes, and each of those under way may take this much memory.
const maxBody = 1 << 30

// server is what the flags describe, ready to run.
type server struct {
	cfg   serve.Config
	log   *serve.LogWriter
	pprof net.Listener // nil: none
}

// build opens the key and all else that the flags name.
func (o *options) build(ctx context.Context) (_ *server, err error) {
	switch {
	case o.logType != "dev" && o.logType != "prod":
		return nil, cli.Usagef("--log-type %q is neither dev nor prod", o.logType)
	case o.maxBody == 0:
		return nil, cli.Usagef("--max-request-body-size 0 would let each request take all memory; give a number of bytes")
	case o.maxBody > maxBody:
		return nil, cli.Usagef("--max-request-body-size %d is more than %d", o.maxBody, maxBody)
	case o.signTimeout <= 0:
		return nil, cli.Usagef("--sign-timeout %v is not a time in which a key can sign", o.signTimeout)
	case o.announce < 0:
		return nil, cli.Usagef("--announce %v is negative; 0 is not at all", o.announce)
	}
	if err := config.CheckRequestIDHeader(o.requestID); err != nil {
		return nil, cli.Usagef("--http-request-id-header-name: %w", err)
	}
	s := &server{log: serve.NewLogWriter(o.env.Stderr)}
	o.log = serve.NewLogger(s.log, serve.LogConfig{Text: o.logType == "dev", Sigstore: o.logType == "prod"})
	o.flush()
	s.cfg = serve.Config{
		Log:             o.log,
		Build:           cli.ReadBuild(),
		MaxRequest:      int64(o.maxBody),
		Created:         o.created,
		RequestIDHeader: o.requestID,
		ShutdownTimeout: o.graceful,
	}
	if o.refusals.String() == "json" {
		s.cfg.Refusals = tsphttp.RefusalJSON
	}
	s.cfg.Watch(o.files())
	o.process = serve.NewProcess(o.log)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.process.Close())
		}
	}()
	if err := o.process.OpenAudit(o.audit(), s.cfg.Build); err != nil {
		return nil, fmt.Errorf("--audit-dir: %w", err)
	}
	if err := o.setClock(ctx, &s.cfg); err != nil {
		return nil, err
	}
	if s.cfg.TSA, err = o.tsa(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.cfg.TSA.Close())
		}
	}()
	if s.cfg.Listeners, err = o.listeners(); err != nil {
		return nil, err
	}
	if s.cfg.Admin, err = o.admin(); err != nil {
		return nil, err
	}
	if o.signer.String() != "memory" {
		s.cfg.Reload.Load, s.cfg.Reload.Every = o.reload, serve.DefaultWatch
	}
	if o.enablePprof {
		s.pprof = o.profiles()
	}
	if err := s.cfg.TSA.Ready(ctx); err != nil {
		o.warn("no timestamps for now: %v", err)
	}
	return s, nil
}

// reload reads the files again that the flags name: the key, the chain, the
// certificate of https.
func (o *options) reload(ctx context.Context) (serve.Config, error) {
	var next serve.Config
	next.Watch(o.files())
	if err := o.setClock(ctx, &next); err != nil {
		return next, err
	}
	var err error
	if next.TSA, err = o.tsa(ctx); err != nil {
		return next, err
	}
	if next.Listeners, err = o.listeners(); err != nil {
		err = errors.Join(err, next.TSA.Close())
	}
	return next, err
}

// audit is where the record of issue is kept, nil for nowhere.
func (o *options) audit() *config.Audit {
	if o.auditDir == "" {
		return nil
	}
	a := &config.Audit{Dir: config.Path(o.auditDir)}
	a.Complete()
	return a
}

// tsa makes the authority.
func (o *options) tsa(ctx context.Context) (_ *tsa.TSA, err error) {
	key, chain, err := o.identity(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, key.Close())
		}
	}()
	cfg := authority.Config{
		Signer:  key,
		Chain:   chain,
		Clock:   o.process,
		Record:  o.process.Record("primary", chain[0]),
		Include: authority.IncludeLeaf,
		Digest:  serve.DigestFor(key, o.digest()),
	}
	if o.includeChain {
		cfg.Include = authority.IncludeRoot
		if top := chain[len(chain)-1]; !bytes.Equal(top.RawIssuer, top.RawSubject) {
			cfg.Include = authority.IncludeChain // all that there is
		}
	}
	policy, err := config.ParseOID(o.defaultPolicy)
	if err != nil {
		return nil, cli.Usagef("--default-policy-oid: %w", err)
	}
	cfg.Policy = policy.OID
	policies := []x509.OID{policy.OID}
	for _, text := range o.acceptedPolicies {
		p, err := config.ParseOID(text)
		if err != nil {
			return nil, cli.Usagef("--accepted-policy-oids: %w", err)
		}
		if !slices.ContainsFunc(policies, p.Equal) {
			policies = append(policies, p.OID)
		}
	}
	cfg.AcceptedPolicies = policies[1:]
	a, err := authority.New(cfg)
	if err != nil {
		return nil, err
	}
	return tsa.New(ctx, tsa.Config{
		Units: []tsa.Unit{serve.Unit(key, a)}, Clock: o.process, Policies: policies,
		SignTimeout: o.signTimeout, Announce: o.announce, Log: o.log, Event: o.process.Event,
	})
}

// listeners are those of --scheme.
func (o *options) listeners() ([]serve.Listener, error) {
	var all []serve.Listener
	seen := map[string]bool{}
	for _, scheme := range o.schemes {
		if seen[scheme] {
			continue
		}
		seen[scheme] = true
		l := serve.Listener{
			Connections: o.limit,
			// The namesake has no such limit and knows no proxies, behind which it
			// is with one address for all clients.
			PerAddress: -1,
			MaxHeader:  int(min(o.maxHeader, 1<<30)),
			Timeouts:   serve.Timeouts{Read: o.read, Write: o.write, Idle: o.cleanup, KeepAlive: o.keepAlive},
		}
		var err error
		switch scheme {
		case "http":
			l.Flag, l.PingOnly = "--host and --port", o.pingOnly
			l.Address, err = address("--host", o.host, "--port", o.port)
		case "https":
			l.Flag = "--tls-host and --tls-port"
			l.Connections = o.tlsLimit
			l.Timeouts.Read, l.Timeouts.Write, l.Timeouts.KeepAlive = o.tlsRead, o.tlsWrite, o.tlsKeepAlive
			if o.tlsCertificate == "" || o.tlsKey == "" {
				return nil, cli.Usagef("--scheme https needs --tls-certificate and --tls-key")
			}
			if l.TLS, err = serve.LoadTLS(serve.TLSFiles{Certificate: o.tlsCertificate, Key: o.tlsKey, ClientCA: o.tlsClientCAs, Warn: o.warning}); err != nil {
				return nil, err
			}
			l.Address, err = address("--tls-host", o.tlsHost, "--tls-port", o.tlsPort)
		case "unix":
			l.Flag, l.Network, l.Address = "--socket-path", "unix", o.socket
			if o.socket == "" {
				err = cli.Usagef("--scheme unix needs --socket-path")
			}
		default:
			err = cli.Usagef("--scheme %q is none of http, https, unix", scheme)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if !seen["https"] && (o.tlsCertificate != "" || o.tlsKey != "" || o.tlsClientCAs != "") {
		return nil, cli.Hint(cli.Usagef("--tls-certificate, --tls-key and --tls-ca go with https, and nothing would be encrypted"), "give --scheme https")
	}
	if len(all) == 0 {
		return nil, cli.Usagef("--scheme names nothing to listen for")
	}
	return all, nil
}

// address joins a host and a port. An empty host would be all interfaces, which
// somebody who wants that can say.
func address(hostFlag, host, portFlag string, port int) (string, error) {
	if host == "" {
		return "", cli.Usagef("%s is empty; all interfaces are 0.0.0.0 or ::", hostFlag)
	}
	if port < 0 || port > 65535 {
		return "", cli.Usagef("%s %d is not a port", portFlag, port)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// admin is the administrative listener. Whoever did not ask for an address can
// do without when it is taken, so that there can be two servers on one
// machine.
func (o *options) admin() (*serve.Listener, error) {
	a, err := config.ParseAdminAddress(o.metrics)
	switch {
	case err != nil:
		return nil, cli.Usagef("--metrics-address: %w", err)
	case a.Off:
		return nil, nil
	}
	l := &serve.Listener{Network: a.Network(), Address: a.Listen(), Flag: "--metrics-address"}
	if !o.given("metrics-address") {
		if err := free(l.Address); errors.Is(err, syscall.EADDRINUSE) {
			o.warn("there are no metrics: another program listens on %s; --metrics-address names another address, or off", l.Address)
			return nil, nil
		}
	}
	return l, nil
}

// free tries to listen on an address.
func free(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// pprofAddress is where the namesake has its profiles, but for this machine
// only.
const pprofAddress = "127.0.0.1:6060"

// profiles listens for --enable-pprof. Profiles are not worth ending for.
func (o *options) profiles() net.Listener {
	l, err := net.Listen("tcp", pprofAddress)
	if err != nil {
		o.warn("no profiles there: %v", err)
		return nil
	}
	return l
}
