// Package deploy checks what an operator deploys, the folder deploy and the files for containers, with the tools
// that would run it: buildah builds the Dockerfile, systemd boots with the package, promtool and Prometheus load
// the rules and the dashboard, helm, kustomize and kubectl-validate the manifests. It is tests only; they need
// root, for namespaces and mounts, and nothing from the network once the tools are there.
//
// A check that cannot fail is worth nothing: those that hold a file against a tool also give the tool the file
// with a mistake in it.
package deploy
