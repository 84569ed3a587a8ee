// Package vaultfake is a small server for tests that speaks the part of
// HashiCorp Vault's HTTP API that a signing program uses: the transit engine
// (keys are made, read, rotated and sign) and the token that looks itself up
// and renews itself. It is a fake: it keeps keys in memory, knows no policies
// beyond a list of paths per token, and is as safe as a test needs. Its
// signatures are real, and its answers and error texts are those of Vault
// 1.13.1, against which its client is tested too.
//
//	v := vaultfake.Start(t)
//	v.CreateKey("tsa", "ecdsa-p256")
//	t.Setenv("VAULT_ADDR", v.URL)
//	t.Setenv("VAULT_TOKEN", v.Root)
//
// A [Fault] makes it misbehave in one way, for a number of calls or until it is
// cleared; [Server.Seal], [Server.Revoke] and the life of a [Token] do what
// their namesakes do.
package vaultfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is the fake. Its methods may be called from several goroutines at
// once, and while it serves.
type Server struct {
	// URL is the address, set by [Start].
	URL string
	// Root is a token that may do everything and lives for ever.
	Root string

	mu      sync.Mutex
	mount   string
	sealed  bool
	keys    map[string]*key
	tokens  map[string]*Token
	faults  []*Fault
	calls   map[string]int
	serial  int
	headers http.Header
}

// New returns a server that listens nowhere, with a transit engine at
// "transit": it is an http.Handler.
func New() *Server {
	s := &Server{mount: "transit", keys: map[string]*key{}, tokens: map[string]*Token{}, calls: map[string]int{}}
	s.Root = s.AddToken(Token{})
	return s
}

// Start returns a server that listens on the loopback interface until the test
// ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := New()
	h := httptest.NewServer(s)
	tb.Cleanup(func() {
		s.Clear() // or those that hang would never end
		h.CloseClientConnections()
		h.Close()
	})
	s.URL = h.URL
	return s
}

// SetMount moves the transit engine.
func (s *Server) SetMount(mount string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mount = mount
}

// Seal seals the server: it answers everything with 503.
func (s *Server) Seal() { s.setSealed(true) }

// Unseal ends that.
func (s *Server) Unseal() { s.setSealed(false) }

func (s *Server) setSealed(sealed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = sealed
}

// Calls returns how many calls of an operation there were, by the names of
// [Fault].On, the refused ones included; "" means of all.
func (s *Server) Calls(on string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on != "" {
		return s.calls[on]
	}
	n := 0
	for _, c := range s.calls {
		n += c
	}
	return n
}

// LastHeader returns the header of the latest request.
func (s *Server) LastHeader() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.headers.Clone()
}

// A Token is what the server knows of one.
type Token struct {
	// TTL is how long it lives from when it is added or renewed; 0: for ever.
	TTL time.Duration
	// MaxTTL bounds its life with all renewals; 0: nothing does.
	MaxTTL time.Duration
	// Renewable says that renew-self gives it another TTL.
	Renewable bool
	// Paths are the prefixes, below /v1/, that it may use; nil: all. Looking
	// itself up is auth/token/lookup-self.
	Paths []string

	value, accessor  string
	expires, endless time.Time // endless: the end of MaxTTL
}

// AddToken adds a token and returns its value.
func (s *Server) AddToken(t Token) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	t.value = fmt.Sprintf("hvs.TESTING-TOKEN-%d", s.serial)
	t.accessor = fmt.Sprintf("accessor-%d", s.serial)
	now := time.Now()
	if t.MaxTTL != 0 {
		t.endless = now.Add(t.MaxTTL)
	}
	t.extend(now)
	s.tokens[t.value] = &t
	return t.value
}

func (t *Token) extend(now time.Time) {
	if t.TTL == 0 {
		return
	}
	t.expires = now.Add(t.TTL)
	if !t.endless.IsZero() && t.expires.After(t.endless) {
		t.expires = t.endless
	}
}

// ttl returns the rest of its life in whole seconds, as Vault does.
func (t *Token) ttl(now time.Time) int64 {
	if t.expires.IsZero() {
		return 0
	}
	return int64(t.expires.Sub(now).Round(time.Second) / time.Second)
}

