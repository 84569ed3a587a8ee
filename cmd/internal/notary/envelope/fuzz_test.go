package envelope_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

// seeds are envelopes with everything that may be in one.
func seeds(f *testing.F, format envelope.Format) {
	f.Helper()
	for _, change := range []func(testing.TB, *forge){
		func(testing.TB, *forge) {},
		authority,
		all(critical(scheme, expiry, "x-mine"), attribute("x-mine", `{"a":[1,"b",null]}`, map[string]any{"a": []any{1, "b", nil}})),
		unprotected(`"`+timestamp+`":"AAEC","`+agent+`":"a/1","x":[{}],`, coded{timestamp, []byte{0, 1, 2}}),
	} {
		for _, opts := range []notarytest.Options{{}, {Depth: 1}} {
			forge := newForge(f, opts)
			change(f, forge)
			f.Add(forge.make(f, format))
		}
	}
	f.Add([]byte("{}"))
	f.Add([]byte("\xd2\x84\x40\xa0\x40\x40"))
}

// differential is what holds for every input: nothing that is refused comes
// back, notation-core-go accepts what we accept and reads the same in it, and a
// new token changes nothing else.
func differential(t *testing.T, format envelope.Format, data []byte) {
	e, err := envelope.Parse(format, data)
	if err != nil {
		var own *envelope.Error
		if e != nil || !errors.As(err, &own) {
			t.Fatalf("%v and %v", e, err)
		}
		return
	}
	if content, err := e.Verify(); err == nil {
		compare(t, format, data, content)
	} else if content != nil {
		t.Fatalf("a content and %v", err)
	}
	// Mutation breaks signatures; so the rest is compared without.
	if e.CheckUnsigned() == nil {
		their, err := theirs(format, data)
		if err != nil {
			t.Fatalf("notation-core-go: %v", err)
		}
		content, err := their.Content()
		if err != nil {
			t.Fatalf("notation-core-go: %v", err)
		}
		same(t, &e.Unverified, content)
	}
	token := []byte("not looked at")
	stamped, err := e.Splice(token)
	if err != nil {
		t.Fatalf("with a token: %v", err)
	}
	after, err := envelope.Parse(format, stamped)
	if err != nil {
		t.Fatalf("with a token: %v", err)
	}
	want, got := e.Unverified, after.Unverified
	want.Timestamp = token
	if !reflect.DeepEqual(got, want) || !bytes.Equal(after.Signed(), e.Signed()) {
		t.Fatalf("with a token it is %+v, was %+v", got, want)
	}
}

func FuzzJWS(f *testing.F) {
	seeds(f, envelope.JWS)
	f.Fuzz(func(t *testing.T, data []byte) { differential(t, envelope.JWS, data) })
}

// FuzzProtectedJWS mutates what base64 hides from FuzzJWS.
func FuzzProtectedJWS(f *testing.F) {
	f.Add(protectedJWS)
	f.Add(strings.Replace(protectedJWS, `{"alg"`, `{"x-mine":{"a":[1.5,"b",null,true]},"alg"`, 1))
	f.Fuzz(func(t *testing.T, doc string) {
		forge := newForge(t, notarytest.Options{Depth: 1})
		forge.protected = doc
		differential(t, envelope.JWS, forge.make(t, envelope.JWS))
	})
}

func FuzzCOSE(f *testing.F) {
	seeds(f, envelope.COSE)
	f.Fuzz(func(t *testing.T, data []byte) { differential(t, envelope.COSE, data) })
}

// FuzzTheirs: what notation-core-go makes, and accepts itself, we accept.
func FuzzTheirs(f *testing.F) {
	f.Add("name", "value", int64(0), "key", "text", false, false, "agent/1", int64(3600))
	f.Add("", "\x00", int64(-1), "io.cncf.notary.verificationPlugin", "x", true, true, "", int64(0))
	f.Fuzz(func(t *testing.T, name, value string, size int64, key, attribute string, critical, authority bool, agent string, expires int64) {
		want := target()
		want.Annotations = map[string]string{name: value}
		if want.Size = size; size < 0 || size > 1<<53 {
			want.Size = 1
		}
		payload, err := envelope.MarshalPayload(want)
		if err != nil {
			return
		}
		for _, known := range []string{"alg", "cty", "crit", authentic} {
			if strings.EqualFold(key, known) {
				return // two of what there must be one of
			}
		}
		private, chain := notarytest.Chain(t, notarytest.Options{Depth: 1})
		for _, format := range envelope.Formats() {
			req := &signature.SignRequest{
				Payload:       signature.Payload{ContentType: envelope.PayloadType, Content: payload},
				Signer:        envelope.Adapt(t.Context(), private, chain),
				SigningTime:   signingTime(),
				SigningAgent:  agent,
				SigningScheme: signature.SigningSchemeX509,
			}
			if authority {
				req.SigningScheme = signature.SigningSchemeX509SigningAuthority
			}
			if expires > 0 && expires < 1<<32 {
				req.Expiry = signingTime().Add(time.Duration(expires) * time.Second)
			}
			if key != "" {
				req.ExtendedSignedAttributes = []signature.Attribute{{Key: key, Critical: critical, Value: attribute}}
			}
			made := jws.NewEnvelope()
			if format == envelope.COSE {
				made = cose.NewEnvelope()
			}
			data, err := made.Sign(req)
			if err != nil || theirVerdict(format, data) != nil {
				continue
			}
			e, err := envelope.Parse(format, data)
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			content, err := e.Verify()
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			compare(t, format, data, content)
			got, err := envelope.ParsePayload(content.Payload)
			if err != nil || got.Size != want.Size || !maps.Equal(got.Annotations, want.Annotations) {
				t.Fatalf("%s: %+v, %v; want %+v", format, got, err, want)
			}
		}
	})
}

// FuzzPayload: what we read is what encoding/json reads, and can be written
// again.
func FuzzPayload(f *testing.F) {
	f.Add(marshal(f, target()))
	f.Add([]byte(`{"x":[1,{"y":"\u00fc"}],"targetArtifact":{"size":1,"digest":"` + sha + `","mediaType":"a","annotations":null}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := envelope.ParsePayload(doc)
		if err != nil {
			if !reflect.DeepEqual(got, envelope.Target{}) {
				t.Fatalf("%+v and %v", got, err)
			}
			return
		}
		var theirs struct {
			TargetArtifact envelope.Target `json:"targetArtifact"`
		}
		if err := json.Unmarshal(doc, &theirs); err != nil || !reflect.DeepEqual(got, theirs.TargetArtifact) {
			t.Fatalf("%+v, and %+v (%v) to encoding/json", got, theirs, err)
		}
		again, err := envelope.MarshalPayload(got)
		if err != nil {
			return // reserved names
		}
		if second, err := envelope.ParsePayload(again); err != nil || second.Digest != got.Digest || second.Size != got.Size || !maps.Equal(second.Annotations, got.Annotations) {
			t.Fatalf("%+v becomes %+v, %v", got, second, err)
		}
	})
}
