package tsphttp

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestHandlerSlowClients shows what becomes of bodies that do not arrive (A30),
// in a real server.
func TestHandlerSlowClients(t *testing.T) {
	observed := make(chan Exchange, 10)
	srv := httptest.NewUnstartedServer(newHandler(t, HandlerConfig{
		MaxConcurrent: 1, MaxQueue: -1,
		Observe: func(_ *http.Request, x Exchange) { observed <- x },
	}))
	srv.Config.ReadTimeout = 300 * time.Millisecond
	srv.Start()
	defer srv.Close()
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/timestamp-query\r\nContent-Length: 100\r\n\r\nhalf"

	dial := func() net.Conn {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, head)
		return conn
	}
	slow := dial()
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if x := <-observed; resp.StatusCode != http.StatusRequestTimeout || x.Status != http.StatusRequestTimeout || x.Err == nil {
		t.Errorf("slow body: status %d, observed %d %v, want 408", resp.StatusCode, x.Status, x.Err)
	}

	dial().Close()
	if x := <-observed; x.Status != 400 && x.Status != statusClientGone || x.Err == nil || x.Outcome.Rejection != nil {
		t.Errorf("body that broke off: observed %+v", x)
	}

	// A slow body does not hold the one slot.
	dial()
	w := serve(srv.Config.Handler, post(requestDER(t), "Content-Type: application/timestamp-query"))
	if w.Code != 200 {
		t.Errorf("beside a slow body: status %d, want 200", w.Code)
	}
}
