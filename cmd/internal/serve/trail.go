package serve

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// A trail is the record of issue, and what it was opened with.
type trail struct {
	log  *audit.Log
	conf config.Audit
}

// errAuditChanged is why a reload is refused.
var errAuditChanged = errors.New("the settings of the record of issue have changed, which needs a new start")

// OpenAudit opens the record of issue, nil for none. It stays open: a reload
// that wants another is refused.
func (p *Process) OpenAudit(conf *config.Audit, build cli.Build) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened {
		if (conf == nil) != (p.trail == nil) || conf != nil && !reflect.DeepEqual(*conf, p.trail.conf) {
			return errAuditChanged
		}
		return nil
	}
	if conf == nil {
		p.opened = true
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	cfg := audit.Config{
		Dir:         string(conf.Dir),
		Host:        host,
		Program:     "fencepost " + build.Version,
		SegmentSize: int64(conf.Segment),
		SegmentAge:  time.Duration(conf.SegmentAge),
		Retention:   time.Duration(conf.Retention),
		StampEvery:  time.Duration(conf.StampEvery),
		// A clock that runs wild must not empty the folder.
		RetentionClock: func(ctx context.Context) (time.Time, error) {
			r, err := p.Now(ctx)
			return r.Time, err
		},
		Observe: p.observeAudit,
	}
	if cfg.Stamp, err = p.stamper(conf.Stamp); err != nil {
		return fmt.Errorf("stamp: %w", err)
	}
	log, err := audit.Open(cfg)
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	p.trail, p.opened = &trail{log, *conf}, true
	return nil
}

// observeAudit counts what goes to the disk, and logs when it does not and when
// it does again.
func (p *Process) observeAudit(w audit.Written) {
	if w.Took > 0 {
		p.events.AuditSynced(w.Took)
	}
	switch failing := w.Err != nil; {
	case failing == p.auditFails.Swap(failing):
	case failing:
		p.log.LogAttrs(context.Background(), slog.LevelError, "record of issue cannot be written, nothing is issued", slog.String("detail", w.Err.Error()))
	default:
		p.log.LogAttrs(context.Background(), slog.LevelWarn, "record of issue is written again")
	}
}

// stamper has the record stamped by whom the configuration names.
func (p *Process) stamper(who []config.StampURL) (func(context.Context, []byte) ([]byte, error), error) {
	var all []func(context.Context, *tsp.Request) ([]byte, error)
	for _, u := range who {
		switch u {
		case config.StampOff:
			return nil, nil
		case config.StampSelf:
			all = append(all, p.stampSelf)
		default:
			client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{string(u)}})
			if err != nil {
				return nil, err
			}
			all = append(all, func(ctx context.Context, req *tsp.Request) ([]byte, error) {
				resp, err := client.Stamp(ctx, req)
				if err != nil {
					return nil, err
				}
				return resp.Token.Raw, nil
			})
		}
	}
	return func(ctx context.Context, digest []byte) ([]byte, error) {
		imprint, err := tsp.NewImprint(crypto.SHA256, digest)
		if err != nil {
			return nil, err
		}
		var failed []error
		for _, ask := range all {
			token, err := ask(ctx, tsp.NewRequest(imprint))
			if err == nil {
				if len(failed) > 0 {
					p.log.LogAttrs(ctx, slog.LevelWarn, "record of issue stamped by another than the first", slog.String("detail", errors.Join(failed...).Error()))
				}
				return token, nil
			}
			failed = append(failed, err)
		}
		err = errors.Join(failed...)
		p.log.LogAttrs(ctx, slog.LevelWarn, "record of issue not stamped", slog.String("detail", err.Error()))
		return nil, err
	}, nil
}

// errNobody is why there is no stamp of our own at the start.
var errNobody = errors.New("the timestamp authority has not started")

// stampSelf asks the authority of this process. Its token is on record, too.
func (p *Process) stampSelf(ctx context.Context, req *tsp.Request) ([]byte, error) {
	t := p.tsa.Load()
	if t == nil {
		return nil, errNobody
	}
	der, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	_, out := t.Respond(ctx, der)
	if out.Rejection != nil {
		return nil, out.Rejection
	}
	return out.Token, nil
}

// noteTimeout bounds how long what happens may wait for its record: it happens
// all the same.
const noteTimeout = 5 * time.Second

// note records what happened. If that cannot be done, no token is issued
// either, and the log has said so.
func (p *Process) note(rec audit.Record) {
	t := p.record()
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	if err := t.log.Append(ctx, rec); err != nil {
		p.log.LogAttrs(ctx, slog.LevelError, "not recorded", slog.String("kind", string(rec.Kind())), slog.String("detail", err.Error()))
	}
}

