//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/signer"
)

// A fake is a module of the tests' own, without C, that really signs. It can
// fail on command in ways that no software token does. What a real module
// does is tested with SoftHSM.
type fake struct {
	mu       sync.Mutex
	up       bool
	tokens   map[uint]*fakeToken // by slot, as the last Initialize saw them
	next     map[uint]*fakeToken // as the next one will
	sessions map[p11.SessionHandle]*fakeSession
	last     p11.SessionHandle
	handles  p11.ObjectHandle

	inits, finals, logins, most int

	// fail is asked before each call, outside mu; nil asks nobody.
	fail func(call string) error
	// answer changes signatures.
	answer func([]byte) []byte
}

type fakeToken struct {
	info     p11.TokenInfo
	pin      string
	tries    int // left
	sessions int // that it has, 0 for any number
	in       bool
	objects  []*fakeObject
}

type fakeObject struct {
	handle p11.ObjectHandle
	attrs  map[uint][]byte
	key    crypto.Signer
}

type fakeSession struct {
	slot   uint
	token  *fakeToken
	found  []p11.ObjectHandle
	mech   *p11.Mechanism
	object *fakeObject
}

const goodPIN = "1234"

func newFake() *fake { return &fake{next: map[uint]*fakeToken{}} }

// token adds a token, seen from the next Initialize on.
func (f *fake) token(slot uint, label string) *fakeToken {
	t := &fakeToken{pin: goodPIN, tries: 3, info: p11.TokenInfo{
		Label: label, ManufacturerID: "fence", Model: "fake", SerialNumber: fmt.Sprintf("%04d", slot),
		Flags: p11.CKF_TOKEN_INITIALIZED | p11.CKF_LOGIN_REQUIRED | p11.CKF_USER_PIN_INITIALIZED,
	}}
	f.next[slot] = t
	return t
}

// key adds a key pair to a token.
func (f *fake) key(t testing.TB, token *fakeToken, label, id string, kt signer.KeyType) (private, public *fakeObject) {
	t.Helper()
	k, attrs := fakeKey(t, kt)
	return f.add(token, label, id, k, attrs)
}

func (f *fake) add(token *fakeToken, label, id string, k crypto.Signer, attrs map[uint][]byte) (private, public *fakeObject) {
	f.handles += 2
	private = &fakeObject{handle: f.handles, key: k, attrs: map[uint][]byte{
		p11.CKA_CLASS: long(p11.CKO_PRIVATE_KEY), p11.CKA_LABEL: []byte(label), p11.CKA_ID: []byte(id), p11.CKA_SIGN: {1}, p11.CKA_ALWAYS_AUTHENTICATE: {0},
	}}
	public = &fakeObject{handle: f.handles + 1, attrs: map[uint][]byte{
		p11.CKA_CLASS: long(p11.CKO_PUBLIC_KEY), p11.CKA_LABEL: []byte(label), p11.CKA_ID: []byte(id),
	}}
	for a, v := range attrs {
		public.attrs[a] = v
	}
	private.attrs[p11.CKA_KEY_TYPE] = attrs[p11.CKA_KEY_TYPE]
	token.objects = append(token.objects, private, public)
	return private, public
}

func long(x uint) []byte { return p11.NewAttribute(0, x).Value }

