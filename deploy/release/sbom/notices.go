package main

import (
	"bytes"
	"fmt"
	"strings"
)

// notices returns the texts of the licences, each once, below the names of what is under it.
func (r *release) notices() []byte {
	var texts []string
	under := map[string][]string{}
	for _, m := range r.modules {
		for _, text := range r.terms[m].texts {
			if under[text] == nil {
				texts = append(texts, text)
			}
			name := m.path + " " + m.version
			if m.path == standard {
				name = "Go, " + m.version
			}
			under[text] = append(under[text], name)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `Fencepost %s is under the licence in the file LICENSE. Its programs contain what
is named here, by others, unchanged, on the terms that follow the names. The
source of each is what "go mod download MODULE@VERSION" fetches.
`, r.version)
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n\n%s\n\n%s\n", strings.Repeat("-", 72), strings.Join(under[text], "\n"), text)
	}
	return out.Bytes()
}
