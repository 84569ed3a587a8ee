// Package awsfake is a fake of AWS KMS for tests. It speaks the service's own
// protocol (AWS JSON 1.1 over HTTPS, requests signed with Signature Version 4)
// to the official SDK, and signs with real keys:
//
//	s := awsfake.Start(t)
//	s.AddKey("alias/tsa", awsfake.ECCP256)
//	s.Setenv(t)
//	... open s.URI("alias/tsa") ...
//	s.Break("Sign", awsfake.Denied)
//
// It does what the tests of this repository ask of AWS, and is not AWS: it
// knows seven operations, one account and no policies.
package awsfake

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest"
)

// Who may ask, and where the service is.
const (
	AccessKeyID     = "AKIAFENCEPOSTTESTING"
	SecretAccessKey = "not a secret: awsfake"
	Region          = "eu-central-1"
	Account         = "111122223333"
)

// A Fault is what the service does wrong.
type Fault string

// The faults. Those that are named like an exception are answered with it.
const (
	NotFound     Fault = "NotFoundException"
	Denied       Fault = "AccessDeniedException"
	Disabled     Fault = "DisabledException"
	InvalidState Fault = "KMSInvalidStateException"
	Expired      Fault = "ExpiredTokenException"
	Unrecognized Fault = "UnrecognizedClientException"
	Internal     Fault = "KMSInternalException" // with status 500
	// ThrottleOnce refuses one call with ThrottlingException; then all is well.
	ThrottleOnce Fault = "throttle-once"
	// ThrottleAlways refuses every call so.
	ThrottleAlways Fault = "ThrottlingException"
	// Hang answers when the test ends, or the caller gives up.
	Hang Fault = "hang"
	// BadGateway answers as a proxy does, with HTML and status 502.
	BadGateway Fault = "bad-gateway"
	// NotJSON answers status 200 and something else than JSON.
	NotJSON Fault = "not-json"
	// Empty answers an object without members.
	Empty Fault = "empty"
	// Garbage signs with bytes that are no signature.
	Garbage Fault = "garbage"
	// WrongKey signs with another key of the same type.
	WrongKey Fault = "wrong-key"
)

// A Server is the fake. Its methods may be called at any time, from any
// goroutine.
type Server struct {
	kmstest.Faults[Fault]

	http *httptest.Server
	ca   string // file

	mu      sync.Mutex
	keys    map[string]*Key   // by key ID
	aliases map[string]string // alias to key ID
	ended   chan struct{}
}

// Start runs a server on loopback until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{
		Faults:  kmstest.New(ThrottleOnce),
		keys:    map[string]*Key{},
		aliases: map[string]string{},
		ended:   make(chan struct{}),
	}
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.http.StartTLS()
	tb.Cleanup(func() {
		close(s.ended)
		s.http.CloseClientConnections()
		s.http.Close()
	})
	s.ca = filepath.Join(tb.TempDir(), "aws-ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	if err := os.WriteFile(s.ca, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

// Host is the address of the server, HOST:PORT.
func (s *Server) Host() string { return s.http.Listener.Addr().String() }

// URI names a key of this server, as an alias, a key ID or an ARN.
func (s *Server) URI(key string) string { return "awskms://" + s.Host() + "/" + key }

// Env is what a process needs in its environment to be a client of this
// server.
func (s *Server) Env() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID":     AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": SecretAccessKey,
		"AWS_REGION":            Region,
		"AWS_CA_BUNDLE":         s.ca,
		// What the machine may have, which would be read as well.
		"AWS_SESSION_TOKEN":           "",
		"AWS_PROFILE":                 "",
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
	}
}

// Setenv sets the variables of Env for a test.
func (s *Server) Setenv(t *testing.T) {
	t.Helper()
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
}

