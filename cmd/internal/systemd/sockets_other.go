//go:build !unix

package systemd

import (
	"errors"
	"net"
)

func inherited(int) (net.Listener, error) {
	return nil, errors.New("this system does not pass sockets on")
}
