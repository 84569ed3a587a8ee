package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// RequestConfig describes a certificate request: PKCS #10, RFC 2986.
type RequestConfig struct {
	// Role decides which extensions are asked for. Required.
	Role Role

	// Kind is that of the certificate wanted, KindIntermediate or KindLeaf.
	// Zero means the first of a chain for the role: Role.Kind.
	Kind Kind

	// Subject is the name to be certified. A CA may have its own mind about it.
	// CommonName is required.
	Subject pkix.Name

	// Key is the key to be certified; it signs the request, which proves its
	// possession. Required.
	Key crypto.Signer

	// SignatureAlgorithm must suit Key. Zero means as in Config.
	SignatureAlgorithm x509.SignatureAlgorithm
}

// CreateRequest makes a request for a certificate, with the extensions that
// CreateIntermediate and CreateLeaf would give it: critical basicConstraints and
// keyUsage, and the extended key usage of the role, critical in a leaf but for
// code signing. A CA that copies them issues what Check is content with; many do
// not, and say how else they are told. Keys that those functions refuse are an
// error.
func CreateRequest(cfg RequestConfig) (*x509.CertificateRequest, error) {
	req, err := createRequest(cfg)
	if err != nil {
		return nil, fmt.Errorf("pki: creating certificate request: %w", err)
	}
	return req, nil
}

func createRequest(cfg RequestConfig) (*x509.CertificateRequest, error) {
	prof, err := cfg.Role.profile()
	switch {
	case err != nil:
		return nil, err
	case cfg.Subject.CommonName == "":
		return nil, errors.New("the subject has no common name")
	case cfg.Key == nil:
		return nil, errors.New("no key to sign with")
	case cfg.Kind == 0:
		cfg.Kind = cfg.Role.Kind()
	case cfg.Kind != KindIntermediate && cfg.Kind != KindLeaf:
		return nil, fmt.Errorf("a request for a %v certificate", cfg.Kind)
	case cfg.Kind == KindLeaf && cfg.Role.Kind() != KindLeaf:
		return nil, fmt.Errorf("a chain for the role %s has no leaf", cfg.Role)
	}
	if err := checkKey(cfg.Role, cfg.Kind, cfg.Key.Public()); err != nil {
		return nil, err
	}
	extensions, err := prof.requested(cfg.Kind)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: cfg.Subject, ExtraExtensions: extensions, SignatureAlgorithm: cfg.SignatureAlgorithm,
	}, cfg.Key)
	if err != nil {
		return nil, err
	}
	return parseRequest(der)
}

// requested returns the extensions that a request has.
func (p profile) requested(kind Kind) ([]pkix.Extension, error) {
	constraints, usage := []byte{0x30, 0}, []byte{3, 2, 7, 0x80} // cA FALSE; digitalSignature
	if kind == KindIntermediate {
		constraints = []byte{0x30, 6, 1, 1, 0xff, 2, 1, 0} // cA TRUE, path length 0
		usage = []byte{3, 2, 1, 6}                         // keyCertSign, cRLSign
	}
	out := []pkix.Extension{
		{Id: oidBasicConstraints, Critical: true, Value: constraints},
		{Id: oidKeyUsage, Critical: true, Value: usage},
	}
	if p.ekuName == "" {
		return out, nil
	}
	eku, err := criticalEKU(p.ekuOID)
	eku.Critical = kind == KindLeaf && p.strictEKU() // as in the certificate
	return append(out, eku), err
}

// EncodeRequest writes a request in PEM.
func EncodeRequest(req *x509.CertificateRequest) []byte { return formRequest.encode(req.Raw) }

// ParseRequest reads one certificate request, in PEM or DER, and nothing else.
// It must be signed by the key that it names, with SHA-256 or better: so far,
// who made it had the private key. Keys that Check would refuse are an error,
// and a private key in the file is ErrPrivateKey.
//
// What else the request says, name and extensions, is the wish of somebody
// unknown.
func ParseRequest(data []byte) (*x509.CertificateRequest, error) {
	der, err := formRequest.one(data)
	if err == nil {
		var req *x509.CertificateRequest
		if req, err = parseRequest(der); err == nil {
			return req, nil
		}
	}
	return nil, fmt.Errorf("pki: reading certificate request: %w", err)
}

func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	if err := requestForm(der); err != nil {
		return nil, err
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "x509: "))
	}
	if fault := pubkey.Fault(req.PublicKey); fault != "" {
		return nil, errors.New("subjectPKInfo: the public key is " + fault)
	}
	switch req.SignatureAlgorithm {
	case x509.UnknownSignatureAlgorithm:
		return nil, errors.New("signatureAlgorithm: unknown")
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return nil, fmt.Errorf("signatureAlgorithm: %v no longer proves anything", req.SignatureAlgorithm)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signature: not made with the key of the request: %s", strings.TrimPrefix(err.Error(), "x509: "))
	}
	return req, nil
}

