package deploy

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A dashboard is as much of Grafana's file as can be told right from wrong without Grafana.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
	Panels []panel
}

type panel struct {
	ID         int
	Type       string
	Title      string
	GridPos    struct{ X, Y, W, H int }
	Datasource struct{ Type, UID string }
	Targets    []struct {
		RefID        string
		Expr         string
		LegendFormat string
		Datasource   struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, monitoring, "grafana/dashboards/fencepost.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("uid %q, title %q, schemaVersion %d", d.UID, d.Title, d.SchemaVersion)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, "$"+v.Name)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] {
			t.Errorf("%s: its id %d is none, or another's", p.Title, p.ID)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s is outside: %+v", p.Title, g)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if cells[at] != "" {
					t.Fatalf("%s lies over %s", p.Title, cells[at])
				}
				cells[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s asks nothing, or always the same Prometheus", p.Title)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %+v", p.Title, target)
			}
			refs[target.RefID] = true
			for _, v := range regexp.MustCompile(`\$\w+`).FindAllString(target.Expr, -1) {
				if v != "$__rate_interval" && !slices.Contains(variables, v) {
					t.Errorf("%s: there is no variable %s", p.Title, v)
				}
			}
		}
	}
	provisioned := read(t, monitoring, "grafana/provisioning/dashboards/fencepost.yml")
	for _, file := range composeFiles[1:] {
		if !strings.Contains(provisioned, "/var/lib/grafana-dashboards") || !strings.Contains(read(t, root, file), ":/var/lib/grafana-dashboards:ro") {
			t.Errorf("%s does not put the dashboard where Grafana looks for it", file)
		}
	}
}

// A question is what a panel asks Prometheus.
type question struct{ panel, expr string }

func queries(t *testing.T) (all []question) {
	t.Helper()
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			all = append(all, question{p.Title, target.Expr})
		}
	}
	if len(all) < 30 {
		t.Fatalf("the dashboard asks %d questions", len(all))
	}
	return all
}

// filled is the expression as Grafana sends it, with the variables' values.
func (q question) filled() string {
	return strings.NewReplacer("$job", "fencepost", "$instance", ".*", "$__rate_interval", "1m").Replace(q.expr)
}

// query asks Prometheus and returns how many series it answers.
func query(prometheus, expr string) (int, error) {
	body, err := get(prometheus + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, errors.New(answer.Error)
	}
	return len(answer.Data.Result), nil
}
