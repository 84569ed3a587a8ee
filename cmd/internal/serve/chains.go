package serve

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
)

// chainMaxAge is how long a client may use a chain without asking again. After
// a rotation, tokens of a new certificate meet clients that know the old one
// for so long.
const chainMaxAge = 5 * time.Minute

// chainDocuments are the certificates of the TSA as documents.
type chainDocuments struct {
	published     *tsa.Published
	chain, chains document
}

// serveChains answers with the chain that is in use, or all of them.
func (s *Server) serveChains(w http.ResponseWriter, r *http.Request, path string) {
	published, err := s.cfg.TSA.Published()
	if err != nil {
		s.log.LogAttrs(r.Context(), slog.LevelError, "chains not published", slog.String("detail", err.Error()))
	}
	if published == nil {
		s.refuse(w, r, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	docs := s.chains.Load()
	if docs == nil || docs.published != published {
		docs = &chainDocuments{
			published: published,
			chain:     newDocument("application/pem-certificate-chain", published.Chain),
			chains:    newDocument("application/json", published.Chains),
		}
		docs.chain.maxAge, docs.chains.maxAge = chainMaxAge, chainMaxAge
		s.chains.Store(docs)
	}
	if path == PathCertChain {
		docs.chain.ServeHTTP(w, r)
		return
	}
	docs.chains.ServeHTTP(w, r)
}

// keys is what the metrics say about the keys.
func (s *Server) keys() metrics.Keys {
	state := s.cfg.TSA.State()
	keys := metrics.Keys{WrongTokens: state.WrongTokens, Made: state.Made, NotMade: state.Failed}
	for _, k := range state.Keys {
		keys.Keys = append(keys.Keys, metrics.Key{Name: k.Name, Works: k.Err == nil, Issues: k.Issues,
			Failures: k.Failures, Abandoned: k.Abandoned, NotAfter: k.Until})
	}
	if state.Next != nil {
		keys.TakesOver = state.Next.At
	}
	return keys
}

// etag is the entity tag of a body.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
