package deploy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const monitoring = root + "/deploy/monitoring"

// A rule is a recording or an alerting one.
type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, monitoring, "rules/fencepost.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestRules(t *testing.T) {
	file := monitoring + "/rules/fencepost.rules.yml"
	accept(t, "promtool", "check", "rules", "--lint=all", "--lint-fatal", file)
	refuse(t, "could not parse expression", "promtool", "check", "rules",
		write(t, t.TempDir(), "rules.yml", strings.Replace(read(t, file), "[5m])", "[5m]", 1)))
	guide := anchors(read(t, root, "doc/operating.md"))
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if seen[r.Alert] {
			t.Errorf("there are two of %s", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"page", "ticket", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: nobody knows whom the severity %q wakes", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		url, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if !strings.HasSuffix(url, "/doc/operating.md") || !guide[anchor] {
			t.Errorf("%s: the guide has no %q", r.Alert, r.Annotations["runbook_url"])
		}
	}
}

// anchors are the headings of a page as links know them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		found[strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// TestAlerts has promtool fire each alert. A case says all alerts that fire at a time: one that never fires fails
// the case that wants it, and one that always does the others.
func TestAlerts(t *testing.T) {
	tests := read(t, monitoring, "rules/fencepost.test.yml")
	accept(t, "promtool", "test", "rules", monitoring+"/rules/fencepost.test.yml")
	for _, r := range rules(t) {
		if r.Alert != "" && !strings.Contains(tests, fmt.Sprintf(`{alertname="%s"}`, r.Alert)) {
			t.Errorf("no case has %s fire", r.Alert)
		}
	}
	if !strings.Contains(tests, "exp_samples: []") {
		t.Error("no case is of a server that is well")
	}
	for name, mistake := range map[string][2]string{
		"never":    {"expr: |-\n      fencepost_ready == 0", "expr: |-\n      fencepost_ready == 2"},
		"always":   {"expr: |-\n      fencepost_ready == 0", "expr: |-\n      fencepost_ready >= 0"},
		"too soon": {"fencepost_ready == 0\n    for: 2m", "fencepost_ready == 0\n    for: 0m"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "fencepost.rules.yml", replaced(t, read(t, monitoring, "rules/fencepost.rules.yml"), mistake[0], mistake[1]))
			refuse(t, "FAILED", "promtool", "test", "rules", write(t, dir, "fencepost.test.yml", tests))
		})
	}
}

// TestMetricNames holds that rules and dashboard speak of metrics that there are.
func TestMetricNames(t *testing.T) {
	_, admin := authority(t)
	exposition, err := get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"up": true, "ALERTS": true}
	for _, m := range regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)[ {]`).FindAllStringSubmatch(exposition, -1) {
		known[m[1]] = true
	}
	if !known["fencepost_ready"] || !known["process_start_time_seconds"] {
		t.Fatal("the exposition of the server has not what it should")
	}
	// Those that are there only where there is a time server, a record or a client to limit: their table is held
	// against the program by its own tests.
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|(.*)").FindAllStringSubmatch(read(t, root, "doc/operating.md"), -1) {
		known[m[1]] = true
		if strings.Contains(m[2], "histogram") {
			known[m[1]+"_bucket"] = true
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			known[r.Record] = true
		}
	}
	unknown := func(expr string) (names []string) {
		for name := range metricNames(expr) {
			if !known[name] {
				names = append(names, name)
			}
		}
		return names
	}
	if got := unknown(`sum by (job) (rate(fencepost_reqests_total{job="x"}[5m])) / on (job) up`); !slices.Equal(got, []string{"fencepost_reqests_total"}) {
		t.Fatalf("the metric that is wrong is %v", got)
	}
	for _, r := range rules(t) {
		if names := unknown(r.Expr); names != nil {
			t.Errorf("%s%s: there is no metric %v", r.Alert, r.Record, names)
		}
	}
	for _, q := range queries(t) {
		if names := unknown(q.expr); names != nil {
			t.Errorf("panel %s: there is no metric %v", q.panel, names)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)series: '([a-z_0-9]+)`).FindAllStringSubmatch(read(t, monitoring, "rules/fencepost.test.yml"), -1) {
		if !known[m[1]] {
			t.Errorf("the tests of the alerts have the metric %s, which there is not", m[1])
		}
	}
}

