package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the longest configuration file, in bytes: fifty times the longest
// one that makes sense.
const MaxFile = 1 << 20

// An Error is one thing that is wrong with a configuration.
type Error struct {
	File string // as it was named
	Line int    // 0 if it is not known
	Key  string // "tsa.policy", "" if it is not known
	Err  error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Load reads and checks a configuration file. It opens none of the files that
// are named there. The error holds an *[Error] for each thing that is wrong.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFile {
		return nil, &Error{File: file, Err: fmt.Errorf("more than %d bytes", MaxFile)}
	}
	return Parse(file, data)
}

// Parse is [Load] with the content of the file given; the name is for errors,
// and for relative paths.
func Parse(file string, data []byte) (*Config, error) {
	cfg := new(Config)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	switch err := dec.Decode(cfg); {
	case err == io.EOF:
		return nil, &Error{File: file, Err: errors.New("the file is empty")}
	case err != nil:
		return nil, syntax(file, err)
	}
	// Decode reads one document; what follows it would be ignored.
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, &Error{File: file, Err: errors.New("there is more than one document in the file")}
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, syntax(file, err)
	}
	cfg.resolve(filepath.Dir(file))
	c := checker{file: file, tree: &tree}
	c.config(cfg)
	if len(c.found) > 0 {
		return nil, errors.Join(c.found...)
	}
	return cfg, nil
}

// lineError is the form in which the YAML decoder, and our values, say where.
var (
	lineError    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	wrongType    = regexp.MustCompile("^cannot unmarshal (\\S+)(?: `.*`)? into \\S+$")
)

// syntax turns the errors of the YAML decoder into ours: it speaks of Go types,
// and says line in words.
func syntax(file string, err error) error {
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	var found []error
	for _, text := range texts {
		e := &Error{File: file}
		if m := lineError.FindStringSubmatch(text); m != nil {
			fmt.Sscan(m[1], &e.Line)
			text = m[2]
		}
		switch {
		case unknownField.MatchString(text):
			text = fmt.Sprintf("unknown key %q", unknownField.FindStringSubmatch(text)[1])
		case wrongType.MatchString(text):
			text = fmt.Sprintf("%s is not what belongs here", kindOf(wrongType.FindStringSubmatch(text)[1]))
		}
		e.Err = errors.New(strings.TrimPrefix(text, "yaml: "))
		found = append(found, e)
	}
	return errors.Join(found...)
}

// kindOf is the tag of a YAML node in words.
func kindOf(tag string) string {
	switch tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "a section"
	case "!!str":
		return "a text"
	case "!!int", "!!float":
		return "such a number"
	case "!!bool":
		return "true or false"
	}
	return strings.TrimPrefix(tag, "!!")
}

// resolve makes relative paths start at the folder of the file.
func (c *Config) resolve(dir string) {
	fix := func(p *Path) {
		if *p != "" && !filepath.IsAbs(string(*p)) {
			*p = Path(filepath.Join(dir, string(*p)))
		}
	}
	if t := c.TLS; t != nil {
		fix(&t.Certificate)
		fix(&t.Key)
		fix(&t.ClientCA)
	}
	if a := c.Audit; a != nil {
		fix(&a.Dir)
	}
	if t := c.Traces; t != nil {
		fix(&t.Headers)
	}
	socket := func(p *string) {
		if !strings.HasPrefix(*p, "@") { // a name, no file
			fix((*Path)(p))
		}
	}
	for i := range c.Listen {
		socket(&c.Listen[i].Path)
	}
	socket(&c.Admin.Path)
	if t := c.TSA; t != nil {
		fix(&t.Chain)
		for i := range t.PastChains {
			fix(&t.PastChains[i])
		}
		for i := range t.AnnouncedChains {
			fix(&t.AnnouncedChains[i])
		}
		fix(&t.History)
		if t.Clock != nil {
			fix(&t.Clock.CA)
		}
		keys := []*KeyURI{&t.Key}
		for i := range t.Standby {
			fix(&t.Standby[i].Chain)
			keys = append(keys, &t.Standby[i].Key)
		}
		for _, key := range keys {
			fix((*Path)(&key.Path)) // absolute in every URI but one of a file
			fix((*Path)(&key.PassphraseFile))
			fix((*Path)(&key.TokenFile))
		}
	}
}

