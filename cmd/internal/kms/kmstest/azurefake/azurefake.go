// Package azurefake is a fake of Azure Key Vault for tests. It speaks the
// service's own protocol (REST over HTTPS, with the challenge that tells the
// SDK whom to ask for a token) to the official SDK, and signs with real keys:
//
//	s := azurefake.Start(t)
//	s.AddKey("signing", azurefake.P256)
//	... open s.URI("signing") with s.Credential() and s.Transport() ...
//	s.Break("sign", azurefake.Denied)
//
// It does what the tests of this repository ask of Azure, and is not Azure: it
// knows three operations and one caller. The SDK asks for vaults under their
// own names and wants the challenge to match, so that the transport sends
// whatever is meant for the vault to loopback.
package azurefake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest"
)

// The names of the vault and of who may ask.
const (
	Host   = "fencepost.vault.azure.net"
	Tenant = "00000000-0000-4000-8000-00000000f09e"
	scope  = "https://vault.azure.net/.default"
	token  = "not a secret: azurefake"
)

// A Fault is what the service does wrong.
type Fault string

// The faults.
const (
	NotFound Fault = "not-found" // 404 KeyNotFound
	Denied   Fault = "denied"    // 403 ForbiddenByRbac
	Firewall Fault = "firewall"  // 403 ForbiddenByFirewall
	Disabled Fault = "disabled"  // 403 KeyDisabled
	Conflict Fault = "conflict"  // 409, as for a name that a deleted key has
	// Unauthorized refuses every token.
	Unauthorized Fault = "unauthorized"
	// ThrottleOnce refuses one call with status 429; then all is well.
	ThrottleOnce Fault = "throttle-once"
	// ThrottleAlways refuses every call so.
	ThrottleAlways Fault = "throttle-always"
	Internal       Fault = "internal"    // 500
	BadGateway     Fault = "bad-gateway" // 502, in HTML
	// Hang answers when the test ends, or the caller gives up.
	Hang Fault = "hang"
	// NotJSON answers status 200 and something else than JSON.
	NotJSON Fault = "not-json"
	// Empty answers an object without members.
	Empty Fault = "empty"
	// Garbage signs with bytes that are no signature, of the right length.
	Garbage Fault = "garbage"
	// WrongKey signs with another key of the same type.
	WrongKey Fault = "wrong-key"
	// Odd leaves the last byte of the signature out, so that r and s are not
	// of the same length.
	Odd Fault = "odd"
	// DER sends an ECDSA signature in DER, which is not what Azure does.
	DER Fault = "der"
	// OtherVault sends a challenge for another domain.
	OtherVault Fault = "other-vault"
	// BadChallenge sends a challenge that makes the SDK panic.
	BadChallenge Fault = "bad-challenge"
	// BadPoint sends a public key that is not on its curve.
	BadPoint Fault = "bad-point"
	// OtherKey sends the identifier of another key.
	OtherKey Fault = "other-key"
)

// A Server is the fake. Its methods may be called at any time, from any
// goroutine.
type Server struct {
	kmstest.Faults[Fault]

	http *httptest.Server

	mu    sync.Mutex
	keys  map[string]*Key // by name
	ended chan struct{}
}

// Start runs a server on loopback until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{
		Faults: kmstest.New(ThrottleOnce),
		keys:   map[string]*Key{},
		ended:  make(chan struct{}),
	}
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.http.StartTLS()
	tb.Cleanup(func() {
		close(s.ended)
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// certificateName is what the certificate of httptest is for.
const certificateName = "example.com"

// Transport reaches the vault under its own name, and nothing else.
func (s *Server) Transport() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.http.Certificate())
	return s.client(&tls.Config{RootCAs: roots, ServerName: certificateName})
}

// StrangerTransport reaches the vault and does not know who issued its
// certificate.
func (s *Server) StrangerTransport() *http.Client {
	return s.client(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: certificateName})
}

func (s *Server) client(cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: cfg,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != Host+":443" {
				return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
			}
			var d net.Dialer
			return d.DialContext(ctx, network, s.http.Listener.Addr().String())
		},
	}}
}

