//go:build cgo

package pkcs11

import (
	"errors"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// However many calls meet a PIN that has become wrong, one try is spent.
func TestManyWrongPIN(t *testing.T) {
	f, m, token := oneKey(t, signer.P256)
	k := openAt(t, m, "token=tsa;object=k")
	f.mu.Lock()
	token.pin = "4321"
	f.mu.Unlock()
	f.drop()
	for _, err := range many(func() error { return sign(t, k) }) {
		checkFault(t, err, fault.Credentials, "PIN", "right PIN")
	}
	if token.tries != 2 {
		t.Errorf("%d tries left; want 2 of 3", token.tries)
	}
}

func TestWrongPIN(t *testing.T) {
	f, m, token := oneKey(t, signer.P256)
	open := func(variable string) error {
		p := at(t, m, "token=tsa;object=k")
		p.u.PINEnv = variable
		k, err := p.open(t.Context())
		if err == nil {
			t.Cleanup(func() { k.Close() })
		}
		return err
	}
	err := open("WRONG")
	checkFault(t, err, fault.Credentials, `open key: the token "tsa" refuses the PIN: CKR_PIN_INCORRECT`, "put the right PIN where pin-source points")
	if !errors.Is(err, p11.Error(p11.CKR_PIN_INCORRECT)) {
		t.Errorf("%v does not wrap the code", err)
	}
	for range 5 {
		checkFault(t, open("WRONG"), fault.Credentials, "refused this PIN before; it is not tried again", "restart")
	}
	if f.logins != 1 || token.tries != 2 {
		t.Errorf("%d logins, %d tries left; want 1 and 2", f.logins, token.tries)
	}
	if err := open("PIN"); err != nil {
		t.Fatalf("the right PIN: %v", err)
	}
	// Logged in, the token looks at no PIN; another one must not pass.
	checkFault(t, open("WRONG"), fault.Credentials, "logged in to the token \"tsa\" with another PIN", "same PIN")
	if token.tries != 3 {
		t.Errorf("%d tries left; want 3", token.tries)
	}
}

// Two wrong PINs in turn, as of a key and its standby, are each tried once.
func TestWrongPINs(t *testing.T) {
	_, m, token := oneKey(t, signer.P256)
	token.tries = 9
	for range 3 {
		for _, pin := range []string{"0000", "1111"} {
			p := at(t, m, "token=tsa;object=k")
			p.u.PINEnv = "PIN"
			p.cfg.LookupEnv = func(string) (string, bool) { return pin, true }
			_, err := p.open(t.Context())
			checkFault(t, err, fault.Credentials, "", "right PIN")
		}
	}
	if token.tries != 9-2 {
		t.Errorf("%d tries were spent; want 2", 9-token.tries)
	}
}

func TestTriesLeft(t *testing.T) {
	for _, tt := range []struct {
		tries   int
		message string
	}{
		{3, "refuses the PIN: CKR_PIN_INCORRECT"},
		{2, "CKR_PIN_INCORRECT; the token has one try left"},
	} {
		_, m, token := oneKey(t, signer.P256)
		token.tries = tt.tries
		p := at(t, m, "token=tsa;object=k")
		p.u.PINEnv = "WRONG"
		_, err := p.open(t.Context())
		checkFault(t, err, fault.Credentials, tt.message, "lock the token")
	}
}
