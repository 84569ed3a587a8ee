package oid

import "crypto/x509"

// names maps dotted identifiers to the names that the RFCs give them.
var names = map[string]string{
	"1.2.840.113549.1.7.1":       "id-data",
	"1.2.840.113549.1.7.2":       "id-signedData",
	"1.2.840.113549.1.9.16.1.4":  "id-ct-TSTInfo",
	"1.2.840.113549.1.9.3":       "contentType",
	"1.2.840.113549.1.9.4":       "messageDigest",
	"1.2.840.113549.1.9.5":       "signingTime",
	"1.2.840.113549.1.9.16.2.12": "signingCertificate",
	"1.2.840.113549.1.9.16.2.47": "signingCertificateV2",
	"1.2.840.113549.1.9.16.2.14": "timeStampToken",
	"1.2.840.113549.1.9.52":      "cmsAlgorithmProtection",

	"1.2.840.113549.2.5":      "MD5",
	"1.3.14.3.2.26":           "SHA-1",
	"2.16.840.1.101.3.4.2.4":  "SHA-224",
	"2.16.840.1.101.3.4.2.1":  "SHA-256",
	"2.16.840.1.101.3.4.2.2":  "SHA-384",
	"2.16.840.1.101.3.4.2.3":  "SHA-512",
	"2.16.840.1.101.3.4.2.5":  "SHA-512/224",
	"2.16.840.1.101.3.4.2.6":  "SHA-512/256",
	"2.16.840.1.101.3.4.2.7":  "SHA3-224",
	"2.16.840.1.101.3.4.2.8":  "SHA3-256",
	"2.16.840.1.101.3.4.2.9":  "SHA3-384",
	"2.16.840.1.101.3.4.2.10": "SHA3-512",

	"1.2.840.113549.1.1.1":  "rsaEncryption",
	"1.2.840.113549.1.1.5":  "sha1WithRSAEncryption",
	"1.2.840.113549.1.1.10": "RSASSA-PSS",
	"1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
	"1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
	"1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
	"1.2.840.10045.2.1":     "id-ecPublicKey",
	"1.2.840.10045.4.1":     "ecdsa-with-SHA1",
	"1.2.840.10045.4.3.2":   "ecdsa-with-SHA256",
	"1.2.840.10045.4.3.3":   "ecdsa-with-SHA384",
	"1.2.840.10045.4.3.4":   "ecdsa-with-SHA512",
	"1.3.101.112":           "Ed25519",

	"1.3.6.1.5.5.7.1.3":     "qcStatements",
	"1.3.6.1.4.1.57264.2":   "Sigstore timestamp authority",
	"0.4.0.2023.1.1":        "ETSI best-practices time-stamp policy",
	"2.23.140.1.4.2":        "CA/B Forum timestamping",
	"2.16.840.1.114412.7.1": "DigiCert timestamping",
}

// Name returns the name that the standards give id, "" when the table has none.
func Name(id x509.OID) string { return names[id.String()] }
