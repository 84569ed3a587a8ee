package envelope

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/fencepost-tsa/fencepost/signer"
)

// Len returns how many chains are remembered.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.chains)
}

// CheckUnsigned checks all that Verify does but the signature.
func (e *Envelope) CheckUnsigned() error {
	if err := e.checkAlgorithm(); err != nil {
		return err
	}
	return e.checkRest()
}

// Splice puts in a token that nobody has looked at.
func (e *Envelope) Splice(token []byte) ([]byte, error) { return e.splice(token) }

// Signed returns what the signature is over.
func (e *Envelope) Signed() []byte { return slices.Concat(e.signed...) }

// Adapt returns a key as notation-core-go wants it.
func Adapt(ctx context.Context, key signer.Signer, chain []*x509.Certificate) signature.Signer {
	r := &Request{Key: key, Chain: chain}
	return &adapter{chain: chain, sign: func(message []byte) ([]byte, error) { return r.sign(ctx, message) }}
}
