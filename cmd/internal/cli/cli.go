// Package cli is what every command of this module has in common: the three
// streams, errors with hints, exit codes, JSON output, files written safely, a
// progress line, and the translation of all that into cobra.
//
// A command is a function from an [Env] to a *cobra.Command. It reads and
// writes through the Env only, so that a test can run it in process, and it
// returns an error instead of exiting:
//
//	func main() {
//		env := cli.System("fencepost")
//		ctx, stop := cli.Interruptible(context.Background())
//		defer stop()
//		os.Exit(cli.Run(ctx, env, newRoot(env), os.Args[1:]))
//	}
//
// Standard output is the answer and standard error is the conversation. With
// --json the answer is one JSON document, an error included, and nothing else
// is written to standard output.
//
// The exit status tells a script what happened, as cmp and grep do; see [Code].
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Env is the world that a command sees. The zero value reads nothing, writes
// nothing and has an empty environment; [System] gives the real one.
type Env struct {
	// Program is the name in front of errors; "" means the root command's name.
	Program string

	Stdin          io.Reader                // nil: empty
	Stdout, Stderr io.Writer                // nil: discarded
	Getenv         func(name string) string // nil: every variable is empty

	// StdinTerminal, StdoutTerminal and StderrTerminal say whether a person
	// sits at the other end.
	StdinTerminal, StdoutTerminal, StderrTerminal bool

	// JSON is set by --json: the answer is one JSON document.
	JSON bool

	drains   atomic.Bool // see Drain
	terminal sync.Mutex  // guards the progress line
	progress bool        // there is a progress line
}

// System returns the environment of this process.
func System(program string) *Env {
	return &Env{
		Program: program,
		Stdin:   os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv:         os.Getenv,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// Interruptible returns a context that ends with SIGINT or SIGTERM. A second
// signal then kills the process as usual, so that a stuck shutdown can be left.
func Interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Drain says that from now on the command ends in its own time when it is
// interrupted, as a server does that answers what is under way. Any other has
// [patience].
func (e *Env) Drain() { e.drains.Store(true) }

// patience is how long an interrupted command may take to end. One that waits
// for a terminal or a pipe does not end by itself.
const patience = time.Second

// fill replaces absent streams, so that no command needs to ask.
func (e *Env) fill(root *cobra.Command) {
	if e.Program == "" {
		e.Program = root.Name()
	}
	if e.Stdin == nil {
		e.Stdin = strings.NewReader("")
	}
	if e.Stdout == nil {
		e.Stdout = io.Discard
	}
	if e.Stderr == nil {
		e.Stderr = io.Discard
	}
	if e.Getenv == nil {
		e.Getenv = func(string) string { return "" }
	}
}

// Run executes the command that args name and returns the exit status. It
// writes the error, if any, and never exits.
func Run(ctx context.Context, env *Env, root *cobra.Command, args []string) int {
	env.fill(root)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	// cobra's own answers are silenced: errors are written here, once.
	root.SilenceErrors = true
	root.SilenceUsage = true
	if root.PersistentFlags().Lookup("json") == nil {
		root.PersistentFlags().BoolVar(&env.JSON, "json", env.JSON, "write the answer, or the error, as one JSON document")
	}
	// cobra would add these two when it is too late to prepare them.
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	prepare(root)

	type result struct {
		cmd *cobra.Command
		err error
	}
	done := make(chan result, 1)
	go func() {
		cmd, err := root.ExecuteContextC(ctx)
		done <- result{cmd, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		late := make(<-chan time.Time) // never
		if !env.drains.Load() {
			late = time.After(patience)
		}
		select {
		case r = <-done:
		case <-late:
			r = result{root, context.Canceled}
		}
	}
	if r.err == nil {
		return int(OK)
	}
	if r.cmd == nil {
		r.cmd = root
	}
	// A command line that cobra could not parse may still ask for JSON.
	env.JSON = env.JSON || slices.Contains(args, "--json")
	if errors.Is(r.err, context.Canceled) && ctx.Err() != nil {
		r.err = errInterrupted
	}
	return env.fail(r.cmd, r.err)
}

// errInterrupted is what a person reads who interrupted a command.
var errInterrupted = errors.New("interrupted")

// prepare gives every command of the tree our treatment of a wrong command
// line: an error with a hint and exit status 2, where cobra prints the help
// and reports success.
func prepare(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(wrongFlag)
	if cmd.Name() == "help" {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if about, rest, err := c.Root().Find(args); err != nil || about == nil || len(rest) > 0 {
				return &Error{Usage: true, Err: fmt.Errorf("no help on %q", strings.Join(args, " "))}
			}
			return nil
		}
	} else if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &Error{Usage: true, Err: fmt.Errorf("%s needs a command", c.CommandPath())}
			}
			return unknownCommand(c, args[0])
		}
		// Never reached: Args refuses everything first. It makes the command runnable.
		cmd.RunE = func(c *cobra.Command, args []string) error { return c.Args(c, args) }
	} else if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return &Error{Usage: true, Err: err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}

