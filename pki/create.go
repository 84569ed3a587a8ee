package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/fencepost-tsa/fencepost/internal/pkup"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// Kind is the place of a certificate in a chain.
type Kind int

// The kinds. The zero Kind is none.
const (
	KindRoot         Kind = iota + 1 // self-signed, the trust anchor
	KindIntermediate                 // issues leaves and nothing else; for a CA it does the role's work
	KindLeaf                         // certifies the key that does the role's work
)

// String returns "root", "intermediate" or "leaf".
func (k Kind) String() string {
	switch k {
	case KindRoot:
		return "root"
	case KindIntermediate:
		return "intermediate"
	case KindLeaf:
		return "leaf"
	}
	return fmt.Sprintf("pki.Kind(%d)", int(k))
}

// years is the default validity. Each kind outlives the one below it even when
// that is issued or renewed five years later, so that no leaf is cut short by
// its issuer. Ten years for a leaf keep old timestamps verifiable with tools
// that insist on a certificate that is valid today, and stay below the 135
// months of CSBR 6.3.2. That clause allows the private key 15 months of use:
// see Config.PrivateKeyNotAfter. One year for a code signing certificate stays
// below the 460 days of CSBR 6.3.2: its key is used as long as it is valid.
func (k Kind) years(r Role) int {
	switch {
	case k == KindRoot:
		return 20
	case k == KindIntermediate:
		return 15
	case r == RoleCodeSigning:
		return 1
	}
	return 10
}

// Backdate is how long before now a new certificate begins to be valid, so that
// a machine whose clock is a little behind does not refuse it, and a timestamp
// made at once lies inside it with its whole accuracy.
const Backdate = 5 * time.Minute

// Config describes one certificate to make.
type Config struct {
	// Role decides the extended key usage, and which kinds of certificate there
	// are: a chain for a CA has no leaf. Required.
	Role Role

	// Subject is the name certified. CommonName is required and must differ
	// from the issuer's name as a whole; EN 319 422, 6.2 wants Country and
	// Organization too.
	Subject pkix.Name

	// RawSubject is the name in DER, to be certified as it is written, as from
	// x509.CertificateRequest.RawSubject. Nil means that of Subject, which
	// otherwise is not looked at. One with control characters or with several
	// common names is refused.
	RawSubject []byte

	// PublicKey is the key to certify. For a root, nil means that of IssuerKey.
	PublicKey crypto.PublicKey

	// Issuer is the certificate that issues this one. Nil for a root, otherwise
	// required.
	Issuer *x509.Certificate

	// IssuerKey signs: the key of Issuer, or the root's own. Required.
	IssuerKey crypto.Signer

	// NotBefore is when validity begins. Zero means Backdate before now, or the
	// beginning of the issuer's validity if that is later.
	NotBefore time.Time

	// NotAfter is the last second of validity. Zero means 20 years for a root,
	// 15 for an intermediate, 10 for a leaf, 1 for that of code signing, or the
	// end of the issuer's validity if that is sooner.
	NotAfter time.Time

	// PrivateKeyNotAfter is the last second in which a leaf's private key may
	// be used, written as a privateKeyUsagePeriod that begins with NotBefore
	// (EN 319 422, 6.4). Zero means that the certificate sets no end.
	PrivateKeyNotAfter time.Time

	// CRLDistributionPoints and IssuingCertificateURL are http addresses where
	// the issuer's CRL and certificate are really served: a verifier that cannot
	// fetch a CRL named here refuses the certificate. None by default.
	CRLDistributionPoints []string
	IssuingCertificateURL []string

	// Policies are the certificate policies (RFC 5280, 4.2.1.4), such as
	// 2.23.140.1.4.2, which says that a TSA keeps to the CSBR. A verifier that
	// asks for a policy wants it in every certificate below the root. None by
	// default, and never in a root.
	Policies []x509.OID

	// SerialNumber must be positive and fit in 20 octets (RFC 5280, 4.1.2.2).
	// Nil means 158 random bits.
	SerialNumber *big.Int

	// SignatureAlgorithm must suit IssuerKey. Zero means SHA-256 with RSA
	// (PKCS #1 v1.5) and P-256, SHA-384 with P-384, SHA-512 with P-521, Ed25519.
	SignatureAlgorithm x509.SignatureAlgorithm
}

