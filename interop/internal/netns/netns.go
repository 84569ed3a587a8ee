//go:build linux

// Package netns runs a program in a network namespace of its own, where nothing but loopback exists.
//
// Some of the servers that we compare ourselves with open a port on every interface and have no setting
// against it; in a namespace of their own they reach nobody and nobody reaches them, and their fixed ports
// collide with nothing. [Enter] is called first thing in main or TestMain.
package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside marks the environment of the program that has been started again in its namespace.
const inside = "FENCEPOST_NETNS"

// Inside reports whether this process is the one in the namespace.
func Inside() bool { return os.Getenv(inside) != "" }

// Enter returns at once in the process that runs in a namespace, having brought its loopback up. Otherwise
// it runs this program again in a new namespace, with extra variables for its environment, waits for it and
// returns its exit status: the caller exits with that.
func Enter(env ...string) (status int, err error) {
	if Inside() {
		return 0, loopback()
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), env...), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		// Only root makes a network namespace; anyone is root in a user namespace of their own.
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	// An interrupt from the terminal reaches the child as well: it ends, and then so do we.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	default:
		return 1, fmt.Errorf("netns: %w", err)
	}
}

// loopback brings lo up, after making sure that it is alone.
func loopback() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return fmt.Errorf("netns: %s is set, but this is not a namespace of its own: it has %s", inside, i.Name)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("netns: bring lo up: %w", err)
	}
	return nil
}
