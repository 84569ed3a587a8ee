package deploy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An object is one of Kubernetes'.
type object map[string]any

// at follows a path of keys; what is not there is nil.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (o object) text(path ...string) string { s, _ := o.at(path...).(string); return s }

func (o object) object(path ...string) object { m, _ := o.at(path...).(map[string]any); return m }

func (o object) list(path ...string) (all []object) {
	items, _ := o.at(path...).([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		all = append(all, m)
	}
	return all
}

func (o object) String() string { return o.text("kind") + " " + o.text("metadata", "name") }

// objects are those of a stream of documents.
func objects(t *testing.T, stream string) (all []object) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(stream))
	for {
		var o map[string]any // what is inside gets the type that is outside
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		t.Fatal("no object")
	}
	return all
}

func one(t *testing.T, all []object, kind string) object {
	t.Helper()
	for _, o := range all {
		if o.text("kind") == kind {
			return o
		}
	}
	t.Fatalf("there is no %s", kind)
	return nil
}

// valid has kubectl-validate hold a stream against the schemas of Kubernetes and of the Prometheus operator.
func valid(t *testing.T, stream string) result {
	t.Helper()
	dir := t.TempDir()
	return command(t, []string{"HOME=" + dir, "KUBECONFIG=" + dir + "/none"}, theirs(t, validate),
		"--version", strings.TrimSuffix(kubernetes, ".0"), "--local-crds", os.Getenv(envCRDs), write(t, dir, "objects.yaml", stream))
}

// coherent holds what no schema says: that names mean something, and that a pod may run where security is strict.
func coherent(all []object) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	made := map[string]bool{}
	var workload object
	for _, o := range all {
		made[o.String()] = true
		if k := o.text("kind"); k == "StatefulSet" || k == "Deployment" {
			workload = o
		}
	}
	pod := workload.object("spec", "template", "spec")
	labels := workload.object("spec", "template", "metadata", "labels")
	selects := func(name string, selector object) {
		if len(selector) == 0 {
			wrong("%s selects nothing", name)
		}
		for key, value := range selector {
			if labels[key] != value {
				wrong("%s selects %s=%v, which the pods have not", name, key, value)
			}
		}
	}
	containers := pod.list("containers")
	if len(containers) != 1 {
		return append(problems, "there is not one container")
	}
	c := containers[0]
	ports := map[string]bool{}
	for _, p := range c.list("ports") {
		ports[p.text("name")] = true
	}
	port := func(name string, p any) {
		if s, _ := p.(string); !ports[s] {
			wrong("%s has the port %v, which the container has not", name, p)
		}
	}
	for probe, path := range map[string]string{"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
		// Where clients need a certificate, and where they crowd, the kubelet would not be answered.
		if get := c.object(probe, "httpGet"); get.text("path") != path || get.text("port") != "metrics" || get.at("scheme") != nil {
			wrong("%s asks %v, not the administration for %s", probe, get, path)
		}
	}
	selects("its own selector", workload.object("spec", "selector", "matchLabels"))
	for _, s := range pod.list("topologySpreadConstraints") {
		selects("topologySpreadConstraints", s.object("labelSelector", "matchLabels"))
	}
	for _, o := range all {
		switch o.text("kind") {
		case "Service":
			selects(o.String(), o.object("spec", "selector"))
			for _, p := range o.list("spec", "ports") {
				port(o.String(), p.at("targetPort"))
			}
		case "PodDisruptionBudget":
			selects(o.String(), o.object("spec", "selector", "matchLabels"))
		case "NetworkPolicy":
			selects(o.String(), o.object("spec", "podSelector", "matchLabels"))
			for _, rule := range o.list("spec", "ingress") {
				for _, p := range rule.list("ports") {
					port(o.String(), p.at("port"))
					if p.text("port") == "metrics" && len(rule.list("from")) == 0 {
						wrong("everybody reaches the metrics")
					}
				}
			}
		case "ServiceMonitor":
			found := false
			for _, s := range all {
				matches := s.text("kind") == "Service"
				for key, value := range o.object("spec", "selector", "matchLabels") {
					matches = matches && s.object("metadata", "labels")[key] == value
				}
				for _, p := range s.list("spec", "ports") {
					for _, e := range o.list("spec", "endpoints") {
						found = found || matches && p.text("name") == e.text("port")
					}
				}
			}
			if !found {
				wrong("%s finds no service", o)
			}
		}
	}
	if workload.text("kind") == "StatefulSet" && !made["Service "+workload.text("spec", "serviceName")] {
		wrong("there is no service %s", workload.text("spec", "serviceName"))
	}
	volumes := map[string]bool{}
	for _, v := range pod.list("volumes") {
		volumes[v.text("name")] = true
		if name := v.text("configMap", "name"); name == workload.text("metadata", "name") && !made["ConfigMap "+name] {
			wrong("there is no ConfigMap %s", name)
		}
	}
	for _, v := range workload.list("spec", "volumeClaimTemplates") {
		volumes[v.text("metadata", "name")] = true
	}
	for _, m := range c.list("volumeMounts") {
		if !volumes[m.text("name")] {
			wrong("there is no volume %s", m.text("name"))
		}
		if m.text("subPath") != "" {
			wrong("%s: a subPath never changes in a running pod", m.text("name"))
		}
	}
	// Pod Security Standards, restricted.
	drops, _ := c.at("securityContext", "capabilities", "drop").([]any)
	if pod.at("securityContext", "runAsNonRoot") != true || pod.at("securityContext", "runAsUser") != uid ||
		pod.text("securityContext", "seccompProfile", "type") != "RuntimeDefault" ||
		c.at("securityContext", "allowPrivilegeEscalation") != false || c.at("securityContext", "readOnlyRootFilesystem") != true ||
		len(drops) != 1 || drops[0] != "ALL" {
		wrong("the pod is not restricted: %v, %v", pod.at("securityContext"), c.at("securityContext"))
	}
	if pod.at("enableServiceLinks") != false {
		wrong("services become variables")
	}
	return problems
}

