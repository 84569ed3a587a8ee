package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/tspclient-go"
)

// A forgery is what forge says of the envelope that it has written.
type forgery struct {
	Envelope string `json:"envelope"`
}

// forge makes an envelope with a payload and attributes that the client would not sign.
func forge(ctx context.Context, o *options) (any, error) {
	payload, err := os.ReadFile(o.argument)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(o.chain, o.key)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	local, err := signature.NewLocalSigner(chain, pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	request := &signature.SignRequest{
		Payload:       signature.Payload{ContentType: o.payloadType, Content: payload},
		Signer:        local,
		SigningTime:   time.Now().Add(o.signingTime),
		SigningScheme: signature.SigningScheme(o.scheme),
		SigningAgent:  "forge",
	}
	if o.expiry != 0 {
		request.Expiry = request.SigningTime.Add(o.expiry)
	}
	for _, text := range slices.Concat(o.attributes, o.criticals) {
		key, value, _ := strings.Cut(text, "=")
		request.ExtendedSignedAttributes = append(request.ExtendedSignedAttributes,
			signature.Attribute{Key: key, Value: value, Critical: slices.Contains(o.criticals, text)})
	}
	if o.timestampURL != "" {
		if request.Timestamper, err = tspclient.NewHTTPTimestamper(&http.Client{Timeout: timestampTimeout}, o.timestampURL); err != nil {
			return nil, err
		}
		root, err := readRoot(o.timestampRoot)
		if err != nil {
			return nil, err
		}
		request.TSARootCAs = x509.NewCertPool()
		request.TSARootCAs.AddCert(root)
	}
	envelope, err := signature.NewEnvelope(mediaTypes[o.format])
	if err != nil {
		return nil, err
	}
	data, err := envelope.Sign(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if o.envelope == "" {
		return nil, errors.New("-envelope is missing")
	}
	return forgery{o.envelope}, os.WriteFile(o.envelope, data, 0o644)
}
