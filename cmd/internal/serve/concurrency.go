package serve

import (
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// sparePart is how many more requests are let through to a key outside this
// process than it signs at once, as part of these: there is something to be done
// before and after. Those that have to wait for more than that wait in the
// queue, whose bound is time. Let through, they would be given up when
// limits.sign-timeout is over, just before their turn, one after the other; and
// that would look as if the key had failed.
const sparePart = 4

// concurrent is how many requests are let through at once; zero is the default
// of tsphttp.
func concurrent(cfg *Config) int {
	external := false
	for _, k := range cfg.TSA.State().Keys {
		external = external || k.External && k.Name != tsa.CAKeyName
	}
	if !external {
		return cfg.MaxConcurrent
	}
	most := cfg.SignConcurrency
	if most == 0 {
		most = kms.DefaultConcurrency
	}
	most += max(most/sparePart, 1)
	if cfg.MaxConcurrent == 0 {
		return min(most, tsphttp.DefaultMaxConcurrent)
	}
	return min(most, cfg.MaxConcurrent)
}
