package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// Role is what the key at the front of a chain does. Its text is the word used
// on the command line and in JSON.
type Role string

const (
	// RoleTSA is a time-stamping unit: RFC 3161, 2.3. Its chain begins with an
	// end entity whose only purpose is timeStamping.
	RoleTSA Role = "tsa"

	// RoleTSACA is a CA for time-stamping units whose own keys come and go, such
	// as those that a service makes in memory for a day. The key at the front is
	// the issuing CA's own; the chain of each unit is its leaf and this chain.
	RoleTSACA Role = "tsa-ca"

	// RoleCA is a certificate authority that issues code signing certificates,
	// as Sigstore's Fulcio does. The key at the front is the issuing CA's own:
	// the chain has no end entity, since those come and go with each signature.
	RoleCA Role = "ca"

	// RoleCodeSigning is a person or a pipeline that signs artifacts, as the
	// Notary Project has it: its chain begins with an end entity that may sign,
	// with the purpose codeSigning, and ends with the root. A CA for such
	// certificates is RoleCA, whose issuing CA is limited to that purpose.
	RoleCodeSigning Role = "code-signing"

	// RoleLog is a transparency log. Its clients are told the log's public key
	// itself (Sigstore's trusted root has it as publicKey.rawBytes) and look at
	// no certificate; one is for those who keep their keys by certificates. No
	// standard has an extended key usage for logs: the end entity has
	// digitalSignature alone, and nothing that limits it further.
	RoleLog Role = "log"
)

// Roles returns all roles.
func Roles() []Role { return []Role{RoleTSA, RoleTSACA, RoleCA, RoleCodeSigning, RoleLog} }

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, error) {
	if _, err := Role(name).profile(); err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	return Role(name), nil
}

// Kind returns the kind of the first certificate in a chain for the role:
// KindIntermediate for the roles of CAs, KindLeaf otherwise.
func (r Role) Kind() Kind {
	if r == RoleCA || r == RoleTSACA {
		return KindIntermediate
	}
	return KindLeaf
}

// CheckKey returns an error, which says what to make instead, if the first
// certificate of a chain for the role must not be for this public key: it is
// weak, or of a kind that the verifiers of the role do not have. It lets a
// program ask before a CA does anything that cannot be taken back.
func (r Role) CheckKey(pub crypto.PublicKey) error { return checkKey(r, r.Kind(), pub) }

func checkKey(r Role, kind Kind, pub crypto.PublicKey) error {
	if kind == KindLeaf && r == RoleCodeSigning {
		if fault := codeSigningFault(pub); fault != "" {
			return fmt.Errorf("the public key is %s: %s", fault, codeSigningCure)
		}
	}
	if fault := pubkey.Fault(pub); fault != "" {
		return errors.New("the public key is " + fault)
	}
	return nil
}

// profile is what a role demands of the certificates.
type profile struct {
	role Role

	// The purpose of the certificate that does the work, or, for a CA, of what
	// it issues. ekuName is "" and eku is x509.ExtKeyUsageAny for none.
	eku     x509.ExtKeyUsage
	ekuOID  asn1.ObjectIdentifier
	ekuName string

	clause string // where the extended key usage is laid down
}

// profile returns an error for a role that is empty or unknown.
func (r Role) profile() (profile, error) {
	p := profile{role: r}
	switch r {
	case RoleTSA, RoleTSACA:
		p.eku, p.ekuOID, p.ekuName = x509.ExtKeyUsageTimeStamping, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, "timeStamping"
		p.clause = "RFC 3161, 2.3"
	case RoleCA, RoleCodeSigning:
		p.eku, p.ekuOID, p.ekuName = x509.ExtKeyUsageCodeSigning, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}, "codeSigning"
		p.clause = clauseFulcio
		if r == RoleCodeSigning {
			p.clause = "RFC 5280, 4.2.1.12"
		}
	case RoleLog:
		p.eku, p.clause = x509.ExtKeyUsageAny, "RFC 5280, 4.2.1.12"
	default:
		var words []string
		for _, known := range Roles() {
			words = append(words, string(known))
		}
		want := strings.Join(words, ", ")
		if r == "" {
			return profile{}, fmt.Errorf("no role given, want one of %s", want)
		}
		return profile{}, fmt.Errorf("unknown role %s, want one of %s", strconv.Quote(shorten(string(r))), want)
	}
	return p, nil
}

// issues says that the first certificate is that of a CA.
func (p profile) issues() bool { return p.role.Kind() == KindIntermediate }

// timestamps says that the end entities make timestamps.
func (p profile) timestamps() bool { return p.role == RoleTSA || p.role == RoleTSACA }

// strictEKU says that a leaf has its purpose alone and critical (RFC 3161, 2.3).
// That of code signing is as CAs write it, not critical.
func (p profile) strictEKU() bool { return p.role != RoleCodeSigning }

// clauseFulcio is the document of the Fulcio project that lays down the
// certificates of a CA for Sigstore, "all private instances" included.
const clauseFulcio = "Fulcio, certificate specification"