// Revoke ends the life of a token.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// The names of operations, for [Fault].On and [Server.Calls].
const (
	OnSign   = "sign"
	OnRead   = "read"   // of a key
	OnCreate = "create" // of a key
	OnLookup = "lookup-self"
	OnRenew  = "renew-self"
)

// maxBody bounds a request, in bytes; Vault takes 32 MiB.
const maxBody = 1 << 20

// ServeHTTP answers a request to the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusBadRequest, "error reading the body")
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	on, name, rest := s.route(r.Method, path)
	s.calls[on]++
	s.headers = r.Header.Clone()
	fault := s.fault(on)
	s.mu.Unlock()

	if fault != nil && fault.before(w, r) {
		return
	}
	if !s.allowed(w, r, path) {
		return
	}
	switch on {
	case OnSign:
		s.sign(w, name, rest, body, fault)
	case OnRead:
		s.readKey(w, name)
	case OnCreate:
		s.createKey(w, name, rest, body)
	case OnLookup, OnRenew:
		s.token(w, on, r.Header.Get("X-Vault-Token"))
	case "unsupported":
		fail(w, http.StatusMethodNotAllowed, "1 error occurred:\n\t* unsupported operation\n\n")
	case "unknown":
		fail(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
	default:
		fail(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	}
}

// route names the operation and cuts the path into the key's name and what
// follows.
func (s *Server) route(method, path string) (on, name, rest string) {
	post := method == http.MethodPost || method == http.MethodPut
	switch path {
	case "auth/token/lookup-self":
		return OnLookup, "", ""
	case "auth/token/renew-self":
		return OnRenew, "", ""
	}
	inside, ok := strings.CutPrefix(path, s.mount+"/")
	if !ok {
		return "", "", ""
	}
	verb, rest, _ := strings.Cut(inside, "/")
	name, rest, _ = strings.Cut(rest, "/")
	switch {
	case verb == "keys" && method == http.MethodGet && rest == "":
		return OnRead, name, ""
	case verb == "keys" && post:
		return OnCreate, name, rest
	case verb == "sign" && post:
		return OnSign, name, rest
	case verb == "keys", verb == "sign":
		return "unsupported", "", ""
	}
	return "unknown", "", ""
}

// allowed checks the seal and the token, and answers if they do not allow the
// request.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed {
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
		return false
	}
	t, ok := s.tokens[r.Header.Get("X-Vault-Token")]
	if ok && !t.expires.IsZero() && !time.Now().Before(t.expires) {
		delete(s.tokens, t.value)
		ok = false
	}
	if !ok {
		fail(w, http.StatusForbidden, "permission denied")
		return false
	}
	if t.Paths != nil && !slices.ContainsFunc(t.Paths, func(p string) bool { return strings.HasPrefix(path, p) }) {
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
		return false
	}
	return true
}

// token answers lookup-self and renew-self.
func (s *Server) token(w http.ResponseWriter, on, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[value]
	if !ok {
		fail(w, http.StatusForbidden, "permission denied")
		return
	}
	now := time.Now()
	if on == OnLookup {
		succeed(w, map[string]any{"data": map[string]any{
			"accessor": t.accessor, "id": t.value, "ttl": t.ttl(now), "renewable": t.Renewable,
			"policies": []string{"default"}, "type": "service", "num_uses": 0,
		}})
		return
	}
	switch {
	case t.TTL == 0:
		fail(w, http.StatusBadRequest, "invalid lease ID")
		return
	case !t.Renewable:
		fail(w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	t.extend(now)
	succeed(w, map[string]any{"data": nil, "auth": map[string]any{
		"client_token": t.value, "accessor": t.accessor, "lease_duration": t.ttl(now), "renewable": true,
		"policies": []string{"default"},
	}})
}

// succeed writes an answer in Vault's envelope.
func succeed(w http.ResponseWriter, fields map[string]any) {
	envelope := map[string]any{
		"request_id": "00000000-0000-0000-0000-000000000000", "lease_id": "", "renewable": false,
		"lease_duration": 0, "wrap_info": nil, "warnings": nil, "auth": nil,
	}
	for k, v := range fields {
		envelope[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(envelope) // the client may have gone
}

// fail writes an error as Vault does.
func fail(w http.ResponseWriter, status int, texts ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if texts == nil {
		texts = []string{}
	}
	_ = json.NewEncoder(w).Encode(map[string][]string{"errors": texts}) // the client may have gone
}