// complete fills in the defaults that do not weaken anything.
func (c *Config) complete() {
	if len(c.Listen) == 0 {
		c.Listen = []Address{defaultListen}
	}
	for i := range c.Listen {
		if c.Listen[i].Scheme == SchemeDefault {
			c.Listen[i].Scheme = SchemeHTTP
			if c.TLS != nil {
				c.Listen[i].Scheme = SchemeHTTPS
			}
		}
	}
	if c.Admin == (AdminAddress{}) {
		c.Admin = defaultAdmin
	}
	if c.Log.Format == "" {
		c.Log.Format = LogJSON
	}
	if c.HTTP.RequestIDHeader == "" {
		c.HTTP.RequestIDHeader = "X-Request-Id"
	}
	c.HTTP.RequestIDHeader = http.CanonicalHeaderKey(c.HTTP.RequestIDHeader)
	if c.HTTP.CORS == nil {
		on := true
		c.HTTP.CORS = &on
	}
	if c.Audit != nil {
		c.Audit.Complete()
	}
	if c.TSA != nil && c.TSA.Clock != nil {
		c.TSA.Clock.Complete()
	}
}

// Check completes and checks a configuration that did not come from a file,
// such as that of the flags of another command; name is for errors.
func (c *Config) Check(name string) error {
	k := checker{file: name, tree: new(yaml.Node)}
	k.config(c)
	return errors.Join(k.found...)
}

// A checker collects what is wrong with a configuration that could be read.
type checker struct {
	file  string
	tree  *yaml.Node
	found []error
}

func (k *checker) add(key, format string, args ...any) {
	k.found = append(k.found, &Error{File: k.file, Line: line(k.tree, key), Key: key, Err: fmt.Errorf(format, args...)})
}

// line returns the line of a key, or of the closest thing above it that is
// there, 0 for none.
func line(node *yaml.Node, key string) int {
	for node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	at := 0
	for part := range strings.SplitSeq(key, ".") {
		found := false
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part {
				at, node, found = node.Content[i].Line, node.Content[i+1], true
				break
			}
		}
		if !found {
			break
		}
	}
	return at
}

func (k *checker) config(c *Config) {
	c.complete()
	seen := map[Address]bool{}
	for _, a := range c.Listen {
		if a.Scheme == SchemeHTTPS && c.TLS == nil {
			k.add("listen", "%s is https and there is no tls section", a.Listen())
		}
		if seen[a] && a.Port != "0" {
			k.add("listen", "%s is there twice", a.Listen())
		}
		seen[a] = true
	}
	if t := c.TLS; t != nil {
		if t.ClientAuth.Optional && t.ClientCA == "" {
			k.add("tls.client-auth", "is for tls.client-ca, and there is none")
		}
		if t.Certificate == "" {
			k.add("tls.certificate", "required")
		}
		if t.Key == "" {
			k.add("tls.key", "required")
		}
	}
	for _, limit := range []struct {
		key string
		n   int
	}{{"concurrency", c.Limits.Concurrency}, {"queue", c.Limits.Queue}, {"connections", c.Limits.Connections},
		{"connections-per-address", c.Limits.ConnectionsPerAddress}, {"streams", c.Limits.Streams},
		{"sign-concurrency", c.Limits.SignConcurrency}, {"sign-attempts", c.Limits.SignAttempts}} {
		if limit.n < 0 {
			k.add("limits."+limit.key, "%d is negative", limit.n)
		}
	}
	if err := CheckRequestIDHeader(c.HTTP.RequestIDHeader); err != nil {
		k.add("http.request-id-header", "%w", err)
	}
	if c.Audit != nil {
		k.audit(c.Audit)
	}
	if c.Clients != nil {
		k.clients(c)
	}
	if c.Traces != nil {
		k.traces(c.Traces)
	}
	if c.TSA == nil {
		k.add("tsa", "required: there is nothing to serve")
		return
	}
	k.tsa(c.TSA)
}

