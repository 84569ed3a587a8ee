// Package gcpfake is a fake of Google Cloud KMS for tests. It is a server of
// the service's own gRPC interface (google.cloud.kms.v1.KeyManagementService),
// with its checksums, and signs with real keys:
//
//	s := gcpfake.Start(t)
//	s.AddKey("tsa", kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256)
//	... open s.URI("tsa") with s.Options() ...
//	s.Break("AsymmetricSign", gcpfake.Denied)
//
// It does what the tests of this repository ask of Google, and is not Google:
// it knows a few calls, one key ring that is there and no permissions. It
// speaks without TLS and takes any caller, because there is no variable that
// tells Google's client where to go and whom to trust.
package gcpfake

import (
	"context"
	"fmt"
	"hash/crc32"
	"net"
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

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest"
)

// The names of where the keys are.
const (
	Location = "projects/fencepost/locations/europe-west1"
	Ring     = "stamps"
	RingName = Location + "/keyRings/" + Ring
)

// A Fault is what the service does wrong.
type Fault string

// The faults. The first are answered with the status of that name.
const (
	NotFound        Fault = "NotFound"
	Denied          Fault = "PermissionDenied"
	Unauthenticated Fault = "Unauthenticated"
	Precondition    Fault = "FailedPrecondition"
	Exhausted       Fault = "ResourceExhausted"
	Internal        Fault = "Internal"
	Unavailable     Fault = "Unavailable"
	// UnavailableOnce refuses one call; then all is well.
	UnavailableOnce Fault = "unavailable-once"
	// Hang answers when the test ends, or the caller gives up.
	Hang Fault = "hang"
	// Empty answers a message without fields.
	Empty Fault = "empty"
	// Garbage signs with bytes that are no signature.
	Garbage Fault = "garbage"
	// WrongKey signs with another key of the same type.
	WrongKey Fault = "wrong-key"
	// BadChecksum sends a signature that does not fit its checksum.
	BadChecksum Fault = "bad-checksum"
	// NoChecksum sends a signature without one.
	NoChecksum Fault = "no-checksum"
	// Unverified does not say that the digest came over whole.
	Unverified Fault = "unverified"
	// NotPEM sends a public key that is none.
	NotPEM Fault = "not-pem"
)

var statuses = map[Fault]codes.Code{
	NotFound:        codes.NotFound,
	Denied:          codes.PermissionDenied,
	Unauthenticated: codes.Unauthenticated,
	Precondition:    codes.FailedPrecondition,
	Exhausted:       codes.ResourceExhausted,
	Internal:        codes.Internal,
	Unavailable:     codes.Unavailable,
	UnavailableOnce: codes.Unavailable,
}

// A Server is the fake. Its methods may be called at any time, from any
// goroutine.
type Server struct {
	kmstest.Faults[Fault]

	kmspb.UnimplementedKeyManagementServiceServer
	listener net.Listener
	ended    chan struct{}

	mu    sync.Mutex
	rings map[string]bool
	keys  map[string]*Key // by resource name
}

// Start runs a server on loopback until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{
		Faults:   kmstest.New(UnavailableOnce),
		listener: listener,
		ended:    make(chan struct{}),
		rings:    map[string]bool{RingName: true},
		keys:     map[string]*Key{},
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	kmspb.RegisterKeyManagementServiceServer(server, s)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	tb.Cleanup(func() {
		close(s.ended)
		server.Stop()
		<-served
	})
	return s
}

// Addr is the address of the server, HOST:PORT.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Options send Google's client to this server.
func (s *Server) Options() []option.ClientOption { return Options(s.Addr()) }

// Options send Google's client to an address where nobody asks who comes.
func Options(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// URI names a key of the ring that is there.
func (s *Server) URI(key string) string { return "gcpkms://" + RingName + "/cryptoKeys/" + key }

type faultKey struct{}

// intercept counts calls and has them go wrong.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	call := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	f := s.Meet(call)
	if code, ok := statuses[f]; ok {
		return nil, status.Errorf(code, "made by the test: %s", call)
	}
	if f == Hang {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-s.ended:
			return nil, status.Error(codes.Unavailable, "the test has ended")
		}
	}
	return handler(context.WithValue(ctx, faultKey{}, f), req)
}

// key returns the key of a resource name, or of the name of a version of it.
func (s *Server) key(name string) (*Key, error) {
	name, _, _ = strings.Cut(name, "/cryptoKeyVersions")
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	}
	return k, nil
}

// GetKeyRing implements the service.
func (s *Server) GetKeyRing(_ context.Context, in *kmspb.GetKeyRingRequest) (*kmspb.KeyRing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[in.Name] {
		return nil, status.Errorf(codes.NotFound, "KeyRing %s not found.", in.Name)
	}
	return &kmspb.KeyRing{Name: in.Name}, nil
}

// CreateKeyRing implements the service.
func (s *Server) CreateKeyRing(_ context.Context, in *kmspb.CreateKeyRingRequest) (*kmspb.KeyRing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.Parent + "/keyRings/" + in.KeyRingId
	if s.rings[name] {
		return nil, status.Errorf(codes.AlreadyExists, "KeyRing %s already exists.", name)
	}
	s.rings[name] = true
	return &kmspb.KeyRing{Name: name}, nil
}