// maxRequest is more than any request of KMS has: a message of 4096 bytes, in
// base64, and names.
const maxRequest = 64 << 10

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || !ok,
		r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		refuse(w, http.StatusBadRequest, "UnknownOperationException", "")
		return
	}
	if code, text := authenticate(r, body); code != "" {
		refuse(w, http.StatusBadRequest, code, text)
		return
	}
	f := s.Meet(operation)
	switch f {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
		return
	case BadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html><body>502 Bad Gateway</body></html>")
		return
	case NotJSON:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		io.WriteString(w, "<html>welcome to the hotel network</html>")
		return
	case Empty:
		answer(w, struct{}{})
		return
	case ThrottleOnce, ThrottleAlways:
		refuse(w, http.StatusBadRequest, "ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
		return
	case Internal:
		refuse(w, http.StatusInternalServerError, string(f), "internal failure")
		return
	case NotFound, Denied, Disabled, InvalidState, Expired, Unrecognized:
		refuse(w, http.StatusBadRequest, string(f), "made by the test")
		return
	}
	result, code, text := s.do(operation, body, f)
	if code != "" {
		refuse(w, http.StatusBadRequest, code, text)
		return
	}
	answer(w, result)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": text})
}

// authenticate checks the signature of a request (AWS Signature Version 4) by
// making it again, and returns the code of what is wrong.
func authenticate(r *http.Request, body []byte) (code, text string) {
	header := r.Header.Get("Authorization")
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 Credential=")
	if !ok {
		return "MissingAuthenticationToken", "Missing Authentication Token"
	}
	id, rest, _ := strings.Cut(rest, "/")
	if id != AccessKeyID {
		return "UnrecognizedClientException", "The security token included in the request is invalid."
	}
	scope, rest, _ := strings.Cut(rest, ", SignedHeaders=")
	names, _, _ := strings.Cut(rest, ", Signature=")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || scope != at.Format("20060102")+"/"+Region+"/kms/aws4_request" {
		return "InvalidSignatureException", "Credential should be scoped to a valid region."
	}
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "https://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		return "IncompleteSignature", err.Error()
	}
	for name := range strings.SplitSeq(names, ";") {
		switch name {
		case "host", "content-length", "x-amz-date":
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(sum[:]), "kms", Region, at); err != nil {
		return "IncompleteSignature", err.Error()
	}
	if again.Header.Get("Authorization") != header {
		return "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."
	}
	return "", ""
}

// do performs an operation; what it returns besides an error code becomes
// JSON.
func (s *Server) do(operation string, body []byte, f Fault) (result any, code, text string) {
	var in struct {
		KeyID            string `json:"KeyId"`
		KeySpec          Spec
		KeyUsage         string
		AliasName        string
		TargetKeyID      string `json:"TargetKeyId"`
		Message          []byte
		MessageType      string
		SigningAlgorithm string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, "SerializationException", err.Error()
	}
	switch operation {
	case "CreateKey":
		if _, ok := algorithms[in.KeySpec]; !ok || in.KeyUsage != "SIGN_VERIFY" {
			return nil, "ValidationException", fmt.Sprintf("KeySpec %s with KeyUsage %s", in.KeySpec, in.KeyUsage)
		}
		return map[string]any{"KeyMetadata": s.newKey(in.KeySpec).metadata()}, "", ""
	case "CreateAlias":
		return s.createAlias(in.AliasName, in.TargetKeyID)
	}
	k := s.find(in.KeyID)
	if k == nil {
		return nil, "NotFoundException", fmt.Sprintf("Key '%s' does not exist", in.KeyID)
	}
	switch operation {
	case "DescribeKey":
		return map[string]any{"KeyMetadata": k.metadata()}, "", ""
	case "GetPublicKey":
		return k.publicKey()
	case "ScheduleKeyDeletion":
		k.SetState("PendingDeletion")
		return map[string]any{"KeyId": k.ARN(), "KeyState": "PendingDeletion"}, "", ""
	case "Sign":
		if in.MessageType != "DIGEST" {
			return nil, "ValidationException", "awsfake signs digests"
		}
		return k.sign(in.SigningAlgorithm, in.Message, f)
	}
	return nil, "UnknownOperationException", operation
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}
