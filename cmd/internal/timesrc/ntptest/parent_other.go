//go:build !linux

package ntptest

import "os/exec"

func endWithParent(*exec.Cmd) {}
