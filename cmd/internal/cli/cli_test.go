package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// testEnv is an environment whose output can be looked at.
func testEnv() (env *cli.Env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &cli.Env{Program: "prog", Stdout: stdout, Stderr: stderr}, stdout, stderr
}

// tree is a small program: "prog yes", "prog fail", "prog group leaf".
func tree(env *cli.Env, fail error) *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	yes := &cobra.Command{Use: "yes", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }}
	yes.Flags().String("name", "", "a name")
	yes.Flags().Int("many", 1, "a number")
	yes.Flags().Duration("long", 0, "a duration")
	cli.Mirror(env, yes, "name", "many")
	group := &cobra.Command{Use: "group"}
	cli.Elsewhere(root, map[string]string{"old": "use yes"})
	cli.Elsewhere(group, map[string]string{"--old": "use --new", "-o": "use -n"})
	group.AddCommand(&cobra.Command{Use: "leaf", RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(yes, group, cli.VersionCommand(env),
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return fail }})
	return root
}

func TestRun(t *testing.T) {
	boom := errors.New("it broke")
	tests := []struct {
		name   string
		args   []string
		fail   error
		code   int
		stderr string // all of it
	}{
		{"yes", []string{"yes"}, nil, 0, ""},
		{"plain error", []string{"fail"}, boom, 2, "prog: error: it broke\n"},
		{"error of two lines", []string{"fail"}, errors.Join(boom, boom), 2, "prog: error: it broke\nprog:   it broke\n"},
		{"hint", []string{"fail"}, cli.Hint(boom, "mend %s", "it"), 2, "prog: error: it broke\nprog: hint: mend it\n"},
		{"no", []string{"fail"}, cli.Refused("nonce", boom), 1, "prog: error: it broke\n"},
		{"no with a hint", []string{"fail"}, cli.Hint(cli.Refused("nonce", boom), "mend"), 1, "prog: error: it broke\nprog: hint: mend\n"},
		{"what an error knows", []string{"fail"}, fmt.Errorf("open: %w", knowing{boom}), 2, "prog: error: open: it broke\nprog: hint: ask it\n"},
		{"a hint over what an error knows", []string{"fail"}, cli.Hint(knowing{boom}, "mend"), 2, "prog: error: it broke\nprog: hint: mend\n"},
		{"first hint wins", []string{"fail"}, cli.Hint(cli.Hint(boom, "a"), "b"), 2, "prog: error: it broke\nprog: hint: a\n"},
		{"silent", []string{"fail"}, cli.Silently(cli.No), 1, ""},
		{"code zero is not success", []string{"fail"}, &cli.Error{Err: boom}, 2, "prog: error: it broke\n"},
		{"unknown flag", []string{"yes", "--nope"}, nil, 2, "prog: error: unknown flag: --nope\nprog: hint: see \"prog yes --help\"\n"},
		{"no argument wanted", []string{"yes", "x"}, nil, 2, "prog: error: unknown command \"x\" for \"prog yes\"\nprog: hint: see \"prog yes --help\"\n"},
		{"no command", nil, nil, 2, "prog: error: prog needs a command\nprog: hint: see \"prog --help\"\n"},
		{"unknown command", []string{"zzzzzzzz"}, nil, 2, "prog: error: unknown command \"zzzzzzzz\" for \"prog\"\nprog: hint: see \"prog --help\"\n"},
		{"near miss", []string{"grop"}, nil, 2, "prog: error: unknown command \"grop\" for \"prog\"\nprog: hint: did you mean group?\n"},
		{"group alone", []string{"group"}, nil, 2, "prog: error: prog group needs a command\nprog: hint: see \"prog group --help\"\n"},
		{"help on nothing", []string{"help", "nope"}, nil, 2, "prog: error: no help on \"nope\"\nprog: hint: see \"prog help --help\"\n"},
		{"completion for no shell", []string{"completion", "nope"}, nil, 2, "prog: error: unknown command \"nope\" for \"prog completion\"\nprog: hint: see \"prog completion --help\"\n"},
		{"hostile error", []string{"fail"}, errors.New("a\x1b[31mb\u202ec"), 2, "prog: error: a\ufffd[31mb\ufffdc\n"},
		{"unknown in group", []string{"group", "leef"}, nil, 2, "prog: error: unknown command \"leef\" for \"prog group\"\nprog: hint: did you mean leaf?\n"},
		{"unknown command with a flag", []string{"zzzzzzzz", "-t", "x"}, nil, 2, "prog: error: unknown command \"zzzzzzzz\" for \"prog\"\nprog: hint: see \"prog --help\"\n"},
		{"unknown in group with a flag", []string{"group", "leef", "--nope"}, nil, 2, "prog: error: unknown command \"leef\" for \"prog group\"\nprog: hint: did you mean leaf?\n"},
		{"unknown flag before a command", []string{"--nope", "zzzzzzzz"}, nil, 2, "prog: error: unknown flag: --nope\nprog: hint: see \"prog --help\"\n"},
		{"command of another program", []string{"old", "--nope"}, nil, 2, "prog: error: unknown command \"old\" for \"prog\"\nprog: hint: use yes\n"},
		{"flag of another program", []string{"group", "leaf", "--old"}, nil, 2, "prog: error: unknown flag: --old\nprog: hint: use --new\n"},
		{"letter of another program", []string{"group", "leaf", "-ox"}, nil, 2, "prog: error: unknown shorthand flag: 'o' in -ox\nprog: hint: use -n\n"},
		{"flag of another program, elsewhere", []string{"yes", "--old"}, nil, 2, "prog: error: unknown flag: --old\nprog: hint: see \"prog yes --help\"\n"},
		{"days", []string{"yes", "--long", "30d"}, nil, 2, "prog: error: invalid argument \"30d\" for \"--long\" flag: time: unknown unit \"d\" in duration \"30d\"\nprog: hint: a duration is in h, m and s: 30 days are 720h\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env, stdout, stderr := testEnv()
			code := cli.Run(t.Context(), env, tree(env, test.fail), test.args)
			if code != test.code || stderr.String() != test.stderr || stdout.Len() != 0 {
				t.Errorf("Run(%q) = %d, stdout %q, stderr %q; want %d, nothing, %q", test.args, code, stdout, stderr, test.code, test.stderr)
			}
		})
	}
}

