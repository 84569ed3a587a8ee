#!/bin/sh
# Makes the requests and replies in openssl/ with "openssl ts". The keys are
# made for the occasion and thrown away; every run gives other bytes, and the
# tests hold what the files say, not which bytes they are.
set -eu
out=$(cd "$(dirname "$0")" && pwd)/openssl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out"
cd "$work"
printf 'fencepost\n' >data

cat >tsa.cnf <<'CNF'
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[oids]
[plain]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.5.6,1.2.3.4.5.7
digests = sha256,sha384,sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[rich]
serial = serial
signer_digest = sha512
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.5.6
digests = sha256,sha384,sha512
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 6
ordering = yes
tsa_name = yes
ess_cert_id_chain = yes
ess_cert_id_alg = sha512
[old]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha1,sha256
ess_cert_id_alg = sha1
CNF

identity() { # name, options of "openssl genpkey"
	name=$1
	shift
	openssl genpkey "$@" -out "$name.key" 2>/dev/null
	openssl req -new -key "$name.key" -subj "/C=XX/O=Fencepost Tests/CN=OpenSSL $name" -out "$name.csr"
}
identity root -algorithm EC -pkeyopt ec_paramgen_curve:P-256
openssl req -x509 -key root.key -subj "/C=XX/O=Fencepost Tests/CN=OpenSSL root" -days 3650 \
	-config tsa.cnf -extensions ca -out root.pem 2>/dev/null ||
	openssl x509 -req -in root.csr -signkey root.key -days 3650 -extfile tsa.cnf -extensions ca -out root.pem 2>/dev/null
for leaf in ec rsa; do
	case $leaf in
	ec) identity ec -algorithm EC -pkeyopt ec_paramgen_curve:P-384 ;;
	rsa) identity rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048 ;;
	esac
	openssl x509 -req -in $leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 3650 \
		-extfile tsa.cnf -extensions leaf -out $leaf.pem 2>/dev/null
done
cp root.pem "$out/root.pem"
echo 1000 >serial

query() { # name, options
	name=$1
	shift
	openssl ts -query -data data "$@" -out "$out/$name.tsq" 2>/dev/null
}
reply() { # name, request, section, leaf, options
	name=$1 request=$2 section=$3 leaf=$4
	shift 4
	openssl ts -reply -config tsa.cnf -section "$section" -queryfile "$out/$request.tsq" \
		-signer $leaf.pem -inkey $leaf.key -chain root.pem "$@" -out "$out/$name" 2>/dev/null
}
query minimal -sha256 -no_nonce
query nonce -sha256
query cert -sha384 -cert
query policy -sha512 -cert -tspolicy 1.2.3.4.5.6
query other-policy -sha256 -cert -tspolicy 1.2.3.4.9
query sha1 -sha1 -cert
query sha3 -sha3-256 -cert

reply minimal-ec.tsr minimal plain ec
reply nonce-rsa.tsr nonce plain rsa
reply cert-ec.tsr cert plain ec
reply cert-rsa.tsr cert plain rsa
reply rich-ec.tsr policy rich ec
reply rich-rsa.tsr policy rich rsa
reply old-rsa.tsr sha1 old rsa
reply refused-policy.tsr other-policy plain ec
reply refused-sha1.tsr sha1 plain ec
reply refused-sha3.tsr sha3 plain ec
reply token-ec.tst cert plain ec -token_out
openssl base64 -in "$out/cert-ec.tsr" -out "$out/cert-ec.b64"

# A request of version 2: the fifth octet is the version.
{ head -c 4 "$out/nonce.tsq"; printf '\002'; tail -c +6 "$out/nonce.tsq"; } >"$out/version-2.tsq"
reply refused-version.tsr version-2 plain ec
openssl version >"$out/VERSION"
