package nts

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
)

const (
	// alpn is the application protocol of the key exchange (RFC 8915, 4).
	alpn = "ntske/1"

	// exporterLabel makes the keys (RFC 8915, 5.1).
	exporterLabel = "EXPORTER-network-time-security"

	// closeWait is how long a server is given to end the connection after its
	// answer, so that what it sends after the end of the message is seen.
	closeWait = 500 * time.Millisecond
)

// An association is what a key exchange gave: keys, cookies, and where to go
// with them. It is used by one goroutine at a time.
type association struct {
	c2s, s2c *SIV
	cookies  [][]byte

	peer netip.Addr    // that keys were exchanged with
	ntp  *timesrc.Host // where the cookies are good

	made                time.Duration // by the elapsed clock
	notBefore, notAfter time.Time     // of the certificates
	refused             bool          // the server has forgotten its keys
}

// exchangeKeys runs NTS-KE (RFC 8915, 4). Its error is an *[Error].
func (c *Client) exchangeKeys(ctx context.Context) (*association, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	addr, err := c.host.Addr(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.exchangeKeysWith(ctx, addr)
	if err != nil {
		c.host.Failed(addr)
		e := explain(err)
		e.Server = c.server
		return nil, e
	}
	return a, nil
}

func (c *Client) exchangeKeysWith(ctx context.Context, addr netip.AddrPort) (*association, error) {
	raw, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	// From here on the end of the context ends all waits.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()

	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, // RFC 8915, 3
		NextProtos: []string{alpn},
		ServerName: c.host.Name(),
		RootCAs:    c.cfg.Roots,
		Time:       c.cfg.Now,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return nil, &Error{Reason: ReasonNotNTS, Err: fmt.Errorf("it speaks TLS, but not NTS (%s)", alpn)}
	}
	agreed, err := converse(conn)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	a := &association{cookies: agreed.cookies, peer: addr.Addr().Unmap(), made: c.cfg.Local.Elapsed()}
	if a.c2s, a.s2c, err = exportKeys(state); err != nil {
		return nil, err
	}
	a.notBefore, a.notAfter = validity(state.VerifiedChains)
	// RFC 8915, 4.1.7 and 4.1.8: without the records, the same host, port 123.
	a.ntp, err = timesrc.NewHost(cmp.Or(agreed.server, a.peer.String()), cmp.Or(agreed.port, timesrc.NTPPort), c.cfg.Resolver)
	if err != nil {
		return nil, malformed("NTPv4 Server Negotiation: %w", err)
	}
	return a, nil
}

// converse asks and reads the answer, all of it.
func converse(conn *tls.Conn) (*agreement, error) {
	if _, err := conn.Write(request()); err != nil {
		return nil, err
	}
	records, err := readRecords(conn)
	if err != nil {
		var isNet net.Error
		if errors.As(err, &isNet) {
			return nil, err
		}
		return nil, malformed("%w", err)
	}
	if err := readEnd(conn); err != nil {
		return nil, err
	}
	return agree(records)
}

// readEnd holds that nothing follows the message (RFC 8915, 4). A server that
// waits for us to close has sent all that it wanted to.
func readEnd(conn *tls.Conn) error {
	if err := conn.CloseWrite(); err != nil {
		return nil // it has hung up already, and said nothing more
	}
	if err := conn.SetReadDeadline(time.Now().Add(closeWait)); err != nil {
		return err
	}
	var b [1]byte
	if n, _ := conn.Read(b[:]); n > 0 {
		return malformed("it goes on after End of Message")
	}
	return nil
}

// exportKeys makes the keys of both directions (RFC 8915, 5.1).
func exportKeys(state tls.ConnectionState) (c2s, s2c *SIV, err error) {
	var keys [2]*SIV
	for direction := range keys {
		key, err := state.ExportKeyingMaterial(exporterLabel, []byte{protocolNTPv4 >> 8, protocolNTPv4, aeadSIV256 >> 8, aeadSIV256, byte(direction)}, sivKeySize)
		if err != nil {
			return nil, nil, err
		}
		if keys[direction], err = NewSIV(key); err != nil {
			return nil, nil, err
		}
	}
	return keys[0], keys[1], nil
}

// validity is the time in which all certificates of a chain are valid, of the
// chain for which it is longest.
func validity(chains [][]*x509.Certificate) (notBefore, notAfter time.Time) {
	for _, chain := range chains {
		var from, until time.Time
		for _, cert := range chain {
			if cert.NotBefore.After(from) {
				from = cert.NotBefore
			}
			if until.IsZero() || cert.NotAfter.Before(until) {
				until = cert.NotAfter
			}
		}
		if until.After(notAfter) {
			notBefore, notAfter = from, until
		}
	}
	return notBefore, notAfter
}

// target returns the address of the NTP server.
func (a *association) target(ctx context.Context) (netip.AddrPort, error) {
	addr, err := a.ntp.Addr(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// Whoever certifies the server has not said that it may point us at the
	// services of this machine.
	ip := addr.Addr()
	if checkServer(ip.String()) != nil || (ip.IsLoopback() || ip.IsLinkLocalUnicast()) && !a.peer.IsLoopback() {
		return netip.AddrPort{}, malformed("the NTP server that it names, %s, would be %v", a.ntp, ip)
	}
	return addr, nil
}

// take removes a cookie from the pool: each is used once, so that requests
// cannot be linked by them (RFC 8915, 5.7).
func (a *association) take() []byte {
	cookie := a.cookies[0]
	a.cookies = a.cookies[1:]
	return cookie
}

// keep adds cookies until the pool is full.
func (a *association) keep(cookies [][]byte) {
	a.cookies = append(a.cookies, cookies[:min(len(cookies), poolSize-len(a.cookies))]...)
}
