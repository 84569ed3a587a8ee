// Command ociregistry is an OCI registry in memory, for tests. Its kinds are the three ways in which registries
// treat the manifests that refer to another:
//
//	cuelabs    has the referrers API, and tells and filters by the artifact type as the specification says
//	ggcr       has the referrers API, and gives the media type of the config as the artifact type
//	ggcr-tag   has no referrers API; clients keep a list under a tag
//
// It listens on the loopback address given and prints one line of JSON with the address.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	kind := flag.String("kind", "cuelabs", "cuelabs, ggcr or ggcr-tag")
	listen := flag.String("listen", "127.0.0.1:0", "loopback `address`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kind, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "ociregistry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kind, listen string) error {
	handler, err := newHandler(kind)
	if err != nil {
		return err
	}
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return err
	}
	if !addr.IP.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address, and anyone may write to this registry", listen)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"address": listener.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newHandler(kind string) (http.Handler, error) {
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	switch kind {
	case "cuelabs":
		return ociserver.New(ocimem.New(), nil), nil
	case "ggcr":
		return registry.New(quiet, registry.WithReferrersSupport(true)), nil
	case "ggcr-tag":
		return registry.New(quiet, registry.WithReferrersSupport(false)), nil
	}
	return nil, fmt.Errorf("no kind of registry is called %q", kind)
}
