#!/bin/sh
# Makes the key files of this folder with OpenSSL 3.0 and with the library that
# Cosign writes its keys with, and one with our own code, which OpenSSL then
# must read. They are test keys: "PRIVATE KEY" is written
# "TESTING KEY" in them, and the tests turn it back. The passphrase of every
# encrypted one is "fencepost". Needs openssl,
# go and the module proxy.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pass=pass:fencepost
std() { openssl "$@" 2>/dev/null; }

# One key of each kind, with its public half as the witness.
std genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2048.pem
for c in P-256 P-384 P-521; do
	n=$(echo $c | tr -d - | tr P p)
	std genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$c -out "$n.pem"
done
std genpkey -algorithm ED25519 -out ed25519.pem
for k in rsa2048 p256 p384 p521 ed25519; do
	std pkey -in $k.pem -pubout -out $k-public.pem
done

# The forms in clear.
std rsa -in rsa2048.pem -traditional -out rsa2048-pkcs1.pem
std ec -in p256.pem -out p256-sec1.pem
std ec -in p256.pem -no_public -out p256-sec1-nopublic.pem
std ec -in p256.pem -conv_form compressed -out p256-sec1-compressed.pem
{ openssl ecparam -name prime256v1; cat p256-sec1.pem; } >p256-ecparam.pem
std rsa -in rsa2048.pem -traditional -text -out rsa2048-text.pem

# PBES2.
for prf in hmacWithSHA1 hmacWithSHA224 hmacWithSHA256 hmacWithSHA384 hmacWithSHA512; do
	std pkcs8 -topk8 -in p256.pem -v2 aes-256-cbc -v2prf $prf -passout $pass -out p256-pbkdf2-$prf.pem
done
for cipher in aes-128-cbc aes-192-cbc aes-256-cbc des-ede3-cbc; do
	std pkcs8 -topk8 -in p256.pem -v2 $cipher -v2prf hmacWithSHA256 -passout $pass -out p256-pbkdf2-$cipher.pem
	std pkcs8 -topk8 -in p256.pem -v2 $cipher -scrypt -passout $pass -out p256-scrypt-$cipher.pem
done
std pkcs8 -topk8 -in rsa2048.pem -v2 aes-256-cbc -passout $pass -out rsa2048-pbkdf2.pem
std pkcs8 -topk8 -in ed25519.pem -v2 aes-256-cbc -passout $pass -out ed25519-pbkdf2.pem

# RFC 1423.
for cipher in aes128 aes192 aes256 des3; do
	std ec -in p256.pem -$cipher -passout $pass -out p256-rfc1423-$cipher.pem
	std rsa -in rsa2048.pem -traditional -$cipher -passout $pass -out rsa2048-rfc1423-$cipher.pem
done

# What is refused.
std genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out bad-rsa1024.pem
std genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_primes:3 -out bad-rsa-3primes.pem
std genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out bad-rsa-pss.pem
std genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-224 -out bad-p224.pem
std genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out bad-secp256k1.pem
std genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -out bad-brainpool.pem
std genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -out bad-explicit.pem
std genpkey -algorithm X25519 -out bad-x25519.pem
std genpkey -algorithm ED448 -out bad-ed448.pem
std pkcs8 -topk8 -in p256.pem -v1 PBE-SHA1-3DES -passout $pass -out bad-pkcs12-3des.pem
std pkcs8 -topk8 -in p256.pem -v1 PBE-MD5-DES -provider legacy -provider default -passout $pass -out bad-pbes1-des.pem
std rsa -in rsa2048.pem -traditional -des -provider legacy -provider default -passout $pass -out bad-rfc1423-des.pem
std req -x509 -new -key p256.pem -subj /CN=test -days 1 -out bad-certificate.pem
cp p256-public.pem bad-public.pem
openssl ecparam -name prime256v1 -out bad-ecparam-only.pem
cat p256.pem p384.pem >bad-two-keys.pem
cat p256.pem bad-certificate.pem >bad-key-and-certificate.pem

# The form of Sigstore and Cosign.
cat >"$work/go.mod" <<'EOF'
module seal

go 1.26
EOF
cat >"$work/main.go" <<'EOF'
package main

import (
	"encoding/pem"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

func main() {
	in, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	b, _ := pem.Decode(in)
	level := map[string]encrypted.KDFParameterStrength{
		"legacy": encrypted.Legacy, "standard": encrypted.Standard, "owasp": encrypted.OWASP,
	}[os.Args[2]]
	sealed, err := encrypted.EncryptWithCustomKDFParameters(b.Bytes, []byte(os.Args[4]), level)
	if err != nil {
		panic(err)
	}
	pem.Encode(os.Stdout, &pem.Block{Type: os.Args[3], Bytes: sealed})
}
EOF
(cd "$work" && go get github.com/secure-systems-lab/go-securesystemslib/encrypted@v0.11.1 && go build -o seal .)
"$work/seal" p256.pem standard "ENCRYPTED SIGSTORE PRIVATE KEY" fencepost >p256-sigstore.pem
"$work/seal" p256.pem owasp "ENCRYPTED SIGSTORE PRIVATE KEY" fencepost >p256-sigstore-owasp.pem
"$work/seal" p256.pem legacy "ENCRYPTED COSIGN PRIVATE KEY" fencepost >p256-cosign.pem
"$work/seal" p256.pem standard "ENCRYPTED SIGSTORE PRIVATE KEY" "" >p256-sigstore-emptypass.pem
"$work/seal" rsa2048.pem standard "ENCRYPTED SIGSTORE PRIVATE KEY" fencepost >rsa2048-sigstore.pem
"$work/seal" ed25519.pem standard "ENCRYPTED SIGSTORE PRIVATE KEY" fencepost >ed25519-sigstore.pem

# What our own MarshalPEM writes, judged by openssl.
cat >"$work/write.go" <<'EOF'
package main

import (
	"os"

	"github.com/fencepost-tsa/fencepost/signer"
)

func main() {
	key, err := signer.ReadFile("p256.pem", signer.Config{})
	if err != nil {
		panic(err)
	}
	out, err := signer.MarshalPEM(key, []byte("fencepost"))
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(out)
}
EOF
go run "$work/write.go" >p256-written.pem
openssl pkey -in p256-written.pem -passin $pass -pubout | cmp - p256-public.pem

sed -i 's/PRIVATE KEY/TESTING KEY/' ./*.pem
