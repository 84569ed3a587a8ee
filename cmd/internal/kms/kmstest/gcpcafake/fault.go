package gcpcafake

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"time"

	"cloud.google.com/go/security/privateca/apiv1/privatecapb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fencepost-tsa/fencepost/signer"
)

// A Fault is what goes wrong.
type Fault string

// The faults of a request that is refused. The texts are what the service
// says, as far as they are known.
const (
	None             Fault = ""
	PermissionDenied Fault = "permission denied"
	ServiceDisabled  Fault = "service disabled"
	Unauthenticated  Fault = "unauthenticated"
	CADisabled       Fault = "CA disabled"
	PolicyRefuses    Fault = "policy refuses"
	QuotaUsedUp      Fault = "quota used up"
	Internal         Fault = "internal"
	Unavailable      Fault = "unavailable"       // always
	UnavailableTwice Fault = "unavailable twice" // the first two requests
	LostAnswer       Fault = "lost answer"       // issues, and the first answer is lost
	Hangs            Fault = "hangs"             // until the caller gives up
)

// The faults of a certificate that is issued.
const (
	OtherKey         Fault = "other key"           // for a key that nobody asked about
	NotCA            Fault = "not a CA"            // as when the policy drops CA options
	NoKeyUsage       Fault = "no key usage"        // as when the policy sets another
	NoPathLength     Fault = "no path length"      // as when the policy drops it
	NoPurpose        Fault = "no purpose"          // as when the policy drops additional extensions
	MorePurposes     Fault = "more purposes"       // as when the policy has a baseline
	NoChain          Fault = "no chain"            // the certificate alone
	OtherChain       Fault = "other chain"         // of CAs that did not issue it
	ChainInDisorder  Fault = "chain in disorder"   // the root first
	LongChain        Fault = "long chain"          // the root, many times
	NoPEM            Fault = "no PEM"              // the certificate is not one
	NoPEMInChain     Fault = "no PEM in the chain" // a certificate above is not one
	TwoCertificates  Fault = "two certificates"    // where one belongs
	NotDER           Fault = "not DER"             // PEM without a certificate in it
	AnswerOfMegabyte Fault = "answer of a megabyte"
)

// SetFault has all requests from now on go wrong, or with None go well.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// refuse returns the error of a request that is not granted.
func (f Fault) refuse(ctx context.Context, attempt int) error {
	switch f {
	case PermissionDenied:
		return withReason(codes.PermissionDenied, "Permission 'privateca.certificates.create' denied on '"+Pool+"'", "IAM_PERMISSION_DENIED")
	case ServiceDisabled:
		return withReason(codes.PermissionDenied, "Certificate Authority API has not been used in project fencepost-test before or it is disabled.", "SERVICE_DISABLED")
	case Unauthenticated:
		return status.Error(codes.Unauthenticated, "Request had invalid authentication credentials.")
	case CADisabled:
		return status.Error(codes.FailedPrecondition, "There are no enabled CAs in the CaPool.")
	case PolicyRefuses:
		return status.Error(codes.InvalidArgument, "The request does not comply with the issuance policy of the CaPool.")
	case QuotaUsedUp:
		return status.Error(codes.ResourceExhausted, "Quota exceeded for quota metric 'Certificate issuances'")
	case Internal:
		return status.Error(codes.Internal, "Internal error encountered.")
	case Unavailable:
		return status.Error(codes.Unavailable, "The service is currently unavailable.")
	case UnavailableTwice:
		if attempt <= 2 {
			return status.Error(codes.Unavailable, "The service is currently unavailable.")
		}
	case Hangs:
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	return nil
}

func withReason(code codes.Code, text, reason string) error {
	s, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "googleapis.com"})
	if err != nil {
		return err
	}
	return s.Err()
}

// twist changes what is about to be signed.
func (f Fault) twist(c *x509.Certificate, pub any) (*x509.Certificate, any, error) {
	switch f {
	case OtherKey:
		other, err := signer.Generate(signer.P256)
		if err != nil {
			return nil, nil, err
		}
		return c, other.Public(), nil
	case NotCA:
		c.IsCA, c.BasicConstraintsValid, c.MaxPathLenZero, c.MaxPathLen = false, true, false, 0
		c.KeyUsage = x509.KeyUsageDigitalSignature
	case NoKeyUsage:
		c.KeyUsage = x509.KeyUsageCRLSign
	case NoPathLength:
		c.MaxPathLen, c.MaxPathLenZero = -1, false
	case NoPurpose:
		c.ExtraExtensions = withoutPurpose(c.ExtraExtensions)
	case MorePurposes:
		value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}, {1, 3, 6, 1, 5, 5, 7, 3, 3}})
		if err != nil {
			return nil, nil, err
		}
		c.ExtraExtensions = append(withoutPurpose(c.ExtraExtensions), pkix.Extension{Id: oidExtKeyUsage, Value: value})
	}
	return c, pub, nil
}

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

func withoutPurpose(extensions []pkix.Extension) []pkix.Extension {
	return slices.DeleteFunc(slices.Clone(extensions), func(e pkix.Extension) bool { return e.Id.Equal(oidExtKeyUsage) })
}

// longChain is more than any reader of chains takes.
const longChain = 40

// spoil changes the answer.
func (f Fault) spoil(out *privatecapb.Certificate) error {
	switch f {
	case NoChain:
		out.PemCertificateChain = nil
	case OtherChain:
		// A CA that has the name of the issuer, and another key.
		other, err := newAuthority(nil, &x509.Certificate{
			Subject: pkix.Name{CommonName: "Test Root", Organization: []string{"Fencepost TESTING"}}, NotAfter: time.Now().AddDate(1, 0, 0),
		})
		if err != nil {
			return err
		}
		out.PemCertificateChain = []string{pemOf(other.chain[0])}
	case ChainInDisorder:
		slices.Reverse(out.PemCertificateChain)
	case LongChain:
		last := out.PemCertificateChain[len(out.PemCertificateChain)-1]
		for range longChain {
			out.PemCertificateChain = append(out.PemCertificateChain, last)
		}
	case NoPEM:
		out.PemCertificate = "<html>Bad Gateway</html>"
	case NoPEMInChain:
		out.PemCertificateChain[0] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	case TwoCertificates:
		out.PemCertificate += out.PemCertificateChain[0]
	case NotDER:
		out.PemCertificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	case AnswerOfMegabyte:
		out.PemCertificateChain = append(out.PemCertificateChain, string(make([]byte, 2<<20)))
	}
	return nil
}
