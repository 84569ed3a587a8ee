package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fencepost-tsa/fencepost/cmd/internal/access"
)

// Clients is the section "clients": who may ask for timestamps, and how many.
type Clients struct {
	// Anonymous is allowed or refused: whether clients that prove no name are
	// served. The default is allowed.
	Anonymous Anonymous `yaml:"anonymous"`
	// Rate is how many requests each address may make, such as 20/s or 300/m;
	// Burst is how many of them at once after a pause. Others are answered 429.
	// The default is any number.
	Rate  Rate `yaml:"rate"`
	Burst int  `yaml:"burst"`
	// Quota is how many in a fixed window of time, such as 1000/24h.
	Quota Quota `yaml:"quota"`
	// Addresses is how many addresses are remembered. 65536, in 5 MB.
	Addresses int `yaml:"addresses"`
	// TrustedProxies are the addresses, or ranges such as 10.0.0.0/8, of
	// proxies whose word about the client's address is believed; "unix" are
	// those that connect by a socket. The default is nobody's.
	TrustedProxies []Proxy `yaml:"trusted-proxies"`
	// ProxyHeader is where they say it: X-Forwarded-For or Forwarded. The
	// default is X-Forwarded-For.
	ProxyHeader ProxyHeader `yaml:"proxy-header"`
	// Named are the clients that have a name, each with limits of its own:
	// {name, tokens, certificates, rate, burst, quota}.
	Named []NamedClient `yaml:"named"`
}

// NamedClient is an element of the list "clients.named".
type NamedClient struct {
	// Name is what the client is called in logs and the record of issue.
	// Required.
	Name string `yaml:"name"`
	// Tokens are the SHA-256 of the API tokens that the client may send, as
	// sha256sum prints them. The tokens themselves are secrets, and are not in
	// this file.
	Tokens []TokenDigest `yaml:"tokens"`
	// Certificates are the TLS client certificates that are its own:
	// "uri:spiffe://…", "dns:…", "cn:…", "sha256:HEX" of the certificate,
	// "key-sha256:HEX" of its public key. They need tls.client-ca.
	Certificates []CertificateMatch `yaml:"certificates"`
	// Rate, Burst and Quota are as in "clients", from all its addresses
	// together.
	Rate  Rate  `yaml:"rate"`
	Burst int   `yaml:"burst"`
	Quota Quota `yaml:"quota"`
}

// Anonymous says whether clients without a name are served.
type Anonymous struct{ access.AnonymousPolicy }

// Rate is a number of requests a second; zero is any.
type Rate float64

// Quota is a number of requests in a window of time; zero is any.
type Quota struct {
	Requests int
	Per      time.Duration
}

// Proxy is whose word about addresses is believed.
type Proxy struct{ access.Proxy }

// ProxyHeader is where proxies say for whom they ask.
type ProxyHeader struct{ access.ProxyHeader }

// TokenDigest is the SHA-256 of an API token.
type TokenDigest struct{ access.Digest }

// CertificateMatch says which client certificates are meant.
type CertificateMatch struct{ access.CertificateMatch }

// UnmarshalYAML reads allowed or refused.
func (a *Anonymous) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, a, func(text string) (v Anonymous, err error) { return v, v.UnmarshalText([]byte(text)) })
}

// UnmarshalYAML reads a rate.
func (r *Rate) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, r, func(text string) (Rate, error) {
		v, err := access.ParseRate(text)
		return Rate(v), err
	})
}

// UnmarshalYAML reads a quota.
func (q *Quota) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, q, func(text string) (v Quota, err error) {
		v.Requests, v.Per, err = access.ParseQuota(text)
		return v, err
	})
}

// UnmarshalYAML reads an address, a range or unix.
func (p *Proxy) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, p, func(text string) (Proxy, error) {
		v, err := access.ParseProxy(text)
		return Proxy{v}, err
	})
}

// UnmarshalYAML reads the name of a header.
func (h *ProxyHeader) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, h, func(text string) (v ProxyHeader, err error) { return v, v.UnmarshalText([]byte(text)) })
}

// UnmarshalYAML reads 64 hexadecimal digits.
func (d *TokenDigest) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, d, func(text string) (TokenDigest, error) {
		v, err := access.ParseDigest(text)
		return TokenDigest{v}, err
	})
}

// UnmarshalYAML reads what a certificate has.
func (m *CertificateMatch) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, m, func(text string) (CertificateMatch, error) {
		v, err := access.ParseCertificateMatch(text)
		return CertificateMatch{v}, err
	})
}

// Access is the section for package access, whose rules it is checked by.
func (c *Clients) Access() access.Config {
	if c == nil {
		return access.Config{}
	}
	cfg := access.Config{
		Header:       c.ProxyHeader.ProxyHeader,
		Anonymous:    c.Anonymous.AnonymousPolicy,
		Default:      limit(c.Rate, c.Burst, c.Quota),
		MaxAddresses: c.Addresses,
	}
	for _, p := range c.TrustedProxies {
		cfg.TrustedProxies = append(cfg.TrustedProxies, p.Proxy)
	}
	for _, n := range c.Named {
		client := access.ClientConfig{Name: n.Name, Limit: limit(n.Rate, n.Burst, n.Quota)}
		for _, t := range n.Tokens {
			client.Tokens = append(client.Tokens, t.Digest)
		}
		for _, m := range n.Certificates {
			client.Certificates = append(client.Certificates, m.CertificateMatch)
		}
		cfg.Clients = append(cfg.Clients, client)
	}
	return cfg
}

func limit(rate Rate, burst int, quota Quota) access.Limit {
	return access.Limit{Rate: float64(rate), Burst: burst, Quota: quota.Requests, Per: quota.Per}
}

func (k *checker) clients(c *Config) {
	if _, err := access.New(c.Clients.Access()); err != nil {
		k.add("clients", "%w", err)
	}
	for _, n := range c.Clients.Named {
		if len(n.Certificates) > 0 && (c.TLS == nil || c.TLS.ClientCA == "") {
			k.add("clients.named", "%s is known by its certificate, and without tls.client-ca nobody vouches for one", name(n.Name))
		}
	}
}

func name(text string) string {
	if text == "" {
		return "a client without a name"
	}
	return fmt.Sprintf("%q", text)
}
