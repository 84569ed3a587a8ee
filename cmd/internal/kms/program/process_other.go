//go:build !unix

package program

import (
	"io/fs"
	"os/exec"
)

// alone does nothing: there are no process groups, and the program is killed
// without its children.
func alone(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

// checkMode does nothing: the mode says nothing here.
func checkMode(string, string, fs.FileInfo) error { return nil }