// metricNames are the names in an expression that are neither functions, keywords nor labels. It knows as much of
// the language as our expressions use; that they are in the language is for promtool and Prometheus to say.
func metricNames(expr string) map[string]bool {
	for _, cut := range []string{`"[^"]*"`, `\{[^}]*\}`, `\[[^\]]*\]`, `\b(?:by|on|without|ignoring)\s*\([^)]*\)`} {
		expr = regexp.MustCompile(cut).ReplaceAllString(expr, " ")
	}
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(\s*\()?`).FindAllStringSubmatch(expr, -1) {
		if m[2] == "" && !slices.Contains([]string{"and", "or", "unless"}, m[1]) {
			names[m[1]] = true
		}
	}
	return names
}

// authority starts one with its key in memory, and a record, and returns the URLs of its listeners.
func authority(t *testing.T) (public, admin string) {
	t.Helper()
	dir := t.TempDir()
	conf := write(t, dir, "fencepost.yaml", `
tsa: {key: "memory:p256", policy: 1.3.6.1.4.1.99999.1, clock: {source: system, bound: 500ms}}
audit: {dir: audit}
listen: ["127.0.0.1:3100"]
admin: "127.0.0.1:2212"
log: {level: warn}
`)
	public, admin = "http://127.0.0.1:3100", "http://127.0.0.1:2212"
	start(t, public+"/ping", ours("fencepost"), "serve", "--config", conf)
	return public, admin
}

// TestPrometheus runs Prometheus with our configuration beside an authority, and asks it what the dashboard asks.
func TestPrometheus(t *testing.T) {
	accept(t, "promtool", "check", "config", "--syntax-only", monitoring+"/prometheus.yml")
	// The metrics themselves, as their convention has it.
	public, admin := authority(t)
	exposition, err := get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	lint := command(t, nil, "sh", "-c", "promtool check metrics < "+write(t, t.TempDir(), "metrics", exposition))
	for line := range strings.Lines(lint.stdout + lint.stderr) {
		// The summary and histograms have the names that the namesake's dashboards know, without a unit.
		if !strings.HasPrefix(line, "timestamp_authority_") {
			t.Errorf("promtool says of the metrics: %s", line)
		}
	}

	dir := t.TempDir()
	conf := read(t, monitoring, "prometheus.yml")
	conf = replaced(t, conf, `"timestamp-server:2112"`, `"127.0.0.1:2212"`)
	conf = replaced(t, conf, "/etc/prometheus/rules", filepath.Join(abs(t, monitoring), "rules"))
	conf = strings.ReplaceAll(conf, "_interval: 15s", "_interval: 1s")
	prometheus := "http://127.0.0.1:9190"
	start(t, prometheus+"/-/ready", "prometheus", "--config.file="+write(t, dir, "prometheus.yml", conf),
		"--storage.tsdb.path="+dir+"/data", "--web.listen-address=127.0.0.1:9190", "--log.level=warn")
	eventually(t, func() error {
		stamp(t, public) // between two scrapes
		n, err := query(prometheus, `sum(increase(fencepost_tokens_issued_total[1m])) + sum(job:fencepost_tokens_issued:rate5m) > 0 and on () up{job="fencepost"} == 1`)
		if err == nil && n == 0 {
			err = fmt.Errorf("Prometheus has not seen our tokens")
		}
		return err
	})
	// Those that wait before they fire, too: what always holds would fire later than this test ends. The one is right,
	// the clock is the machine's.
	if n, err := query(prometheus, `ALERTS{alertname!="FencepostClockUnmonitored"}`); err != nil || n != 0 {
		t.Errorf("%d alerts fire, or will, for a server that is well (%v)", n, err)
	}
	if n, err := query(prometheus, `ALERTS{alertname="FencepostClockUnmonitored"}`); err != nil || n != 1 {
		t.Errorf("nobody will hear that the clock is not watched (%d, %v)", n, err)
	}
	if _, err := query(prometheus, "rate(fencepost_ready"); err == nil {
		t.Fatal("Prometheus takes what is no expression")
	}
	empty := map[string]bool{}
	for _, q := range queries(t) {
		n, err := query(prometheus, q.filled())
		if err != nil {
			t.Errorf("panel %s: %v", q.panel, err)
		}
		if n > 0 {
			empty[q.panel] = false
		} else if _, filled := empty[q.panel]; !filled {
			empty[q.panel] = true
		}
	}
	// What a server that refused nothing and knows no time server has nothing to show for.
	want := []string{"Error by time server", "Offset", "Offset by time server", "Refusals by reason", "Time servers that answer, and agree"}
	var got []string
	for _, panel := range slices.Sorted(maps.Keys(empty)) {
		if empty[panel] {
			got = append(got, panel)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the panels without anything to show are\n%q, not\n%q", got, want)
	}
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}
