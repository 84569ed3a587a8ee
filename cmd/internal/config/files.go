package config

import "github.com/fencepost-tsa/fencepost/signer"

// Files returns the names of all files that the configuration names and the
// server reads, but not of sockets and folders. When one of them changes the
// configuration has to be loaded anew.
func (c *Config) Files() []string {
	var names []string
	add := func(paths ...Path) {
		for _, p := range paths {
			if p != "" {
				names = append(names, string(p))
			}
		}
	}
	if t := c.TLS; t != nil {
		add(t.Certificate, t.Key, t.ClientCA)
	}
	if t := c.Traces; t != nil {
		add(t.Headers)
	}
	t := c.TSA
	if t == nil {
		return names
	}
	addKey := func(u KeyURI) {
		switch u.Scheme {
		case signer.SchemeFile, signer.SchemeTink:
			add(Path(u.Path), Path(u.PassphraseFile))
		}
	}
	addKey(t.Key)
	add(t.Chain)
	for _, s := range t.Standby {
		addKey(s.Key)
		add(s.Chain)
	}
	add(t.PastChains...)
	add(t.AnnouncedChains...)
	if t.Clock != nil {
		add(t.Clock.CA)
	}
	return names
}
