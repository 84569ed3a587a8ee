package ntptest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel end a command with the test, however that ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
