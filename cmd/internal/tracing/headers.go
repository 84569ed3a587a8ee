package tracing

import (
	"fmt"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// What a file of headers may hold: a handful, each no longer than a token.
const (
	maxHeaders    = 32
	maxHeaderFile = 64 << 10
)

// ParseHeaders reads the headers for a collector, one "Name: value" a line.
// Empty lines and those that begin with # are skipped. An error names the line
// and nothing of its value, which may be a secret.
func ParseHeaders(data []byte) (map[string]string, error) {
	if len(data) > maxHeaderFile {
		return nil, fmt.Errorf("tracing: headers of more than %d bytes", maxHeaderFile)
	}
	headers := make(map[string]string)
	seen := make(map[string]bool)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		lower := strings.ToLower(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("tracing: line %d of the headers is not \"Name: value\"", n)
		case !httpguts.ValidHeaderFieldName(name):
			return nil, fmt.Errorf("tracing: line %d of the headers does not begin with the name of a header", n)
		case value == "" || !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("tracing: line %d of the headers has no value, or one that no header may have", n)
		case reserved(lower):
			return nil, fmt.Errorf("tracing: line %d of the headers: %s is set by this program", n, name)
		case seen[lower]:
			return nil, fmt.Errorf("tracing: line %d of the headers: %s is there twice", n, name)
		case len(headers) == maxHeaders:
			return nil, fmt.Errorf("tracing: more than %d headers", maxHeaders)
		}
		headers[name], seen[lower] = value, true
	}
	return headers, nil
}

// reserved says that a header is part of the protocol.
func reserved(lower string) bool {
	switch lower {
	case "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "te", "trailer", "upgrade":
		return true
	}
	return false
}
