package systemd

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// A Socket is one that the manager opened and listens on.
type Socket struct {
	// Name is that of FileDescriptorName= of the socket unit, by default the
	// name of the unit, such as "fencepost.socket".
	Name string
	net.Listener
}

// maxSockets is more than anybody's unit has.
const maxSockets = 1024

// unnamed is what sd_listen_fds_with_names(3) calls a socket without a name.
const unnamed = "unknown"

// Sockets returns the sockets that the manager opened for this process, in the
// order of the unit: none without LISTEN_FDS, or if they were meant for another
// process. They are not passed on to programs that this one runs. It can be
// called once: after that, the numbers of the descriptors stand for other
// things.
func Sockets(env Env) ([]Socket, error) {
	if env.get("LISTEN_FDS") == "" || env.get("LISTEN_PID") == "" {
		return nil, nil
	}
	if ours, err := env.meant("LISTEN_PID"); err != nil || !ours {
		return nil, err
	}
	names, err := socketNames(env)
	if err != nil {
		return nil, err
	}
	var sockets []Socket
	for i, name := range names {
		l, err := inherited(i)
		if err == nil && !slices.Contains([]string{"tcp", "unix"}, l.Addr().Network()) {
			err = errors.Join(fmt.Errorf("it is a socket of %s", l.Addr().Network()), l.Close())
		}
		if err != nil {
			for _, s := range sockets {
				err = errors.Join(err, s.Close())
			}
			return nil, fmt.Errorf("systemd: socket %q, descriptor %d: only TCP and unix stream sockets (ListenStream=, Accept=no) can be served: %w",
				name, firstDescriptor+i, err)
		}
		sockets = append(sockets, Socket{name, l})
	}
	return sockets, nil
}

// firstDescriptor is that of the first socket, SD_LISTEN_FDS_START.
const firstDescriptor = 3

// socketNames returns the name of each socket.
func socketNames(env Env) ([]string, error) {
	count, err := strconv.Atoi(env.get("LISTEN_FDS"))
	if err != nil || count < 0 || count > maxSockets {
		return nil, fmt.Errorf("systemd: LISTEN_FDS is %q, which is no number of sockets", env.get("LISTEN_FDS"))
	}
	list := env.get("LISTEN_FDNAMES")
	if list == "" {
		return slices.Repeat([]string{unnamed}, count), nil
	}
	names := strings.Split(list, ":")
	if len(names) != count {
		return nil, fmt.Errorf("systemd: LISTEN_FDNAMES names %d sockets, and LISTEN_FDS says that there are %d", len(names), count)
	}
	return names, nil
}
