package envelope_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

const sha = "sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333"

func TestMarshalPayload(t *testing.T) {
	const want = `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + sha + `","size":16724}}`
	plain := target()
	plain.Annotations = nil
	if got := string(marshal(t, plain)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for name, change := range map[string]func(*envelope.Target){
		"reserved name":       func(t *envelope.Target) { t.Annotations = map[string]string{"io.cncf.notary.x": ""} },
		"reserved prefix":     func(t *envelope.Target) { t.Annotations = map[string]string{"io.cncf.notaryx": ""} },
		"name not UTF-8":      func(t *envelope.Target) { t.Annotations = map[string]string{"\xff": ""} },
		"value not UTF-8":     func(t *envelope.Target) { t.Annotations = map[string]string{"x": "\xff"} },
		"media type not UTF8": func(t *envelope.Target) { t.MediaType = "\xff" },
		"no media type":       func(t *envelope.Target) { t.MediaType = "" },
		"no digest":           func(t *envelope.Target) { t.Digest = "" },
		"unknown digest":      func(t *envelope.Target) { t.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" },
		"short digest":        func(t *envelope.Target) { t.Digest = "sha256:73c8" },
		"negative size":       func(t *envelope.Target) { t.Size = -1 },
		"too much":            func(t *envelope.Target) { t.Annotations = map[string]string{"x": strings.Repeat("x", 5<<20)} },
	} {
		bad := target()
		change(&bad)
		out, err := envelope.MarshalPayload(bad)
		wantReason(t, name, err, envelope.ReasonPayload)
		if out != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestParsePayload(t *testing.T) {
	artifact := `{"mediaType":"a/b","digest":"` + sha + `","size":1}`
	for name, row := range map[string]struct {
		doc    string
		detail string // "" for one that is good
	}{
		"good":                    {doc: `{"targetArtifact":` + artifact + `}`},
		"another order and space": {doc: " {\n\"targetArtifact\" : " + artifact + "} "},
		"unknown members":         {doc: `{"x":1,"targetArtifact":` + strings.Replace(artifact, "{", `{"urls":["x"],"platform":{},`, 1) + `}`},
		"reserved metadata":       {doc: `{"targetArtifact":` + strings.Replace(artifact, "{", `{"annotations":{"io.cncf.notary.x":"y"},`, 1) + `}`},
		"empty":                   {"", "not JSON"},
		"null":                    {"null", "not a JSON object"},
		"array":                   {"[]", "not a JSON object"},
		"empty object":            {"{}", "targetArtifact is missing"},
		"other case":              {`{"TargetArtifact":` + artifact + `}`, "by case alone"},
		"twice":                   {`{"targetArtifact":` + artifact + `,"targetArtifact":` + artifact + `}`, "twice"},
		"digest twice":            {`{"targetArtifact":` + strings.Replace(artifact, "{", `{"digest":"x",`, 1) + `}`, `"digest" is there twice`},
		"Digest":                  {`{"targetArtifact":` + strings.Replace(artifact, "{", `{"Digest":"x",`, 1) + `}`, `"Digest" differs`},
		"metadata twice":          {`{"targetArtifact":` + strings.Replace(artifact, "{", `{"annotations":{"a":"1","a":"2"},`, 1) + `}`, `"a" is there twice`},
		"metadata of a number":    {`{"targetArtifact":` + strings.Replace(artifact, "{", `{"annotations":{"a":1},`, 1) + `}`, "annotations"},
		"bytes after the end":     {`{"targetArtifact":` + artifact + `}{}`, "not JSON"},
		"size is text":            {`{"targetArtifact":` + strings.Replace(artifact, `1}`, `"1"}`, 1) + `}`, "size"},
		"size with a fraction":    {`{"targetArtifact":` + strings.Replace(artifact, `1}`, `1.5}`, 1) + `}`, "size"},
		"size beyond 64 bits":     {`{"targetArtifact":` + strings.Replace(artifact, `1}`, `9223372036854775808}`, 1) + `}`, "size"},
		"size is negative":        {`{"targetArtifact":` + strings.Replace(artifact, `1}`, `-1}`, 1) + `}`, "size is -1"},
		"no digest":               {`{"targetArtifact":{"mediaType":"a/b","size":1}}`, "digest"},
		"no media type":           {`{"targetArtifact":{"digest":"` + sha + `","size":1}}`, "mediaType is missing"},
		"artifact is null":        {`{"targetArtifact":null}`, "targetArtifact: not a JSON object"},
		"artifact is a list":      {`{"targetArtifact":[` + artifact + `]}`, "targetArtifact: not a JSON object"},
		"not UTF-8":               {"{\"\xff\":1,\"targetArtifact\":" + artifact + "}", "not UTF-8"},
		"too deep":                {`{"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `,"targetArtifact":` + artifact + `}`, "levels"},
		"too long":                {strings.Repeat(" ", 5<<20), "at most"},
	} {
		got, err := envelope.ParsePayload([]byte(row.doc))
		if row.detail == "" {
			if err != nil || got.Digest != sha || got.Size != 1 || got.MediaType != "a/b" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		wantReason(t, name, err, envelope.ReasonPayload)
		if err != nil && !strings.Contains(err.Error(), row.detail) {
			t.Errorf("%s: %v, want %q", name, err, row.detail)
		}
		if got.Digest != "" || got.Annotations != nil {
			t.Errorf("%s: an error with %+v", name, got)
		}
	}
}

// TestLargeSize: JWS passes through floating point on its way, and what would
// be rounded is refused.
func TestLargeSize(t *testing.T) {
	for _, row := range []struct {
		size   int64
		format envelope.Format
		good   bool
	}{
		{1 << 53, envelope.JWS, true}, {1<<53 + 1, envelope.JWS, false}, {1<<53 + 1, envelope.COSE, true}, {1<<63 - 1, envelope.COSE, true}, {1<<63 - 1, envelope.JWS, false},
	} {
		r := request(t, notarytest.Options{})
		big := target()
		big.Size = row.size
		r.Payload = marshal(t, big)
		data, err := envelope.Sign(t.Context(), row.format, r)
		if !row.good {
			wantReason(t, string(row.format), err, envelope.ReasonPayload)
			continue
		}
		if err != nil {
			t.Errorf("%s of %d bytes: %v", row.format, row.size, err)
			continue
		}
		got, err := envelope.ParsePayload(verify(t, row.format, data).Payload)
		if err != nil || got.Size != row.size || !maps.Equal(got.Annotations, big.Annotations) {
			t.Errorf("%s of %d bytes: %+v, %v", row.format, row.size, got, err)
		}
	}
}
