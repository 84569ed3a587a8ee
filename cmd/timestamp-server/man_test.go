package main

import (
	"os"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/manual"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
)

// TestManual holds the manual page against the commands, option by option.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../../doc/man/timestamp-server.1")
	if err != nil {
		t.Fatal(err)
	}
	root := peerserver.New(&cli.Env{Program: "timestamp-server"})
	for _, problem := range manual.Problems(page, root, root) {
		t.Error(problem)
	}
}
