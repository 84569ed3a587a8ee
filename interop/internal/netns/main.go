//go:build linux

package netns

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// Main runs the tests of a package in a namespace, and returns the status to exit with. Before, outside of
// it, prepare does all that needs the network, in a folder that is removed at the end, and returns further
// variables for the environment of the tests.
func Main(m interface{ Run() int }, prepare func(ctx context.Context, tmp string) (env []string, err error)) int {
	status, err := run(m, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func run(m interface{ Run() int }, prepare func(context.Context, string) ([]string, error)) (int, error) {
	if Inside() {
		if _, err := Enter(); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	tmp, err := os.MkdirTemp("", "fencepost-interop-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(tmp)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	env, err := prepare(ctx, tmp)
	stop()
	if err != nil {
		return 1, err
	}
	return Enter(env...)
}