// CreateRoot makes a self-signed CA certificate: critical keyUsage keyCertSign
// and cRLSign, no extended key usage, no limit on the path.
func CreateRoot(cfg Config) (*x509.Certificate, error) { return create(KindRoot, cfg) }

// CreateIntermediate makes the CA certificate that issues leaves: path length
// 0, critical keyUsage keyCertSign and cRLSign, and the extended key usage of
// the role, if it has one (Sigstore demands it, Notation accepts it). For a CA
// this is the certificate of the service itself.
func CreateIntermediate(cfg Config) (*x509.Certificate, error) { return create(KindIntermediate, cfg) }

// CreateLeaf makes an end-entity certificate: CA:FALSE, critical keyUsage
// digitalSignature alone, and critical extended key usage with the role's
// purpose alone (RFC 3161, 2.3), if it has one; that of code signing is not
// critical. For a CA it is an error, and so is a key for code signing that is not
// on P-256, P-384 or P-521 or of RSA with 2048, 3072 or 4096 bits.
func CreateLeaf(cfg Config) (*x509.Certificate, error) { return create(KindLeaf, cfg) }

func create(kind Kind, cfg Config) (*x509.Certificate, error) {
	fail := func(err error) (*x509.Certificate, error) {
		return nil, fmt.Errorf("pki: creating %v certificate: %w", kind, err)
	}
	tmpl, err := template(kind, cfg)
	if err != nil {
		return fail(err)
	}
	// crypto/x509 certifies keys that no verifier should accept.
	if err := checkKey(cfg.Role, kind, tmpl.PublicKey); err != nil {
		return fail(err)
	}
	if fault := pubkey.Fault(cfg.IssuerKey.Public()); fault != "" {
		return fail(errors.New("the issuer's key is " + fault))
	}
	parent := cfg.Issuer
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, tmpl.PublicKey, cfg.IssuerKey)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	return cert, nil
}

// Template returns the certificate of the given kind that cfg describes, before
// it is signed, in the form that [x509.CreateCertificate] takes as its template
// (its PublicKey field holds the key to certify). It is for those who need an
// extension that Config does not offer. The strength of the keys is not looked
// at here.
func Template(kind Kind, cfg Config) (*x509.Certificate, error) {
	tmpl, err := template(kind, cfg)
	if err != nil {
		return nil, fmt.Errorf("pki: template of %v certificate: %w", kind, err)
	}
	return tmpl, nil
}