func (k *checker) tsa(t *TSA) {
	if t.Policy.IsZero() {
		k.add("tsa.policy", "required: the object identifier of your policy")
	}
	switch {
	case t.Key.IsZero():
		k.add("tsa.key", "required: a key such as file:/etc/fencepost/tsa.key")
	case t.Key.InMemory():
		if t.Chain != "" {
			k.add("tsa.chain", "a key in memory has its chain made with it")
		}
	case t.Chain == "":
		k.add("tsa.chain", "required: the certificate chain of the key")
	}
	k.units(t)
	switch {
	case t.Clock != nil:
		k.clock(t.Clock)
		if t.Clock.Limit > 0 && t.Accuracy > 0 && t.Clock.Limit > t.Accuracy {
			k.add("tsa.clock.limit", "%v is more than tsa.accuracy, %v, which is the limit anyway", time.Duration(t.Clock.Limit), time.Duration(t.Accuracy))
		}
	case !t.Key.InMemory():
		k.add("tsa.clock", "required: a key that others trust needs a clock that someone vouches for")
	}
	if t.Digest.Hash != 0 && strings.HasPrefix(t.Digest.String(), "SHA3") {
		k.add("tsa.digest", "not one of sha256, sha384, sha512")
	}
}

// units checks what there is besides the one key.
func (k *checker) units(t *TSA) {
	for i, s := range t.Standby {
		switch {
		case s.Key.IsZero():
			k.add("tsa.standby", "number %d has no key", i+1)
		case s.Key.InMemory():
			k.add("tsa.standby", "number %d is a key in memory, for which nothing can be trusted", i+1)
		case s.Chain == "":
			k.add("tsa.standby", "number %d has no chain", i+1)
		}
	}
	if len(t.Standby) > 0 && t.Key.InMemory() {
		k.add("tsa.standby", "a key in memory has no standby")
	}
	d := t.Delegate
	if d == nil {
		return
	}
	switch {
	case len(t.Standby) > 0:
		k.add("tsa.delegate", "stamping keys have no standby: their CA is needed once in %v only", time.Duration(d.Rotate))
	case t.Key.InMemory():
		k.add("tsa.delegate", "a CA in memory certifies nothing that can be trusted")
	}
	switch {
	case d.Rotate == 0:
		k.add("tsa.delegate.rotate", "required: how long each stamping key is used, such as 24h")
	case time.Duration(d.Rotate) < minRotate:
		k.add("tsa.delegate.rotate", "%v is less than %v, and each chain is published for ever", time.Duration(d.Rotate), minRotate)
	}
	switch {
	case d.Validity == 0:
		k.add("tsa.delegate.validity", "required: how long the certificate of a stamping key is valid, and a stolen one dangerous to those who do not look at the privateKeyUsagePeriod")
	case d.Validity <= d.Rotate:
		k.add("tsa.delegate.validity", "%v is not more than tsa.delegate.rotate", time.Duration(d.Validity))
	case time.Duration(d.Validity) < time.Duration(d.Rotate)+t.AnnounceTime():
		k.add("tsa.delegate.validity", "%v is less than tsa.delegate.rotate and tsa.announce together, %v: a stamping key is announced, then used, and its certificate is valid all the while",
			time.Duration(d.Validity), time.Duration(d.Rotate)+t.AnnounceTime())
	}
	if announce := t.Announce.Or(0); d.Rotate > 0 && announce > time.Duration(d.Rotate) {
		k.add("tsa.announce", "%v is more than tsa.delegate.rotate: the next stamping key is made when the one before it is put to use", announce)
	}
	if t.History == "" {
		k.add("tsa.history", "required with tsa.delegate: each stamping key has a chain of its own, and its tokens are verified with it for years")
	}
	if d.Country != "" && (len(d.Country) != 2 || strings.Trim(d.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		k.add("tsa.delegate.country", "%q is not two capital letters", d.Country)
	}
}

// minRotate is the shortest use of a stamping key.
const minRotate = time.Hour
