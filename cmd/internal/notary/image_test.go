package notary_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// Signatures that the shelf gets in the tests.
func goodOne() draft { return draft{stamped: stampedAt()} }
func foreign() draft {
	return draft{by: notarytest.Options{Name: "Mallory"}, stamped: stampedAt()}
}

// verify verifies the image on the shelf by the zero policy.
func (s *shelf) verify(ctx context.Context, change func(*notary.Image)) (*notary.Report, error) {
	s.t.Helper()
	img := notary.Image{Repository: s.repository, Subject: s.subject, Statement: policy{}.statement(s.t)}
	if change != nil {
		change(&img)
	}
	r, err := scene{}.verifier(s.t).Image(ctx, img)
	if (r == nil) != (err != nil) {
		s.t.Fatalf("a report %v with the error %v", r, err)
	}
	if r != nil {
		for _, one := range r.Signatures {
			consistent(s.t, one.Outcome)
		}
		if r.Verified != (r.Err == nil) || r.Verified && r.Undecided {
			s.t.Errorf("verified %t, undecided %t, error %v", r.Verified, r.Undecided, r.Err)
		}
	}
	return r, err
}

// told is a report in one line: the verdict, and for each signature its own,
// with the reason.
func told(r *notary.Report) string {
	words := []string{"refused"}
	switch {
	case r.Verified:
		words[0] = "verified"
	case r.Undecided:
		words[0] = "undecided"
	}
	for _, one := range r.Signatures {
		word := verdict(one.Outcome)
		if one.Outcome.Err != nil {
			reason, _ := notary.ReasonOf(one.Outcome.Err)
			word += ":" + string(reason)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestImage: several signatures, of which one has to verify.
func TestImage(t *testing.T) {
	other := goodOne()
	other.of = target()
	type add = func(s *shelf)
	signature := func(d draft, formats ...envelope.Format) add {
		return func(s *shelf) {
			for _, f := range formats {
				s.add(d, f)
			}
		}
	}
	all := func(adds ...add) add {
		return func(s *shelf) {
			for _, a := range adds {
				a(s)
			}
		}
	}
	bom := func(s *shelf) { s.manifest("application/spdx+json", "application/spdx+json", []byte("{}")) }
	good, bad := signature(goodOne(), envelope.JWS), signature(foreign(), envelope.COSE)
	for _, row := range []struct {
		name string
		cfg  ocitest.Config
		add  add
		max  int
		want string
		err  error // of the report
	}{
		{"none", ocitest.Config{}, func(*shelf) {}, 0, "refused", notary.ErrNoSignature},
		{"none, without the API", ocitest.Config{NoReferrers: true}, func(*shelf) {}, 0, "refused", notary.ErrNoSignature},
		{"only a bill of materials", ocitest.Config{}, bom, 0, "refused", notary.ErrNoSignature},
		{"one of each format", ocitest.Config{}, signature(goodOne(), envelope.COSE, envelope.JWS), 0, "verified verified", nil},
		{"listed with the type of the config", ocitest.Config{ConfigTypes: true}, good, 0, "verified verified", nil},
		{"bad, then good", ocitest.Config{}, all(bad, good), 0, "verified refused:untrusted verified", nil},
		{"good, then bad", ocitest.Config{}, all(good, bad), 0, "verified verified", nil},
		{"bad, then good on the next page", ocitest.Config{PageSize: 1}, all(bad, bom, good), 0, "verified refused:untrusted verified", nil},
		{"two bad", ocitest.Config{}, all(bad, bad), 0, "refused refused:untrusted refused:untrusted", nil},
		{"of another image", ocitest.Config{}, signature(other, envelope.JWS), 0, "refused refused:artifact", nil},

		{"as many as are looked at", ocitest.Config{}, all(bad, bad), 2, "refused refused:untrusted refused:untrusted", nil},
		{"the last one that is looked at", ocitest.Config{}, all(bad, good), 2, "verified refused:untrusted verified", nil},
		{"one more than is looked at", ocitest.Config{}, all(bad, bad, good), 2, "undecided refused:untrusted refused:untrusted", notary.ErrTooMany},
		{"others do not count", ocitest.Config{}, all(bom, bom, bom, good), 1, "verified verified", nil},

		{"no layers", ocitest.Config{}, func(s *shelf) { s.put("application/jose+json") }, 0, "refused refused:manifest", nil},
		{"two layers", ocitest.Config{}, func(s *shelf) { s.put("application/jose+json", []byte("1"), []byte("2")) }, 0, "refused refused:manifest", nil},
		{"a layer of another type", ocitest.Config{}, func(s *shelf) { s.put("application/octet-stream", []byte("1")) }, 0, "refused refused:manifest", nil},
		{"a layer that is no envelope", ocitest.Config{}, func(s *shelf) { s.put("application/jose+json", []byte("1")) }, 0, "refused refused:malformed", nil},
		{"JWS under the type of COSE", ocitest.Config{}, func(s *shelf) {
			s.put("application/cose", s.of(goodOne()).make(s.t, envelope.JWS))
		}, 0, "refused refused:malformed", nil},
		{"an empty layer", ocitest.Config{}, func(s *shelf) { s.put("application/jose+json", []byte{}) }, 0, "refused refused:malformed", nil},
		{"a layer that is not there", ocitest.Config{}, func(s *shelf) {
			s.raw(manifestWith(s, ocispec.Descriptor{MediaType: "application/jose+json", Digest: digest.FromString("gone"), Size: 4}))
		}, 0, "undecided undecided:fetch", nil},
		{"a layer that is not there, and a bad one", ocitest.Config{}, all(func(s *shelf) {
			s.raw(manifestWith(s, ocispec.Descriptor{MediaType: "application/jose+json", Digest: digest.FromString("gone"), Size: 4}))
		}, bad), 0, "undecided undecided:fetch refused:untrusted", nil},
		{"a layer that is not there, and a good one", ocitest.Config{}, all(func(s *shelf) {
			s.raw(manifestWith(s, ocispec.Descriptor{MediaType: "application/jose+json", Digest: digest.FromString("gone"), Size: 4}))
		}, good), 0, "verified undecided:fetch verified", nil},
		{"a layer of another size", ocitest.Config{}, func(s *shelf) {
			d := s.registry.PutBlob(repo, []byte("text"))
			s.raw(manifestWith(s, ocispec.Descriptor{MediaType: "application/jose+json", Digest: d, Size: 3}))
		}, 0, "refused refused:fetch", nil},
		{"a layer that is too large", ocitest.Config{}, func(s *shelf) {
			s.raw(manifestWith(s, ocispec.Descriptor{MediaType: "application/jose+json", Digest: digest.FromString("huge"), Size: 1 << 40}))
		}, 0, "refused refused:fetch", nil},
		{"broken ones, then a good one", ocitest.Config{}, all(func(s *shelf) { s.put("application/jose+json") }, func(s *shelf) { s.put("application/cose", []byte("x")) }, good), 0,
			"verified refused:manifest refused:malformed verified", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newShelf(t, row.cfg)
			row.add(s)
			var seen []notary.Verified
			r, err := s.verify(t.Context(), func(img *notary.Image) {
				img.Max = row.max
				img.Observe = func(v notary.Verified) { seen = append(seen, v) }
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := told(r); got != row.want {
				t.Errorf("\n got %s\nwant %s\nbecause %v", got, row.want, r.Err)
			}
			if row.err != nil && !errors.Is(r.Err, row.err) {
				t.Errorf("the error is %v, want %v", r.Err, row.err)
			}
			if len(seen) != len(r.Signatures) {
				t.Errorf("observed %d signatures of %d", len(seen), len(r.Signatures))
			}
		})
	}
}

// manifestWith is the manifest of a signature with one layer.
func manifestWith(s *shelf, layer ocispec.Descriptor) ocispec.Manifest {
	s.registry.PutBlob(repo, ocispec.DescriptorEmptyJSON.Data)
	return ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: envelope.ArtifactType,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer}, Subject: &s.subject}
}

// TestImageFaults: what the registry does wrong. An error is one that leaves no
// report.
func TestImageFaults(t *testing.T) {
	const listing, manifests, blobs = "GET /v2/app/referrers/", "GET /v2/app/manifests/sha256:", "GET /v2/app/blobs/"
	retry := http.Header{"Retry-After": {"3600"}}
	for _, row := range []struct {
		name    string
		pattern string
		fault   ocitest.Fault
		kind    oci.Kind // of the error; "" if there is a report
		want    string   // the report
	}{
		{"listing: credentials", listing, ocitest.Fault{Status: 401}, oci.Unauthorized, ""},
		{"listing: forbidden", listing, ocitest.Fault{Status: 403}, oci.Forbidden, ""},
		{"listing: too many requests", listing, ocitest.Fault{Status: 429, Header: retry}, oci.TooManyRequests, ""},
		{"listing: out of order", listing, ocitest.Fault{Status: 503}, oci.Unavailable, ""},
		{"listing: half of it", listing, ocitest.Fault{Cut: 20}, oci.Unavailable, ""},
		{"listing: nothing of it", listing, ocitest.Fault{Cut: -1}, oci.Unavailable, ""},
		{"listing: another document", listing, ocitest.Fault{Body: []byte(`{"manifests":{}}`)}, oci.Malformed, ""},
		{"listing: no document", listing, ocitest.Fault{Body: []byte(`{"manifests":[`)}, oci.Malformed, ""},
		{"listing: without end", listing, ocitest.Fault{Link: `</v2/app/referrers/x?n=%d>; rel="next"`}, oci.TooLarge, ""},
		{"listing: in a circle", listing, ocitest.Fault{Link: `</v2/app/referrers/x?n=1>; rel="next"`}, oci.Malformed, ""},
		{"listing: next page elsewhere", listing, ocitest.Fault{Link: `<http://elsewhere.example/>; rel="next"`}, oci.Malformed, ""},
		// Where there is no API, the fallback tag is asked, and there is none.
		{"listing: not found", listing, ocitest.Fault{Status: 404}, "", "refused"},

		{"manifest: lies", manifests, ocitest.Fault{Flip: true}, "", "refused refused:fetch refused:fetch"},
		{"manifest: another document", manifests, ocitest.Fault{Body: []byte("{}")}, "", "refused refused:fetch refused:fetch"},
		{"manifest: gone", manifests, ocitest.Fault{Status: 404}, "", "undecided undecided:fetch undecided:fetch"},
		{"manifest: out of order", manifests, ocitest.Fault{Status: 500}, "", "undecided undecided:fetch undecided:fetch"},
		{"manifest: out of order once", manifests, ocitest.Fault{Status: 503, Times: 1}, "", "verified refused:untrusted verified"},

		{"blob: lies", blobs, ocitest.Fault{Flip: true}, "", "refused refused:fetch refused:fetch"},
		{"blob: half of it", blobs, ocitest.Fault{Cut: 20}, "", "undecided undecided:fetch undecided:fetch"},
		{"blob: more than it should be", blobs, ocitest.Fault{Body: []byte(strings.Repeat("x", 100_000))}, "", "refused refused:fetch refused:fetch"},
		{"blob: credentials", blobs, ocitest.Fault{Status: 401}, "", "undecided undecided:fetch undecided:fetch"},
		{"blob: gone", blobs, ocitest.Fault{Status: 404}, "", "undecided undecided:fetch undecided:fetch"},
		{"blob: too many requests", blobs, ocitest.Fault{Status: 429, Header: retry}, "", "undecided undecided:fetch undecided:fetch"},
		{"blob: out of order once", blobs, ocitest.Fault{Status: 503, Times: 1}, "", "verified refused:untrusted verified"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newShelf(t, ocitest.Config{})
			s.add(foreign(), envelope.JWS)
			if row.kind == "" {
				s.add(goodOne(), envelope.COSE) // otherwise it would do
			}
			if row.fault.Times > 0 {
				s.repository = s.open(oci.Config{}) // as patient as the commands
			}
			s.registry.Fault(row.pattern, row.fault)
			r, err := s.verify(t.Context(), nil)
			if row.kind != "" {
				var e *oci.Error
				if !errors.As(err, &e) || e.Kind != row.kind {
					t.Errorf("%v, want an error that is %q", err, row.kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := told(r); got != row.want {
				t.Errorf("\n got %s\nwant %s\nbecause %v", got, row.want, r.Err)
			}
		})
	}
}

// TestGoodBeforeFault: what comes behind a signature that verifies makes no
// difference, however the registry fails.
func TestGoodBeforeFault(t *testing.T) {
	for name, fault := range map[string]ocitest.Fault{
		"out of order": {Status: 503}, "dies": {Cut: 10}, "lies": {Flip: true}, "stalls": {Stall: 10},
	} {
		s := newShelf(t, ocitest.Config{PageSize: 1})
		s.add(goodOne(), envelope.JWS)
		s.add(foreign(), envelope.JWS)
		s.registry.Fault("after=1", fault)
		begin := time.Now()
		r, err := s.verify(t.Context(), nil)
		if err != nil || told(r) != "verified verified" {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if spent := time.Since(begin); spent > 5*time.Second {
			t.Errorf("%s: it took %v", name, spent)
		}
	}
}

// TestImageCancelled: the context ends in the middle, wherever that is.
func TestImageCancelled(t *testing.T) {
	for _, pattern := range []string{"GET /v2/app/referrers/", "GET /v2/app/manifests/sha256", "GET /v2/app/blobs/"} {
		s := newShelf(t, ocitest.Config{})
		for range 40 {
			s.add(foreign(), envelope.JWS)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.registry.Fault(pattern, ocitest.Fault{Do: cancel, Stall: 10})
		begin := time.Now()
		r, err := s.verify(ctx, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, %v, want that the context has ended", pattern, r, err)
		}
		if spent := time.Since(begin); spent > 5*time.Second {
			t.Errorf("%s: it took %v", pattern, spent)
		}
		cancel()
	}
}

// TestSignatures: the order of the listing, and the errors of the callers.
func TestSignatures(t *testing.T) {
	s := newShelf(t, ocitest.Config{})
	var want []string
	for range 60 {
		want = append(want, s.put("application/jose+json", []byte("x")).Digest.String())
	}
	handle := func(_ context.Context, st notary.Stored) (string, error) {
		if st.Err == nil || st.Envelope != nil || st.Manifest == nil {
			t.Errorf("stored is %+v", st)
		}
		return st.Descriptor.Digest.String(), nil
	}
	var got []string
	q := notary.Query{Repository: s.repository, Subject: s.subject}
	err := notary.Signatures(t.Context(), q, handle, func(st notary.Stored, d string) error {
		if d != st.Descriptor.Digest.String() {
			t.Errorf("%s was handled as %s", st.Descriptor.Digest, d)
		}
		got = append(got, d)
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: %d visited, not in the order of the listing", err, len(got))
	}
	wrong := errors.New("wrong")
	for _, row := range []struct {
		name          string
		handle, visit error
		want          error
	}{
		{"visit fails", nil, wrong, wrong},
		{"visit stops", nil, notary.ErrEnough, nil},
		{"handle fails", wrong, nil, wrong},
		{"handle stops", notary.ErrEnough, nil, nil},
	} {
		visits := 0
		err := notary.Signatures(t.Context(), q, func(_ context.Context, st notary.Stored) (int, error) {
			if st.Descriptor.Digest.String() == want[10] {
				return 0, row.handle
			}
			return 0, nil
		}, func(st notary.Stored, _ int) error {
			if visits++; st.Descriptor.Digest.String() == want[10] {
				return row.visit
			}
			return nil
		})
		if !errors.Is(err, row.want) || err != nil && row.want == nil {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if row.visit != nil && visits != 11 || row.handle != nil && visits != 10 {
			t.Errorf("%s: %d visits", row.name, visits)
		}
	}
}
