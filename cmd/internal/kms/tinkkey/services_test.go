package tinkkey_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash/crc32"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/tinkkey"
)

// A sealer encrypts for the services below, which are fakes: they speak the
// protocol of the real ones, encrypt with AES-GCM and know no accounts.
type sealer struct{ cipher.AEAD }

func newSealer(t testing.TB) sealer {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return sealer{gcm}
}

func (s sealer) seal(plaintext []byte) []byte { return s.Seal(nil, nil, plaintext, nil) }

func (s sealer) open(ciphertext []byte) ([]byte, error) { return s.Open(nil, nil, ciphertext, nil) }

// A service is one of the fakes, with two keys.
type service struct {
	name       string
	key, other string // wrapping keys: the right one, and another that exists
	missing    string // one that does not exist
	cfg        tinkkey.Config
	encrypt    func(plaintext []byte) []byte // as the right key does
}

const vaultToken = "hvs.test-token"

// A vault is a fake of Vault's transit engine, version 1 of its API.
type vault struct {
	*httptest.Server
	mu     sync.Mutex
	keys   map[string]sealer
	fail   func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	tokens map[string]bool                                   // true: may use the keys
}

func newVault(t testing.TB, start func(*httptest.Server)) *vault {
	t.Helper()
	v := &vault{
		keys:   map[string]sealer{"tsa": newSealer(t), "other": newSealer(t)},
		tokens: map[string]bool{vaultToken: true, "hvs.weak": false},
	}
	v.Server = httptest.NewUnstartedServer(http.HandlerFunc(v.serve))
	v.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are what is tested
	start(v.Server)
	t.Cleanup(v.Close)
	return v
}

func (v *vault) uri(key string) string {
	_, host, _ := strings.Cut(v.URL, "://")
	return "hcvault://" + host + "/transit/keys/" + key
}

func vaultError(w http.ResponseWriter, code int, words string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"errors": []string{words}})
}

func (v *vault) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	fail := v.fail
	v.mu.Unlock()
	if fail != nil && fail(w, r) {
		return
	}
	may, known := v.tokens[r.Header.Get("X-Vault-Token")]
	lookup := r.URL.Path == "/v1/auth/token/lookup-self"
	if !known || !may && !lookup {
		vaultError(w, 403, "permission denied")
		return
	}
	answer := func(data map[string]any) { json.NewEncoder(w).Encode(map[string]any{"data": data}) }
	if lookup {
		answer(map[string]any{"ttl": 3600})
		return
	}
	operation, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	v.mu.Lock()
	defer v.mu.Unlock()
	key, ok := v.keys[name]
	var body struct{ Plaintext, Ciphertext, Context string }
	if r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			vaultError(w, 400, err.Error())
			return
		}
	}
	switch {
	case operation == "keys" && r.Method == http.MethodGet:
		if !ok {
			vaultError(w, 404, "")
			return
		}
		answer(map[string]any{"name": name, "type": "aes256-gcm96"})
	case operation == "encrypt":
		if !ok { // as Vault does
			key = newSealer(&testing.T{})
			v.keys[name] = key
		}
		plaintext, err := base64.StdEncoding.DecodeString(body.Plaintext)
		if err != nil {
			vaultError(w, 400, err.Error())
			return
		}
		answer(map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(key.seal(plaintext))})
	case operation == "decrypt" && !ok:
		vaultError(w, 400, "encryption key not found")
	case operation == "decrypt":
		ciphertext, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(body.Ciphertext, "vault:v1:"))
		if err != nil {
			vaultError(w, 400, "invalid ciphertext: could not decode base64")
			return
		}
		plaintext, err := key.open(ciphertext)
		if err != nil {
			vaultError(w, 400, err.Error())
			return
		}
		answer(map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plaintext)})
	default:
		vaultError(w, 404, "no handler for route "+r.URL.Path)
	}
}

// environment is a LookupEnv over a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func (v *vault) service(name string) service {
	return service{
		name: name, key: v.uri("tsa"), other: v.uri("other"), missing: v.uri("nobody"),
		cfg: tinkkey.Config{LookupEnv: environment(map[string]string{"VAULT_TOKEN": vaultToken, "VAULT_ADDR": v.URL})},
		encrypt: func(plaintext []byte) []byte {
			return []byte("vault:v1:" + base64.StdEncoding.EncodeToString(v.keys["tsa"].seal(plaintext)))
		},
	}
}

