package authority

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// ErrSelfCheck is wrapped by the cause (Outcome.Rejection.Err) of a
// systemFailure whose token was made and then did not stand up to the check of
// a client: the signer is faulty, and someone should look at it now. The error
// of [New] and [Authority.Prove] is one too where the test signature is wrong.
var ErrSelfCheck = errors.New("authority: the new token is wrong and was kept back")

// ErrSigner is wrapped by the cause of a systemFailure whose signer returned an
// error, or no signature before the context ended.
var ErrSigner = errors.New("authority: signing")

// ErrWindow is wrapped by the cause of a systemFailure at a time when a
// certificate of the chain is not valid or the private key may not be used; see
// [Authority.Window].
var ErrWindow = errors.New("authority: no token may say this time")

// wrongSignature is the error of a test signature. It is an ErrSelfCheck, but no
// token was made.
type wrongSignature struct{}

func (*wrongSignature) Error() string { return "the signer's signature is wrong" }

func (*wrongSignature) Is(target error) bool { return target == ErrSelfCheck }

// A checker looks at new tokens as a client would, before they are released.
type checker struct {
	policy verify.Policy
	every  uint64        // one in so many is checked
	count  atomic.Uint64 // tokens so far
	failed atomic.Bool   // from then on all are checked
}

func newChecker(s Signer, chain []*x509.Certificate, policies []policy, every int) *checker {
	c := &checker{
		policy: verify.Policy{
			Roots:         chain[len(chain)-1:],
			Intermediates: chain,
			Certificate:   chain[0],
			Cache:         new(verify.ChainCache),
		},
		every: DefaultCheckEvery,
	}
	for i := range policies {
		c.policy.Policies = append(c.policy.Policies, policies[i].id)
	}
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
func (c *checker) check(reply []byte, req *tsp.Request, out *tsp.Outcome) error {
	if n := c.count.Add(1) - 1; n%c.every != 0 && !c.failed.Load() {
		return nil
	}
	err := c.verify(reply, req, out)
	if err != nil {
		c.failed.Store(true)
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	return nil
}

func (c *checker) verify(reply []byte, req *tsp.Request, out *tsp.Outcome) error {
	r, err := tsp.ParseResponse(reply)
	if err != nil {
		return err
	}
	p := c.policy
	// The time in the token is that of the authority's clock, which has been
	// judged, and may be another than the machine's.
	p.Now = func() time.Time { return out.GenTime }
	stamp, err := p.Response(r, req)
	if err != nil {
		return err
	}
	switch {
	case !stamp.Serial.Equal(out.Serial), !stamp.Time.Equal(out.GenTime), !stamp.Policy.Equal(out.Policy):
		return fmt.Errorf("the token says serial number %v, %v, policy %v, and not what was written into it", stamp.Serial, stamp.Time, stamp.Policy)
	case !stamp.HasAccuracy || stamp.Accuracy != out.Accuracy:
		return fmt.Errorf("the token promises %v, not %v", stamp.Accuracy, out.Accuracy)
	case !stamp.Nonce.Equal(req.Nonce):
		return errors.New("the token has a nonce that was not asked for")
	case !req.CertReq && len(r.Token.Certificates) > 0: // RFC 3161, 2.4.1
		return errors.New("the token has certificates that were not asked for")
	}
	return nil
}
