package keycmd

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/signer"
)

// keyJSON is the answer of both commands with --json.
type keyJSON struct {
	// URI is how the key was named.
	URI string `json:"uri"`
	// Place says in words where the private key is.
	Place string `json:"place"`
	// InProcess says that it is in the memory of whoever signs, as with a file.
	InProcess bool `json:"inProcess"`
	// Note is what the URI turned out to name, such as a version; absent where
	// the URI says all.
	Note string `json:"note,omitempty"`
	// Type is such as "ECDSA P-256", "RSA 3072" or "Ed25519".
	Type string `json:"type"`
	// Hashes are those that it signs digests of, the usual one first; empty for
	// Ed25519, which signs the message itself.
	Hashes []string `json:"hashes"`
	// Paddings are those that an RSA key signs with where its service ties it to
	// some: "pkcs1v15", "pss"; absent where it does not, and for other keys.
	Paddings []signer.Padding `json:"paddings,omitempty"`
	// Fingerprint is the SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
	Fingerprint string `json:"sha256Fingerprint"`
	// PublicKey is PEM of the type PUBLIC KEY.
	PublicKey string `json:"publicKey"`
	// Proved says that the key made a signature and that it was right. Without
	// --prove it is false, and nothing was signed.
	Proved bool `json:"proved"`
}

// tell proves the key where that is wanted, writes the file and the answer.
func (o *options) tell(ctx context.Context, key *kms.Key) error {
	doc, err := describe(key)
	if err != nil {
		return err
	}
	if o.prove {
		if err := prove(ctx, key); err != nil {
			return err
		}
		doc.Proved = true
	}
	if o.out != "" && o.out != "-" {
		if err := o.env.Write(o.file(key.URI(), []byte(doc.PublicKey))); err != nil {
			return err
		}
	}
	switch {
	case o.env.JSON:
		return o.env.WriteJSON(doc)
	case o.pem || o.out == "-":
		_, err := o.env.Stdout.Write([]byte(doc.PublicKey))
		return err
	}
	return o.write(doc)
}

// prove has the key sign. A signature that is wrong is the answer "no".
func prove(ctx context.Context, key *kms.Key) error {
	err := signer.Prove(ctx, key, nil)
	if errors.Is(err, signer.ErrProof) {
		return cli.Refused("proof", err)
	}
	return err
}

func describe(key *kms.Key) (keyJSON, error) {
	pub := key.Public()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return keyJSON{}, err
	}
	hashes, err := hashesOf(key)
	if err != nil {
		return keyJSON{}, err
	}
	sum := sha256.Sum256(der)
	return keyJSON{
		URI: key.URI().String(), Place: place(key.URI()), InProcess: key.InProcess(), Note: key.Note(),
		Type: inspect.KeyName(pub), Hashes: hashes, Paddings: key.Paddings(),
		Fingerprint: hex.EncodeToString(sum[:]),
		PublicKey:   string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}, nil
}

func hashesOf(key *kms.Key) ([]string, error) {
	all := key.Hashes()
	if len(all) == 0 {
		own, err := signer.HashFor(key.Public())
		if err != nil {
			return nil, err
		}
		all = []crypto.Hash{own}
	}
	names := []string{}
	for _, h := range all {
		if h != 0 {
			names = append(names, h.String())
		}
	}
	return names, nil
}

// place says where the private key of a URI is.
func place(u signer.URI) string {
	switch u.Scheme {
	case signer.SchemeFile:
		return "the file " + u.LocalPath()
	case signer.SchemeTink:
		return fmt.Sprintf("the keyset %s, which %s encrypts", u.LocalPath(), u.WrappingKey)
	case signer.SchemeAWSKMS:
		return "AWS Key Management Service"
	case signer.SchemeGCPKMS:
		return "Google Cloud KMS"
	case signer.SchemeAzureKMS:
		return "Azure Key Vault"
	case signer.SchemeHashiVault:
		return "HashiCorp Vault, transit engine"
	case signer.SchemeOpenBao:
		return "OpenBao, transit engine"
	case signer.SchemePKCS11:
		return "a PKCS #11 token"
	}
	return string(u.Scheme)
}

// withPadding says with which paddings, where that is known.
func withPadding(paddings []signer.Padding) string {
	var names []string
	for _, p := range paddings {
		name := "PKCS #1 v1.5"
		if p == signer.PSS {
			name = "RSA-PSS"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return ", with " + strings.Join(names, " or ")
}

func (o *options) write(doc keyJSON) error {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-14s%s\n", name+":", cli.Printable(text)) }
	line("key", doc.URI)
	where := doc.Place
	if doc.InProcess {
		where += "; in memory where it signs"
	}
	line("lives in", where)
	if doc.Note != "" {
		line("is", doc.Note)
	}
	line("type", doc.Type)
	if len(doc.Hashes) == 0 {
		line("signs", "messages, without a hash function of the caller's")
	} else {
		line("signs", strings.Join(doc.Hashes, " or ")+" digests"+withPadding(doc.Paddings))
	}
	line("fingerprint", doc.Fingerprint+" (SHA-256 of the public key)")
	if doc.Proved {
		line("proof", "it signed, and the signature is right")
	}
	if o.out != "" {
		line("public key", "written to "+o.out)
	}
	_, err := o.env.Stdout.Write([]byte(b.String()))
	return err
}
