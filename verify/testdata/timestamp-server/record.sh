#!/bin/sh
# Records tokens that sigstore/timestamp-authority's server makes with its keys
# in memory. Give the server's binary (v2.1.3) as the argument and run it in
# this folder; the tests need only its results. The server also takes the fixed
# port 2112 for metrics.
set -eu
server=$1
port=${2:-38471}
query=$(mktemp)
trap 'rm -f "$query"; [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null' EXIT

run() { # flags
	"$server" serve --host 127.0.0.1 --port "$port" --disable-ntp-monitoring "$@" >/dev/null 2>&1 &
	pid=$!
	for _ in $(seq 50); do
		curl -sf "http://127.0.0.1:$port/ping" >/dev/null && return
		sleep 0.1
	done
	echo "the server does not answer" >&2
	exit 1
}
stop() {
	kill "$pid"
	wait "$pid" || true
	pid=
}
stamp() { # file, query flags
	file=$1
	shift
	openssl ts -query -data data "$@" -out "$query" 2>/dev/null
	curl -sf -H 'Content-Type: application/timestamp-query' --data-binary "@$query" \
		"http://127.0.0.1:$port/api/v1/timestamp" -o "$file"
}
rm -f ./*.tsr
run
curl -sf "http://127.0.0.1:$port/api/v1/timestamp/certchain" -o leaf.pem
stamp leaf-sha256.tsr -sha256 -cert
stamp leaf-sha384.tsr -sha384 -cert
stamp leaf-sha512.tsr -sha512 -cert
stamp leaf-without-certificates.tsr -sha256
stamp leaf-without-nonce.tsr -sha256 -cert -no_nonce
stop
run --include-chain-in-response
curl -sf "http://127.0.0.1:$port/api/v1/timestamp/certchain" -o chain.pem
stamp chain-sha256.tsr -sha256 -cert
stop
"$server" version 2>/dev/null | grep GitVersion >version || true
