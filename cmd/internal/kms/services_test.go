package kms_test

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/awsfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// Every scheme that a URI may have is in the table.
func TestTable(t *testing.T) {
	want := signer.Schemes()
	slices.Sort(want)
	if got := kms.Schemes(); !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func vaultEnvironment(v *vaultfake.Server) func(string) (string, bool) {
	env := map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// Keys are made and opened in a Vault (a fake), as they are in a file.
func TestVault(t *testing.T) {
	v := vaultfake.Start(t)
	for _, uri := range []string{"hashivault://tsa", "openbao://tsb"} {
		t.Run(uri, func(t *testing.T) {
			u, cfg := parse(t, uri), kms.Config{LookupEnv: vaultEnvironment(v)}
			made, err := kms.Create(t.Context(), u, signer.P256, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer made.Close()
			if made.InProcess() || made.Note() != "version 1" {
				t.Errorf("got a key in process: %v, note %q", made.InProcess(), made.Note())
			}
			if err := v.Rotate(strings.TrimPrefix(uri, string(u.Scheme)+"://")); err != nil {
				t.Fatal(err)
			}
			cfg.Want = made.Public()
			signertest.Run(t, func(t *testing.T) signer.Signer {
				k, err := kms.Open(t.Context(), u, cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := k.Close(); err != nil {
						t.Error(err)
					}
				})
				if k.Note() != "version 1" {
					t.Errorf("opened %s; want the version of the wanted key", k.Note())
				}
				return k
			})
			_, err = kms.Create(t.Context(), u, signer.P256, cfg)
			check(t, err, fault.Unfit, "exists", "")
		})
	}
}

// A service that is not well for a moment costs a signature some time, and one
// that stays so ends in an error in time.
func TestVaultUnwell(t *testing.T) {
	v := vaultfake.Start(t)
	if err := v.CreateKey("tsa", "ecdsa-p256"); err != nil {
		t.Fatal(err)
	}
	k, err := kms.Open(t.Context(), parse(t, "hashivault://tsa"), kms.Config{
		LookupEnv: vaultEnvironment(v), Limits: kms.Limits{Timeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, tt := range []struct {
		name  string
		fault vaultfake.Fault
		want  error
	}{
		{"two answers of 502", vaultfake.Fault{On: vaultfake.OnSign, Status: 502, Times: 2}, nil},
		{"hangs", vaultfake.Fault{On: vaultfake.OnSign, Hang: true}, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.Inject(tt.fault)
			defer v.Clear()
			signature, err := k.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
			if !errors.Is(err, tt.want) || (signature == nil) == (tt.want == nil) {
				t.Errorf("got %x, %v; want error %v", signature, err, tt.want)
			}
		})
	}
}

func TestAWS(t *testing.T) {
	s := awsfake.Start(t)
	s.Setenv(t)
	u := parse(t, s.URI("alias/tsa"))
	made, err := kms.Create(t.Context(), u, signer.P384, kms.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if err := signer.Prove(t.Context(), made, nil); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(made.Note(), "arn:aws:kms:") || !slices.Equal(made.Hashes(), []crypto.Hash{crypto.SHA384}) {
		t.Errorf("got note %q, hashes %v; want an ARN, SHA-384", made.Note(), made.Hashes())
	}
}