// starts has the server try the configuration of a ConfigMap, with the files that it names.
func starts(t *testing.T, config string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"key.pem", "standby.pem"} {
		made := filepath.Join(t.TempDir(), "tsa")
		accept(t, ours("fencepost"), "cert", "create", "--out", made)
		prefix := strings.TrimSuffix(strings.TrimSuffix(name, "key.pem"), ".pem")
		if prefix != "" {
			prefix += "-"
		}
		if err := os.Chmod(write(t, dir, "etc/key/"+name, read(t, made, "key.pem")), 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "etc/key/"+prefix+"chain.pem", read(t, made, "chain.pem"))
	}
	for _, d := range []string{"etc/tls", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=tsa.example",
		"-addext", "subjectAltName=DNS:tsa.example", "-keyout", dir+"/etc/tls/tls.key", "-out", dir+"/etc/tls/tls.crt")
	local := strings.NewReplacer("/etc/fencepost/", dir+"/etc/", "/var/lib/fencepost/", dir+"/var/").Replace(config)
	if strings.Contains(config, "/etc/fencepost/") == (local == config) {
		t.Fatal("no path was replaced")
	}
	accept(t, ours("fencepost"), "serve", "--config", write(t, dir, "etc/fencepost.yaml", local), "--check-config")
}

