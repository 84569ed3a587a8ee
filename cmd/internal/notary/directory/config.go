package directory

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// The names of the configuration files.
const (
	ConfigName      = "config.json"
	SigningKeysName = "signingkeys.json"
)

// maxConfig is the longest config.json and signingkeys.json, in octets: room
// for thousands of keys.
const maxConfig = 1 << 20

// A Config is what config.json says. The zero value is that of no file.
type Config struct {
	// InsecureRegistries are hosts, with their ports, that are asked without TLS.
	InsecureRegistries []string
	// CredsStore names the credential helper of all hosts but those of
	// CredHelpers.
	CredsStore string
	// CredHelpers names the credential helper of each host.
	CredHelpers map[string]string
	// SignatureFormat is "jws" or "cose"; empty if the file does not say.
	SignatureFormat string
	// Warnings are about members that nobody knows.
	Warnings []strictjson.Fault
}

// Config reads config.json. Without the file it is empty. The error is an
// *[Error], which wraps a *[strictjson.Faults] if the file is not as it should
// be.
func (d Dir) Config() (Config, error) {
	path, r, err := d.document(ConfigName)
	if err != nil || r == nil {
		return Config{}, err
	}
	o := r.Root("insecureRegistries", "credsStore", "credHelpers", "signatureFormat")
	c := Config{
		InsecureRegistries: o.Strings("insecureRegistries"),
		CredsStore:         o.String("credsStore"),
		CredHelpers:        o.Map("credHelpers"),
		SignatureFormat:    o.String("signatureFormat"),
		Warnings:           r.Warnings,
	}
	for _, v := range o.List("insecureRegistries") {
		if v.IsText() && r.Text(v) == "" {
			r.Fault(v, strictjson.Fault{Rule: strictjson.RuleMissing, Detail: "the host is empty", Cure: "write a host with its port, or remove it"})
		}
	}
	if f := c.SignatureFormat; f != "" && f != "jws" && f != "cose" {
		o.Fault("signatureFormat", strictjson.Fault{Rule: RuleFormat, Detail: fmt.Sprintf("there is no signature format %q", short(f)), Cure: "write jws or cose"})
	}
	if err := invalid(path, r); err != nil {
		return Config{}, err
	}
	return c, nil
}

// The rules of config.json and signingkeys.json, besides those of strictjson.
const (
	RuleFormat  strictjson.Rule = "signature-format" // neither jws nor cose
	RuleKey     strictjson.Rule = "key"              // neither a key of files nor one of a plugin, or both
	RuleName    strictjson.Rule = "name"             // two keys have it
	RuleDefault strictjson.Rule = "default"          // no key has it
)

// document reads a file that may be absent: r is nil then.
func (d Dir) document(name string) (string, *strictjson.Reader, error) {
	path, data, err := d.read(name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil, nil
	} else if err != nil {
		return path, nil, err
	}
	return path, strictjson.Parse(data, strictjson.Limits{Size: maxConfig}), nil
}

func invalid(path string, r *strictjson.Reader) error {
	err := r.Err(path)
	if err == nil {
		return nil
	}
	e := &Error{Reason: ReasonInvalid, Path: path, Err: err}
	var faults *strictjson.Faults
	if errors.As(err, &faults) {
		e.advice = faults.Advice()
	}
	return e
}

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