// recordTimeout bounds how long a token waits for its record, as long as one
// waits for a key by default: a disk that hangs does not fail.
const recordTimeout = 10 * time.Second

// Record returns what records the tokens of a key before they are released,
// nil if there is no record of issue.
func (p *Process) Record(name string, certificate *x509.Certificate) func(context.Context, tsp.Outcome) error {
	t := p.record()
	if t == nil {
		return nil
	}
	fingerprint := sha256.Sum256(certificate.Raw)
	return func(ctx context.Context, out tsp.Outcome) error {
		rec := &audit.Token{
			Serial:      out.Serial,
			GenTime:     out.GenTime,
			Policy:      out.Policy.String(),
			Algorithm:   out.Imprint.AlgorithmName(),
			Digest:      out.Imprint.Digest,
			Accuracy:    out.Accuracy,
			ClockState:  out.ClockState,
			ClockBound:  out.ClockBound,
			Certificate: fingerprint,
			Key:         name,
			TokenSHA256: sha256.Sum256(out.Token),
		}
		if a, ok := askerFrom(ctx); ok {
			rec.Client, rec.Request = a.who(), a.request
		}
		ctx, cancel := context.WithTimeout(ctx, recordTimeout)
		defer cancel()
		return t.log.Append(ctx, rec)
	}
}

// Event records what happened to a key.
func (p *Process) Event(e tsa.Event) {
	rec := &audit.Key{Key: e.Name, URI: e.Key, NotAfter: e.Until}
	if e.Certificate != nil {
		rec.Certificate = sha256.Sum256(e.Certificate.Raw)
	}
	if e.Err != nil {
		rec.Detail = e.Err.Error()
	}
	switch e.Kind {
	case tsa.EventFailed:
		rec.Event = audit.KeyFailed
	case tsa.EventWorks:
		rec.Event = audit.KeyWorksAgain
	case tsa.EventAnnounced:
		rec.Event, rec.Detail = audit.KeyAnnounced, "takes over at "+e.At.UTC().Format(time.RFC3339)
	case tsa.EventReplaced:
		rec.Event = audit.KeyAdopted
	case tsa.EventNotMade:
		rec.Event, rec.Detail = audit.KeyFailed, "no stamping key was made: "+rec.Detail
	default:
		return
	}
	p.note(rec)
}

// begins records the start: the program, what it was told, and its keys.
func (p *Process) begins(cfg *Config) {
	p.tsa.Store(cfg.TSA)
	p.note(&audit.Start{Program: "fencepost " + cfg.Build.Version, PID: uint64(os.Getpid())})
	p.configured(audit.ConfigLoaded, cfg, "")
	for _, k := range cfg.TSA.State().Keys {
		rec := &audit.Key{Event: audit.KeyOpened, Key: k.Name, URI: k.Key, NotAfter: k.Until}
		if k.Certificate != nil {
			rec.Certificate = sha256.Sum256(k.Certificate.Raw)
		}
		p.note(rec)
	}
}

// configured records what became of a configuration.
func (p *Process) configured(event audit.ConfigEvent, cfg *Config, changed string) {
	p.note(&audit.Loaded{Event: event, Digest: cfg.digest, Files: strings.Join(cfg.own, " "), Changed: changed})
}

// records says whether there is a record of issue.
func (p *Process) records() bool { return p.record() != nil }

// record is the record of issue, nil if there is none.
func (p *Process) record() *trail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trail
}

// ends records the end, and why.
func (p *Process) ends(err error) error {
	reason := "told to stop"
	if err != nil {
		reason = err.Error()
	}
	p.note(&audit.Stop{Reason: reason})
	return p.Close()
}

// auditReady says why nothing can be recorded, nil if it can or need not.
func (p *Process) auditReady(ctx context.Context) error {
	t := p.record()
	if t == nil {
		return nil
	}
	if err := t.log.Ready(ctx); err != nil {
		return &tsp.Rejection{Info: tsp.SystemFailure, Text: tsp.AsRejection(err).Text, Err: fmt.Errorf("the record of issue cannot be written: %w", err)}
	}
	return nil
}

// auditState is the record for the metrics, nil if there is none.
func (p *Process) auditState() *metrics.Audit {
	t := p.record()
	if t == nil {
		return nil
	}
	s := t.log.State()
	return &metrics.Audit{Up: s.Err == nil, Records: int64(s.Records), Bytes: int64(s.Written), Syncs: int64(s.Syncs), Failures: int64(s.Failures),
		UnstampedSegments: int64(s.Unstamped), Waiting: int64(s.Waiting)}
}
