//go:build unix

package systemd

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// inherited returns the i-th socket that was passed to this process.
func inherited(i int) (net.Listener, error) {
	descriptor := firstDescriptor + i
	syscall.CloseOnExec(descriptor)
	f := os.NewFile(uintptr(descriptor), "socket")
	if f == nil {
		return nil, syscall.EBADF
	}
	// The listener has a descriptor of its own, which is closed on exec too.
	l, err := net.FileListener(f)
	return l, errors.Join(err, f.Close())
}
