// Package ntstest is an NTS server for tests (RFC 8915), which does as it is
// told: right by default, and wrong in any part that [Config] names. It listens
// on 127.0.0.1, keys and cookies are in memory, and each cookie is watched so
// that a second use is noticed.
//
// Its parser and encoder are its own, so that a client is not tested against
// its own mistakes; only the AES-SIV is that of package nts, which is tested
// against the vectors of RFC 5297.
package ntstest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
)

// A Record is a part of the answer in a key exchange (RFC 8915, 4).
type Record struct {
	Critical bool
	Type     uint16
	Body     []byte
}

// Types of records.
const (
	End          = 0
	NextProtocol = 1
	Error        = 2
	Warning      = 3
	AEAD         = 4
	Cookie       = 5
	ServerName   = 6
	ServerPort   = 7
)

// Config says what the server does otherwise than a good one. The zero Config
// is a good one.
type Config struct {
	// TLS changes what the key exchange is served with.
	TLS func(*tls.Config)

	// Certificate changes the server's certificate before it is signed. It is
	// for 127.0.0.1 and localhost, and valid for an hour before and after now.
	Certificate func(*x509.Certificate)

	// Records changes the answer of the key exchange, Octets its encoding.
	Records func([]Record) []Record
	Octets  func([]byte) []byte

	// NoClose leaves the connection open after the answer.
	NoClose bool

	// Now is the server's clock. Nil: time.Now.
	Now func() time.Time

	// Reply changes the answer to a question.
	Reply func(*Reply)

	// Packets returns what is sent for a question: nothing, the reply, or
	// others, in order.
	Packets func(question, reply []byte) [][]byte
}

// A Reply is an answer before it is encoded.
type Reply struct {
	Header   [48]byte // RFC 5905, 7.3
	UniqueID []byte   // nil: no such field
	Plain    []Field  // between the unique identifier and the authenticator
	Cookies  [][]byte // encrypted
	Key      *nts.SIV // nil: no authenticator
	After    []Field  // behind the authenticator
}

// A Field is an extension field (RFC 7822).
type Field struct {
	Type  uint16
	Value []byte
}

// Types of extension fields (RFC 8915, 7.5).
const (
	UniqueIdentifier  = 0x0104
	NTSCookie         = 0x0204
	CookiePlaceholder = 0x0304
	Authenticator     = 0x0404
)

// Counts is what a server has seen.
type Counts struct {
	Exchanges   int // of keys, that came to an answer
	Questions   int
	Reused      int // questions with a cookie that was used before
	Unknown     int // questions with a cookie that is not known
	Unauthentic int // questions that could not be authenticated, or were malformed
	Cookies     int // cookies given in answers to questions
}

// A Server is an NTS server.
type Server struct {
	ke   net.Listener
	ntp  net.PacketConn
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	done sync.WaitGroup

	mu     sync.Mutex
	cfg    Config
	keys   map[string]*keys // by cookie
	counts Counts
	last   error
}

type keys struct {
	c2s, s2c *nts.SIV
	used     bool
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := &Server{cfg: cfg, keys: map[string]*keys{}}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "NTS test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	if s.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if s.ke, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.ntp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.done.Go(s.serveKE)
	s.done.Go(s.serveNTP)
	t.Cleanup(func() {
		s.ke.Close()
		s.ntp.Close()
		s.done.Wait()
	})
	return s
}

// Address is where keys are exchanged.
func (s *Server) Address() string { return s.ke.Addr().String() }

// NTP is where questions are answered.
func (s *Server) NTP() netip.AddrPort { return netip.MustParseAddrPort(s.ntp.LocalAddr().String()) }

// Roots is the CA that certifies the server.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca)
	return pool
}

// Change changes what the server does from now on.
func (s *Server) Change(change func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.cfg)
}

// Forget makes all cookies unknown, as a server does that lost its keys.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys)
}

// Counts returns what was seen so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// LastError returns what went wrong last with a connection of a client.
func (s *Server) LastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Server) config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

func (s *Server) serveKE() {
	for {
		conn, err := s.ke.Accept()
		if err != nil {
			return
		}
		s.done.Go(func() {
			defer conn.Close()
			if err := s.exchange(conn); err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.last = err
			}
		})
	}
}

func (s *Server) exchange(raw net.Conn) error {
	cfg := s.config()
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	tlsConfig, err := s.tls(cfg)
	if err != nil {
		return err
	}
	conn := tls.Server(raw, tlsConfig)
	if err := conn.Handshake(); err != nil {
		return err
	}
	if err := readQuestion(conn); err != nil {
		return err
	}
	state := conn.ConnectionState()
	k := new(keys)
	for direction, to := range []**nts.SIV{&k.c2s, &k.s2c} {
		key, err := state.ExportKeyingMaterial("EXPORTER-network-time-security", []byte{0, 0, 0, 15, byte(direction)}, 32)
		if err != nil {
			return err
		}
		if *to, err = nts.NewSIV(key); err != nil {
			return err
		}
	}
	records := []Record{
		{true, NextProtocol, []byte{0, 0}},
		{true, AEAD, []byte{0, 15}},
		{true, ServerPort, binary.BigEndian.AppendUint16(nil, s.NTP().Port())},
	}
	for range 8 {
		records = append(records, Record{false, Cookie, s.cookie(k)})
	}
	records = append(records, Record{true, End, nil})
	if cfg.Records != nil {
		records = cfg.Records(records)
	}
	var b []byte
	for _, r := range records {
		kind := r.Type
		if r.Critical {
			kind |= 0x8000
		}
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Body)))
		b = append(b, r.Body...)
	}
	if cfg.Octets != nil {
		b = cfg.Octets(b)
	}
	s.mu.Lock()
	s.counts.Exchanges++
	s.mu.Unlock()
	if _, err := conn.Write(b); err != nil {
		return err
	}
	if cfg.NoClose {
		_, err := io.Copy(io.Discard, conn)
		return err
	}
	return conn.Close()
}

func (s *Server) tls(cfg Config) (*tls.Config, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "NTS test server"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if cfg.Certificate != nil {
		cfg.Certificate(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.ca, s.key.Public(), s.key)
	if err != nil {
		return nil, err
	}
	out := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: s.key}},
		NextProtos:   []string{"ntske/1"},
		MinVersion:   tls.VersionTLS13,
	}
	if cfg.TLS != nil {
		cfg.TLS(out)
	}
	return out, nil
}

// readQuestion holds that a client asks for what RFC 8915, 4, says.
func readQuestion(conn *tls.Conn) error {
	want := []byte{0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the client asks %x, want %x", got, want)
	}
	return nil
}

// cookie makes a cookie for the keys.
func (s *Server) cookie(k *keys) []byte {
	c := make([]byte, 100)
	rand.Read(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[string(c)] = &keys{c2s: k.c2s, s2c: k.s2c}
	return c
}

var errQuestion = errors.New("malformed question")
