package inspect

import (
	"io"
	"strings"
)

// A Node is a line of a tree and what hangs below it.
type Node struct {
	Text     string
	Children []*Node
}

// Add appends a line below n and returns it.
func (n *Node) Add(text string) *Node {
	c := &Node{Text: text}
	n.Children = append(n.Children, c)
	return c
}

// Write draws the tree with box-drawing characters, a line per node.
func (n *Node) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(clean(n.Text) + "\n")
	n.draw(&b, "")
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *Node) draw(b *strings.Builder, indent string) {
	for i, c := range n.Children {
		branch, below := "├── ", "│   "
		if i == len(n.Children)-1 {
			branch, below = "└── ", "    "
		}
		b.WriteString(indent + branch + clean(c.Text) + "\n")
		c.draw(b, indent+below)
	}
}

// clean replaces control characters, which a hostile name could hold, so that
// they reach no terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return '\uFFFD'
		}
		return r
	}, s)
}
