package interop

import (
	"os"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

func devServer(t *testing.T) *tsa {
	if os.Getenv("FENCEPOST_INTEROP_SERVER") == "peer" {
		return startPeer(t, "--include-chain-in-response")
	}
	return startDev(t)
}

func devKey(t *testing.T, keyType string) *tsa {
	if os.Getenv("FENCEPOST_INTEROP_SERVER") != "peer" {
		return startKey(t, keyType)
	}
	w := scratch(t)
	gen := map[string][]string{
		"p256": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, "p384": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"p521": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"}, "rsa2048": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"rsa3072": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"}, "rsa4096": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"},
	}[keyType]
	for _, n := range []string{"root", "int", "leaf"} {
		w.accept(t, nil, append([]string{"openssl", "genpkey", "-out", n + ".key"}, gen...)...)
	}
	w.accept(t, nil, "openssl", "req", "-x509", "-new", "-key", "root.key", "-subj", "/CN=root", "-days", "30", "-out", "root.pem")
	w.write(t, "int.ext", []byte("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nextendedKeyUsage=timeStamping\n"))
	w.write(t, "leaf.ext", []byte("keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"))
	w.accept(t, nil, "openssl", "req", "-new", "-key", "int.key", "-subj", "/CN=int", "-out", "int.csr")
	w.accept(t, nil, "openssl", "x509", "-req", "-in", "int.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "30", "-extfile", "int.ext", "-out", "int.pem")
	w.accept(t, nil, "openssl", "req", "-new", "-key", "leaf.key", "-subj", "/CN=leaf", "-out", "leaf.csr")
	w.accept(t, nil, "openssl", "x509", "-req", "-in", "leaf.csr", "-CA", "int.pem", "-CAkey", "int.key", "-CAcreateserial", "-days", "30", "-extfile", "leaf.ext", "-out", "leaf.pem")
	w.write(t, "chain.pem", append(append(w.read(t, "leaf.pem"), w.read(t, "int.pem")...), w.read(t, "root.pem")...))
	return startPeer(t, "--include-chain-in-response", "--timestamp-signer", "file", "--file-signer-key-path", w.path("leaf.key"), "--certificate-chain-path", w.path("chain.pem"))
}

func dropIn(t *testing.T, p peers.Program) string {
	if os.Getenv("FENCEPOST_INTEROP_SERVER") == "peer" {
		return theirs(t, p)
	}
	return ours(p.Name)
}
