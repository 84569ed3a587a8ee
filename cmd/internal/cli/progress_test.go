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
	var out bytes.Buffer
	p := (&Env{Stderr: &out}).Progress("x", 0)
	p.next = time.Time{}
	p.Add(1)
	p.End()
	if out.Len() != 0 {
		t.Errorf("progress on a pipe: %q", &out)
	}
}
