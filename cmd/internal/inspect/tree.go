package inspect

import (
	"io"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
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
	b.WriteString(cli.Printable(n.Text) + "\n")
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
		b.WriteString(indent + branch + cli.Printable(c.Text) + "\n")
		c.draw(b, indent+below)
	}
}
