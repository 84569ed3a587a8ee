package authority

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A checker looks at new tokens as a client would, before they are released.
type checker struct {
	scheme scheme
	every  uint64        // one in so many is checked
	count  atomic.Uint64 // tokens so far
	failed atomic.Bool   // from then on all are checked
}

func newChecker(s Signer, sch scheme, chain []*x509.Certificate, every int) *checker {
	c := &checker{scheme: sch, every: DefaultCheckEvery}
	if every > 0 {
		c.every = uint64(every)
	}
	inside, ok := s.(interface{ InProcess() bool })
	if _, isRSA := chain[0].PublicKey.(*rsa.PublicKey); isRSA || !ok || !inside.InProcess() {
		c.every = 1
	}
	return c
}

// check checks a response to req, or lets it pass when it is not in the sample.
func (c *checker) check(reply []byte, req *tsp.Request) error {
	if n := c.count.Add(1) - 1; n%c.every != 0 && !c.failed.Load() {
		return nil
	}
	err := c.verify(reply, req)
	if err != nil {
		c.failed.Store(true)
	}
	return err
}

func (c *checker) verify(reply []byte, req *tsp.Request) error {
	r, err := tsp.ParseResponse(reply)
	if err != nil {
		return err
	}
	if r.Token == nil {
		return errors.New("no token")
	}
	info, signer := r.Token.UnverifiedInfo, &r.Token.Signer
	if !info.Imprint.Equal(req.Imprint) || !info.Nonce.Equal(req.Nonce) {
		return errors.New("the token does not answer the request")
	}
	want := der.Make(der.TagOctetString, c.scheme.appendSum(nil, r.Token.Content()))
	for _, attr := range signer.SignedAttributes {
		if oid.Is(attr.Type, oid.MessageDigest) && !bytes.Equal(attr.Values[0], want) {
			return fmt.Errorf("messageDigest is wrong")
		}
	}
	message := signer.RawSignedAttributes
	if !c.scheme.pure {
		message = c.scheme.appendSum(nil, message)
	}
	if !c.scheme.verify(message, signer.Signature) {
		return errors.New("the signature is wrong")
	}
	return nil
}