// fail writes err in the form that was asked for and returns its exit status.
func (e *Env) fail(cmd *cobra.Command, err error) int {
	var ce *Error
	if !errors.As(err, &ce) {
		ce = &Error{Err: err}
	}
	code := ce.exit()
	if ce.Silent {
		return int(code)
	}
	text, hint := err.Error(), HintOf(err)
	if hint == "" && ce.Usage {
		hint = fmt.Sprintf("see %q", cmd.CommandPath()+" --help")
	}
	if e.JSON {
		var doc errorJSON
		doc.Error.Message, doc.Error.Hint = text, hint
		doc.Error.Reason, doc.Error.Exit = ce.Reason, int(code)
		if err := e.WriteJSON(doc); err == nil {
			return int(code)
		}
	}
	e.Errorf("error: %s", text)
	if hint != "" {
		e.Errorf("hint: %s", hint)
	}
	return int(code)
}

// errorJSON is the JSON form of an error, for every command.
type errorJSON struct {
	Error struct {
		// Message is the text that follows "error:" without --json.
		Message string `json:"message"`
		// Hint says what to do about it; absent when nothing is known.
		Hint string `json:"hint,omitempty"`
		// Reason is one word of a closed set, such as a verify.Reason or the
		// name of a PKIFailureInfo; absent when there is none.
		Reason string `json:"reason,omitempty"`
		// Exit is the exit status.
		Exit int `json:"exit"`
	} `json:"error"`
}

// Errorf writes a message for the person at standard error, each of its lines
// behind the name of the program and [Printable].
func (e *Env) Errorf(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 && !strings.HasPrefix(line, " ") {
			line = "  " + line // of the same message, and no hint of ours
		}
		fmt.Fprintf(&b, "%s: %s\n", e.Program, Printable(line))
	}
	e.hideProgress()
	io.WriteString(e.Stderr, b.String())
}

// Answer writes one line of the answer to standard output, [Printable].
func (e *Env) Answer(format string, args ...any) error {
	if e.StdoutTerminal {
		e.hideProgress()
	}
	_, err := io.WriteString(e.Stdout, Printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

// Warn writes a warning to standard error.
func (e *Env) Warn(format string, args ...any) { e.Errorf("warning: "+format, args...) }

// WriteJSON writes v to standard output as one indented JSON document.
func (e *Env) WriteJSON(v any) error {
	data, err := MarshalJSON(v)
	if err != nil {
		return err
	}
	_, err = e.Stdout.Write(data)
	return err
}

// MarshalJSON returns v as one indented JSON document with a line end, without
// escaping what only HTML would need, and escaping what a terminal would obey.
func MarshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return escapeHostile(b.Bytes()), nil
}

// LookupEnv is Getenv for what has to tell that a variable is absent, as the
// keys that a URI names do. An empty one counts as absent.
func (e *Env) LookupEnv(name string) (string, bool) {
	value := e.Getenv(name)
	return value, value != ""
}

// RefuseEmpty refuses flags that are given without a text, or with a list that
// has an empty one, as an unset variable of a shell leaves them: taken for
// absent, they would have less checked than was meant, or trust somebody else.
// Those named may be empty.
func RefuseEmpty(cmd *cobra.Command, may ...string) error {
	var empty string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, ok := f.Value.(pflag.SliceValue)
		if (ok && slices.Contains(list.GetSlice(), "") || !ok && f.Value.String() == "") && !slices.Contains(may, f.Name) {
			empty = f.Name
		}
	})
	if empty != "" {
		return Usagef("--%s is given, and empty", empty)
	}
	return nil
}
