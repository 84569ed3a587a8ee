package artifactcmd

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
)

// timestampJSON is a timestamp that was verified.
type timestampJSON struct {
	Time time.Time `json:"time"`
	// Earliest and Latest are Time less and more the accuracy.
	Earliest  time.Time `json:"earliest"`
	Latest    time.Time `json:"latest"`
	Policy    string    `json:"policy"`
	Serial    string    `json:"serialNumber"`
	Authority string    `json:"authority"` // subject of its certificate
}

func describeTimestamp(t *countersign.Timestamp) *timestampJSON {
	if t == nil {
		return nil
	}
	info := t.Token.UnverifiedInfo
	return &timestampJSON{
		Time: t.Time, Earliest: t.Lower, Latest: t.Upper,
		Policy: info.Policy.String(), Serial: info.Serial.Hex(), Authority: t.Chain[0].Subject.String(),
	}
}

// line is the timestamp for people.
func (t *timestampJSON) line() string {
	return fmt.Sprintf("stamped between %s and %s by %s", t.Earliest.Format(time.RFC3339Nano), t.Latest.Format(time.RFC3339Nano), t.Authority)
}

// signedJSON is the answer of the commands that make a signature.
type signedJSON struct {
	// Artifact is what was signed: REPOSITORY@DIGEST, or a file.
	Artifact string `json:"artifact"`
	// Signature is the digest of the signature's manifest, or its file.
	Signature string          `json:"signature"`
	Format    envelope.Format `json:"format"`
	MediaType string          `json:"mediaType"`
	// SigningTime is what the signer says, Timestamp what an authority does.
	SigningTime time.Time      `json:"signingTime"`
	Expiry      *time.Time     `json:"expiry,omitempty"`
	Timestamp   *timestampJSON `json:"timestamp,omitempty"`
	// Warnings say which authorities gave no timestamp, and why the signature may
	// not verify.
	Warnings []string `json:"warnings,omitempty"`
}

// describeSigned says what was made, and warns of what it is not good for.
func describeSigned(env *cli.Env, s *notary.Signature, of string) *signedJSON {
	out := &signedJSON{
		Artifact: of, Format: s.Format, MediaType: s.Format.MediaType(),
		SigningTime: s.Content.SigningTime, Timestamp: describeTimestamp(s.Timestamp),
	}
	if !s.Content.Expiry.IsZero() {
		out.Expiry = &s.Content.Expiry
	}
	if s.Timestamp != nil {
		for _, err := range s.Timestamp.Failed {
			text := "timestamp: " + notary.Text(err)
			env.Warn("%s", text)
			out.Warnings = append(out.Warnings, text)
		}
	}
	if !s.Content.Expiry.IsZero() && time.Now().After(s.Content.Expiry) { // of one that was restamped
		text := fmt.Sprintf("this signature expired on %s: it verifies only where the trust policy does not enforce expiry", s.Content.Expiry.Format(time.RFC3339))
		env.Warn("%s", text)
		out.Warnings = append(out.Warnings, text)
	}
	if s.Uncovered != nil {
		text := fmt.Sprintf("this signature will not verify where timestamps are asked for: %s", notary.Detail(s.Uncovered))
		env.Warn("%s", text)
		out.Warnings = append(out.Warnings, text)
	}
	return out
}

// tell writes the answer.
func (s *signedJSON) tell(env *cli.Env, verb string) error {
	if env.JSON {
		return env.WriteJSON(s)
	}
	if err := env.Answer("Successfully %s %s", verb, s.Artifact); err != nil {
		return err
	}
	where := "The signature is in " + s.Signature
	if _, err := digest.Parse(s.Signature); err == nil {
		where = "Pushed the signature to " + repositoryOf(s.Artifact) + "@" + s.Signature
	}
	if err := env.Answer("%s", where); err != nil {
		return err
	}
	if s.Timestamp != nil {
		return env.Answer("It is %s", s.Timestamp.line())
	}
	return nil
}