// trustCA makes the certificate of a TLS fake known, as an operator would.
func (v *vault) trustCA(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_CACERT", file)
}

// google is a fake of Cloud KMS over gRPC.
type google struct {
	kmspb.UnimplementedKeyManagementServiceServer
	keys map[string]sealer
	fail func() error
}

const googleRing = "projects/p/locations/l/keyRings/r/cryptoKeys/"

func newGoogle(t testing.TB) (*google, service) {
	t.Helper()
	g := &google{keys: map[string]sealer{googleRing + "tsa": newSealer(t), googleRing + "other": newSealer(t)}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(server, g)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g, service{
		name: "google",
		key:  "gcp-kms://" + googleRing + "tsa", other: "gcp-kms://" + googleRing + "other", missing: "gcp-kms://" + googleRing + "nobody",
		cfg: tinkkey.Config{GoogleOptions: []option.ClientOption{
			option.WithEndpoint(listener.Addr().String()), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		}},
		encrypt: g.keys[googleRing+"tsa"].seal,
	}
}

func (g *google) find(name string) (sealer, error) {
	if g.fail != nil {
		if err := g.fail(); err != nil {
			return sealer{}, err
		}
	}
	key, ok := g.keys[name]
	if !ok {
		return sealer{}, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	}
	return key, nil
}

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}

func (g *google) Encrypt(_ context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	key, err := g.find(r.Name)
	if err != nil {
		return nil, err
	}
	ciphertext := key.seal(r.Plaintext)
	return &kmspb.EncryptResponse{
		Name: r.Name + "/cryptoKeyVersions/1", Ciphertext: ciphertext, CiphertextCrc32C: checksum(ciphertext),
		VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}, nil
}

func (g *google) Decrypt(_ context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	key, err := g.find(r.Name)
	if err != nil {
		return nil, err
	}
	plaintext, err := key.open(r.Ciphertext)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	return &kmspb.DecryptResponse{Plaintext: plaintext, PlaintextCrc32C: checksum(plaintext)}, nil
}

// amazon is a fake of AWS KMS: JSON 1.1, with the operation in a header.
type amazon struct {
	*httptest.Server
	keys map[string]sealer
	fail string // a code to answer with
}

const awsAccount = "arn:aws:kms:eu-central-1:111122223333:key/"

func newAmazon(t *testing.T) (*amazon, service) {
	t.Helper()
	a := &amazon{keys: map[string]sealer{awsAccount + "tsa": newSealer(t), awsAccount + "other": newSealer(t)}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": a.URL, "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return a, service{
		name: "aws",
		key:  "aws-kms://" + awsAccount + "tsa", other: "aws-kms://" + awsAccount + "other", missing: "aws-kms://" + awsAccount + "nobody",
		encrypt: a.keys[awsAccount+"tsa"].seal,
	}
}

func (a *amazon) serve(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, words string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": words})
	}
	var body struct {
		KeyId                     string
		Plaintext, CiphertextBlob []byte
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	key, ok := a.keys[body.KeyId]
	switch {
	case err != nil:
		refuse("SerializationException", err.Error())
		return
	case a.fail != "":
		refuse(a.fail, "as the test wants it")
		return
	case !ok:
		refuse("NotFoundException", "Key '"+body.KeyId+"' does not exist")
		return
	}
	answer := map[string]any{"KeyId": body.KeyId}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		answer["CiphertextBlob"] = key.seal(body.Plaintext)
	case "TrentService.Decrypt":
		plaintext, err := key.open(body.CiphertextBlob)
		if err != nil {
			refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
			return
		}
		answer["Plaintext"] = plaintext
	default:
		refuse("UnknownOperationException", "")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(answer)
}

// services starts one of each.
func services(t *testing.T) []service {
	t.Helper()
	plain, secure := newVault(t, (*httptest.Server).Start), newVault(t, (*httptest.Server).StartTLS)
	secure.trustCA(t)
	_, g := newGoogle(t)
	_, a := newAmazon(t)
	return []service{plain.service("vault"), secure.service("vault over TLS"), g, a}
}

// bare is a wrapping key that does nothing, to see what Tink would encrypt.
type bare struct{}

func (bare) Encrypt(plaintext, _ []byte) ([]byte, error) { return slices.Clone(plaintext), nil }
func (bare) Decrypt([]byte, []byte) ([]byte, error)      { return nil, errors.New("not used") }
