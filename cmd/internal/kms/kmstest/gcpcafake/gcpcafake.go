// Package gcpcafake is a fake of Google's Certificate Authority Service, for
// tests: a gRPC server on the loopback interface that speaks the service's own
// protocol and really issues certificates, driven by Google's own client.
//
//	ca := gcpcafake.New(t)
//	chain, err := gcpca.Issue(ctx, gcpca.Config{Options: ca.Options()}, gcpca.Request{Parent: parent, …})
//
// It has one pool, [Pool], with two CAs: [RootCA], which issues unless another
// is asked for, and [SubordinateCA], certified by it. It demands what the
// service demands of a request in a pool of the enterprise tier, cuts lifetimes
// to that of the CA, and does not issue twice for one request identifier.
//
// It is no emulator: of the service's methods there is CreateCertificate, and
// an issuance policy is one of the [Fault] values.
package gcpcafake

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/security/privateca/apiv1/privatecapb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// What there is.
const (
	Pool          = "projects/fencepost-test/locations/europe-west3/caPools/tsa"
	RootCA        = "root-1"
	SubordinateCA = "sub-1"
)

// A Server is a running fake. Its methods may be called from several
// goroutines at once.
type Server struct {
	privatecapb.UnimplementedCertificateAuthorityServiceServer

	address string
	cas     map[string]*authority

	mu       sync.Mutex
	fault    Fault
	requests []*privatecapb.CreateCertificateRequest
	issued   map[string]*privatecapb.Certificate // by request identifier
}

// authority is a CA of the pool.
type authority struct {
	key   *signer.Key
	chain []*x509.Certificate // its own certificate, and those above
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{cas: map[string]*authority{}, issued: map[string]*privatecapb.Certificate{}}
	if err := s.makeCAs(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	server := grpc.NewServer()
	privatecapb.RegisterCertificateAuthorityServiceServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			t.Errorf("gcpcafake: %v", err)
		}
	})
	return s
}

// Options has Google's client ask this server, without credentials.
func (s *Server) Options() []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(s.address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// Root is the root of the pool.
func (s *Server) Root() *x509.Certificate { return s.cas[RootCA].chain[0] }

// Requests returns what was asked for, in order, refused requests included.
func (s *Server) Requests() []*privatecapb.CreateCertificateRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Issued is how many certificates were issued.
func (s *Server) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.issued)
}

// rootYears is what is left of the root's life: less than what callers ask for
// by default, so that lifetimes are cut as the service cuts them.
const rootYears = 10

func (s *Server) makeCAs() error {
	root, err := newAuthority(nil, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "Test Root", Organization: []string{"Fencepost TESTING"}},
		NotAfter: time.Now().AddDate(rootYears, 0, 0), MaxPathLen: -1,
	})
	if err != nil {
		return err
	}
	sub, err := newAuthority(root, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "Test Subordinate", Organization: []string{"Fencepost TESTING"}},
		NotAfter: time.Now().AddDate(rootYears-1, 0, 0), MaxPathLen: 1,
	})
	if err != nil {
		return err
	}
	s.cas[RootCA], s.cas[SubordinateCA] = root, sub
	return nil
}

// newAuthority makes a CA, below issuer if there is one.
func newAuthority(issuer *authority, c *x509.Certificate) (*authority, error) {
	key, err := signer.Generate(signer.P384)
	if err != nil {
		return nil, err
	}
	c.NotBefore = time.Now().Add(-time.Hour)
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	above := issuer
	if above == nil {
		above = &authority{key: key}
	}
	cert, err := above.sign(c, key.Public())
	if err != nil {
		return nil, err
	}
	return &authority{key, append([]*x509.Certificate{cert}, above.chain...)}, nil
}

// sign issues a certificate; without a chain, of itself.
func (a *authority) sign(c *x509.Certificate, pub any) (*x509.Certificate, error) {
	parent := c
	if len(a.chain) > 0 {
		parent = a.chain[0]
	}
	serial := make([]byte, 20)
	rand.Read(serial) // never fails
	serial[0] = serial[0]&0x3f | 0x40
	c.SerialNumber = new(big.Int).SetBytes(serial)
	var err error
	if c.SubjectKeyId, err = keyID(pub); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, signer.Crypto(context.Background(), a.key))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// keyID is method 1 of RFC 5280, 4.2.1.2, which the service uses.
func keyID(pub any) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, err
	}
	sum := sha1.Sum(spki.PublicKey.Bytes)
	return sum[:], nil
}

var (
	certificateID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)
	uuid          = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// CreateCertificate implements the method of the service.
func (s *Server) CreateCertificate(ctx context.Context, req *privatecapb.CreateCertificateRequest) (*privatecapb.Certificate, error) {
	s.mu.Lock()
	fault := s.fault
	s.requests = append(s.requests, proto.CloneOf(req))
	attempt := len(s.requests)
	known := s.issued[req.RequestId]
	s.mu.Unlock()

	if err := fault.refuse(ctx, attempt); err != nil {
		return nil, err
	}
	switch {
	case req.Parent != Pool:
		return nil, status.Errorf(codes.NotFound, "Resource '%s' was not found", req.Parent)
	case !certificateID.MatchString(req.CertificateId):
		return nil, status.Error(codes.InvalidArgument, "Missing or invalid certificate ID, which is required in the Enterprise tier.")
	case !uuid.MatchString(req.RequestId):
		return nil, status.Error(codes.InvalidArgument, "The request ID is not a UUID.")
	case known != nil:
		return known, nil
	}
	name := req.IssuingCertificateAuthorityId
	if name == "" {
		name = RootCA
	}
	ca := s.cas[name]
	if ca == nil {
		return nil, status.Errorf(codes.NotFound, "Resource '%s/certificateAuthorities/%s' was not found", Pool, name)
	}
	out, err := ca.issue(req.Certificate, fault)
	if err != nil {
		return nil, err
	}
	out.Name = Pool + "/certificates/" + req.CertificateId
	out.IssuerCertificateAuthority = Pool + "/certificateAuthorities/" + name
	if err := fault.spoil(out); err != nil {
		return nil, err
	}

	s.mu.Lock()
	s.issued[req.RequestId] = out
	s.mu.Unlock()
	if fault == LostAnswer && attempt == 1 {
		return nil, status.Error(codes.Unavailable, "connection reset by peer")
	}
	return out, nil
}

