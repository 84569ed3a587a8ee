//go:build unix

package program

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// alone puts the program into a process group of its own, so that its children
// are killed with it.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
}

func killGroup(cmd *exec.Cmd) error {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

func checkMode(op, path string, info fs.FileInfo) error {
	mode := info.Mode().Perm()
	if mode&0o111 == 0 {
		return fault.New(fault.Unfit, op, "%s is not executable: its mode is %04o", path, mode).WithHint("chmod 0755 %s", path)
	}
	if mode&0o022 != 0 {
		return fault.New(fault.Unfit, op, "%s can be written by others than its owner: its mode is %04o", path, mode).
			WithHint("chmod go-w %s: whoever can write to it can sign", path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fault.New(fault.Unfit, op, "%s belongs to the user %d, who could replace what signs", path, st.Uid).
			WithHint("chown root %s", path)
	}
	return nil
}