func TestManifests(t *testing.T) {
	stream := accept(t, theirs(t, kustomize), "build", root+"/deploy/kubernetes")
	all := objects(t, stream)
	if r := valid(t, stream); r.code != 0 {
		t.Error(r)
	}
	for _, p := range coherent(all) {
		t.Error(p)
	}
	if o := one(t, all, "StatefulSet"); o.list("spec", "template", "spec", "containers")[0].text("image") != "registry.example/fencepost:latest" {
		t.Error("kustomize does not set the image")
	}
	starts(t, one(t, all, "ConfigMap").text("data", "fencepost.yaml"))

	t.Run("with monitoring", func(t *testing.T) {
		dir := t.TempDir()
		accept(t, "cp", "-r", root+"/deploy/kubernetes", dir)
		file := dir + "/kubernetes/kustomization.yaml"
		write(t, dir, "kubernetes/kustomization.yaml", replaced(t, read(t, file), "# components: [monitoring]", "components: [monitoring]"))
		stream := accept(t, theirs(t, kustomize), "build", dir+"/kubernetes")
		all := objects(t, stream)
		one(t, all, "ServiceMonitor")
		if r := valid(t, stream); r.code != 0 {
			t.Error(r)
		}
		for _, p := range coherent(all) {
			t.Error(p)
		}
	})

	// The tool, and we, notice what is wrong.
	for _, row := range []struct{ name, old, with string }{
		{"unknown field", "readinessProbe:", "readynessProbe:"},
		{"wrong type", "replicas: 3", "replicas: three"},
		{"wrong version", "apiVersion: policy/v1", "apiVersion: policy/v1alpha7"},
		{"missing", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: fencepost\n  serviceName", "  serviceName"},
		{"name that is none", "\n  name: fencepost-instances", "\n  name: Fencepost_Instances"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if r := valid(t, replaced(t, stream, row.old, row.with)); r.code <= 0 {
				t.Errorf("kubectl-validate takes it: %v", r)
			}
		})
	}
	for _, row := range []struct{ name, old, with, want string }{
		{"selector", "targetPort: http\n  selector:\n    app.kubernetes.io/name: fencepost", "targetPort: http\n  selector:\n    app.kubernetes.io/name: other", "which the pods have not"},
		{"port", "targetPort: metrics", "targetPort: metric", "has the port metric"},
		{"service", "serviceName: fencepost-instances", "serviceName: instances", "no service instances"},
		{"volume", "mountPath: /var/lib/fencepost\n          name: data", "mountPath: /var/lib/fencepost\n          name: date", "no volume date"},
		{"root", "runAsNonRoot: true", "runAsNonRoot: false", "not restricted"},
		{"probe of clients' port", "path: /healthz\n            port: metrics\n          periodSeconds: 10", "path: /healthz\n            port: http\n          periodSeconds: 10", "livenessProbe asks"},
		{"liveness by the clock", "path: /healthz\n            port: metrics\n          periodSeconds: 10", "path: /readyz\n            port: metrics\n          periodSeconds: 10", "livenessProbe asks"},
		{"capability", "            - ALL", "            - NET_RAW", "not restricted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			problems := coherent(objects(t, replaced(t, stream, row.old, row.with)))
			if len(problems) != 1 || !strings.Contains(problems[0], row.want) {
				t.Errorf("the problems are %q", problems)
			}
		})
	}
	t.Run("metrics for all", func(t *testing.T) {
		for _, o := range all {
			if o.text("kind") == "NetworkPolicy" {
				for _, rule := range o.list("spec", "ingress") {
					delete(rule, "from")
				}
			}
		}
		if problems := coherent(all); len(problems) != 1 || !strings.Contains(problems[0], "everybody") {
			t.Errorf("the problems are %q", problems)
		}
	})
}

// TestSecretChanges holds that a server takes up a key and a chain that Kubernetes changes under it: by one link,
// for all files of a volume.
func TestSecretChanges(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		made := filepath.Join(t.TempDir(), "tsa")
		accept(t, ours("fencepost"), "cert", "create", "--out", made, "--common-name", "Version "+version)
		for _, name := range []string{"key.pem", "chain.pem"} {
			if err := os.Chmod(write(t, dir, "key/..v"+version+"/"+name, read(t, made, name)), 0o440); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "key", name+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "key", name+".new"), filepath.Join(dir, "key", name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/key.pem", "key.pem")
	link("..data/chain.pem", "chain.pem")

	config := one(t, objects(t, read(t, root, "deploy/kubernetes/config.yaml")), "ConfigMap").text("data", "fencepost.yaml")
	for _, change := range [][2]string{
		{"/etc/fencepost/", dir + "/"}, {"/var/lib/fencepost/", dir + "/var/"},
		{`"0.0.0.0:3000"`, `"127.0.0.1:3100"`}, {`"0.0.0.0:2112"`, `"127.0.0.1:2212"`},
		{"{source: kernel}", "{source: system, bound: 500ms}\n  announce: 0s"}, {"drain-delay: 10s", "drain-delay: 1ms"},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("no %q in %s", change[0], config)
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	url := "http://127.0.0.1:3100"
	start(t, url+"/ping", ours("fencepost"), "serve", "--config", write(t, dir, "fencepost.yaml", config+"watch: 100ms\n"))
	first, err := get(url + "/api/v1/timestamp/certchain")
	if err != nil {
		t.Fatal(err)
	}
	link("..v2", "..data")
	eventually(t, func() error {
		chain, err := get(url + "/api/v1/timestamp/certchain")
		if err == nil && chain == first {
			err = errors.New("the chain is still the old one")
		}
		return err
	})
	stamp(t, url)
	chains, err := get(url + "/api/v1/timestamp/certchains")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`BEGIN CERTIFICATE`).FindAllString(chains, -1)); n < 4 {
		t.Errorf("the old chain is gone from the page: %s", chains)
	}
}
