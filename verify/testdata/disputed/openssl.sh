#!/bin/sh
# Prints what openssl says about each file, for openssl.txt.
echo "# $(openssl version | cut -d' ' -f1-2)"
for file in *.tsr *.tst; do
	verdict=refused
	token=
	[ "${file%.tst}" = "$file" ] || token=-token_in
	# 1767326645 is 2026-01-02T04:04:05Z.
	if openssl ts -verify -in "$file" $token -queryfile request.tsq -CAfile root.pem -untrusted intermediate.pem \
		-attime 1767326645 >/dev/null 2>&1; then
		verdict=ok
	fi
	echo "$verdict $file"
done
