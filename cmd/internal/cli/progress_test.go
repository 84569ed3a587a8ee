package cli

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		env := &Env{Stderr: &out, StderrTerminal: true, Getenv: func(string) string { return "" }}
		p := env.Progress("hash", 10)
		p.Add(1)
		if out.Len() != 0 {
			t.Errorf("a line before the first second: %q", &out)
		}
		time.Sleep(progressDelay)
		p.Add(4)
		p.Add(1) // too soon for another line
		if got, want := out.String(), "\r\x1b[Khash: 5 of 10 (50%)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		p.End()
		p.Add(1)
		if got, want := out.String(), "\r\x1b[Khash: 5 of 10 (50%)\r\x1b[K"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		env := &Env{Program: "prog", Stdout: &out, Stderr: &out, StdoutTerminal: true, StderrTerminal: true, Getenv: func(string) string { return "" }}
		p := env.Progress("hash", 3)
		defer p.End()
		for _, name := range []string{"a\x1b[2J", "b"} {
			time.Sleep(progressDelay)
			p.Add(1)
			if err := env.Answer("%s: done", name); err != nil {
				t.Fatal(err)
			}
		}
		env.Errorf("end")
		want := clearLine + "hash: 1 of 3 (33%)" + clearLine + "a\ufffd[2J: done\n" +
			clearLine + "hash: 2 of 3 (66%)" + clearLine + "b: done\nprog: end\n"
		if got := out.String(); got != want {
			t.Errorf("answers beside a progress line: %q, want %q", got, want)
		}
	})
	var out bytes.Buffer
	p := (&Env{Stderr: &out}).Progress("x", 0)
	p.next = time.Time{}
	p.Add(1)
	p.End()
	if out.Len() != 0 {
		t.Errorf("progress on a pipe: %q", &out)
	}
}