func TestRunJSON(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		fail error
		want string
	}{
		{"refused", []string{"fail", "--json"}, cli.Hint(cli.Refused("nonce", errors.New("no")), "mend"), `{"error":{"message":"no","hint":"mend","reason":"nonce","exit":1}}`},
		{"usage", []string{"yes", "--nope", "--json"}, nil, `{"error":{"message":"unknown flag: --nope","hint":"see \"prog yes --help\"","exit":2}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			env, stdout, stderr := testEnv()
			cli.Run(t.Context(), env, tree(env, test.fail), test.args)
			var compact bytes.Buffer
			if err := json.Compact(&compact, stdout.Bytes()); err != nil {
				t.Fatalf("stdout is not JSON: %v: %q", err, stdout)
			}
			if compact.String() != test.want || stderr.Len() != 0 {
				t.Errorf("Run(%q) wrote %s and %q to stderr; want %s and nothing", test.args, &compact, stderr, test.want)
			}
		})
	}
}

// TestHostile holds that a name of somebody else is no line of ours, and that
// JSON does nothing to a terminal either.
func TestHostile(t *testing.T) {
	var stdout, stderr strings.Builder
	env := &cli.Env{Program: "prog", Stdout: &stdout, Stderr: &stderr}
	env.Errorf("error: %s", "CN=x\nhint: run this\n  that\r\nprog: hint: \u009b2J")
	if got, want := stderr.String(), "prog: error: CN=x\nprog:   hint: run this\nprog:   that\ufffd\nprog:   prog: hint: \ufffd2J\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	texts := []string{"\x1b\x7f\u009b2J\u202eab\u2028", "ä € 😀 \ufffd", "\xff"}
	if err := env.WriteJSON(texts); err != nil {
		t.Fatal(err)
	}
	want := "[\n  \"\\u001b\\u007f\\u009b2J\\u202eab\\u2028\",\n  \"ä € 😀 \ufffd\",\n  \"\\ufffd\"\n]\n"
	if got := stdout.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back []string
	if err := json.Unmarshal([]byte(stdout.String()), &back); err != nil || back[0] != texts[0] || back[1] != texts[1] {
		t.Errorf("it is read back as %q, %v", back, err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env, _, stderr := testEnv()
	code := cli.Run(ctx, env, tree(env, ctx.Err()), []string{"fail"})
	if code != cli.ExitUnknown || stderr.String() != "prog: error: interrupted\n" {
		t.Errorf("an interrupted command gave %d and %q", code, stderr)
	}
}

// TestInterruptedWhileBlocked has a command wait for what never comes, as for a
// line from a terminal.
func TestInterruptedWhileBlocked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	env, _, stderr := testEnv()
	in, never := io.Pipe()
	defer never.Close()
	env.Stdin = in
	root := &cobra.Command{Use: "prog"}
	root.AddCommand(&cobra.Command{Use: "read", RunE: func(*cobra.Command, []string) error {
		cancel()
		_, err := env.ReadFile("-", 10)
		return err
	}})
	if code := cli.Run(ctx, env, root, []string{"read"}); code != cli.ExitUnknown || stderr.String() != "prog: error: interrupted\n" {
		t.Errorf("an interrupted command gave %d and %q", code, stderr)
	}
}

// TestDrain has a command finish what it does although it was interrupted.
func TestDrain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	env, _, stderr := testEnv()
	root := &cobra.Command{Use: "prog"}
	root.AddCommand(&cobra.Command{Use: "serve", RunE: func(*cobra.Command, []string) error {
		env.Drain()
		cancel()
		time.Sleep(1200 * time.Millisecond) // more than the patience with others
		return nil
	}})
	if code := cli.Run(ctx, env, root, []string{"serve"}); code != cli.ExitOK || stderr.Len() != 0 {
		t.Errorf("a server that was told to stop gave %d and %q", code, stderr)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"help", "group", "leaf"}, {"completion", "bash"}} {
		env, stdout, stderr := testEnv()
		if code := cli.Run(t.Context(), env, tree(env, nil), args); code != 0 || stdout.Len() == 0 || stderr.Len() != 0 {
			t.Errorf("Run(%q) = %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	env, stdout, _ := testEnv()
	if code := cli.Run(t.Context(), env, tree(env, nil), []string{"version", "--json"}); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	var doc struct {
		cli.Build
		FIPS struct{ Mode, Module string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || doc.Version == "" || doc.Go == "" || doc.FIPS.Mode == "" || doc.FIPS.Module == "" {
		t.Errorf("version --json wrote %q (%v)", stdout, err)
	}
}

func TestMirror(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		vars   map[string]string
		want   string // value of --name
		stderr string
	}{
		{"unset", []string{"yes"}, nil, "", ""},
		{"set", []string{"yes"}, map[string]string{"PROG_NAME": "a"}, "a", ""},
		{"the flag wins", []string{"yes", "--name=b"}, map[string]string{"PROG_NAME": "a"}, "b", ""},
		{"bad value", []string{"yes"}, map[string]string{"PROG_MANY": "x"}, "", "environment variable PROG_MANY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env, _, stderr := testEnv()
			env.Getenv = func(name string) string { return test.vars[name] }
			root := tree(env, nil)
			code := cli.Run(t.Context(), env, root, test.args)
			yes, _, err := root.Find([]string{"yes"})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := yes.Flags().GetString("name")
			if got != test.want || !strings.Contains(stderr.String(), test.stderr) || (code == 0) != (test.stderr == "") {
				t.Errorf("Run(%q) with %v gave name %q, code %d, stderr %q", test.args, test.vars, got, code, stderr)
			}
		})
	}
}

// TestWriteDevice writes to what is there and holds nothing to keep.
func TestWriteDevice(t *testing.T) {
	env, _, _ := testEnv()
	if err := env.Write(cli.File{Path: os.DevNull, Data: []byte("x"), Existing: cli.Keep}); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode().IsRegular() {
		t.Fatalf("%s is %v, %v", os.DevNull, st, err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "in")
	if err := os.WriteFile(input, []byte("input"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(input, link); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	for _, test := range []struct {
		name     string
		terminal bool
		file     cli.File
		ok       bool
		stdout   string
	}{
		{"stdout", false, cli.File{Path: "-", Data: []byte{0, 1}}, true, "\x00\x01"},
		{"binary to a terminal", true, cli.File{Data: []byte{0x30, 0x03, 2, 1, 0}}, false, ""},
		{"text to a terminal", true, cli.File{Data: []byte("é\n")}, true, "é\n"},
		{"new file", false, cli.File{Path: out, Data: []byte("new"), Mode: 0o640}, true, ""},
		{"kept file", false, cli.File{Path: out, Data: []byte("lost"), Existing: cli.Keep}, false, ""},
		{"input by name", false, cli.File{Path: input, Inputs: []string{dir + "/./in"}}, false, ""},
		{"input by link", false, cli.File{Path: link, Inputs: []string{input}}, false, ""},
		{"no such directory", false, cli.File{Path: filepath.Join(dir, "no", "out")}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			env, stdout, _ := testEnv()
			env.StdoutTerminal = test.terminal
			err := env.Write(test.file)
			if (err == nil) != test.ok || stdout.String() != test.stdout {
				t.Errorf("Write(%+v) = %v, stdout %q", test.file, err, stdout)
			}
			if test.file.Existing == cli.Keep && !errors.Is(err, fs.ErrExist) {
				t.Errorf("Write over a kept file = %v, want fs.ErrExist", err)
			}
		})
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "new" {
		t.Errorf("out is %q, %v", got, err)
	}
	if st, err := os.Stat(out); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode of out: %v, %v", st.Mode(), err)
	}
	if got, _ := os.ReadFile(input); string(got) != "input" {
		t.Errorf("the input is now %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("temporary files left behind: %q", left)
	}
}

func TestReadSecret(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"bare", "secret", "secret"},
		{"a line", "secret\n", "secret"},
		{"a line of Windows", "secret\r\n", "secret"},
		{"spaces are part of it", " se cret \n", " se cret "},
		{"two lines", "a\nb\n", ""},
		{"an empty line", "\n", ""},
		{"nothing", "", ""},
		{"too long", strings.Repeat("x", 5000), ""},
	} {
		env := &cli.Env{Stdin: strings.NewReader(test.content)}
		if got, err := env.ReadSecret("-"); string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	if _, err := new(cli.Env).ReadSecret("-"); err == nil {
		t.Error("a secret from no standard input")
	}
}

func TestReadFile(t *testing.T) {
	env := &cli.Env{Stdin: strings.NewReader("12345")}
	if _, err := env.ReadFile("-", 4); err == nil {
		t.Error("ReadFile took five bytes with a limit of four")
	}
	env.Stdin = strings.NewReader("12345")
	if got, err := env.ReadFile("-", 5); err != nil || string(got) != "12345" {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
	if _, err := env.ReadFile(t.TempDir(), 5); err == nil {
		t.Error("ReadFile read a directory")
	}
}

// knowing is an error that knows what to do.
type knowing struct{ error }

func (knowing) Advice() string { return "ask it" }
