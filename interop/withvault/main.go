//go:build linux

// Command withvault runs a command beside a Vault of its own on the loopback interface, whose address and root
// token are in the environment as FENCEPOST_TEST_VAULT_ADDR and FENCEPOST_TEST_VAULT_TOKEN.
//
//	go run ./withvault DIR COMMAND [ARG...]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "withvault:", err)
		status = 1
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (status int, err error) {
	if len(args) < 2 {
		return 2, errors.New("usage: withvault DIR COMMAND [ARG...]")
	}
	path, err := peers.Module(ctx, os.Stderr, "vault", "vault")
	if err != nil {
		return 1, err
	}
	vault := exec.CommandContext(ctx, path, "-listen", "127.0.0.1:0")
	vault.Stderr = os.Stderr
	vault.Cancel = func() error { return vault.Process.Signal(syscall.SIGTERM) }
	vault.WaitDelay = 10 * time.Second
	vault.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := vault.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := vault.Start(); err != nil {
		return 1, err
	}
	defer func() {
		if stopping := vault.Process.Signal(syscall.SIGTERM); stopping != nil {
			err = errors.Join(err, stopping)
		}
		err = errors.Join(err, vault.Wait())
	}()
	var told struct{ Address, Token string }
	if err := json.NewDecoder(out).Decode(&told); err != nil {
		return 1, fmt.Errorf("vault does not start: %w", err)
	}
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = args[0], os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "FENCEPOST_TEST_VAULT_ADDR="+told.Address, "FENCEPOST_TEST_VAULT_TOKEN="+told.Token)
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
