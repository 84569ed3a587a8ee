package verify

import "github.com/fencepost-tsa/fencepost/tsp"

// Work is what one verification cost.
type Work struct{ Hashed, Parsed, Signatures int }

// TokenWork is Policy.Token, with the cost.
func TokenWork(p Policy, t *tsp.Token, imprint tsp.Imprint) (*Timestamp, Work, error) {
	var w work
	stamp, err := p.token(t, imprint, &w)
	return stamp, Work{w.hashed, w.parsed, w.signatures}, err
}

// Len returns the number of signers that c remembers, and the largest number
// of chains of one.
func (c *ChainCache) Len() (signers, chains int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.signers {
		chains = max(chains, len(s.chains))
	}
	return len(c.signers), chains
}

// The limits that tests hold hostile input against.
const (
	MaxCached        = maxCached
	MaxChains        = maxChains
	MaxCertificate   = maxCertificate
	MaxIntermediates = maxIntermediates
)
