//go:build cgo

package pkcs11

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// maxNamed bounds how many candidates an error lists.
const maxNamed = 8

// A token is one that was found, in its slot.
type token struct {
	slot uint
	info p11.TokenInfo
}

// name is how errors call the token.
func (t token) name() string {
	if t.info.Label == "" {
		return fmt.Sprintf("the token without a label in slot %d", t.slot)
	}
	return fmt.Sprintf("the token %q", t.info.Label)
}

// id tells tokens apart for as long as the process runs.
func (t token) id() string {
	i := t.info
	return strings.Join([]string{i.ManufacturerID, i.Model, i.SerialNumber, i.Label}, "\x00")
}

// findToken returns the one token that u names.
func (m *module) findToken(op string, u URI) (token, error) {
	if err := m.checkLibrary(op, u); err != nil {
		return token{}, err
	}
	slots, err := m.api.GetSlotList(true)
	if err != nil {
		return token{}, explain(op, err, "list the slots of %s", m.path)
	}
	var found []token
	var others, blank []string
	for _, slot := range slots {
		info, err := m.api.GetTokenInfo(slot)
		if err != nil {
			// A token that is gone, or broken, does not hide the others.
			others = append(others, fmt.Sprintf("slot %d (%v)", slot, namedError{err}))
			continue
		}
		t := token{slot, info}
		switch ok, err := m.matches(u, t); {
		case err != nil:
			return token{}, explain(op, err, "read the slot %d of %s", slot, m.path)
		case info.Flags&p11.CKF_TOKEN_INITIALIZED == 0:
			if ok {
				blank = append(blank, strconv.FormatUint(uint64(slot), 10))
			}
		case ok:
			found = append(found, t)
		default:
			others = append(others, describeToken(t))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		names := make([]string, len(found))
		for i, t := range found {
			names[i] = describeToken(t)
		}
		return token{}, fault.New(fault.Unfit, op, "%d tokens of %s match: %s", len(found), m.path, list(names)).
			WithHint("add serial= or slot-id= to the URI, so that one is left")
	case len(blank) > 0 && u.SlotID != "":
		return token{}, fault.New(fault.NotFound, op, "the token in slot %s of %s is not initialised", list(blank), m.path).
			WithHint("initialise it, with softhsm2-util --init-token or the tool of its maker")
	}
	hint := "see which tokens there are with pkcs11-tool --module " + m.path + " --list-token-slots"
	if len(others) == 0 {
		return token{}, fault.New(fault.NotFound, op, "%s has no token that is initialised", m.path).WithHint("%s", hint)
	}
	return token{}, fault.New(fault.NotFound, op, "no token of %s matches %s; there is %s", m.path, u.tokenText(), list(others)).
		WithHint("%s", hint)
}

func describeToken(t token) string {
	return fmt.Sprintf("%q (serial %s, slot %d)", t.info.Label, t.info.SerialNumber, t.slot)
}

func list(names []string) string {
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ") + more
}

// tokenText is the part of a URI that selects a token.
func (u URI) tokenText() string {
	u.Object, u.ID, u.Type, u.ModulePath, u.PINFile, u.PINEnv = "", "", "", "", "", ""
	path, _, _ := strings.Cut(u.String(), "?")
	return path
}

func (m *module) checkLibrary(op string, u URI) error {
	if u.LibraryDescription == "" && u.LibraryManufacturer == "" && u.LibraryVersion == "" {
		return nil
	}
	info, err := m.api.GetInfo()
	if err != nil {
		return explain(op, err, "read what %s is", m.path)
	}
	version := fmt.Sprintf("%d.%d", info.LibraryVersion.Major, info.LibraryVersion.Minor)
	if !match(u.LibraryDescription, info.LibraryDescription) || !match(u.LibraryManufacturer, info.ManufacturerID) ||
		!match(u.LibraryVersion, version) {
		return fault.New(fault.NotFound, op, "%s is %q, version %s, by %q, which the URI does not name",
			m.path, info.LibraryDescription, version, info.ManufacturerID).
			WithHint("mend the library- attributes of the URI, or leave them out")
	}
	return nil
}

// matches says whether u names t. Slot descriptions are only read if asked for.
func (m *module) matches(u URI, t token) (bool, error) {
	if !match(u.Token, t.info.Label) || !match(u.Serial, t.info.SerialNumber) ||
		!match(u.Manufacturer, t.info.ManufacturerID) || !match(u.Model, t.info.Model) ||
		!match(u.SlotID, strconv.FormatUint(uint64(t.slot), 10)) {
		return false, nil
	}
	if u.SlotDescription == "" && u.SlotManufacturer == "" {
		return true, nil
	}
	info, err := m.api.GetSlotInfo(t.slot)
	return match(u.SlotDescription, info.SlotDescription) && match(u.SlotManufacturer, info.ManufacturerID), err
}

// match compares an attribute with a field of PKCS #11, which is padded with
// blanks; a blank at the end has no meaning (RFC 7512, 2.5).
func match(want, got string) bool {
	return want == "" || strings.TrimRight(want, " ") == strings.TrimRight(got, " \x00")
}

// login logs the process in to t. No PIN is tried twice that t refused, and
// not one that would lock it. The caller has the turn.
func (p place) login(op string, t token, s p11.SessionHandle) error {
	m, flags := p.m, t.info.Flags
	switch {
	case flags&p11.CKF_LOGIN_REQUIRED == 0:
		return nil
	case flags&p11.CKF_USER_PIN_LOCKED != 0:
		return locked(op, t)
	case flags&p11.CKF_USER_PIN_INITIALIZED == 0:
		return fault.New(fault.Credentials, op, "%s has no user PIN yet", t.name()).
			WithHint("set one, with softhsm2-util --init-token or pkcs11-tool --init-pin")
	}
	secret, err := readPIN(op, p.u, p.cfg)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(secret))
	known := m.pins[t.id()]
	if slices.Contains(known.refused, hash) {
		return fault.New(fault.Credentials, op, "%s refused this PIN before; it is not tried again, for that could lock the token", t.name()).
			WithHint("put the right PIN where pin-source points; if the token's PIN has since become this one, restart")
	}
	if flags&p11.CKF_USER_PIN_FINAL_TRY != 0 {
		return fault.New(fault.Credentials, op, "%s has one try left for its PIN, which is not spent here", t.name()).
			WithHint("log in by hand once, which sets the count back: pkcs11-tool --module %s --token-label '%s' --login --list-objects", m.path, t.info.Label)
	}
	err = m.api.Login(s, p11.CKU_USER, secret)
	switch {
	case err == nil:
		m.pins[t.id()] = pins{accepted: hash}
		return nil
	case is(err, p11.CKR_USER_ALREADY_LOGGED_IN):
		// The login is of the whole process (PKCS #11, C_Login), and the token
		// did not look at the PIN.
		if known.accepted != ([sha256.Size]byte{}) && known.accepted != hash {
			return fault.New(fault.Credentials, op, "this process is logged in to %s with another PIN, so that this one cannot be tried", t.name()).
				WithHint("use the same PIN for every key of a token; after a change of the PIN, restart")
		}
		return nil
	case is(err, p11.CKR_PIN_LOCKED):
		return locked(op, t)
	case is(err, p11.CKR_PIN_INCORRECT, p11.CKR_PIN_INVALID, p11.CKR_PIN_LEN_RANGE):
		known.refused = append(known.refused, hash)
		m.pins[t.id()] = known
		return fault.New(fault.Credentials, op, "%s refuses the PIN: %w%s", t.name(), namedError{err}, m.triesLeft(t)).
			WithHint("put the right PIN where pin-source points; a few wrong ones lock the token")
	case is(err, p11.CKR_PIN_EXPIRED):
		return fault.New(fault.Credentials, op, "the PIN of %s has expired: %w", t.name(), namedError{err}).
			WithHint("set a new PIN with the tool of the token's maker or pkcs11-tool --change-pin")
	case is(err, p11.CKR_USER_PIN_NOT_INITIALIZED):
		return fault.New(fault.Credentials, op, "%s has no user PIN yet: %w", t.name(), namedError{err}).
			WithHint("set one with pkcs11-tool --init-pin")
	}
	return explain(op, err, "log in to %s", t.name())
}

