package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"sync"
)

// maxCached is the number of signers that a ChainCache remembers. There are a
// few dozen public authorities; each changes its certificate once a year.
const maxCached = 256

// A ChainCache remembers chains that were verified, so that the next token of
// the same authority costs the verification of its own signature. The zero
// value is ready for use. It may serve any number of policies and goroutines;
// it remembers up to 256 signers, some 10 KiB each.
//
// What is remembered is only that certificates sign one another up to a
// certain one and are fit for timestamping. Whether that one is trusted,
// whether the others are at hand, the time and the revocation are asked anew
// for every token, so a policy gives the same verdict with a cache as without.
// Chains with a certificate of the policy that was altered after it was parsed
// are not remembered.
// (One way only: a chain that is remembered is also found among more junk
// certificates than are parsed in search of one.)
type ChainCache struct {
	mu      sync.RWMutex
	signers map[[sha256.Size]byte]cached // by the hash of the certificate
}

// cached is never changed, only replaced.
type cached struct {
	cert   *x509.Certificate
	chains [][]*x509.Certificate
}

// leaf returns the parsed certificate with the given hash if its profile was
// checked before. A nil cache has nothing.
func (c *ChainCache) leaf(sum [sha256.Size]byte) *x509.Certificate {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.signers[sum].cert
}

// chains returns the chains of the signer with the given hash.
func (c *ChainCache) chains(sum [sha256.Size]byte) [][]*x509.Certificate {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.signers[sum].chains
}

// add remembers chains that begin with leaf.
func (c *ChainCache) add(leaf *signer, chains [][]*x509.Certificate) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.signers[leaf.sum]
	if !ok {
		old.cert = leaf.cert
		for sum := range c.signers { // any one will do
			if len(c.signers) < maxCached {
				break
			}
			delete(c.signers, sum)
		}
	}
	next := cached{cert: old.cert, chains: slices.Clone(old.chains)}
	for _, chain := range chains {
		if !slices.ContainsFunc(next.chains, func(have []*x509.Certificate) bool {
			return slices.EqualFunc(have, chain, (*x509.Certificate).Equal)
		}) {
			next.chains = append(next.chains, chain)
		}
	}
	// The newest are the ones last in use.
	next.chains = next.chains[max(0, len(next.chains)-maxChains):]
	if c.signers == nil {
		c.signers = make(map[[sha256.Size]byte]cached)
	}
	c.signers[leaf.sum] = next
}
