package peerserver

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/signer"
)

// kinds are the values of --timestamp-signer and the flags that go with them.
var kinds = map[string][]string{
	"memory": nil,
	"file":   {"file-signer-key-path", "file-signer-passwd", "file-signer-passwd-file"},
	"kms":    {"kms-key-resource"},
	"tink":   {"tink-key-resource", "tink-keyset-path", "tink-hcvault-token", "tink-hcvault-token-file"},
}

// identity opens or makes the key and its chain.
func (o *options) identity(ctx context.Context) (*kms.Key, []*x509.Certificate, error) {
	kind := o.signer.String()
	if err := o.strangers(kind); err != nil {
		return nil, nil, err
	}
	cfg := kms.Config{LookupEnv: o.env.LookupEnv}
	var u signer.URI
	var flag string
	var err error
	switch kind {
	case "memory":
		o.warn("the key is in memory and dies with this process; nobody should trust these timestamps")
		u = signer.URI{Scheme: signer.SchemeMemory, KeyType: signer.P256}
	case "file":
		flag = "--file-signer-key-path"
		u, err = o.fileKey(&cfg)
	case "kms":
		flag = "--kms-key-resource"
		u, err = o.kmsKey()
	case "tink":
		flag = "--tink-keyset-path"
		u, err = o.tinkKey(&cfg)
	}
	if err != nil {
		return nil, nil, err
	}
	if kind != "memory" && o.chain == "" {
		return nil, nil, cli.Hint(cli.Usagef("--timestamp-signer %s needs --certificate-chain-path", kind),
			"\"fencepost cert create --key '%s' --out DIR\" makes a chain", u)
	}
	f := serve.ChainFile{
		Setting: "--certificate-chain-path", Path: o.chain,
		EnforceIntermediateEKU: o.enforceEKU, Warn: func(text string) { o.warn("%s", text) },
	}
	var chain []*x509.Certificate
	if kind != "memory" {
		if chain, err = f.Read(); err != nil {
			return nil, nil, err
		}
		cfg.Want = chain[0].PublicKey
	}
	cfg.Limits.Timeout, cfg.Report = o.signTimeout, serve.ReportKey(o.log, flag)
	key, err := kms.Open(ctx, u, cfg)
	if err != nil {
		return nil, nil, keyError(flag, err)
	}
	if kind == "memory" {
		chain, err = serve.NewChain(ctx, key, pkix.Name{Organization: []string{"local"}, CommonName: "Test TSA Timestamping"})
	} else if err = f.Check(chain, key.Public()); err == nil {
		err = o.prove(ctx, key, flag)
	}
	if err != nil {
		return nil, nil, errors.Join(err, key.Close())
	}
	return key, chain, nil
}

// prove has the key sign.
func (o *options) prove(ctx context.Context, key *kms.Key, flag string) error {
	ctx, cancel := context.WithTimeout(ctx, o.signTimeout)
	defer cancel()
	if err := signer.Prove(ctx, key, serve.DigestFor(key, o.digest())); err != nil {
		return keyError(flag, err)
	}
	return nil
}

// strangers refuses flags of a signer that is not the one chosen: a key that is
// named and not used is a mistake, and another would sign.
func (o *options) strangers(kind string) error {
	var others []string
	for other, flags := range kinds {
		if other != kind {
			others = append(others, flags...)
		}
	}
	if kind == "memory" {
		others = append(others, "certificate-chain-path")
	}
	for _, flag := range others {
		if !o.given(flag) {
			continue
		}
		for other, flags := range kinds {
			for _, f := range flags {
				if f == flag {
					return cli.Hint(cli.Usagef("--%s goes with --timestamp-signer %s, and %s", flag, other, signs(kind)), "give --timestamp-signer %s", other)
				}
			}
		}
		return cli.Hint(cli.Usagef("--%s goes with --timestamp-signer file, kms or tink, and %s", flag, signs(kind)), "give --timestamp-signer file")
	}
	return nil
}

// signs says which key would sign.
func signs(kind string) string {
	if kind == "memory" {
		return "a key in memory would sign"
	}
	return "another key would sign, that of --timestamp-signer " + kind
}

