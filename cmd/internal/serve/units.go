package serve

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A loader opens keys and makes authorities of them.
type loader struct {
	conf    *config.Config
	opts    Options
	timeout time.Duration
	opened  []*kms.Key // to be closed if not all goes well
}

func (l *loader) closeAll() error {
	var all []error
	for _, key := range l.opened {
		all = append(all, key.Close())
	}
	return errors.Join(all...)
}

// open opens the key of a certificate, or if there is none yet any.
func (l *loader) open(ctx context.Context, setting string, u config.KeyURI, want *x509.Certificate) (*kms.Key, error) {
	limits := l.conf.Limits
	cfg := kms.Config{
		LookupEnv:    l.opts.LookupEnv,
		AllowProgram: true,
		Limits:       kms.Limits{Timeout: l.timeout, Concurrency: limits.SignConcurrency, Attempts: limits.SignAttempts},
		Report:       ReportKey(l.opts.Log, setting),
	}
	if want != nil {
		cfg.Want = want.PublicKey
	}
	key, err := kms.Open(ctx, u.URI, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	l.opened = append(l.opened, key)
	if u.Scheme == signer.SchemeFile {
		if err := signer.CheckMode(u.Path); errors.Is(err, signer.ErrMode) {
			l.opts.Warn(fmt.Sprintf("%s: %v; chmod 600 %s", setting, err, u.Path))
		}
	}
	return key, nil
}

// ReportKey logs what will keep a key from signing unless somebody sees to it,
// such as a Vault token that cannot be renewed.
func ReportKey(log *slog.Logger, setting string) func(error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return func(err error) {
		log.LogAttrs(context.Background(), slog.LevelWarn, "key will fail", slog.String("key", setting),
			slog.String("kind", string(fault.KindOf(err))), slog.String("detail", err.Error()), slog.String("hint", fault.HintOf(err)))
	}
}

// prove has a key sign. ctx bounds the whole start, this one key.
func (l *loader) prove(ctx context.Context, setting string, key *kms.Key) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := signer.Prove(ctx, key, DigestFor(key, l.conf.TSA.Digest.Hash)); err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return nil
}

