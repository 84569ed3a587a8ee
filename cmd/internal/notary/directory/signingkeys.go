package directory

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// SigningKeys are the keys that signingkeys.json gives a name. The zero value
// is that of no file.
type SigningKeys struct {
	// Default is the name of the key that is used where none is named; empty if
	// there is none.
	Default string
	Keys    []Key
	// Warnings are about members that nobody knows.
	Warnings []strictjson.Fault

	path string
}

// A Key is one with a name.
type Key struct {
	Name string
	// KeyPath and CertPath name the files of the private key and of its chain,
	// leaf first. A relative path is one from the working directory, as in
	// Notation. Either may have characters that a key URI would have to escape.
	KeyPath, CertPath string
	// Plugin is the plugin of Notation that has the key, and ID its name there.
	// Get returns no such key.
	Plugin, ID string
}

// SigningKeys reads signingkeys.json. Without the file there is no key. The
// error is as that of [Dir.Config]. A key of a plugin is no error until it is
// used.
func (d Dir) SigningKeys() (SigningKeys, error) {
	path, r, err := d.document(SigningKeysName)
	if err != nil || r == nil {
		return SigningKeys{path: path}, err
	}
	o := r.Root("default", "keys")
	out := SigningKeys{Default: o.String("default"), path: path}
	first := map[string]int{}
	for i, v := range o.List("keys") {
		k := r.Object(v, "name", "keyPath", "certPath", "id", "pluginName", "pluginConfig")
		if !k.Exists() {
			if v.IsNull() {
				r.Fault(v, strictjson.Fault{Rule: strictjson.RuleType, Detail: "it is null, want an object", Cure: "write an object, {...}"})
			}
			continue
		}
		key := Key{Name: k.String("name"), KeyPath: k.String("keyPath"), CertPath: k.String("certPath"), ID: k.String("id"), Plugin: k.String("pluginName")}
		k.Map("pluginConfig")
		k.Label(fmt.Sprintf("key %d %q", i+1, short(key.Name)))
		files, plugin := key.KeyPath != "" || key.CertPath != "", key.Plugin != "" || key.ID != ""
		missing := func(name, what string) {
			k.Fault(name, strictjson.Fault{Rule: strictjson.RuleMissing, Detail: what, Cure: "write it, or remove the key"})
		}
		switch {
		case key.Name == "":
			missing("name", "the key has no name")
		case first[key.Name] > 0:
			k.Fault("name", strictjson.Fault{Rule: RuleName, Detail: fmt.Sprintf("key %d has the same name", first[key.Name]), Cure: "give each key a name of its own"})
		default:
			first[key.Name] = i + 1
		}
		switch {
		case files && plugin:
			k.Fault("", strictjson.Fault{Rule: RuleKey, Detail: "it is both a key in a file and one of a plugin", Cure: "keep keyPath and certPath, or id and pluginName"})
		case !files && !plugin:
			k.Fault("", strictjson.Fault{Rule: RuleKey, Detail: "it is neither a key in a file nor one of a plugin", Cure: "write keyPath and certPath"})
		case files && key.KeyPath == "":
			missing("keyPath", "the key has a certificate and no keyPath")
		case files && key.CertPath == "":
			missing("certPath", "the key has no certPath")
		case plugin && key.Plugin == "":
			missing("pluginName", "the key has an id and no pluginName")
		}
		out.Keys = append(out.Keys, key)
	}
	if out.Default == "" && o.Value("default") != nil && o.Value("default").IsText() {
		o.Warn("default", strictjson.Fault{Rule: strictjson.RuleMissing, Detail: "the name of the default key is empty; there is none", Cure: "remove it"})
	} else if out.Default != "" && first[out.Default] == 0 {
		o.Fault("default", strictjson.Fault{Rule: RuleDefault, Detail: fmt.Sprintf("no key is named %q", short(out.Default)), Cure: "name one of the keys, or remove it"})
	}
	out.Warnings = r.Warnings
	if err := invalid(path, r); err != nil {
		return SigningKeys{path: path}, err
	}
	return out, nil
}

// Get returns the key with a name, or the default one if name is empty. The
// error is an *[Error]: no such key, or one of a plugin, which are not run.
func (s SigningKeys) Get(name string) (Key, error) {
	fail := func(reason Reason, advice, format string, args ...any) (Key, error) {
		return Key{}, &Error{Reason: reason, Path: s.path, Err: fmt.Errorf(format, args...), advice: advice}
	}
	const cure = "name a key with --key, as a URI such as file:key.pem or one of "
	if name == "" {
		if name = s.Default; name == "" {
			return fail(ReasonKey, cure+s.path, "no key is named, and %s has no default", s.path)
		}
	}
	i := slices.IndexFunc(s.Keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		advice := cure + s.path
		if names := s.names(); names != "" {
			advice = "there are " + names
		}
		return fail(ReasonKey, advice, "%s has no key named %q", s.path, short(name))
	}
	k := s.Keys[i]
	if k.Plugin != "" {
		return fail(ReasonPlugin, k.instead(), "the key %q is one of Notation's plugin %q, and Fencepost runs no plugins", short(k.Name), short(k.Plugin))
	}
	return k, nil
}

// maxNames is how many keys a hint lists.
const maxNames = 10

func (s SigningKeys) names() string {
	var names []string
	for _, k := range s.Keys[:min(len(s.Keys), maxNames)] {
		names = append(names, fmt.Sprintf("%q", short(k.Name)))
	}
	if len(s.Keys) > maxNames {
		names = append(names, "others")
	}
	return strings.Join(names, ", ")
}

// instead says which key URI reaches the key of a plugin.
func (k Key) instead() string {
	const chain = " and its chain with --certificate-chain"
	switch {
	case strings.Contains(k.Plugin, "azure"): // azure-kv
		// The identifier is https://NAME.vault.azure.net/keys/KEY/VERSION.
		if u, err := url.Parse(k.ID); err == nil && u.Scheme == "https" {
			if path, ok := strings.CutPrefix(u.Path, "/keys/"); ok && path != "" {
				return "name it as --key azurekms://" + u.Host + "/" + path + chain
			}
		}
		return "name it as --key azurekms://NAME.vault.azure.net/KEY" + chain
	case strings.Contains(k.Plugin, "signer") && strings.Contains(k.Plugin, "aws"), strings.Contains(k.Plugin, "amazonaws"):
		return "keys of AWS Signer never leave its profiles; for one in AWS KMS, name it as --key awskms:///alias/NAME" + chain
	case strings.Contains(k.Plugin, "vault"): // hc-vault
		return "name it as --key hashivault://KEY" + chain
	case strings.Contains(k.Plugin, "google"), strings.Contains(k.Plugin, "gcp"):
		return "name it as --key gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V" + chain
	}
	return "name it by its URI, such as --key awskms:///alias/NAME, azurekms://NAME.vault.azure.net/KEY, gcpkms://projects/..., hashivault://KEY, pkcs11:..." + chain
}
