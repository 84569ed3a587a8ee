package interop

import (
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"

	tspclient "github.com/notaryproject/tspclient-go"
)

// judgeTSPClient is the verdict of the Notary Project's library on a token, trusting one root.
func judgeTSPClient(t *testing.T, token, data []byte, root *x509.Certificate) error {
	t.Helper()
	signed, err := tspclient.ParseSignedToken(token)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	info, err := signed.Info()
	if err != nil {
		return err
	}
	timestamp, err := info.Validate(data)
	if err != nil {
		return err
	}
	_, err = signed.Verify(t.Context(), x509.VerifyOptions{Roots: roots, CurrentTime: timestamp.Value})
	return err
}

func TestTSPClient(t *testing.T) {
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			a := startKey(t, keyType)
			root, stranger := a.certificates[len(a.certificates)-1], foreignCertificate(t)
			client, err := tspclient.NewHTTPTimestamper(http.DefaultClient, a.url)
			if err != nil {
				t.Fatal(err)
			}
			for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				t.Run(hash.String(), func(t *testing.T) {
					data := []byte("the data of " + t.Name())
					req, err := tspclient.NewRequest(tspclient.RequestOptions{Content: data, HashAlgorithm: hash})
					if err != nil {
						t.Fatal(err)
					}
					resp, err := client.Timestamp(t.Context(), req)
					if err != nil {
						t.Fatal(err)
					}
					if err := resp.Validate(req); err != nil {
						t.Fatal(err)
					}
					token := resp.TimestampToken.FullBytes
					if err := judgeTSPClient(t, token, data, root); err != nil {
						t.Errorf("a good token: %v", err)
					}
					var infoErr *tspclient.TSTInfoError
					if err := judgeTSPClient(t, token, []byte("other data"), root); !errors.As(err, &infoErr) {
						t.Errorf("other data: got %v, want a TSTInfoError", err)
					}
					var tokenErr *tspclient.SignedTokenVerificationError
					if err := judgeTSPClient(t, flip(token, 10), data, root); !errors.As(err, &tokenErr) {
						t.Errorf("a broken signature: got %v, want a SignedTokenVerificationError", err)
					}
					if err := judgeTSPClient(t, token, data, stranger); !errors.As(err, &tokenErr) {
						t.Errorf("another root: got %v, want a SignedTokenVerificationError", err)
					}
				})
			}
		})
	}
}
