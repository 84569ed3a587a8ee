//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	p11 "github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// maxObjects bounds how many objects of one description are looked at; a
// token for signing has a few.
const maxObjects = 256

// An object is a private key that was found.
type object struct {
	m       *module
	session p11.SessionHandle
	handle  p11.ObjectHandle
	token   token
	label   string
	id      []byte
}

// name is how errors call the key.
func (o object) name() string {
	return fmt.Sprintf("the key %s of %s", o.short(), o.token.name())
}

func (o object) short() string {
	switch {
	case o.label == "":
		return fmt.Sprintf("with the id %x", o.id)
	case len(o.id) == 0:
		return fmt.Sprintf("%q", o.label)
	}
	return fmt.Sprintf("%q (id %x)", o.label, o.id)
}

// privateKeys returns the private keys with the label and the id of u, as far
// as it has them.
func (m *module) privateKeys(s p11.SessionHandle, t token, u URI) ([]object, error) {
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY)}
	if u.Object != "" {
		template = append(template, p11.NewAttribute(p11.CKA_LABEL, u.Object))
	}
	if u.ID != "" {
		template = append(template, p11.NewAttribute(p11.CKA_ID, []byte(u.ID)))
	}
	handles, err := m.objects(s, maxObjects, template)
	if err != nil {
		return nil, err
	}
	found := make([]object, len(handles))
	for i, h := range handles {
		label, err := m.value(s, h, p11.CKA_LABEL)
		if err != nil {
			return nil, err
		}
		id, err := m.value(s, h, p11.CKA_ID)
		if err != nil {
			return nil, err
		}
		found[i] = object{m, s, h, t, string(label), id}
	}
	// Modules list in no order; messages do.
	slices.SortFunc(found, func(a, b object) int { return strings.Compare(a.short(), b.short()) })
	return found, nil
}

// findKey returns the one private key that u names. With want it is the one
// with that public key.
func (m *module) findKey(op string, s p11.SessionHandle, t token, u URI, want crypto.PublicKey) (object, crypto.PublicKey, error) {
	found, err := m.privateKeys(s, t, u)
	if err != nil {
		return object{}, nil, explain(op, err, "look for the key in %s", t.name())
	}
	if len(found) == 0 {
		return object{}, nil, m.noKey(op, s, t, u)
	}
	if want != nil {
		return sameKey(op, found, want)
	}
	if len(found) > 1 {
		names := make([]string, len(found))
		for i, o := range found {
			names[i] = o.short()
		}
		return object{}, nil, fault.New(fault.Unfit, op, "%d private keys of %s match: %s", len(found), t.name(), list(names)).
			WithHint("add id= to the URI, percent encoded such as id=%%01%%02, so that one is left")
	}
	pub, err := found[0].public(op)
	if err != nil {
		return object{}, nil, err
	}
	return found[0], pub, nil
}

// sameKey returns the key that was opened before. Were another one taken, the
// certificate would not belong to it.
func sameKey(op string, found []object, want crypto.PublicKey) (object, crypto.PublicKey, error) {
	for _, o := range found {
		pub, err := o.public(op)
		if lost(err) {
			return object{}, nil, err
		}
		if err == nil && pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(want) {
			return o, pub, nil
		}
	}
	return object{}, nil, fault.New(fault.Unfit, op, "%s is another key than the one that was opened", found[0].name()).
		WithHint("if it is meant to be a new key, load its certificate with it: reload the configuration, or restart")
}

// noKey says that there is no key, and which there are.
func (m *module) noKey(op string, s p11.SessionHandle, t token, u URI) error {
	what := "private key"
	if u.Object != "" {
		what += fmt.Sprintf(" labelled %q", u.Object)
	}
	if u.ID != "" {
		what += fmt.Sprintf(" with the id %x", u.ID)
	}
	others, err := m.privateKeys(s, t, URI{})
	if err != nil {
		return explain(op, err, "look for the key in %s", t.name())
	}
	there := "no private key that this login sees"
	if len(others) > 0 {
		names := make([]string, len(others))
		for i, o := range others {
			names[i] = o.short()
		}
		there = list(names)
	}
	return fault.New(fault.NotFound, op, "%s has no %s; there is %s", t.name(), what, there).
		WithHint("mend object= or id= in the URI, or make the key with fencepost key create")
}

