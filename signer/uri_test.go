package signer_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

var goodURIs = []struct {
	in   string
	want signer.URI
	out  string // as printed; "" means as in
}{
	{"file:/etc/tsa/key.pem", signer.URI{Scheme: "file", Path: "/etc/tsa/key.pem"}, "file:///etc/tsa/key.pem"},
	{"file:///etc/tsa/key.pem", signer.URI{Scheme: "file", Path: "/etc/tsa/key.pem"}, ""},
	{"file://localhost/key.pem", signer.URI{Scheme: "file", Path: "/key.pem"}, "file:///key.pem"},
	{"FILE:key.pem", signer.URI{Scheme: "file", Path: "key.pem"}, "file:key.pem"},
	{"file:../a b/key.pem", signer.URI{Scheme: "file", Path: "../a b/key.pem"}, "file:../a%20b/key.pem"},
	{"file:a+b%3Fc%23d%25.pem", signer.URI{Scheme: "file", Path: "a+b?c#d%.pem"}, ""},
	{"file:C:/key.pem", signer.URI{Scheme: "file", Path: "C:/key.pem"}, ""},
	{"file:////x", signer.URI{Scheme: "file", Path: "//x"}, ""},
	{"file:k?passphrase-file=/run/a+b%26c", signer.URI{Scheme: "file", Path: "k", PassphraseFile: "/run/a+b&c"}, "file:k?passphrase-file=/run/a%2Bb%26c"},
	{"file:k?passphrase-env=TSA_PASS", signer.URI{Scheme: "file", Path: "k", PassphraseEnv: "TSA_PASS"}, ""},
	{"memory:p256", signer.URI{Scheme: "memory", KeyType: signer.P256}, ""},
	{"memory:rsa3072", signer.URI{Scheme: "memory", KeyType: signer.RSA3072}, ""},
	{"awskms:///arn:aws:kms:eu-west-1:1:alias/tsa", signer.URI{Scheme: "awskms", Rest: "///arn:aws:kms:eu-west-1:1:alias/tsa"}, ""},
	{"awskms://localhost:4566/alias/tsa", signer.URI{Scheme: "awskms", Rest: "//localhost:4566/alias/tsa"}, ""},
	{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", signer.URI{Scheme: "gcpkms", Rest: "//projects/p/locations/l/keyRings/r/cryptoKeys/k"}, ""},
	{"azurekms://v.vault.azure.net/key", signer.URI{Scheme: "azurekms", Rest: "//v.vault.azure.net/key"}, ""},
	{"hashivault://tsa", signer.URI{Scheme: "hashivault", Rest: "//tsa"}, ""},
	{"openbao://tsa", signer.URI{Scheme: "openbao", Rest: "//tsa"}, ""},
	{"tink:/etc/k.json?key=gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", signer.URI{Scheme: "tink", Path: "/etc/k.json",
		WrappingKey: "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k"}, "tink:///etc/k.json?key=gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k"},
	{"tink:///k?key=aws-kms://arn:aws:kms:eu-west-1:1:key/a", signer.URI{Scheme: "tink", Path: "/k", WrappingKey: "aws-kms://arn:aws:kms:eu-west-1:1:key/a"}, ""},
	{"tink:///k?token-file=/run/t%26u&key=hcvault://v:8200/transit/keys/k", signer.URI{Scheme: "tink", Path: "/k", WrappingKey: "hcvault://v:8200/transit/keys/k",
		TokenFile: "/run/t&u"}, "tink:///k?key=hcvault://v:8200/transit/keys/k&token-file=/run/t%26u"},
	{"tink:C:/k.json?key=hcvault://v/k&token-env=T_1", signer.URI{Scheme: "tink", Path: "C:/k.json", WrappingKey: "hcvault://v/k", TokenEnv: "T_1"}, ""},
	{"pkcs11:token=tsa;object=k?pin-source=file:/run/pin", signer.URI{Scheme: "pkcs11", Rest: "token=tsa;object=k?pin-source=file:/run/pin"}, ""},
	{"exec:///bin/sign", signer.URI{Scheme: "exec", Path: "/bin/sign"}, ""},
	{"exec:/bin/sign?arg=a%20b&env=TSA_SLOT&arg=&arg=--x%3Dy", signer.URI{Scheme: "exec", Path: "/bin/sign", Args: []string{"a b", "", "--x=y"},
		Env: []string{"TSA_SLOT"}}, "exec:///bin/sign?arg=a%20b&arg=&arg=--x%3Dy&env=TSA_SLOT"},
	{"exec:/a%3Fb?env=A&env=B", signer.URI{Scheme: "exec", Path: "/a?b", Env: []string{"A", "B"}}, "exec:///a%3Fb?env=A&env=B"},
}

const secret = "hunter2"

var badURIs = []struct{ name, in string }{
	{"empty", ""},
	{"bare path", "/etc/tsa/key.pem"},
	{"Windows path", `C:\key.pem`},
	{"unknown scheme", "http://example.org/key"},
	{"no path", "file:"},
	{"no path, slashes", "file://"},
	{"host", "file://etc/key.pem"},
	{"query only", "file:?passphrase-env=X"},
	{"fragment", "file:key#1.pem"},
	{"bad escape", "file:key%2.pem"},
	{"bad escape in a value", "file:k?passphrase-file=%"},
	{"NUL", "file:k%00"},
	{"unknown parameter", "file:k?mode=600"},
	{"passphrase in the URI", "file:k?passphrase=" + secret},
	{"empty query", "file:k?"},
	{"empty value", "file:k?passphrase-env="},
	{"no value", "file:k?passphrase-file"},
	{"twice", "file:k?passphrase-env=A&passphrase-env=B"},
	{"both", "file:k?passphrase-env=A&passphrase-file=B"},
	{"memory without type", "memory:"},
	{"memory with unknown type", "memory:rsa1024"},
	{"memory with parameter", "memory:p256?x=y"},
	{"no key", "awskms://"},
	{"white space", "awskms:///alias/a b"},
	{"line feed", "awskms:///alias/a\nb"},
	{"credentials", "hashivault://root:" + secret + "@vault/key"},
	{"PIN", "pkcs11:token=tsa?pin-value=" + secret},
	{"PIN, escaped", "pkcs11:token=tsa?module-name=x&pin-v%61lue=" + secret},
	{"PIN, as path attribute", "pkcs11:pin-value=" + secret + ";token=tsa"},
	{"tink without a wrapping key", "tink:/k.json"},
	{"tink, relative", "tink:k.json?key=aws-kms://x"},
	{"tink, empty wrapping key", "tink:/k.json?key="},
	{"tink, wrapping key without a name", "tink:/k.json?key=hcvault://"},
	{"tink, wrapping key of another kind", "tink:/k.json?key=awskms://x"},
	{"tink, two wrapping keys", "tink:/k.json?key=aws-kms://x&key=aws-kms://y"},
	{"tink, credentials", "tink:/k.json?key=hcvault://root:" + secret + "@vault/k"},
	{"tink, token in the URI", "tink:/k.json?key=hcvault://v/k&token=" + secret},
	{"tink, token for another service", "tink:/k.json?key=aws-kms://x&token-env=T"},
	{"tink, two tokens", "tink:/k.json?key=hcvault://v/k&token-env=T&token-file=/t"},
	{"tink, token file twice", "tink:/k.json?key=hcvault://v/k&token-file=/t&token-file=/u"},
	{"tink, relative token file", "tink:/k.json?key=hcvault://v/k&token-file=t"},
	{"tink, token variable with a value", "tink:/k.json?key=hcvault://v/k&token-env=T%3D" + secret},
	{"tink, passphrase", "tink:/k.json?key=aws-kms://x&passphrase-env=T"},
	{"exec, no program", "exec:"},
	{"exec, relative", "exec:sign"},
	{"exec, relative below", "exec:./sign"},
	{"exec, host", "exec://bin/sign"},
	{"exec, unknown parameter", "exec:/bin/sign?args=x"},
	{"exec, argument without a value", "exec:/bin/sign?arg"},
	{"exec, NUL", "exec:/bin/sign?arg=%00"},
	{"exec, empty variable", "exec:/bin/sign?env="},
	{"exec, variable with a value", "exec:/bin/sign?env=A%3D" + secret},
	{"exec, variable that begins with a digit", "exec:/bin/sign?env=1A"},
	{"exec, variable twice", "exec:/bin/sign?env=A&env=A"},
	{"exec, empty query", "exec:/bin/sign?"},
	{"exec, fragment", "exec:/bin/sign#x"},
	{"too long", "file:" + strings.Repeat("x", 16<<10)},
}

func TestParseURI(t *testing.T) {
	schemes := map[signer.Scheme]bool{}
	for _, tt := range goodURIs {
		got, err := signer.ParseURI(tt.in)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseURI(%q) = %#v, %v; want %#v", tt.in, got, err, tt.want)
		}
		want := tt.out
		if want == "" {
			want = tt.in
		}
		if s := got.String(); s != want {
			t.Errorf("ParseURI(%q).String() = %q; want %q", tt.in, s, want)
		}
		schemes[got.Scheme] = true
	}
	for _, s := range signer.Schemes() {
		if !schemes[s] {
			t.Errorf("no row for the scheme %s", s)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, tt := range badURIs {
		t.Run(tt.name, func(t *testing.T) {
			u, err := signer.ParseURI(tt.in)
			if err == nil || !reflect.DeepEqual(u, signer.URI{}) {
				t.Fatalf("ParseURI(%q) = %#v, %v; want an error", tt.in, u, err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestUnknownSchemeNamesAll(t *testing.T) {
	_, err := signer.ParseURI("vault://tsa")
	for _, s := range signer.Schemes() {
		if err == nil || !strings.Contains(err.Error(), string(s)) {
			t.Errorf("the error does not name the scheme %s: %v", s, err)
		}
	}
}
