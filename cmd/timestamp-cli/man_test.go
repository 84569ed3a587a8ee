package main

import (
	"os"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/manual"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercli"
)

// TestManual holds the manual page against the commands, option by option.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../../doc/man/timestamp-cli.1")
	if err != nil {
		t.Fatal(err)
	}
	root := peercli.New(&cli.Env{Program: "timestamp-cli"})
	for _, problem := range manual.Problems(page, root, root) {
		t.Error(problem)
	}
}