// attribute reads one attribute of the private key.
func (o object) attribute(op string, attribute uint, name string) ([]byte, error) {
	v, err := o.m.value(o.session, o.handle, attribute)
	if err != nil {
		return nil, explain(op, err, "read %s of %s", name, o.name())
	}
	return v, nil
}

// public checks that o may sign, and returns its public half.
func (o object) public(op string) (crypto.PublicKey, error) {
	sign, err := o.attribute(op, p11.CKA_SIGN, "CKA_SIGN")
	if err != nil {
		return nil, err
	}
	if len(sign) == 1 && sign[0] == 0 {
		return nil, fault.New(fault.Unfit, op, "%s does not sign: its CKA_SIGN is false", o.name()).
			WithHint("take a key made for signing, such as fencepost key create makes")
	}
	always, err := o.attribute(op, p11.CKA_ALWAYS_AUTHENTICATE, "CKA_ALWAYS_AUTHENTICATE")
	if err != nil {
		return nil, err
	}
	if len(always) == 1 && always[0] != 0 {
		return nil, fault.New(fault.Unsupported, op, "%s wants the PIN before each signature (CKA_ALWAYS_AUTHENTICATE)", o.name()).
			WithHint("take a key without that, which one login is enough for")
	}
	kind, err := o.attribute(op, p11.CKA_KEY_TYPE, "CKA_KEY_TYPE")
	if err != nil {
		return nil, err
	}
	pub, err := o.findPublic(op, kind)
	if err != nil {
		return nil, err
	}
	if _, err := signer.HashFor(pub); err != nil {
		return nil, fault.New(fault.Unfit, op, "%s: %w", o.name(), err).
			WithHint("take an EC key on P-256, P-384 or P-521, an RSA key of 2048 bits or more, or Ed25519")
	}
	return pub, nil
}

// findPublic reads the public key from the public key object with the same id
// and type, else from the private key itself.
func (o object) findPublic(op string, kind []byte) (crypto.PublicKey, error) {
	var handles []p11.ObjectHandle
	if len(o.id) > 0 {
		var err error
		handles, err = o.m.objects(o.session, maxObjects, []*p11.Attribute{
			p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY),
			p11.NewAttribute(p11.CKA_ID, o.id),
			p11.NewAttribute(p11.CKA_KEY_TYPE, kind),
		})
		if err != nil {
			return nil, explain(op, err, "look for the public half of %s", o.name())
		}
	}
	var pub crypto.PublicKey
	for _, h := range append(handles, o.handle) {
		got, err := o.m.readPublic(o.session, h, kind)
		switch {
		case err != nil && lost(err):
			return nil, explain(op, err, "read the public half of %s", o.name())
		case errors.Is(err, errNoValue):
		case err != nil:
			return nil, fault.New(fault.Unfit, op, "%s: its public half: %w", o.name(), err).
				WithHint("take an EC key on P-256, P-384 or P-521, an RSA key of 2048 bits or more, or Ed25519")
		case pub == nil:
			pub = got
		case !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(got):
			return nil, fault.New(fault.Unfit, op, "%s: there are different public keys with its id", o.name()).
				WithHint("give each key pair of the token an id of its own")
		}
	}
	if pub == nil {
		return nil, fault.New(fault.Unfit, op, "%s: the token has no public key object with its id, and the private key does not show its public half", o.name()).
			WithHint("write the public key beside it, with the same id: pkcs11-tool --module %s --write-object public.der --type pubkey --id %x", o.m.path, o.id)
	}
	return pub, nil
}

// errNoValue means that an object does not have what a public key is made of.
var errNoValue = errors.New("an attribute is missing")

