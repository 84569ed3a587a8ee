// Package gcpca has Google's Certificate Authority Service certify an issuing
// key of ours: the subordinate CA below a root that lives there, from which our
// leaves are then issued here.
//
//	parent, err := gcpca.ParseParent("projects/p/locations/l/caPools/tsa-root")
//	...
//	chain, err := gcpca.Issue(ctx, gcpca.Config{}, gcpca.Request{
//		Parent: parent, PublicKey: key.Public(), Subject: name, Purpose: timeStamping, Lifetime: tenYears,
//	})
//
// The certificate that is asked for may issue leaves and no further CAs: cA
// TRUE, path length 0, keyCertSign and cRLSign, and one extended key usage
// where one is given.
//
// # What is needed
//
// Google's application default credentials, with the permission
// privateca.certificates.create on the pool (the role CA Service Certificate
// Requester has it), and an issuance policy of the pool that lets CAs pass. A
// client is made by [Issue] and by nothing else: no credentials are looked for
// before.
//
// # Trust
//
// An issuance policy drops the extensions that it does not let through instead
// of refusing the request. So what comes back is compared with what was asked
// for: the key, the CA bit, the path length, the usages; and the signatures up
// to the root that the service names. Whether that root is to be trusted is for
// those to say who verify.
//
// A certificate that was issued and then found wanting stays issued; revoke it
// in the pool.
package gcpca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	privateca "cloud.google.com/go/security/privateca/apiv1"
	"cloud.google.com/go/security/privateca/apiv1/privatecapb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// DefaultTimeout bounds one issuance, its retries included. The service
// answers within seconds; a minute is what Google's own client waits.
const DefaultTimeout = time.Minute

// maxAnswer bounds the answer, in bytes: a chain of ten certificates has less
// than a hundred thousand, and their description as much again.
const maxAnswer = 1 << 20

// Config says how the service is reached.
type Config struct {
	// Options are for Google's client, such as another endpoint. None means the
	// service itself, with the application default credentials.
	Options []option.ClientOption

	// Timeout bounds one issuance. Zero means DefaultTimeout.
	Timeout time.Duration
}

// A Parent is who is asked to issue.
type Parent struct {
	// Pool is projects/PROJECT/locations/LOCATION/caPools/POOL.
	Pool string
	// CA is one CA of the pool, by its identifier. Empty means that the pool
	// chooses.
	CA string
}

