package countersign

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// btspPolicy is the best practices policy for timestamps of ETSI EN 319 421, 5.2,
// which promises one second.
const btspPolicy = "0.4.0.2023.1.1"

// btspAccuracy is the accuracy of a token under btspPolicy that states none.
const btspAccuracy = time.Second

// Accuracy returns how far the true time may be from the one in a token, as the
// specification of trust policies has it ("Timestamp signature verification"):
// what the token states, else what its policy promises.
func Accuracy(info *tsp.Info) time.Duration {
	if info.Accuracy == 0 && info.Policy.String() == btspPolicy {
		return btspAccuracy
	}
	return info.Accuracy
}

// Covers reports whether the signature was stamped while every certificate of
// the signing chain was valid, the root included: all of the interval from
// Lower to Upper has to lie within the validity of each, bounds included. Its
// error is an [*Error] that names the first certificate that does not, and by
// how much.
func (t *Timestamp) Covers(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fail(ReasonInterval, "", "there is no signing chain")
	}
	for _, cert := range chain {
		switch {
		case t.Lower.Before(cert.NotBefore):
			return fail(ReasonInterval, "a certificate should be valid some minutes before the first signature is made with it",
				"the signature may have been stamped at %s, %v before certificate %s becomes valid at %s (stamped at %s ± %v)",
				clock(t.Lower), cert.NotBefore.Sub(t.Lower), name(cert.Subject), clock(cert.NotBefore), clock(t.Time), t.Upper.Sub(t.Time))
		case t.Upper.After(cert.NotAfter):
			return fail(ReasonInterval, "a signature has to be stamped while its certificates are valid; afterwards it can only be made anew",
				"the signature may have been stamped at %s, %v after certificate %s expired at %s (stamped at %s ± %v)",
				clock(t.Upper), t.Upper.Sub(cert.NotAfter), name(cert.Subject), clock(cert.NotAfter), clock(t.Time), t.Upper.Sub(t.Time))
		}
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// maxNameText is the longest name printed in a message: a hostile certificate
// must not fill the screen.
const maxNameText = 200

// name returns a name as text for messages, quoted.
func name(n pkix.Name) string {
	if len(n.Names) > maxNameText { // it is written in time that grows with its square
		return fmt.Sprintf("with a name of %d parts", len(n.Names))
	}
	text := n.String()
	if len(text) > maxNameText {
		text = text[:maxNameText] + "..."
	}
	return fmt.Sprintf("%q", text)
}
