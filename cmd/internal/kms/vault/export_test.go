package vault

import (
	"crypto"
	"encoding/json"
)

// WithDial has a key connect by a function, for tests in a synctest bubble.
func WithDial(cfg Config, dial dialFunc) Config {
	cfg.dial = dial
	return cfg
}

// For fuzz targets.
var (
	ParseSignature = parseSignature
	OneLine        = oneLine
)

// ChooseVersion and FindVersion read a description of a key as Open does.
func ChooseVersion(data []byte) (crypto.PublicKey, int, error) { return FindVersion(data, nil) }

func FindVersion(data []byte, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	var info keyInfo
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, 0, err
	}
	e := &engine{client: &client{}}
	return e.version(&info, want)
}