// units opens the key and the standbys.
func (l *loader) units(ctx context.Context) ([]tsa.Unit, error) {
	t := l.conf.TSA
	first, err := l.unit(ctx, named{"tsa", "primary"}, config.Standby{Key: t.Key, Chain: t.Chain})
	if err != nil {
		return nil, err
	}
	units := []tsa.Unit{first}
	for i, s := range t.Standby {
		u, err := l.unit(ctx, named{fmt.Sprintf("tsa.standby, number %d", i+1), fmt.Sprintf("standby-%d", i+1)}, s)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// named is a key by the setting that names it, for errors, and as logs, metrics
// and the record of issue have it.
type named struct{ setting, name string }

func (l *loader) unit(ctx context.Context, n named, s config.Standby) (tsa.Unit, error) {
	setting, u, file := n.setting, s.Key, s.Chain
	var want *x509.Certificate
	var chain []*x509.Certificate
	var err error
	f := ChainFile{Setting: setting + ".chain", Path: string(file), EnforceIntermediateEKU: l.conf.TSA.EnforceIntermediateEKU, Warn: l.opts.Warn}
	if !u.InMemory() {
		if chain, err = f.Read(); err != nil {
			return tsa.Unit{}, err
		}
		want = chain[0]
	}
	key, err := l.open(ctx, setting+".key", u, want)
	if err != nil {
		return tsa.Unit{}, err
	}
	if u.InMemory() {
		chain, err = developmentChain(ctx, key)
	} else {
		err = f.Check(chain, key.Public())
	}
	if err != nil {
		return tsa.Unit{}, err
	}
	if err := l.prove(ctx, setting+".key", key); err != nil {
		return tsa.Unit{}, err
	}
	a, err := l.authority(n.name, key, chain, DigestFor(key, l.conf.TSA.Digest.Hash))
	if err != nil {
		return tsa.Unit{}, err
	}
	return Unit(key, a), nil
}

// DigestFor is the hash that a key signs with: as configured, or else the one
// that it prefers, since some keys of services know one only. Zero follows
// from the public key.
func DigestFor(key *kms.Key, configured crypto.Hash) crypto.Hash {
	if hashes := key.Hashes(); configured == 0 && len(hashes) > 0 {
		return hashes[0]
	}
	return configured
}

// whereIs is the URI of a key, and what it turned out to name. A URI holds no
// secret.
func whereIs(key *kms.Key) string {
	if note := key.Note(); note != "" {
		return key.URI().String() + " (" + note + ")"
	}
	return key.URI().String()
}

// Unit is the unit of a key that was opened.
func Unit(key *kms.Key, a *authority.Authority) tsa.Unit {
	return tsa.Unit{Authority: a, Key: whereIs(key), External: !key.InProcess(), Close: key.Close, Abandoned: key.Abandoned}
}

func (l *loader) authority(name string, key authority.Signer, chain []*x509.Certificate, digest crypto.Hash) (*authority.Authority, error) {
	t, tracer := l.conf.TSA, l.opts.Process.traces()
	cfg := authority.Config{
		Signer:    key,
		Chain:     chain,
		Clock:     tracer.Clock(l.opts.Process),
		Policy:    t.Policy.OID,
		Accuracy:  time.Duration(t.Accuracy),
		Precision: time.Duration(t.Precision),
		Include:   t.Include.Include,
		TSAName:   t.TSAName,
		Digest:    digest,
		Record:    tracer.Record(l.opts.Process.Record(name, chain[0])),
	}
	for _, p := range t.AcceptedPolicies {
		cfg.AcceptedPolicies = append(cfg.AcceptedPolicies, p.OID)
	}
	for _, h := range t.Hashes {
		cfg.Hashes = append(cfg.Hashes, h.Hash)
	}
	a, err := authority.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	return a, nil
}

// defaultUnitName is the name in the certificates of stamping keys; see
// config.Delegate.CommonName.
const defaultUnitName = "Timestamping Unit"

// delegate opens the key that certifies stamping keys.
func (l *loader) delegate(ctx context.Context) (*tsa.Delegate, error) {
	t := l.conf.TSA
	f := ChainFile{Setting: "tsa.chain", Path: string(t.Chain), Role: pki.RoleTSACA, EnforceIntermediateEKU: t.EnforceIntermediateEKU, Warn: l.opts.Warn}
	chain, err := f.Read()
	if err != nil {
		return nil, err
	}
	key, err := l.open(ctx, "tsa.key", t.Key, chain[0])
	if err != nil {
		return nil, err
	}
	if !chain[0].IsCA {
		return nil, cli.Hint(fmt.Errorf("tsa.chain: %s: the first certificate, %s, is not that of a CA", t.Chain, chain[0].Subject),
			"with tsa.delegate the key certifies: \"fencepost cert create --role tsa-ca --key '%s'\" makes a chain for that", t.Key)
	}
	if err := f.Check(chain, key.Public()); err != nil {
		return nil, err
	}
	ca := chain[0]
	d := &tsa.Delegate{
		CA: key, Key: whereIs(key), External: !key.InProcess(), Chain: chain, Timeout: l.timeout, Close: key.Close, Abandoned: key.Abandoned,
		Rotate: time.Duration(t.Delegate.Rotate), Validity: time.Duration(t.Delegate.Validity),
		Subject: pkix.Name{CommonName: t.Delegate.CommonName, Organization: ca.Subject.Organization, Country: ca.Subject.Country},
		New: func(key *signer.Key, chain []*x509.Certificate) (*authority.Authority, error) {
			return l.authority("primary", key, chain, l.conf.TSA.Digest.Hash)
		},
	}
	if d.Subject.CommonName == "" {
		d.Subject.CommonName = defaultUnitName
	}
	if t.Delegate.Organization != "" {
		d.Subject.Organization = []string{t.Delegate.Organization}
	}
	if t.Delegate.Country != "" {
		d.Subject.Country = []string{t.Delegate.Country}
	}
	if time.Until(ca.NotAfter) < d.Validity {
		l.opts.Warn(fmt.Sprintf("tsa.delegate.validity: %v is longer than the CA %s is valid, until %s; the certificates of stamping keys end with it",
			d.Validity, ca.Subject, ca.NotAfter.Format(time.DateOnly)))
	}
	return d, nil
}