// requestForm holds the outer form of a request to DER, which
// x509.ParseCertificateRequest does not in all places.
//
//	CertificationRequestInfo ::= SEQUENCE {
//	     version       INTEGER { v1(0) } (v1,...),
//	     subject       Name,
//	     subjectPKInfo SubjectPublicKeyInfo{{ PKInfoAlgorithms }},
//	     attributes    [0] Attributes{{ CRIAttributes }} }
//
//	CertificationRequest ::= SEQUENCE {
//	     certificationRequestInfo CertificationRequestInfo,
//	     signatureAlgorithm       AlgorithmIdentifier{{ SignatureAlgorithms }},
//	     signature                BIT STRING } -- RFC 2986, 4
func requestForm(der []byte) error {
	input := cryptobyte.String(der)
	var req, info, subject, key, attributes, algorithm cryptobyte.String
	var version uint8
	var signature asn1.BitString
	context0 := cbasn1.Tag(0).ContextSpecific().Constructed()
	switch {
	case !input.ReadASN1(&req, cbasn1.SEQUENCE) || !input.Empty():
		return errors.New("not one SEQUENCE in DER")
	case !req.ReadASN1(&info, cbasn1.SEQUENCE):
		return errors.New("certificationRequestInfo: not a SEQUENCE")
	case !info.ReadASN1Integer(&version):
		return errors.New("version: not an INTEGER; this is no certificate request")
	case version != 0:
		return fmt.Errorf("version: %d, want 0", version)
	case !info.ReadASN1(&subject, cbasn1.SEQUENCE):
		return errors.New("subject: not a SEQUENCE")
	case !info.ReadASN1(&key, cbasn1.SEQUENCE):
		return errors.New("subjectPKInfo: not a SEQUENCE")
	case !info.ReadASN1(&attributes, context0):
		return errors.New("attributes: missing") // not OPTIONAL
	case !info.Empty():
		return errors.New("certificationRequestInfo: more follows the attributes")
	case !req.ReadASN1(&algorithm, cbasn1.SEQUENCE):
		return errors.New("signatureAlgorithm: not a SEQUENCE")
	case !req.ReadASN1BitString(&signature):
		return errors.New("signature: not a BIT STRING")
	case signature.BitLength%8 != 0:
		return errors.New("signature: not a whole number of octets")
	case !req.Empty():
		return errors.New("more follows the signature")
	}
	return requestAttributes(attributes)
}

// requestAttributes wants each type of attribute once, with values.
//
//	Attribute ::= SEQUENCE { type OBJECT IDENTIFIER, values SET SIZE(1..MAX) OF ANY }
func requestAttributes(attributes cryptobyte.String) error {
	seen := map[string]bool{}
	for !attributes.Empty() {
		var attribute, id, values cryptobyte.String
		switch {
		case !attributes.ReadASN1(&attribute, cbasn1.SEQUENCE):
			return errors.New("attributes: one is not a SEQUENCE")
		case !attribute.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER):
			return errors.New("attributes: one has no type")
		case !attribute.ReadASN1(&values, cbasn1.SET) || values.Empty() || !attribute.Empty():
			return errors.New("attributes: the values of one are not a SET with something in it")
		case seen[string(id)]:
			return errors.New("attributes: one type is there twice") // RFC 2985, 5.4
		}
		seen[string(id)] = true
	}
	return nil
}

// UnmetWishes returns the extensions that a request asks for and the first
// certificate of a chain for the role, as made by this package, does not have as they are written
// there: by name where they have one in RFC 5280, else by identifier. Key
// identifiers, which a CA makes itself, do not count.
func UnmetWishes(req *x509.CertificateRequest, role Role) []string {
	p, err := role.profile()
	if err != nil {
		return nil
	}
	ours, err := p.requested(role.Kind())
	if err != nil {
		return nil
	}
	met := map[string]bool{"2.5.29.14": true, "2.5.29.35": true}
	for _, e := range req.Extensions {
		for _, o := range ours {
			if e.Id.Equal(o.Id) && string(e.Value) == string(o.Value) {
				met[e.Id.String()] = true
			}
		}
	}
	var out []string
	for _, e := range req.Extensions {
		if !met[e.Id.String()] {
			out = append(out, extensionName(e.Id))
		}
	}
	return out
}

// extensionName names the extensions that requests have in practice.
func extensionName(id asn1.ObjectIdentifier) string {
	text := id.String()
	names := [...]string{
		"2.5.29.15", "keyUsage", "2.5.29.16", "privateKeyUsagePeriod", "2.5.29.17", "subjectAltName", "2.5.29.19", "basicConstraints",
		"2.5.29.30", "nameConstraints", "2.5.29.31", "cRLDistributionPoints", "2.5.29.32", "certificatePolicies", "2.5.29.37", "extKeyUsage",
		"1.3.6.1.5.5.7.1.1", "authorityInfoAccess",
	}
	for i := 0; i < len(names); i += 2 {
		if names[i] == text {
			return names[i+1]
		}
	}
	return shorten(text)
}
