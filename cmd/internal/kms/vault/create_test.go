package vault_test

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestCreate(t *testing.T) {
	v := vaultfake.Start(t)
	for _, kind := range signer.KeyTypes() {
		t.Run(string(kind), func(t *testing.T) {
			u := uri(t, "hashivault://"+string(kind))
			if err := vault.Create(t.Context(), u, kind, config(v)); err != nil {
				t.Fatal(err)
			}
			key := open(t, v, string(kind))
			if err := signer.Prove(t.Context(), key, nil); err != nil {
				t.Error(err)
			}
			check(t, vault.Create(t.Context(), u, kind, config(v)), wantFault{fault.Unfit, "it exists already", "rotate"})
			if again := open(t, v, string(kind)); again.Version() != 1 {
				t.Errorf("version %d after a refused creation; want 1", again.Version())
			}
		})
	}
}

func TestCreateErrors(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "aes", "aes256-gcm96")
	for _, tt := range []struct {
		name, uri string
		kind      signer.KeyType
		env       env
		fault     vaultfake.Fault
		want      wantFault
	}{
		{"no such type", "hashivault://tsa", "p224", nil, vaultfake.Fault{}, wantFault{fault.Unsupported, "p224", ""}},
		{"a key that does not sign", "hashivault://aes", signer.P256, nil, vaultfake.Fault{}, wantFault{fault.Unfit, `"aes256-gcm96"`, "another name"}},
		{"no mount", "openbao://tsa", signer.P256, env{"TRANSIT_SECRET_ENGINE_PATH": "none"}, vaultfake.Fault{}, wantFault{fault.NotFound, `mount "none"`, "bao secrets enable -path=none transit"}},
		{"may not", "hashivault://tsa", signer.P256, env{"VAULT_TOKEN": v.AddToken(vaultfake.Token{Paths: []string{"auth/"}})}, vaultfake.Fault{},
			wantFault{fault.Denied, "create the key: transit key", `path "transit/keys/tsa" { capabilities = ["create", "read", "update"] }`}},
		{"refused at the end", "hashivault://tsa", signer.P256, nil, vaultfake.Fault{On: vaultfake.OnCreate, Status: 403, Body: `{"errors":["permission denied"]}`},
			wantFault{fault.Denied, "create the key", `"create"`}},
		{"not made", "hashivault://tsa", signer.P256, nil, vaultfake.Fault{On: vaultfake.OnCreate, Status: 204, Body: ""}, wantFault{fault.NotFound, "tsa", ""}},
		{"no URI", "hashivault://a/b", signer.P256, nil, vaultfake.Fault{}, wantFault{fault.Malformed, "hashivault://KEY", ""}},
		{"sealed", "hashivault://tsa", signer.P256, nil, vaultfake.Fault{Status: 503, Body: `{"errors":["Vault is sealed"]}`}, wantFault{fault.Locked, "sealed", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
			for k, val := range tt.env {
				e[k] = val
			}
			if tt.fault.Status != 0 {
				v.Inject(tt.fault)
				defer v.Clear()
			}
			check(t, vault.Create(t.Context(), uri(t, tt.uri), tt.kind, vault.Config{LookupEnv: e.lookup}), tt.want)
		})
	}
}
