package oci

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// list asks the referrers API, then the fallback tag. Where there is no API, or
// the registry gained it after the tag had been written, only the tag knows.
func (r *registry) list(ctx context.Context, subject Descriptor, yield func(candidate) error) error {
	api, err := r.listAPI(ctx, subject, yield)
	if err != nil {
		return err
	}
	index, err := r.fallbackIndex(ctx, subject)
	if err != nil {
		var e *Error
		if api && errors.As(err, &e) && (e.Kind == Malformed || e.Kind == Unsupported || e.Kind == TooLarge) {
			// Whatever somebody else has put there, the API has answered.
			r.warn(err)
			return nil
		}
		return err
	}
	for i, item := range index.items {
		if err := yield(candidateOf(index.what, i, item)); err != nil {
			return err
		}
	}
	return nil
}

// listAPI asks the referrers API (distribution-spec, "Listing Referrers"), and
// tells whether there is one. No filter is asked for.
func (r *registry) listAPI(ctx context.Context, subject Descriptor, yield func(candidate) error) (bool, error) {
	what := fmt.Sprintf("referrers of %s in %s", subject.Digest, r.name.Repository)
	address := r.base + "/referrers/" + subject.Digest.String()
	seen := make(map[string]bool)
	for page := 0; address != ""; page++ {
		if page == r.cfg.Limits.Pages {
			return true, r.error(TooLarge, fmt.Errorf("%s: the listing has more than %d pages", what, page))
		}
		if seen[address] {
			return true, r.error(Malformed, fmt.Errorf("%s: page %d of the listing names an earlier page as the next", what, page))
		}
		seen[address] = true
		next, there, err := r.page(ctx, what, address, yield)
		if err != nil {
			return true, err
		}
		if !there {
			if page > 0 {
				return true, r.error(Malformed, fmt.Errorf("%s: page %d of the listing is not there", what, page+1))
			}
			return false, nil
		}
		address = next
	}
	return true, nil
}

// page reads one page of a listing and returns the address of the next. There
// is no API if there is no page.
func (r *registry) page(ctx context.Context, what, address string, yield func(candidate) error) (next string, there bool, err error) {
	type body struct {
		resp *http.Response
		data []byte
	}
	got, err := whole(ctx, r, func() (body, error) {
		resp, err := r.do(ctx, request{method: http.MethodGet, path: address, accept: []string{ocispec.MediaTypeImageIndex}, what: what}, http.StatusOK)
		if err != nil {
			return body{}, err
		}
		defer resp.Body.Close()
		data, err := r.read(ctx, what, resp, r.cfg.Limits.Manifest)
		return body{resp, data}, err
	})
	if err != nil {
		if noAPI(err) {
			return "", false, nil
		}
		return "", false, err
	}
	contentType := got.resp.Header.Get("Content-Type")
	if mediaType, _, err := mime.ParseMediaType(contentType); err != nil || mediaType != ocispec.MediaTypeImageIndex {
		// Some answer any address with a page for people.
		r.warn(r.error(Unsupported, fmt.Errorf("%s: the answer is %s, not an index: taken for a registry without the referrers API", what, shown(contentType))))
		return "", false, nil
	}
	doc, err := parseDocument(got.data)
	if err != nil {
		return "", true, r.error(Malformed, fmt.Errorf("%s: %w", what, err))
	}
	items, err := doc.items("manifests")
	if err != nil {
		return "", true, r.error(Malformed, fmt.Errorf("%s: %w", what, err))
	}
	// First, so that a listing that goes astray is refused before it is believed.
	next, err = nextPage(got.resp)
	if err != nil {
		return "", true, r.error(Malformed, fmt.Errorf("%s: %w", what, err))
	}
	for i, item := range items {
		if err := yield(candidateOf(what, i, item)); err != nil {
			return "", true, err
		}
	}
	return next, true, nil
}

// noAPI tells whether a refusal means that the registry has no referrers API. A
// repository that is not there is none.
func noAPI(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Kind == NotFound && e.Status == http.StatusNotFound && !e.noRepository || e.Kind == Unsupported
}

// nextPage reads the Link header (RFC 8288): "" on the last page. The next page
// must be where this one is: credentials go with the request.
func nextPage(resp *http.Response) (string, error) {
	for _, header := range resp.Header.Values("Link") {
		for header != "" {
			begin, end := strings.IndexByte(header, '<'), strings.IndexByte(header, '>')
			if begin < 0 || end < begin {
				return "", fmt.Errorf("the header Link %s is malformed", shown(header))
			}
			target := header[begin+1 : end]
			params, rest, _ := strings.Cut(header[end+1:], ",")
			header = rest
			if !isNext(params) {
				continue
			}
			u, err := resp.Request.URL.Parse(target)
			if err != nil {
				return "", fmt.Errorf("the next page %s: malformed address", shown(target))
			}
			if !sameOrigin(u, resp.Request.URL) || u.User != nil {
				return "", fmt.Errorf("the next page is at another host, %s: not followed", shown(u.Host))
			}
			return u.String(), nil
		}
	}
	return "", nil
}

// isNext tells whether the parameters of a link say that it is to the next page.
// One without rel is taken for it: older registries write so.
func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "rel") {
			return slices.ContainsFunc(strings.Fields(strings.Trim(value, `"`)), func(rel string) bool { return strings.EqualFold(rel, "next") })
		}
	}
	return true
}

func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		switch {
		case u.Port() != "":
			return u.Port()
		case u.Scheme == "https":
			return "443"
		}
		return "80"
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}