// readPublic reads the public key that the attributes of an object tell.
func (m *module) readPublic(s p11.SessionHandle, h p11.ObjectHandle, kind []byte) (crypto.PublicKey, error) {
	code, err := ulong(kind)
	if err != nil {
		return nil, fmt.Errorf("CKA_KEY_TYPE: %w", err)
	}
	pair := func(a, b uint) (x, y []byte, err error) {
		if x, err = m.value(s, h, a); err == nil && len(x) > 0 {
			y, err = m.value(s, h, b)
		}
		if err == nil && (len(x) == 0 || len(y) == 0) {
			err = errNoValue
		}
		return x, y, err
	}
	var pub crypto.PublicKey
	var x, y []byte
	switch code {
	case p11.CKK_RSA:
		if x, y, err = pair(p11.CKA_MODULUS, p11.CKA_PUBLIC_EXPONENT); err == nil {
			pub, err = rsaKey(x, y)
		}
	case p11.CKK_EC:
		if x, y, err = pair(p11.CKA_EC_PARAMS, p11.CKA_EC_POINT); err == nil {
			pub, err = ecKey(x, y)
		}
	case ckkECEdwards:
		if x, y, err = pair(p11.CKA_EC_PARAMS, p11.CKA_EC_POINT); err == nil {
			pub, err = edwardsKey(x, y)
		}
	default:
		return nil, fmt.Errorf("a key of the type %#x; want EC, RSA or Ed25519", code)
	}
	if !errors.Is(err, errNoValue) {
		return pub, err
	}
	spki, err := m.value(s, h, ckaPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	if len(spki) == 0 {
		return nil, errNoValue
	}
	if pub, err = x509.ParsePKIXPublicKey(spki); err != nil {
		return nil, fmt.Errorf("CKA_PUBLIC_KEY_INFO: %w", err)
	}
	return pub, nil
}

// ulong reads a CK_ULONG, which has the size and byte order of the machine.
func ulong(b []byte) (uint64, error) {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b)), nil
	case 8:
		return binary.NativeEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("%d bytes; want a CK_ULONG", len(b))
}

func rsaKey(modulus, exponent []byte) (crypto.PublicKey, error) {
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if !e.IsInt64() || e.Int64() > math.MaxInt32 || e.Int64() < 3 || e.Bit(0) == 0 {
		return nil, errors.New("an RSA exponent that is no odd number from 3 to 2^31")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// The curves, as CKA_EC_PARAMS names them (RFC 5480, 2.1.1.1; RFC 8410, 3).
var (
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	curves     = []struct {
		oid   asn1.ObjectIdentifier
		curve elliptic.Curve
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, elliptic.P256()},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, elliptic.P384()},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 35}, elliptic.P521()},
	}
)

func ecKey(params, point []byte) (crypto.PublicKey, error) {
	oid, err := curveName(params)
	if err != nil {
		return nil, err
	}
	for _, c := range curves {
		if !c.oid.Equal(oid) {
			continue
		}
		// The DER of an OCTET STRING (PKCS #11, 2.3.3 of the mechanisms). Some
		// older modules leave out its header; the length tells the two apart.
		size := 1 + 2*((c.curve.Params().BitSize+7)/8)
		if len(point) != size {
			if point, err = octets(point); err != nil {
				return nil, fmt.Errorf("CKA_EC_POINT: %w", err)
			}
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(c.curve, point)
		if err != nil {
			return nil, fmt.Errorf("CKA_EC_POINT: %w", err)
		}
		return pub, nil
	}
	return nil, fmt.Errorf("an EC key on the curve %v; want P-256, P-384 or P-521", oid)
}

// curveName reads the namedCurve of ECParameters (RFC 5480, 2.1.1).
func curveName(params []byte) (asn1.ObjectIdentifier, error) {
	in := cryptobyte.String(params)
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) || !in.Empty() {
		return nil, errors.New("an EC key whose curve is not named by an object identifier")
	}
	return oid, nil
}

// edwardsKey reads an Ed25519 key. PKCS #11 3.0, 2.3.10 of the mechanisms, has
// the curve by identifier or by the name edwards25519, and the point raw;
// SoftHSM puts it into an OCTET STRING.
func edwardsKey(params, point []byte) (crypto.PublicKey, error) {
	in, name := cryptobyte.String(params), cryptobyte.String(nil)
	if !in.ReadASN1(&name, cryptobyteasn1.PrintableString) || !in.Empty() || !bytes.Equal(name, []byte("edwards25519")) {
		oid, err := curveName(params)
		if err != nil {
			return nil, err
		}
		if !oid.Equal(oidEd25519) {
			return nil, fmt.Errorf("an Edwards key on the curve %v; want Ed25519", oid)
		}
	}
	if len(point) != ed25519.PublicKeySize {
		var err error
		if point, err = octets(point); err != nil {
			return nil, fmt.Errorf("CKA_EC_POINT: %w", err)
		}
	}
	if len(point) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("CKA_EC_POINT of %d bytes; want %d", len(point), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(point), nil
}

func octets(der []byte) ([]byte, error) {
	in, out := cryptobyte.String(der), cryptobyte.String(nil)
	if !in.ReadASN1(&out, cryptobyteasn1.OCTET_STRING) || !in.Empty() {
		return nil, errors.New("neither a point nor an OCTET STRING")
	}
	return out, nil
}
