#!/bin/sh
# Records tokens that OpenSSL makes, with chains that OpenSSL makes. The keys
# are thrown away. Run it in this folder; the tests need only its results.
set -eu
here=$(pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >openssl.cnf <<'END'
[req]
distinguished_name = dn
prompt = no
[dn]
O = Fencepost Tests
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[default]
serial = serial
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.5
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[chain]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
clock_precision_digits = 3
ordering = yes
tsa_name = no
ess_cert_id_chain = yes
ess_cert_id_alg = sha384
[v1]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha1
END

key() { # file, algorithm or bits
	case $2 in
	P-*) openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$1" ;;
	*) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1" 2>/dev/null ;;
	esac
}
issue() { # name, common name, extensions, issuer
	openssl req -new -config openssl.cnf -key "$1.key" -subj "/O=Fencepost Tests/CN=$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA "$4.pem" -CAkey "$4.key" -set_serial "0x$(openssl rand -hex 16)" -days 36500 \
		-extfile openssl.cnf -extensions "$3" -out "$1.pem" 2>/dev/null
}

key root.key P-384
openssl req -x509 -new -config openssl.cnf -extensions root -key root.key -subj "/O=Fencepost Tests/CN=OpenSSL Root" -days 36500 -out root.pem
key ca.key 3072
issue ca "OpenSSL Issuing CA" ca root

stamp() { # file, key, hash, section
	[ -f "$2.pem" ] || { key "$2.key" "$2"; issue "$2" "OpenSSL TSA $2" tsa ca; }
	[ -f serial ] || openssl rand -hex 8 >serial
	openssl ts -query -data "$here/data" "-$3" -cert -out query.tsq 2>/dev/null
	openssl ts -reply -config openssl.cnf -section "$4" "-$3" -queryfile query.tsq -signer "$2.pem" -inkey "$2.key" \
		-chain ca.pem -out "$here/$1.tsr" 2>/dev/null
}
rm -f "$here"/*.tsr
stamp p256-sha256 P-256 sha256 default
stamp p384-sha384 P-384 sha384 default
stamp p521-sha512 P-521 sha512 default
stamp rsa2048-sha256 2048 sha256 default
stamp rsa2048-sha512 2048 sha512 default
stamp rsa3072-sha384 3072 sha384 default
stamp rsa4096-sha256 4096 sha256 default
stamp ess-chain P-256 sha256 chain
stamp ess-v1 P-256 sha256 v1
cp root.pem "$here/root.pem"
openssl version >"$here/version"