func fakeKey(t testing.TB, kt signer.KeyType) (crypto.Signer, map[uint][]byte) {
	t.Helper()
	var k crypto.Signer
	var err error
	switch kt {
	case signer.RSA2048:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case signer.Ed25519:
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default:
		k, err = ecdsa.GenerateKey(map[signer.KeyType]elliptic.Curve{signer.P256: elliptic.P256(), signer.P384: elliptic.P384(), signer.P521: elliptic.P521()}[kt], rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k, publicAttrs(t, k)
}

func publicAttrs(t testing.TB, k crypto.Signer) map[uint][]byte {
	t.Helper()
	octets := func(b []byte) []byte {
		der, err := asn1.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	switch pub := k.Public().(type) {
	case *rsa.PublicKey:
		return map[uint][]byte{p11.CKA_KEY_TYPE: long(p11.CKK_RSA), p11.CKA_MODULUS: pub.N.Bytes(), p11.CKA_PUBLIC_EXPONENT: big.NewInt(int64(pub.E)).Bytes()}
	case ed25519.PublicKey:
		return map[uint][]byte{p11.CKA_KEY_TYPE: long(ckkECEdwards), p11.CKA_EC_PARAMS: {6, 3, 0x2b, 0x65, 0x70}, p11.CKA_EC_POINT: pub}
	case *ecdsa.PublicKey:
		for _, c := range curves {
			if c.curve != pub.Curve {
				continue
			}
			oid, err := asn1.Marshal(c.oid)
			if err != nil {
				t.Fatal(err)
			}
			point, err := pub.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return map[uint][]byte{p11.CKA_KEY_TYPE: long(p11.CKK_EC), p11.CKA_EC_PARAMS: oid, p11.CKA_EC_POINT: octets(point)}
		}
	}
	t.Fatalf("a key of the type %T", k)
	return nil
}

// enter begins a call.
func (f *fake) enter(call string) error {
	if f.fail != nil {
		if err := f.fail(call); err != nil {
			return err
		}
	}
	f.mu.Lock()
	if !f.up && call != "Initialize" {
		f.mu.Unlock()
		return p11.Error(p11.CKR_CRYPTOKI_NOT_INITIALIZED)
	}
	return nil
}

func (f *fake) session(call string, h p11.SessionHandle) (*fakeSession, error) {
	if err := f.enter(call); err != nil {
		return nil, err
	}
	s := f.sessions[h]
	if s == nil {
		f.mu.Unlock()
		return nil, p11.Error(p11.CKR_SESSION_HANDLE_INVALID)
	}
	return s, nil
}

func (f *fake) Initialize() error {
	if err := f.enter("Initialize"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if f.up {
		return p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)
	}
	f.up = true
	f.inits++
	f.tokens, f.sessions = map[uint]*fakeToken{}, map[p11.SessionHandle]*fakeSession{}
	for slot, t := range f.next {
		f.tokens[slot], t.in = t, false
	}
	return nil
}

func (f *fake) Finalize() error {
	if err := f.enter("Finalize"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	f.up = false
	f.finals++
	return nil
}

func (f *fake) GetInfo() (p11.Info, error) {
	if err := f.enter("GetInfo"); err != nil {
		return p11.Info{}, err
	}
	defer f.mu.Unlock()
	return p11.Info{ManufacturerID: "fence", LibraryDescription: "a fake", LibraryVersion: p11.Version{Major: 2, Minor: 40}}, nil
}

func (f *fake) GetSlotList(bool) (slots []uint, err error) {
	if err := f.enter("GetSlotList"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	for slot := uint(0); slot < 16; slot++ {
		if f.tokens[slot] != nil {
			slots = append(slots, slot)
		}
	}
	return slots, nil
}

func (f *fake) GetSlotInfo(slot uint) (p11.SlotInfo, error) {
	if err := f.enter("GetSlotInfo"); err != nil {
		return p11.SlotInfo{}, err
	}
	defer f.mu.Unlock()
	return p11.SlotInfo{SlotDescription: fmt.Sprintf("slot %d", slot), ManufacturerID: "fence"}, nil
}

func (f *fake) GetTokenInfo(slot uint) (p11.TokenInfo, error) {
	if err := f.enter("GetTokenInfo"); err != nil {
		return p11.TokenInfo{}, err
	}
	defer f.mu.Unlock()
	t := f.tokens[slot]
	if t == nil {
		return p11.TokenInfo{}, p11.Error(p11.CKR_TOKEN_NOT_PRESENT)
	}
	info := t.info
	switch t.tries {
	case 1:
		info.Flags |= p11.CKF_USER_PIN_FINAL_TRY
	case 0:
		info.Flags |= p11.CKF_USER_PIN_LOCKED
	}
	return info, nil
}

func (f *fake) count(t *fakeToken) (n int) {
	for _, s := range f.sessions {
		if s.token == t {
			n++
		}
	}
	return n
}

func (f *fake) OpenSession(slot, _ uint) (p11.SessionHandle, error) {
	if err := f.enter("OpenSession"); err != nil {
		return 0, err
	}
	defer f.mu.Unlock()
	t := f.tokens[slot]
	if t == nil {
		return 0, p11.Error(p11.CKR_SLOT_ID_INVALID)
	}
	n := f.count(t)
	if t.sessions > 0 && n >= t.sessions {
		return 0, p11.Error(p11.CKR_SESSION_COUNT)
	}
	f.most = max(f.most, n+1)
	f.last++
	f.sessions[f.last] = &fakeSession{slot: slot, token: t}
	return f.last, nil
}

func (f *fake) CloseSession(h p11.SessionHandle) error {
	s, err := f.session("CloseSession", h)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	delete(f.sessions, h)
	if f.count(s.token) == 0 {
		s.token.in = false
	}
	return nil
}

func (f *fake) Login(h p11.SessionHandle, _ uint, pin string) error {
	s, err := f.session("Login", h)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	f.logins++
	t := s.token
	switch {
	case t.in:
		return p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)
	case t.tries == 0:
		return p11.Error(p11.CKR_PIN_LOCKED)
	case pin != t.pin:
		t.tries--
		return p11.Error(p11.CKR_PIN_INCORRECT)
	}
	t.tries, t.in = 3, true
	return nil
}

func (f *fake) FindObjectsInit(h p11.SessionHandle, template []*p11.Attribute) error {
	s, err := f.session("FindObjectsInit", h)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	s.found = nil
next:
	for _, o := range s.token.objects {
		if !s.token.in && bytes.Equal(o.attrs[p11.CKA_CLASS], long(p11.CKO_PRIVATE_KEY)) {
			continue
		}
		for _, a := range template {
			if !bytes.Equal(o.attrs[a.Type], a.Value) {
				continue next
			}
		}
		s.found = append(s.found, o.handle)
	}
	return nil
}

// FindObjects returns one at a time, as a module may.
func (f *fake) FindObjects(h p11.SessionHandle, _ int) ([]p11.ObjectHandle, bool, error) {
	s, err := f.session("FindObjects", h)
	if err != nil {
		return nil, false, err
	}
	defer f.mu.Unlock()
	if len(s.found) == 0 {
		return nil, false, nil
	}
	one := s.found[:1]
	s.found = s.found[1:]
	return one, false, nil
}

func (f *fake) FindObjectsFinal(h p11.SessionHandle) error {
	_, err := f.session("FindObjectsFinal", h)
	if err == nil {
		f.mu.Unlock()
	}
	return err
}

func (s *fakeSession) find(h p11.ObjectHandle) *fakeObject {
	for _, o := range s.token.objects {
		if o.handle == h {
			return o
		}
	}
	return nil
}

func (f *fake) GetAttributeValue(h p11.SessionHandle, o p11.ObjectHandle, a []*p11.Attribute) ([]*p11.Attribute, error) {
	s, err := f.session("GetAttributeValue", h)
	if err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	object := s.find(o)
	if object == nil {
		return nil, p11.Error(p11.CKR_OBJECT_HANDLE_INVALID)
	}
	v, ok := object.attrs[a[0].Type]
	if !ok {
		return nil, p11.Error(p11.CKR_ATTRIBUTE_TYPE_INVALID)
	}
	return []*p11.Attribute{p11.NewAttribute(a[0].Type, v)}, nil
}

func (f *fake) SignInit(h p11.SessionHandle, m []*p11.Mechanism, key p11.ObjectHandle) error {
	s, err := f.session("SignInit", h)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	switch {
	case !s.token.in:
		return p11.Error(p11.CKR_USER_NOT_LOGGED_IN)
	case s.mech != nil:
		return p11.Error(p11.CKR_OPERATION_ACTIVE)
	}
	if s.object = s.find(key); s.object == nil {
		return p11.Error(p11.CKR_KEY_HANDLE_INVALID)
	}
	s.mech = m[0]
	return nil
}

func (f *fake) Sign(h p11.SessionHandle, data []byte) ([]byte, error) {
	s, err := f.session("Sign", h)
	if err != nil {
		return nil, err
	}
	mech, key := s.mech, s.object.key
	s.mech = nil
	f.mu.Unlock()
	if mech == nil {
		return nil, p11.Error(p11.CKR_OPERATION_NOT_INITIALIZED)
	}
	raw, err := rawSign(key, mech, data)
	if f.answer != nil && err == nil {
		raw = f.answer(raw)
	}
	return raw, err
}

func rawSign(key crypto.Signer, mech *p11.Mechanism, data []byte) ([]byte, error) {
	switch mech.Mechanism {
	case p11.CKM_ECDSA:
		k := key.(*ecdsa.PrivateKey)
		size := (k.Params().BitSize + 7) / 8
		if len(data) > size {
			return nil, p11.Error(p11.CKR_DATA_LEN_RANGE) // a strict token
		}
		r, s, err := ecdsa.Sign(rand.Reader, k, data)
		if err != nil {
			return nil, err
		}
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
	case ckmEDDSA:
		return key.Sign(rand.Reader, data, crypto.Hash(0))
	case p11.CKM_RSA_PKCS:
		return rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), 0, data)
	case p11.CKM_RSA_PKCS_PSS:
		word := len(mech.Parameter) / 3
		salt := binary.NativeEndian.Uint64(mech.Parameter[2*word:])
		hash := map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[len(data)]
		return rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), hash, data, &rsa.PSSOptions{SaltLength: int(salt)})
	}
	return nil, p11.Error(p11.CKR_MECHANISM_INVALID)
}

func (f *fake) GenerateKeyPair(h p11.SessionHandle, m []*p11.Mechanism, public, private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error) {
	s, err := f.session("GenerateKeyPair", h)
	if err != nil {
		return 0, 0, err
	}
	defer f.mu.Unlock()
	if m[0].Mechanism != p11.CKM_EC_KEY_PAIR_GEN {
		return 0, 0, p11.Error(p11.CKR_MECHANISM_INVALID)
	}
	f.handles += 2
	a := &fakeObject{handle: f.handles, attrs: map[uint][]byte{p11.CKA_CLASS: long(p11.CKO_PUBLIC_KEY)}}
	b := &fakeObject{handle: f.handles + 1, attrs: map[uint][]byte{p11.CKA_CLASS: long(p11.CKO_PRIVATE_KEY)}}
	for _, at := range public {
		a.attrs[at.Type] = at.Value
	}
	for _, at := range private {
		b.attrs[at.Type] = at.Value
	}
	s.token.objects = append(s.token.objects, a, b)
	return a.handle, b.handle, nil
}

var _ cryptoki = (*fake)(nil)