// CreateCryptoKey implements the service. As Google does with asymmetric keys,
// it answers before the first version is there.
func (s *Server) CreateCryptoKey(_ context.Context, in *kmspb.CreateCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.Parent + "/cryptoKeys/" + in.CryptoKeyId
	switch {
	case !s.rings[in.Parent]:
		return nil, status.Errorf(codes.NotFound, "KeyRing %s not found.", in.Parent)
	case s.keys[name] != nil:
		return nil, status.Errorf(codes.AlreadyExists, "CryptoKey %s already exists.", name)
	case in.CryptoKey.GetPurpose() != kmspb.CryptoKey_ASYMMETRIC_SIGN:
		return nil, status.Error(codes.InvalidArgument, "gcpfake makes keys that sign")
	}
	k := newKey(name)
	v := k.AddVersion(in.CryptoKey.GetVersionTemplate().GetAlgorithm())
	v.SetState(kmspb.CryptoKeyVersion_PENDING_GENERATION)
	s.keys[name] = k
	return k.proto(), nil
}

// GetCryptoKey implements the service.
func (s *Server) GetCryptoKey(_ context.Context, in *kmspb.GetCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	k, err := s.key(in.Name)
	if err != nil {
		return nil, err
	}
	return k.proto(), nil
}

// pageSize makes lists come in several answers.
const pageSize = 4

// ListCryptoKeyVersions implements the service. It orders the names as text,
// which puts 9 after 10.
func (s *Server) ListCryptoKeyVersions(_ context.Context, in *kmspb.ListCryptoKeyVersionsRequest) (*kmspb.ListCryptoKeyVersionsResponse, error) {
	k, err := s.key(in.Parent)
	if err != nil {
		return nil, err
	}
	all := k.versionList()
	slices.SortFunc(all, func(a, b *Version) int { return strings.Compare(a.name, b.name) })
	start := 0
	if in.PageToken != "" {
		if _, err := fmt.Sscan(in.PageToken, &start); err != nil || start < 0 || start > len(all) {
			return nil, status.Error(codes.InvalidArgument, "page_token")
		}
	}
	end := min(start+pageSize, len(all))
	out := &kmspb.ListCryptoKeyVersionsResponse{TotalSize: int32(len(all))}
	for _, v := range all[start:end] {
		out.CryptoKeyVersions = append(out.CryptoKeyVersions, v.proto())
	}
	if end < len(all) {
		out.NextPageToken = fmt.Sprint(end)
	}
	return out, nil
}

// GetCryptoKeyVersion implements the service.
func (s *Server) GetCryptoKeyVersion(ctx context.Context, in *kmspb.GetCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	if ctx.Value(faultKey{}) == Empty {
		return &kmspb.CryptoKeyVersion{}, nil
	}
	v, err := s.version(in.Name)
	if err != nil {
		return nil, err
	}
	out := v.proto()
	v.generated()
	return out, nil
}

// GetPublicKey implements the service.
func (s *Server) GetPublicKey(ctx context.Context, in *kmspb.GetPublicKeyRequest) (*kmspb.PublicKey, error) {
	v, err := s.version(in.Name)
	if err != nil {
		return nil, err
	}
	if err := v.usable(); err != nil {
		return nil, err
	}
	text, err := v.pem()
	if err != nil {
		return nil, err
	}
	switch ctx.Value(faultKey{}) {
	case Empty:
		return &kmspb.PublicKey{}, nil
	case NotPEM:
		text = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
	}
	return &kmspb.PublicKey{
		Name:      in.Name,
		Pem:       text,
		PemCrc32C: wrapperspb.Int64(checksum([]byte(text))),
		Algorithm: v.algorithm,
	}, nil
}

// AsymmetricSign implements the service.
func (s *Server) AsymmetricSign(ctx context.Context, in *kmspb.AsymmetricSignRequest) (*kmspb.AsymmetricSignResponse, error) {
	f, _ := ctx.Value(faultKey{}).(Fault)
	v, err := s.version(in.Name)
	if err != nil {
		return nil, err
	}
	if err := v.usable(); err != nil {
		return nil, err
	}
	hash, digest := digestOf(in.Digest)
	if in.DigestCrc32C != nil && in.DigestCrc32C.Value != checksum(digest) {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field digest_crc32c did not match the data in field digest.")
	}
	signature, err := v.sign(hash, digest, f == WrongKey)
	if err != nil {
		return nil, err
	}
	if f == Garbage {
		for i := range signature {
			signature[i] = 0xa5
		}
	}
	out := &kmspb.AsymmetricSignResponse{
		Name:                 in.Name,
		Signature:            signature,
		SignatureCrc32C:      wrapperspb.Int64(checksum(signature)),
		VerifiedDigestCrc32C: in.DigestCrc32C != nil,
	}
	switch f {
	case Empty:
		return &kmspb.AsymmetricSignResponse{}, nil
	case BadChecksum:
		out.SignatureCrc32C.Value ^= 1
	case NoChecksum:
		out.SignatureCrc32C = nil
	case Unverified:
		out.VerifiedDigestCrc32C = false
	}
	return out, nil
}

func checksum(data []byte) int64 {
	return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}
