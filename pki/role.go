package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

// Role is what the key at the end of a chain does. Its text is the word used
// on the command line and in JSON.
type Role string

// RoleTSA is a time-stamping unit: RFC 3161, 2.3.
const RoleTSA Role = "tsa"

// profile is what a role demands of a leaf.
type profile struct {
	eku     x509.ExtKeyUsage
	ekuOID  asn1.ObjectIdentifier
	ekuName string
	clause  string // where the extended key usage is laid down
}

// profile returns an error for a role that is empty or unknown.
func (r Role) profile() (profile, error) {
	switch r {
	case RoleTSA:
		return profile{
			eku:     x509.ExtKeyUsageTimeStamping,
			ekuOID:  asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8},
			ekuName: "timeStamping",
			clause:  "RFC 3161, 2.3",
		}, nil
	case "":
		return profile{}, fmt.Errorf("no role given, want %q", RoleTSA)
	}
	return profile{}, fmt.Errorf("unknown role %q, want %q", r, RoleTSA)
}