func template(kind Kind, cfg Config) (*x509.Certificate, error) {
	prof, err := cfg.Role.profile()
	if err != nil {
		return nil, err
	}
	if cfg.RawSubject != nil {
		if cfg.Subject, err = parseName(cfg.RawSubject); err != nil {
			return nil, err
		}
	}
	switch {
	case kind < KindRoot || kind > KindLeaf:
		return nil, fmt.Errorf("unknown kind %v", kind)
	case kind == KindLeaf && cfg.Role.Kind() != KindLeaf:
		return nil, fmt.Errorf("a chain for the role %s has no leaf: its first certificate is an intermediate", cfg.Role)
	case cfg.Subject.CommonName == "":
		return nil, errors.New("the subject has no common name")
	case cfg.IssuerKey == nil:
		return nil, errors.New("no key to sign with")
	case kind == KindRoot && cfg.Issuer != nil:
		return nil, errors.New("a root is its own issuer, but another is given")
	case kind == KindRoot && cfg.PublicKey != nil && !sameKey(cfg.PublicKey, cfg.IssuerKey.Public()):
		return nil, errors.New("a root certifies the key that signs it, but another public key is given")
	case kind != KindRoot && cfg.Issuer == nil:
		return nil, errors.New("no issuer certificate")
	case kind != KindRoot && cfg.PublicKey == nil:
		return nil, errors.New("no public key to certify")
	case kind == KindRoot && len(cfg.Policies) > 0:
		return nil, errors.New("policies in a root mean nothing")
	case kind != KindLeaf && !cfg.PrivateKeyNotAfter.IsZero():
		return nil, errors.New("a private key usage period is for leaves")
	}
	if err := checkIssuer(kind, cfg); err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:               cfg.Subject,
		RawSubject:            cfg.RawSubject,
		PublicKey:             cfg.PublicKey,
		SerialNumber:          cfg.SerialNumber,
		SignatureAlgorithm:    cfg.SignatureAlgorithm,
		BasicConstraintsValid: true,
		CRLDistributionPoints: cfg.CRLDistributionPoints,
		IssuingCertificateURL: cfg.IssuingCertificateURL,
		Policies:              cfg.Policies,
	}
	if t.PublicKey == nil {
		t.PublicKey = cfg.IssuerKey.Public()
	}
	if t.SerialNumber == nil {
		t.SerialNumber = randomSerial()
	}
	if t.SerialNumber.Sign() <= 0 || t.SerialNumber.BitLen() > maxSerialBits {
		return nil, errors.New("serial number: not positive or longer than 20 octets") // RFC 5280, 4.1.2.2
	}
	for _, u := range append(append([]string(nil), cfg.CRLDistributionPoints...), cfg.IssuingCertificateURL...) {
		if err := checkURL(u); err != nil {
			return nil, err
		}
	}
	for i, p := range cfg.Policies {
		for _, other := range cfg.Policies[:i] {
			if p.Equal(other) { // RFC 5280, 4.2.1.4
				return nil, fmt.Errorf("the policy %s is given twice", p)
			}
		}
	}
	if t.SubjectKeyId, err = keyID(t.PublicKey); err != nil {
		return nil, err
	}
	if t.NotBefore, t.NotAfter, err = validity(kind, cfg); err != nil {
		return nil, err
	}
	if err := prof.extend(t, kind); err != nil {
		return nil, err
	}
	if kind == KindRoot {
		t.AuthorityKeyId = t.SubjectKeyId
	}
	if !cfg.PrivateKeyNotAfter.IsZero() {
		if !cfg.PrivateKeyNotAfter.Before(t.NotAfter) { // EN 319 421, TIS-7.6.7
			return nil, errors.New("the private key usage period does not end before the certificate")
		}
		ext, err := pkup.Extension(t.NotBefore, cfg.PrivateKeyNotAfter)
		if err != nil {
			return nil, err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, ext)
	}
	return t, nil
}

// parseName reads a name that is written out in DER. Who wrote it may want it
// to be read in two ways: pkix.Name has the last of several common names and
// others the first, and control characters end a text or begin a line.
func parseName(der []byte) (pkix.Name, error) {
	var rdns pkix.RDNSequence
	var name pkix.Name
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return name, errors.New("the subject is not a name in DER")
	}
	name.FillFromRDNSequence(&rdns)
	commonNames := 0
	for _, a := range name.Names {
		if a.Type.Equal(oidCommonName) {
			commonNames++
		}
		if text, ok := a.Value.(string); ok && strings.ContainsFunc(text, unicode.IsControl) {
			return name, fmt.Errorf("the subject has a control character in %q", shorten(text))
		}
	}
	if commonNames > 1 {
		return name, fmt.Errorf("the subject has %d common names", commonNames)
	}
	return name, nil
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// extend gives a certificate the usages of its kind.
func (p profile) extend(t *x509.Certificate, kind Kind) error {
	switch kind {
	case KindRoot:
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	case KindIntermediate:
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		t.MaxPathLenZero = true
		if p.ekuName != "" {
			t.ExtKeyUsage = []x509.ExtKeyUsage{p.eku}
		}
	case KindLeaf:
		t.KeyUsage = x509.KeyUsageDigitalSignature
		if p.ekuName == "" {
			return nil
		}
		if !p.strictEKU() {
			t.ExtKeyUsage = []x509.ExtKeyUsage{p.eku}
			return nil
		}
		// x509.CreateCertificate writes ExtKeyUsage as not critical; RFC 3161,
		// 2.3 wants it critical.
		eku, err := criticalEKU(p.ekuOID)
		if err != nil {
			return err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, eku)
	}
	return nil
}

