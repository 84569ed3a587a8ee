package tsptest

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Responder answers timestamp requests; an authority is one, and a [Forge].
type Responder interface {
	Respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome)
}

var _ Responder = (*Forge)(nil)

// TSAConfig describes a [TSA]. The zero value gives one with a new chain.
type TSAConfig struct {
	// Forge makes the answers. Nil means one with keys and a chain made for
	// the occasion; see [GenerateForge].
	Forge *Forge
	// Responder makes the sound answers. Nil means Forge.
	Responder Responder
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Delay is how long [Slow] waits, and [Drip] between two octets. Zero
	// means 10 seconds.
	Delay time.Duration
	// RetryAfter is what 429 and 503 ask for, in whole seconds. Zero means 1
	// second.
	RetryAfter time.Duration
	// RedirectURL is where [Redirect] points. Empty means "/", where the
	// answers are sound.
	RedirectURL string
}

// A TSA is a timestamp authority over HTTP that misbehaves on demand. The last
// element of a request's path names the fault or the [Variant]; where it names
// neither, the script, and then the fault that was set, decide.
//
// GET answers with a list of the faults, and with the chain in PEM at any path
// that ends in "certchain". A TSA is safe for concurrent use.
type TSA struct {
	cfg  TSAConfig
	root []byte // DER

	mu     sync.Mutex
	fault  Fault
	script []Fault
	first  []byte // the first sound answer, for Replay
	seen   []Exchange
}

// An Exchange is a request that a [TSA] has had, and what it did about it.
type Exchange struct {
	Method, Path string
	Header       http.Header
	Body         []byte
	Fault        Fault
	Variant      string // the name of the variant asked for, or ""
}

// Bounds of what a TSA keeps and reads, so that it can run for long.
const (
	maxRequest   = 1 << 20
	maxExchanges = 1000
)

// NewTSA returns a TSA.
func NewTSA(cfg TSAConfig) (*TSA, error) {
	if cfg.Forge == nil {
		f, err := GenerateForge()
		if err != nil {
			return nil, err
		}
		cfg.Forge = f
	}
	if len(cfg.Forge.Chain) == 0 || cfg.Forge.Key == nil {
		return nil, errors.New("tsptest: the Forge of a TSA needs a chain and a key")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Delay == 0 {
		cfg.Delay = 10 * time.Second
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = time.Second
	}
	if cfg.RedirectURL == "" {
		cfg.RedirectURL = "/"
	}
	return &TSA{cfg: cfg, root: cfg.Forge.Chain[len(cfg.Forge.Chain)-1]}, nil
}

// Serve runs a TSA on a port of the loopback interface until the test ends. A
// nil Forge means that of the default test chain.
func Serve(t testing.TB, cfg TSAConfig) (*TSA, *httptest.Server) {
	t.Helper()
	if cfg.Forge == nil {
		cfg.Forge = NewForge(t, pkitest.Options{})
	}
	tsa, err := NewTSA(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(tsa)
	t.Cleanup(func() {
		srv.CloseClientConnections() // ends what is slow on purpose
		srv.Close()
	})
	return tsa, srv
}

// RootPEM returns the trust anchor for this TSA's tokens, in PEM.
func (s *TSA) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root})
}

// Set makes f the fault of all requests from now on that choose none.
func (s *TSA) Set(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Script makes the next requests that choose no fault have these, one each.
func (s *TSA) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = slices.Clone(faults)
}

// Exchanges returns what was asked so far, the latest thousand.
func (s *TSA) Exchanges() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// choose returns the fault or the variant for a request, and records it.
func (s *TSA) choose(r *http.Request, body []byte) (Fault, *Variant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := path.Base(r.URL.Path)
	var variant *Variant
	fault, err := ParseFault(name)
	if err != nil {
		for _, v := range Variants() {
			if v.Name == name && v.Options.Key == pkitest.P256 {
				variant = &v
			}
		}
		switch {
		case variant != nil:
		case len(s.script) > 0:
			fault, s.script = s.script[0], s.script[1:]
		default:
			fault = s.fault
		}
	}
	e := Exchange{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body, Fault: fault}
	if variant != nil {
		e.Variant = variant.Name
	}
	if len(s.seen) == maxExchanges {
		s.seen = slices.Delete(s.seen, 0, 1)
	}
	s.seen = append(s.seen, e)
	return fault, variant
}

// ServeHTTP answers a timestamp request as the TSA is told to.
func (s *TSA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.describe(w, r)
		return
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	fault, variant := s.choose(r, body)
	reply, err := s.reply(r.Context(), body, fault, variant)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.send(w, r, fault, reply)
}

// describe answers GET.
func (s *TSA) describe(w http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	if path.Base(r.URL.Path) == "certchain" {
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		for _, c := range s.cfg.Forge.Chain {
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c}); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&out, "A hostile timestamp authority, for tests. POST a request to one of these:\n\n")
		for _, f := range faultNames {
			fmt.Fprintf(&out, "/%-30s %s\n", f[0], f[1])
		}
		fmt.Fprintf(&out, "\nor to a forged response, after which comes what to conclude:\n\n")
		for _, v := range Variants() {
			if v.Options.Key == pkitest.P256 {
				fmt.Fprintf(&out, "/%-52s %s\n", v.Name, v.Verdict)
			}
		}
	}
	w.Write(out.Bytes())
}

// reply makes the message of the answer.
func (s *TSA) reply(ctx context.Context, request []byte, fault Fault, variant *Variant) ([]byte, error) {
	if r := refusal(fault); r != nil {
		return r.Marshal(), nil
	}
	f := *s.cfg.Forge
	f.Time = s.cfg.Now().UTC().Truncate(time.Millisecond)
	if variant != nil {
		variant.change(&f)
	} else if !bend(&f, fault) {
		return s.sound(ctx, request, &f, fault)
	}
	req, err := tsp.ParseRequest(request)
	if err != nil {
		return tsp.AsRejection(err).Marshal(), nil
	}
	f.Request = req
	if fault == BareToken {
		return f.MakeToken()
	}
	return f.MakeResponse()
}

// sound makes the answer that nothing is wrong with, as a message.
func (s *TSA) sound(ctx context.Context, request []byte, f *Forge, fault Fault) ([]byte, error) {
	var responder Responder = f
	if s.cfg.Responder != nil {
		responder = s.cfg.Responder
	}
	reply, out := responder.Respond(ctx, request)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil && out.Granted() {
		s.first = bytes.Clone(reply) // Garbage writes over what it sends
	}
	if fault == Replay && s.first != nil {
		if !bytes.Equal(reply, s.first) {
			return s.first, nil
		}
		// This is the first request, so an older one must be made up.
		req, err := tsp.ParseRequest(request)
		if err != nil {
			return nil, err
		}
		older := *f
		older.Request = &tsp.Request{Version: 1, Imprint: req.Imprint, CertReq: req.CertReq, Nonce: tsp.NewNonce()}
		s.first, err = older.MakeResponse()
		return s.first, err
	}
	return reply, nil
}