func (o *options) fileKey(cfg *kms.Config) (signer.URI, error) {
	switch {
	case o.keyFile == "":
		return signer.URI{}, cli.Usagef("--timestamp-signer file needs --file-signer-key-path")
	case o.given("file-signer-passwd") && o.given("file-signer-passwd-file"):
		return signer.URI{}, cli.Usagef("--file-signer-passwd and --file-signer-passwd-file exclude each other")
	case o.given("file-signer-passwd"):
		cfg.Passphrase = func() ([]byte, error) { return []byte(o.keyPasswd), nil }
	}
	if err := signer.CheckMode(o.keyFile); errors.Is(err, signer.ErrMode) {
		o.warn("%v", err)
	}
	return signer.URI{Scheme: signer.SchemeFile, Path: o.keyFile, PassphraseFile: o.keyPasswdFile}, nil
}

// kmsKey takes the URIs of the namesake, and those of all other keys.
func (o *options) kmsKey() (signer.URI, error) {
	if o.kmsKeyResource == "" {
		return signer.URI{}, cli.Usagef("--timestamp-signer kms needs --kms-key-resource")
	}
	u, err := signer.ParseURI(o.kmsKeyResource)
	if err != nil {
		return u, cli.Usagef("--kms-key-resource: %w", err)
	}
	if u.Scheme == signer.SchemeMemory {
		return u, cli.Usagef("--kms-key-resource %s is a key in memory; that is --timestamp-signer memory", u)
	}
	return u, nil
}

// hcvaultToken is the variable under which the value of --tink-hcvault-token is
// handed on.
const hcvaultToken = "TIMESTAMP_SERVER_TINK_HCVAULT_TOKEN"

func (o *options) tinkKey(cfg *kms.Config) (signer.URI, error) {
	switch {
	case o.tinkKeyResource == "":
		return signer.URI{}, cli.Usagef("--timestamp-signer tink needs --tink-key-resource, the key that decrypts the keyset")
	case o.tinkKeyset == "":
		return signer.URI{}, cli.Usagef("--timestamp-signer tink needs --tink-keyset-path")
	case o.given("tink-hcvault-token") && o.given("tink-hcvault-token-file"):
		return signer.URI{}, cli.Usagef("--tink-hcvault-token and --tink-hcvault-token-file exclude each other")
	}
	u := signer.URI{Scheme: signer.SchemeTink, WrappingKey: o.tinkKeyResource}
	var err error
	if u.Path, err = filepath.Abs(o.tinkKeyset); err != nil {
		return u, fmt.Errorf("--tink-keyset-path: %w", err)
	}
	switch {
	case o.given("tink-hcvault-token"):
		u.TokenEnv = hcvaultToken
		cfg.LookupEnv = func(name string) (string, bool) {
			if name == hcvaultToken {
				return o.tinkToken, true
			}
			return o.env.LookupEnv(name)
		}
	case o.tinkTokenFile != "":
		if u.TokenFile, err = filepath.Abs(o.tinkTokenFile); err != nil {
			return u, fmt.Errorf("--tink-hcvault-token-file: %w", err)
		}
	}
	// What was put together is held to the same rules as what is read.
	parsed, err := signer.ParseURI(u.String())
	if err != nil {
		return u, cli.Usagef("--tink-key-resource, --tink-keyset-path: %w", err)
	}
	return parsed, nil
}

// digest is the hash of --timestamp-signer-hash, zero if it is not given and
// follows the key.
func (o *options) digest() crypto.Hash {
	if !o.given("timestamp-signer-hash") {
		return 0
	}
	return map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[o.signerHash.String()]
}

// files are those that are watched for changes.
func (o *options) files() []string {
	var names []string
	for _, name := range []string{o.keyFile, o.keyPasswdFile, o.tinkKeyset, o.chain, o.tlsCertificate, o.tlsKey, o.tlsClientCAs, o.ntpFile} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// keyError names the flag, and in place of a URI the flag for a password.
func keyError(flag string, err error) error {
	if flag != "" {
		err = fmt.Errorf("%s: %w", flag, err)
	}
	if errors.Is(err, signer.ErrNoPassphrase) {
		return cli.Hint(err, "name the file with its password with --file-signer-passwd-file")
	}
	return err
}
