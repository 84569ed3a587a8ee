package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// chart is the folder of the Helm chart.
const chart = root + "/deploy/helm/fencepost"

func template(t *testing.T, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	return command(t, []string{"HOME=" + dir, "XDG_CACHE_HOME=" + dir}, append([]string{theirs(t, helm), "template", "release", chart,
		"--namespace", "tsa-system", "--kube-version", kubernetes}, args...)...)
}

func TestChart(t *testing.T) {
	values, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(values) < 4 {
		t.Fatal(values, err)
	}
	for _, file := range values {
		t.Run(filepath.Base(file), func(t *testing.T) {
			accept(t, theirs(t, helm), "lint", "--strict", "--kube-version", kubernetes, "--values", file, chart)
			r := template(t, "--values", file)
			if r.code != 0 {
				t.Fatal(r)
			}
			if r := valid(t, r.stdout); r.code != 0 {
				t.Error(r)
			}
			all := objects(t, r.stdout)
			for _, p := range coherent(all) {
				t.Error(p)
			}
			for _, o := range all {
				if text := o.text("data", "fencepost.yaml"); text != "" {
					starts(t, text)
				}
				if o.text("kind") == "PrometheusRule" {
					spec, err := yaml.Marshal(o.at("spec"))
					if err != nil {
						t.Fatal(err)
					}
					accept(t, "promtool", "check", "rules", write(t, t.TempDir(), "rules.yml", string(spec)))
				}
			}
		})
	}
	t.Run("has all that the manifests have", func(t *testing.T) {
		r := template(t, "--values", chart+"/ci/default-values.yaml")
		ours := map[string]bool{}
		for _, o := range objects(t, r.stdout) {
			ours[o.text("kind")] = true
		}
		for _, o := range objects(t, accept(t, theirs(t, kustomize), "build", root+"/deploy/kubernetes")) {
			if k := o.text("kind"); k != "Namespace" && !ours[k] {
				t.Errorf("the chart has no %s", k)
			}
		}
	})
	t.Run("package", func(t *testing.T) {
		out := t.TempDir()
		accept(t, theirs(t, helm), "package", chart, "--destination", out)
		listed := accept(t, "tar", "-tzf", filepath.Join(out, "fencepost-0.1.0.tgz"))
		for _, name := range []string{"fencepost/values.schema.json", "fencepost/fencepost.rules.yml", "fencepost/fencepost.json"} {
			if !strings.Contains(listed, name) {
				t.Errorf("%s is not in the package", name)
			}
		}
	})
	t.Run("its test", func(t *testing.T) { chartTest(t) })
	policy := "server.config.tsa.policy=1.3.6.1.4.1.99999.1"
	for _, row := range []struct{ name, set, want string }{
		{"no policy", "server.replicaCount=3", "server.config.tsa.policy is required"},
		{"unknown value", "server.replicas=3", "replicas"},
		{"unknown section", "metric.port=2112", "metric"},
		{"no policy at all", "server.config.tsa.policy=mine", "policy"},
		{"root", "server.securityContext.runAsNonRoot=false", "runAsNonRoot"},
		{"metrics for all", "networkPolicy.metricsFrom=[]", "metricsFrom"},
		{"no way to a key", "server.config.tsa.key=hashivault://tsa", "no instance reaches hashivault://tsa"},
		{"no way to a standby", `server.config.tsa.standby[0].key=awskms:///alias/tsa`, "no instance reaches awskms:///alias/tsa"},
		{"no way to the time", "server.config.tsa.clock.servers[0]=nts://time.example", "no instance reaches nts://time.example"},
		{"no way to who stamps", "audit.stamp[0]=https://tsa.example", "no instance reaches https://tsa.example"},
		{"no way for traces", "server.config.traces.endpoint=https://traces.example", "no instance reaches https://traces.example"},
		{"administration elsewhere", "server.config.admin=127.0.0.1:9000", "metrics.port"},
		{"drained longer than allowed", "server.config.limits.drain-delay=60s", "server.drainSeconds"},
		{"files of no secret", "server.secret=", "server.secret is empty"},
		{"too little grace", "server.terminationGracePeriodSeconds=25", "terminationGracePeriodSeconds must be above 25"},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"--set", row.set}
			if strings.HasSuffix(row.set, "[]") {
				args[0] = "--set-json"
			}
			if !strings.Contains(row.set, "policy") && row.name != "no policy" {
				args = append(args, "--set", policy)
			}
			if r := template(t, args...); r.code <= 0 || !strings.Contains(r.stderr, row.want) {
				t.Errorf("want %q in a refusal, got: %v", row.want, r)
			}
		})
	}
}

// chartTest runs what "helm test" would, against an authority of the same address.
func chartTest(t *testing.T) {
	var pod object
	for _, o := range objects(t, template(t, "--values", chart+"/ci/full-values.yaml").stdout) {
		if o.text("kind") == "Pod" {
			pod = o
		}
	}
	if len(pod.list("spec", "imagePullSecrets")) != 1 {
		t.Error("it may not have its image")
	}
	c := pod.list("spec", "containers")[0]
	argv := []string{ours(c.at("command").([]any)[0].(string))}
	public, _ := authority(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, arg := range c.at("args").([]any) {
		argv = append(argv, strings.NewReplacer("https://stamps:443", public, "/out/", out).Replace(arg.(string)))
	}
	accept(t, argv...)
	if len(read(t, out+"response.tsr")) == 0 {
		t.Error("no timestamp was written")
	}
}
