package show_test

import (
	"crypto"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/show"
)

// FuzzTree has whatever an envelope says drawn: nothing of it may be obeyed by
// a terminal, or begin a line of its own.
func FuzzTree(f *testing.F) {
	c := content()
	f.Add(c.Agent, "key", "value", c.Payload, []byte("token"))
	f.Add("agent\n", "\x1b[2J", "\u202e\u2028", []byte(`{"targetArtifact":{"mediaType":"\u001b","digest":"x","size":1}}`), []byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, agent, key, value string, payload, token []byte) {
		e := &envelope.Envelope{Format: envelope.JWS, Unverified: envelope.Content{
			PayloadType: value, Payload: payload, Scheme: envelope.Scheme(key), SigningTime: time.Unix(0, 0),
			Algorithm: envelope.Algorithm{Name: agent, Hash: crypto.SHA256}, Agent: agent, Signature: payload, Timestamp: token,
			Extended: []envelope.Attribute{{Key: key, Value: value}},
		}}
		s := show.Describe(key, e)
		var b strings.Builder
		if err := s.Tree(agent).Write(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\n"), "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("raw: %q", line)
			}
		}
		if _, err := cli.MarshalJSON(s); err != nil {
			t.Error(err)
		}
	})
}
