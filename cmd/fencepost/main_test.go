package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// TestMain makes this program, as it is under test, the command fencepost of
// the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fencepost": main})
}

// TestScripts runs the scripts in testdata. Besides testscript's own commands
// they have:
//
//	freeport VAR...               set each variable to a port that is free
//	waitfor URL                   wait until something answers there
//	[!] get URL STATUS [FILE]     ask, and keep the answer in FILE
//	isjson FILE                   the file is one JSON document
//	mode FILE PERM                the file has that mode
//	revocable serve|revoke|down   a CA that can be asked, see revocable
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePort,
			"waitfor":  waitFor,
			"get":      get,
			"isjson":   isJSON,
			"mode":     mode,

			"revocable": revocable(t),
		},
		RequireExplicitExec: true,
	})
}

func freePort(ts *testscript.TestScript, _ bool, args []string) {
	// All are open at the same time, so that they differ.
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		ts.Setenv(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
}

func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for range 500 {
		var resp *http.Response
		if resp, err = http.Get(args[0]); err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("nothing answers: %v", err)
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	resp, err := http.Get(args[0])
	if neg {
		if err == nil {
			ts.Fatalf("%s answers %d", args[0], resp.StatusCode)
		}
		return
	}
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if got := strconv.Itoa(resp.StatusCode); got != args[1] {
		ts.Fatalf("%s answers %s: %s", args[0], got, body)
	}
	if len(args) > 2 {
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o666))
	}
}

func isJSON(ts *testscript.TestScript, _ bool, args []string) {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	var v any
	ts.Check(dec.Decode(&v))
	if dec.More() {
		ts.Fatalf("%s holds more than one document", args[0])
	}
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", st.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s", args[0], got)
	}
}

// TestExitStatus runs the program in this process.
func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{"serve", "--help"}, 0},
		{[]string{"completion", "bash"}, 0},
		{nil, 2},
		{[]string{"serve"}, 2},
		{[]string{"serve", "--nope"}, 2},
		{[]string{"nope"}, 2},
	} {
		var stdout, stderr bytes.Buffer
		env := &cli.Env{Program: "fencepost", Stdout: &stdout, Stderr: &stderr}
		if got := cli.Run(context.Background(), env, newRoot(env), test.args); got != test.want {
			t.Errorf("fencepost %q ended with %d, want %d; %s", test.args, got, test.want, &stderr)
		}
		if (test.want == 0) != (stderr.Len() == 0) || (test.want == 0) != (stdout.Len() > 0) {
			t.Errorf("fencepost %q: stdout %d bytes, stderr %q", test.args, stdout.Len(), &stderr)
		}
	}
}