// checkIssuer refuses an issuer that a verifier would not accept as such, which
// x509.CreateCertificate does not look at.
func checkIssuer(kind Kind, cfg Config) error {
	iss := cfg.Issuer
	switch {
	case iss == nil:
		return nil
	case !iss.BasicConstraintsValid || !iss.IsCA:
		return fmt.Errorf("issuer %s is not a CA", name(iss))
	case iss.KeyUsage != 0 && iss.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("issuer %s: its keyUsage lacks keyCertSign", name(iss))
	case kind == KindIntermediate && hasPathLen(iss) && iss.MaxPathLen == 0:
		return fmt.Errorf("issuer %s: its path length 0 allows no further CA", name(iss))
	case len(iss.SubjectKeyId) == 0:
		return fmt.Errorf("issuer %s has no subjectKeyIdentifier to point at", name(iss))
	case !sameKey(iss.PublicKey, cfg.IssuerKey.Public()):
		return fmt.Errorf("the signing key is not that of issuer %s", name(iss))
	case sameKey(iss.PublicKey, cfg.PublicKey):
		return fmt.Errorf("the key to certify is the key of the issuer, %s, itself", name(iss))
	case strings.EqualFold(iss.Subject.String(), cfg.Subject.String()):
		// A certificate with its issuer's name looks self-issued to every path
		// builder, and to some with the name in other letters (RFC 5280, 7.1).
		return fmt.Errorf("the subject is the name of the issuer, %s", name(iss))
	}
	return nil
}

func validity(kind Kind, cfg Config) (notBefore, notAfter time.Time, err error) {
	notBefore, notAfter = cfg.NotBefore, cfg.NotAfter
	if notBefore.IsZero() {
		notBefore = time.Now().Add(-Backdate)
		if cfg.Issuer != nil && notBefore.Before(cfg.Issuer.NotBefore) {
			notBefore = cfg.Issuer.NotBefore
		}
	}
	notBefore = notBefore.UTC().Truncate(time.Second)
	if notAfter.IsZero() {
		// The last second counts as valid: RFC 5280, 4.1.2.5.
		notAfter = notBefore.AddDate(kind.years(cfg.Role), 0, 0).Add(-time.Second)
		if cfg.Issuer != nil && notAfter.After(cfg.Issuer.NotAfter) {
			notAfter = cfg.Issuer.NotAfter
		}
	}
	notAfter = notAfter.UTC().Truncate(time.Second)
	switch {
	case cfg.Issuer != nil && notBefore.Before(cfg.Issuer.NotBefore):
		return notBefore, notAfter, fmt.Errorf("validity begins %s, before that of issuer %s (%s)", date(notBefore), name(cfg.Issuer), date(cfg.Issuer.NotBefore))
	case cfg.Issuer != nil && notAfter.After(cfg.Issuer.NotAfter):
		return notBefore, notAfter, fmt.Errorf("validity ends %s, after that of issuer %s (%s)", date(notAfter), name(cfg.Issuer), date(cfg.Issuer.NotAfter))
	case !notAfter.After(notBefore):
		return notBefore, notAfter, fmt.Errorf("validity ends %s, not after it begins (%s)", date(notAfter), date(notBefore))
	}
	return notBefore, notAfter, nil
}

// maxSerialBits is what fits in 20 octets of a positive DER INTEGER (RFC 5280,
// 4.1.2.2).
const maxSerialBits = 159

// randomSerial returns a positive serial number of exactly 20 octets, 158 bits
// of it random.
func randomSerial() *big.Int {
	b := make([]byte, 20)
	rand.Read(b)            // never fails
	b[0] = b[0]&0x3f | 0x40 // positive, and not shorter by chance
	return new(big.Int).SetBytes(b)
}

// keyID is method 1 of RFC 7093, 2: the leftmost 160 bits of the SHA-256 of the
// subjectPublicKey. x509.CreateCertificate sets one for CAs only.
func keyID(pub crypto.PublicKey) ([]byte, error) {
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
	sum := sha256.Sum256(spki.PublicKey.Bytes)
	return sum[:20], nil
}

func criticalEKU(purposes ...asn1.ObjectIdentifier) (pkix.Extension, error) {
	der, err := asn1.Marshal(purposes)
	return pkix.Extension{Id: oidExtKeyUsage, Critical: true, Value: der}, err
}

// checkURL admits http only: a CRL or an issuer fetched over https would need
// a certificate to check a certificate (RFC 5280, 8), and Notation fetches from
// nowhere else.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("%q is not an http:// address", s)
	}
	return nil
}