// issue makes the certificate that is asked for.
func (a *authority) issue(want *privatecapb.Certificate, fault Fault) (*privatecapb.Certificate, error) {
	lifetime := want.GetLifetime().AsDuration()
	if lifetime <= 0 {
		return nil, invalid("The lifetime must be positive.")
	}
	c, pub, err := template(want)
	if err != nil {
		return nil, err
	}
	c.NotBefore = time.Now()
	if c.NotAfter = c.NotBefore.Add(lifetime); c.NotAfter.After(a.chain[0].NotAfter) {
		c.NotAfter = a.chain[0].NotAfter
	}
	if c, pub, err = fault.twist(c, pub); err != nil {
		return nil, err
	}
	cert, err := a.sign(c, pub)
	if err != nil {
		return nil, err
	}
	out := &privatecapb.Certificate{PemCertificate: pemOf(cert), Lifetime: want.Lifetime, CertificateConfig: want.CertificateConfig}
	for _, above := range a.chain {
		out.PemCertificateChain = append(out.PemCertificateChain, pemOf(above))
	}
	return out, nil
}

func pemOf(c *x509.Certificate) string {
	// The service puts line breaks around it.
	return "\n" + strings.TrimSpace(string(pki.EncodeChain([]*x509.Certificate{c}))) + "\n"
}

// template is the certificate before it is signed.
func template(want *privatecapb.Certificate) (*x509.Certificate, any, error) {
	switch from := want.GetCertificateConfig().(type) {
	case *privatecapb.Certificate_PemCsr:
		block, _ := pem.Decode([]byte(from.PemCsr))
		if block == nil || block.Type != "CERTIFICATE REQUEST" {
			return nil, nil, invalid("The CSR is not in PEM.")
		}
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err == nil {
			err = csr.CheckSignature()
		}
		if err != nil {
			return nil, nil, invalid("The CSR is invalid: " + err.Error())
		}
		return &x509.Certificate{Subject: csr.Subject, ExtraExtensions: csr.Extensions}, csr.PublicKey, nil
	case *privatecapb.Certificate_Config:
		return fromConfig(from.Config)
	}
	return nil, nil, invalid("Neither a CSR nor a configuration is given.")
}

// invalid is what the service says of a request that it cannot grant as it is.
func invalid(text string) error { return status.Error(codes.InvalidArgument, text) }

func fromConfig(cfg *privatecapb.CertificateConfig) (*x509.Certificate, any, error) {
	block, _ := pem.Decode(cfg.GetPublicKey().GetKey())
	if block == nil || cfg.GetPublicKey().GetFormat() != privatecapb.PublicKey_PEM {
		return nil, nil, invalid("The public key is not in PEM.")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, invalid("The public key is invalid: " + err.Error())
	}
	subject, x := cfg.GetSubjectConfig().GetSubject(), cfg.GetX509Config()
	if subject == nil || x == nil {
		return nil, nil, invalid("The subject and the X.509 parameters are required.")
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: subject.CommonName}}
	for _, field := range []struct {
		value string
		to    *[]string
	}{
		{subject.CountryCode, &c.Subject.Country}, {subject.Organization, &c.Subject.Organization},
		{subject.OrganizationalUnit, &c.Subject.OrganizationalUnit}, {subject.Locality, &c.Subject.Locality},
		{subject.Province, &c.Subject.Province},
	} {
		if field.value != "" {
			*field.to = []string{field.value}
		}
	}
	if usage := x.GetKeyUsage().GetBaseKeyUsage(); usage != nil {
		for _, bit := range []struct {
			set bool
			is  x509.KeyUsage
		}{
			{usage.DigitalSignature, x509.KeyUsageDigitalSignature}, {usage.ContentCommitment, x509.KeyUsageContentCommitment},
			{usage.CertSign, x509.KeyUsageCertSign}, {usage.CrlSign, x509.KeyUsageCRLSign},
		} {
			if bit.set {
				c.KeyUsage |= bit.is
			}
		}
	}
	if ca := x.GetCaOptions(); ca != nil && ca.IsCa != nil {
		c.BasicConstraintsValid, c.IsCA, c.MaxPathLen = true, *ca.IsCa, -1
		if length := ca.MaxIssuerPathLength; length != nil {
			c.MaxPathLen, c.MaxPathLenZero = int(*length), *length == 0
		}
	}
	for _, e := range x.GetAdditionalExtensions() {
		var id asn1.ObjectIdentifier
		for _, arc := range e.GetObjectId().GetObjectIdPath() {
			id = append(id, int(arc))
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: e.Critical, Value: e.Value})
	}
	return c, pub, nil
}