// Credential is who may ask.
func (s *Server) Credential() azcore.TokenCredential { return Credential(token) }

// A Credential is a token, for the vault that is faked here and for no other.
// "" is the failure to get one.
type Credential string

// GetToken implements azcore.TokenCredential.
func (c Credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if c == "" {
		return azcore.AccessToken{}, errors.New("azurefake: no identity to be found\nEnvironmentCredential: incomplete")
	}
	if options.TenantID != Tenant || len(options.Scopes) != 1 || options.Scopes[0] != scope {
		return azcore.AccessToken{}, fmt.Errorf("azurefake: a token for %v in the tenant %s was asked for", options.Scopes, options.TenantID)
	}
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// URI names a key of this server, or with "/" a version of it.
func (s *Server) URI(key string) string { return "azurekms://" + Host + "/" + key }

// route reads /keys/NAME, /keys/NAME/VERSION, /keys/NAME/VERSION/sign and
// /keys/NAME/create.
var route = regexp.MustCompile(`^/keys/([0-9A-Za-z-]+)(?:/([0-9a-f]{32}))?(?:/(sign|create)|/)?$`)

// maxRequest is more than any request here has.
const maxRequest = 64 << 10

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := route.FindStringSubmatch(r.URL.Path)
	operation := ""
	if m != nil {
		operation = m[3]
	}
	if operation == "" && r.Method == http.MethodGet {
		operation = "get"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if m == nil || operation == "" || err != nil || r.Host != Host || r.URL.Query().Get("api-version") == "" {
		refuse(w, http.StatusBadRequest, "BadParameter", "", "azurefake: "+r.Method+" "+r.URL.Path)
		return
	}
	if !s.authenticate(w, r, operation) {
		return
	}
	f := s.Meet(operation)
	if s.broken(w, r, f) {
		return
	}
	name, version := m[1], m[2]
	switch operation {
	case "create":
		s.create(w, name, body)
	case "get":
		s.get(w, name, version, f)
	case "sign":
		s.sign(w, name, version, body, f)
	}
}

// authenticate wants a token, and sends who has none to where it is given out,
// as Key Vault does.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, operation string) bool {
	f := s.Look(operation)
	if got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && got == token && f != Unauthorized {
		return true
	}
	authority, resource := "https://login.microsoftonline.com/"+Tenant, "https://vault.azure.net"
	switch f {
	case OtherVault:
		resource = "https://vault.example.com"
	case BadChallenge:
		authority = "https:"
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer authorization=%q, resource=%q", authority, resource))
	refuse(w, http.StatusUnauthorized, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
	return false
}

// broken answers for most faults.
func (s *Server) broken(w http.ResponseWriter, r *http.Request, f Fault) bool {
	switch f {
	case NotFound:
		refuse(w, http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) signing was not found in this key vault.")
	case Denied:
		refuse(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\nAction: 'Microsoft.KeyVault/vaults/keys/sign/action'")
	case Firewall:
		refuse(w, http.StatusForbidden, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.")
	case Disabled:
		refuse(w, http.StatusForbidden, "Forbidden", "KeyDisabled", "Operation is not allowed on a disabled key.")
	case Conflict:
		refuse(w, http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable", "Key signing is currently in a deleted but recoverable state.")
	case ThrottleOnce, ThrottleAlways:
		refuse(w, http.StatusTooManyRequests, "Throttled", "", "Request was not processed because too many requests were received.")
	case Internal:
		refuse(w, http.StatusInternalServerError, "InternalServerError", "", "An error occurred in the service.")
	case BadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html>\n<body>502 Bad Gateway</body></html>")
	case NotJSON:
		io.WriteString(w, "<html>welcome to the hotel network</html>")
	case Empty:
		answer(w, struct{}{})
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
	default:
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, inner, message string) {
	body := map[string]any{"code": code, "message": message}
	if inner != "" {
		body["innererror"] = map[string]string{"code": inner}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": body})
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
