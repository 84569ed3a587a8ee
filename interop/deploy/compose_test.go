package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var composeFiles = []string{"docker-compose.yml", "deploy/monitoring/docker-compose.yml"}

// A composition is what docker-compose makes of a file.
type composition struct {
	Services map[string]struct {
		Command     []string
		Image       string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Ports       []any
		Volumes     []any
	}
}

// compose has docker-compose read a file, which it does without an engine.
func compose(t *testing.T, file string) (c composition) {
	t.Helper()
	out := accept(t, "docker-compose", "-f", filepath.Join(root, file), "config")
	if err := yaml.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompose(t *testing.T) {
	for _, file := range composeFiles {
		t.Run(file, func(t *testing.T) {
			c := compose(t, file)
			for name, s := range c.Services {
				if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
					t.Errorf("%s is not hardened: %+v", name, s)
				}
				if _, tag, ok := strings.Cut(s.Image, ":"); name != "timestamp-server" && (!ok || tag == "latest") {
					t.Errorf("%s has the image %s, of no version", name, s.Image)
				}
				for _, p := range s.Ports {
					// Short forms stay text; those with nothing but ports are made a mapping.
					text, loopback := p.(string)
					if loopback = loopback && strings.HasPrefix(text, "127.0.0.1:"); !loopback {
						if m, ok := p.(map[string]any); !ok || name != "timestamp-server" || m["published"] != 3000 || m["target"] != 3000 {
							t.Errorf("%s publishes %v on all interfaces", name, p)
						}
					}
				}
				for _, v := range s.Volumes {
					from, _, _ := strings.Cut(v.(string), ":")
					if !strings.HasPrefix(from, "/") {
						continue // a volume with a name
					}
					if _, err := os.Stat(from); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if !strings.HasSuffix(v.(string), ":ro") {
						t.Errorf("%s may write to %s", name, v)
					}
				}
			}
			broken := write(t, t.TempDir(), "docker-compose.yml", strings.Replace(read(t, root, file), "read_only:", "readonly:", 1))
			refuse(t, "readonly", "docker-compose", "-f", broken, "config", "-q")
		})
	}
}
