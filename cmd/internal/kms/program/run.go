package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A command is a program with what each of its calls has in common.
type command struct {
	path string
	args []string
	env  []string
}

func newCommand(u signer.URI, cfg Config) (command, error) {
	path := u.LocalPath()
	if !filepath.IsAbs(path) {
		return command{}, fault.New(fault.Malformed, opOpen, "%s: a program is named by its absolute path", path).
			WithHint("write the path in full: exec:/usr/lib/tsa/sign")
	}
	env, err := environment(u, cfg)
	if err != nil {
		return command{}, err
	}
	return command{path: path, args: slices.Clone(u.Args), env: env}, nil
}

// A call is one start of the program.
type call struct {
	op    string
	words []string // the last arguments
	input []byte
	limit int // of standard output, in bytes
}

const (
	// maxMessage is how much of standard error is kept, in bytes: an error, and
	// not a stack trace.
	maxMessage = 1 << 10

	// reapDelay is how long the pipes of a program that has been killed, or has
	// ended and left children with its pipes behind, are waited for.
	reapDelay = time.Second

	// exitTemporary is EX_TEMPFAIL of sysexits.h.
	exitTemporary = 75
)

// run starts the program and returns its standard output.
func (c command) run(ctx context.Context, what call) ([]byte, error) {
	// Asked each time: what was replaced since may be anybody's.
	if err := c.check(what.op); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout := &bounded{limit: what.limit, overflow: cancel}
	stderr := &bounded{limit: maxMessage}
	cmd := exec.CommandContext(ctx, c.path, slices.Concat(c.args, what.words)...)
	cmd.Env = c.env
	cmd.Dir = filepath.VolumeName(c.path) + string(filepath.Separator)
	if len(what.input) > 0 {
		cmd.Stdin = bytes.NewReader(what.input)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = reapDelay
	alone(cmd)

	name := c.path + " " + strings.Join(what.words, " ")
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", what.op, ctx.Err())
		}
		return nil, startFault(what.op, name, err)
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		killGroup(cmd) // children that still hold the pipes
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case stdout.full:
		return nil, fault.New(fault.Malformed, what.op, "%s: more than %d bytes on standard output", name, what.limit)
	case err == nil:
		return stdout.data, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %s: killed: %w%s", what.op, name, ctx.Err(), stderr.quoted())
	case exited && exit.ExitCode() == exitTemporary:
		return nil, fault.New(fault.Unreachable, what.op, "%s: %w, try again%s", name, err, stderr.quoted())
	case exited:
		return nil, fault.New(fault.Unfit, what.op, "%s: %w%s", name, err, stderr.quoted()).
			WithHint("run it by hand as the user of this process: %s", name)
	}
	return nil, fault.New(fault.Unfit, what.op, "%s: %w%s", name, err, stderr.quoted())
}

// startFault tells apart why a program that is there does not start.
func startFault(op, name string, err error) error {
	f := fault.New(fault.Unfit, op, "%s: %w", name, err)
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return f.WithHint("a script begins with #! and its interpreter; a binary is one for %s/%s", runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, fs.ErrNotExist):
		return f.WithHint("the program is there, and the interpreter or the loader that it names is not")
	case errors.Is(err, fs.ErrPermission):
		f.Kind = fault.Denied
		return f.WithHint("the user of this process may not run it; is its file system mounted with noexec?")
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ETXTBSY):
		f.Kind = fault.Unreachable
		return f.WithHint("it may start a moment later: see the limits of processes, memory and files, and whether the program is being replaced")
	}
	return f
}

// check refuses what is not a program, or is in the hands of others.
func (c command) check(op string) error {
	info, err := os.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, op, "there is no program %s", c.path).
			WithHint("install it there, or mend the path in the key")
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, op, "the program cannot be reached: %w", err).
			WithHint("let the user of this process enter the folders above %s", c.path)
	case err != nil:
		return fault.New(fault.Unfit, op, "the program: %w", err)
	case info.IsDir():
		return fault.New(fault.Unfit, op, "%s is a folder, not a program", c.path).WithHint("name the program in it")
	case !info.Mode().IsRegular():
		return fault.New(fault.Unfit, op, "%s is not a regular file", c.path)
	}
	return checkMode(op, c.path, info)
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	data     []byte
	limit    int
	overflow func() // called when there is more; nil: the rest is dropped
	full     bool
}

func (b *bounded) Write(p []byte) (int, error) {
	kept := p[:min(len(p), b.limit-len(b.data))]
	b.data = append(b.data, kept...)
	if len(kept) < len(p) {
		b.full = true
		if b.overflow != nil {
			b.overflow()
		}
	}
	return len(p), nil // a program that writes on is not kept waiting
}

// quoted is what was written, for the end of an error, in printable characters
// only.
func (b *bounded) quoted() string {
	text := strings.TrimSpace(string(b.data))
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": it says %+q", text)
}
