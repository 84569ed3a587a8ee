package serve

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"
)

// TestEarlyAnswers: what can be answered without the body is answered at once,
// and a body that takes all the time that it has leaves some for the answer.
func TestEarlyAnswers(t *testing.T) {
	const header = "POST /api/v1/timestamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/timestamp-query\r\n"
	short := Timeouts{Read: 200 * time.Millisecond, Write: 200 * time.Millisecond}
	long := Timeouts{Read: time.Minute}
	for _, test := range []struct {
		name, send, want string
		timeouts         Timeouts
	}{
		{"too long, waits for 100 Continue", header + "Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n", "HTTP/1.1 413 ", long},
		{"wrong type, waits for 100 Continue", "POST /api/v1/timestamp HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", "HTTP/1.1 415 ", long},
		{"too long", header + "Content-Length: 100000000\r\n\r\nabc", "HTTP/1.1 413 ", long},
		{"half a body", header + "Content-Length: 100\r\n\r\nabc", "HTTP/1.1 408 ", short},
		{"half a chunk", header + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", "HTTP/1.1 408 ", short},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, _ := start(t, func(b *bench) { b.config.Listeners[0].Timeouts = test.timeouts })
			conn := dial(t, at.Public[0])
			if _, err := io.WriteString(conn, test.send); err != nil {
				t.Fatal(err)
			}
			got, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}