func locked(op string, t token) error {
	return fault.New(fault.Locked, op, "%s is locked: too many wrong PINs", t.name()).
		WithHint("set a new user PIN with the security officer's PIN: pkcs11-tool --init-pin, or the tool of the token's maker")
}

// triesLeft says what the token says about it, after a wrong PIN.
func (m *module) triesLeft(t token) string {
	info, err := m.api.GetTokenInfo(t.slot)
	switch {
	case err != nil:
		return ""
	case info.Flags&p11.CKF_USER_PIN_LOCKED != 0:
		return "; the token is now locked"
	case info.Flags&p11.CKF_USER_PIN_FINAL_TRY != 0:
		return "; the token has one try left"
	}
	return ""
}

// objects returns the handles of all objects that the template describes, at
// most limit and one.
func (m *module) objects(s p11.SessionHandle, limit int, template []*p11.Attribute) (found []p11.ObjectHandle, err error) {
	if err := m.api.FindObjectsInit(s, template); err != nil {
		return nil, err
	}
	for err == nil && len(found) <= limit {
		var some []p11.ObjectHandle
		some, _, err = m.api.FindObjects(s, limit+1-len(found))
		if len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	if end := m.api.FindObjectsFinal(s); err == nil {
		err = end
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// value returns one attribute of an object; nil if the object has none, or
// does not show it.
func (m *module) value(s p11.SessionHandle, o p11.ObjectHandle, attribute uint) ([]byte, error) {
	got, err := m.api.GetAttributeValue(s, o, []*p11.Attribute{p11.NewAttribute(attribute, nil)})
	switch {
	case is(err, p11.CKR_ATTRIBUTE_TYPE_INVALID, p11.CKR_ATTRIBUTE_SENSITIVE):
		return nil, nil
	case err != nil:
		return nil, err
	case len(got) != 1:
		return nil, fmt.Errorf("%d values of one attribute", len(got))
	}
	return got[0].Value, nil
}