// parentForm has the identifiers as the service defines them; a project may
// have its domain before it, with a colon.
var parentForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(projects/[a-z0-9][a-z0-9.:-]{0,254}/locations/[a-z0-9-]{1,63}/caPools/[A-Za-z0-9_-]{1,63})(?:/certificateAuthorities/([A-Za-z0-9_-]{1,63}))?$`)
})

// ParseParent reads the name of a pool, or of a CA in it:
//
//	projects/PROJECT/locations/LOCATION/caPools/POOL
//	projects/PROJECT/locations/LOCATION/caPools/POOL/certificateAuthorities/CA
func ParseParent(text string) (Parent, error) {
	m := parentForm().FindStringSubmatch(text)
	if m == nil {
		return Parent{}, fmt.Errorf("gcpca: %.200q is not the name of a CA pool; want projects/PROJECT/locations/LOCATION/caPools/POOL, and /certificateAuthorities/CA for one CA of it", text)
	}
	return Parent{Pool: m[1], CA: m[2]}, nil
}

// String returns the name that ParseParent reads.
func (p Parent) String() string {
	if p.CA == "" {
		return p.Pool
	}
	return p.Pool + "/certificateAuthorities/" + p.CA
}

// A Request describes the certificate to be issued: by key and name, or by a
// certificate request.
type Request struct {
	// Parent is who issues. Required.
	Parent Parent

	// PublicKey is the key to certify, and Subject its name, of which the
	// common name is required; it has at most one value of each kind. The pool
	// must allow issuance from a configuration, as it does by default.
	PublicKey crypto.PublicKey
	Subject   pkix.Name

	// CSR is a certificate request (PKCS #10) in DER instead, from which the
	// key, the name and the extensions are taken, those of a CA among them. It
	// proves that whoever asks holds the key. The pool must allow issuance from
	// requests.
	CSR []byte

	// Purpose is the extended key usage that the certificate is limited to, and
	// asked for as critical. Nil means no limit, and with CSR the one that it
	// asks for.
	Purpose asn1.ObjectIdentifier

	// Lifetime is how long the certificate is to be valid; the service cuts it
	// to that of its CA. Required.
	Lifetime time.Duration
}

// The operations, as errors name them.
const (
	opClient = "make a client for Google CA Service"
	opIssue  = "issue a certificate with Google CA Service"
)

// Issue has a certificate issued and returns it with its chain: the new
// certificate first, the root last. The errors of the service, and what is
// wrong with its answer, are [fault.Error].
func Issue(ctx context.Context, cfg Config, req Request) ([]*x509.Certificate, error) {
	want, err := req.certificate()
	if err != nil {
		return nil, fmt.Errorf("gcpca: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	got, err := create(ctx, cfg, &privatecapb.CreateCertificateRequest{
		Parent:                        req.Parent.Pool,
		IssuingCertificateAuthorityId: req.Parent.CA,
		// Pools of the enterprise tier demand an identifier; the others ignore it.
		CertificateId: "fencepost-" + randomHex(10),
		// With it a request that is sent again, because the answer to the first
		// was lost, does not make a second certificate.
		RequestId:   randomUUID(),
		Certificate: want,
	})
	if err != nil {
		return nil, explain(req.Parent, err)
	}
	chain, err := readChain(got)
	if err != nil {
		return nil, fault.New(fault.Malformed, opIssue, "%s: %w", req.Parent, err)
	}
	if err := check(chain, req); err != nil {
		return nil, err
	}
	return chain, nil
}

// certificate is what the service is asked for.
func (req *Request) certificate() (*privatecapb.Certificate, error) {
	switch {
	case req.Parent.Pool == "":
		return nil, errors.New("no CA pool is named")
	case req.Lifetime <= 0:
		return nil, errors.New("no lifetime is given")
	case (req.PublicKey == nil) == (req.CSR == nil):
		return nil, errors.New("either a public key or a certificate request is needed")
	case req.CSR != nil && req.Purpose != nil:
		return nil, errors.New("a purpose beside a certificate request, which has its own")
	}
	out := &privatecapb.Certificate{Lifetime: durationpb.New(req.Lifetime)}
	if req.CSR != nil {
		csr, err := x509.ParseCertificateRequest(req.CSR)
		if err == nil {
			err = csr.CheckSignature()
		}
		if err != nil {
			return nil, fmt.Errorf("certificate request: %w", err)
		}
		// What check compares the answer with.
		req.PublicKey = csr.PublicKey
		if ids := purposes(csr.Extensions); len(ids) == 1 {
			req.Purpose = ids[0]
		}
		out.CertificateConfig = &privatecapb.Certificate_PemCsr{
			PemCsr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: req.CSR})),
		}
		return out, nil
	}
	key, err := x509.MarshalPKIXPublicKey(req.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	subject, err := subjectOf(req.Subject)
	if err != nil {
		return nil, err
	}
	parameters, err := parametersOf(req.Purpose)
	if err != nil {
		return nil, err
	}
	out.CertificateConfig = &privatecapb.Certificate_Config{Config: &privatecapb.CertificateConfig{
		PublicKey: &privatecapb.PublicKey{
			Format: privatecapb.PublicKey_PEM,
			Key:    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key}),
		},
		SubjectConfig: &privatecapb.CertificateConfig_SubjectConfig{Subject: subject},
		X509Config:    parameters,
	}}
	return out, nil
}

// parametersOf is the profile of a CA that issues leaves only.
func parametersOf(purpose asn1.ObjectIdentifier) (*privatecapb.X509Parameters, error) {
	isCA, pathLength := true, int32(0)
	p := &privatecapb.X509Parameters{
		KeyUsage: &privatecapb.KeyUsage{
			BaseKeyUsage: &privatecapb.KeyUsage_KeyUsageOptions{CertSign: true, CrlSign: true},
		},
		CaOptions: &privatecapb.X509Parameters_CaOptions{IsCa: &isCA, MaxIssuerPathLength: &pathLength},
	}
	if purpose != nil {
		// As an extension and not in KeyUsage, where it would not be critical.
		value, err := asn1.Marshal([]asn1.ObjectIdentifier{purpose})
		if err != nil {
			return nil, fmt.Errorf("extended key usage %v: %w", purpose, err)
		}
		p.AdditionalExtensions = []*privatecapb.X509Extension{{
			ObjectId: objectID(oidExtKeyUsage), Critical: true, Value: value,
		}}
	}
	return p, nil
}

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

func objectID(id asn1.ObjectIdentifier) *privatecapb.ObjectId {
	out := new(privatecapb.ObjectId)
	for _, arc := range id {
		out.ObjectIdPath = append(out.ObjectIdPath, int32(arc))
	}
	return out
}

// subjectOf refuses what the service has no field for, which would be lost.
func subjectOf(name pkix.Name) (*privatecapb.Subject, error) {
	out := &privatecapb.Subject{CommonName: name.CommonName}
	if name.CommonName == "" {
		return nil, errors.New("the subject has no common name")
	}
	if name.SerialNumber != "" || len(name.ExtraNames) > 0 {
		return nil, errors.New("the subject has a serial number or attributes of its own, which the service does not take")
	}
	for _, field := range []struct {
		name   string
		values []string
		to     *string
	}{
		{"country", name.Country, &out.CountryCode},
		{"organization", name.Organization, &out.Organization},
		{"organizational unit", name.OrganizationalUnit, &out.OrganizationalUnit},
		{"locality", name.Locality, &out.Locality},
		{"province", name.Province, &out.Province},
		{"street address", name.StreetAddress, &out.StreetAddress},
		{"postal code", name.PostalCode, &out.PostalCode},
	} {
		switch len(field.values) {
		case 0:
		case 1:
			*field.to = field.values[0]
		default:
			return nil, fmt.Errorf("the subject has %d values of %s; want at most one", len(field.values), field.name)
		}
	}
	return out, nil
}

// create makes a client for one call. An answer that the client cannot take
// apart must not end the process.
func create(ctx context.Context, cfg Config, req *privatecapb.CreateCertificateRequest) (got *privatecapb.Certificate, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Malformed, opIssue, "Google's client panicked: %v", r)
		}
	}()
	options := append([]option.ClientOption{
		option.WithGRPCDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))),
	}, cfg.Options...)
	client, err := privateca.NewCertificateAuthorityClient(ctx, options...)
	if err != nil {
		return nil, fault.New(fault.Credentials, opClient, "%w", err).WithHint("%s", credentialsHint)
	}
	defer client.Close()
	retry := new(retryer)
	got, err = client.CreateCertificate(ctx, req, gax.WithRetry(func() gax.Retryer { return retry }))
	// The client forgets why it waited; and what gRPC says of a context, which it
	// may do before the context itself, is no error of package context.
	switch ended := ctx.Err(); {
	case err != nil && ended != nil:
		return nil, errors.Join(ended, retry.last)
	case status.Code(err) == codes.DeadlineExceeded:
		return nil, errors.Join(context.DeadlineExceeded, err)
	}
	return got, err
}

func randomHex(octets int) string {
	b := make([]byte, octets)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// randomUUID returns a UUID of version 4 (RFC 9562, 5.4).
func randomUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
