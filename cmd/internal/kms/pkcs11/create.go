//go:build cgo

package pkcs11

import (
	"context"
	"crypto/rand"
	"encoding/asn1"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// idSize makes the ids of keys that others choose at random differ, too.
const idSize = 16

// Create makes a key pair in the token that u names, labelled as its object
// says and with its id, or a random one. The private key does not leave the
// token, and signs and does nothing else. If the token has a key with that
// label or that id, Create makes none.
func Create(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", opCreate, err)
	}
	p, err := find(opCreate, u, cfg)
	if err != nil {
		return err
	}
	defer p.m.release()
	return p.create(ctx, t)
}

func (p place) create(ctx context.Context, t signer.KeyType) error {
	mechanism, params, err := generation(t)
	if err != nil {
		return err
	}
	if p.u.Object == "" {
		return fault.New(fault.Malformed, opCreate, "the URI has no object, which is the label of the new key").
			WithHint("add object=NAME")
	}
	if err := p.m.take(ctx); err != nil {
		return explain(opCreate, err, "wait")
	}
	defer p.m.give()
	err = p.m.call(p.m.now(), func() error {
		token, err := p.m.findToken(opCreate, p.u)
		if err != nil {
			return err
		}
		s, err := p.m.openSession(token.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
		if err != nil {
			return explain(opCreate, err, "open a session with %s that may write", token.name())
		}
		defer p.m.closeSession(s)
		if err := p.login(opCreate, token, s); err != nil {
			return err
		}
		if err := p.m.absent(s, token, p.u); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		id := []byte(p.u.ID)
		if len(id) == 0 {
			id = make([]byte, idSize)
			rand.Read(id)
		}
		public, private := templates(p.u.Object, id, params)
		if _, _, err = p.m.api.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, public, private); err != nil {
			return explain(opCreate, err, "make a %s key %q in %s", t, p.u.Object, token.name())
		}
		return nil
	})
	if err != nil {
		return explain(opCreate, err, "use %s", p.m.path)
	}
	return nil
}

// generation returns the mechanism that makes a key pair, and what it has to
// be told about the key in the public template.
func generation(t signer.KeyType) (mechanism uint, params []*p11.Attribute, err error) {
	rsaBits := 0
	switch t {
	case signer.P256, signer.P384, signer.P521:
		i := map[signer.KeyType]int{signer.P256: 0, signer.P384: 1, signer.P521: 2}[t]
		params, err := ecParams(curves[i].oid)
		return p11.CKM_EC_KEY_PAIR_GEN, params, err
	case signer.Ed25519:
		// By name, which PKCS #11 3.0 has first, and SoftHSM only.
		name, err := asn1.MarshalWithParams("edwards25519", "printable")
		return ckmECEdwardsKeyGen, []*p11.Attribute{p11.NewAttribute(p11.CKA_EC_PARAMS, name)}, err
	case signer.RSA2048:
		rsaBits = 2048
	case signer.RSA3072:
		rsaBits = 3072
	case signer.RSA4096:
		rsaBits = 4096
	default:
		return 0, nil, fault.New(fault.Unsupported, opCreate, "a key of the type %.40q", string(t)).
			WithHint("take one of p256, p384, p521, rsa2048, rsa3072, rsa4096, ed25519")
	}
	return p11.CKM_RSA_PKCS_KEY_PAIR_GEN, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_MODULUS_BITS, rsaBits),
		p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
	}, nil
}

func ecParams(oid asn1.ObjectIdentifier) ([]*p11.Attribute, error) {
	der, err := asn1.Marshal(oid)
	return []*p11.Attribute{p11.NewAttribute(p11.CKA_EC_PARAMS, der)}, err
}

func templates(label string, id []byte, params []*p11.Attribute) (public, private []*p11.Attribute) {
	public = append([]*p11.Attribute{
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_PRIVATE, false),
		p11.NewAttribute(p11.CKA_LABEL, label),
		p11.NewAttribute(p11.CKA_ID, id),
		p11.NewAttribute(p11.CKA_VERIFY, true),
	}, params...)
	private = []*p11.Attribute{
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_SENSITIVE, true),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, false),
		p11.NewAttribute(p11.CKA_LABEL, label),
		p11.NewAttribute(p11.CKA_ID, id),
		p11.NewAttribute(p11.CKA_SIGN, true),
		p11.NewAttribute(p11.CKA_UNWRAP, false),
	}
	if params[0].Type == p11.CKA_MODULUS_BITS {
		// The other kinds cannot decrypt, and the module of TPMs refuses to
		// make a key that is told not to.
		private = append(private, p11.NewAttribute(p11.CKA_DECRYPT, false))
	}
	return public, private
}

// absent returns an error if the token has a key, public or private, with the
// label or the id of u. Two keys of one name could not be told apart.
func (m *module) absent(s p11.SessionHandle, t token, u URI) error {
	for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY} {
		for _, by := range []struct {
			what  string
			attr  uint
			value string
		}{
			{fmt.Sprintf("labelled %q", u.Object), p11.CKA_LABEL, u.Object},
			{fmt.Sprintf("with the id %x", u.ID), p11.CKA_ID, u.ID},
		} {
			if by.value == "" {
				continue
			}
			found, err := m.objects(s, 1, []*p11.Attribute{
				p11.NewAttribute(p11.CKA_CLASS, class),
				p11.NewAttribute(by.attr, []byte(by.value)),
			})
			if err != nil {
				return explain(opCreate, err, "look for keys in %s", t.name())
			}
			if len(found) > 0 {
				return fault.New(fault.Unfit, opCreate, "%s has a key %s already", t.name(), by.what).
					WithHint("choose another label, or delete the old key with the tool of the token")
			}
		}
	}
	return nil
}
