package main

import (
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// What takes the place of a command or flag of Notation in more than one place.
const (
	useKeyURI  = "no plugins are run: name the key by its URI with --key, and its chain with --certificate-chain"
	useKeys    = "keys are not registered: sign with --key and a URI, or name them in signingkeys.json"
	useTrust   = "trusted certificates are kept with fencepost trust"
	useJSON    = "use --json for JSON; without it a tree is drawn"
	noPassword = "every user of a machine can read its command lines: use --password-stdin or $FENCEPOST_PASSWORD"
	noLog      = "errors say what happened: there is no log"
)

// commandsElsewhere are commands of Notation by the command here below which
// they are sought, "" for the root; doc/notation.md has all of them.
var commandsElsewhere = map[string]map[string]string{
	"": {
		"sign":        "fencepost image sign, and for files fencepost blob sign",
		"verify":      "fencepost image verify, and for files fencepost blob verify",
		"inspect":     "fencepost image inspect, and for files fencepost blob inspect",
		"list":        "fencepost image list",
		"ls":          "fencepost image list",
		"certificate": useTrust,
		"plugin":      useKeyURI,
		"login":       "log in with docker login, or give --username with --password-stdin",
		"logout":      "log out with docker logout",
	},
	"cert": {
		"add":           useTrust + ": fencepost trust add",
		"list":          useTrust + ": fencepost trust list",
		"ls":            useTrust + ": fencepost trust list",
		"show":          useTrust + ": fencepost trust show",
		"delete":        useTrust + ": fencepost trust delete",
		"generate-test": "fencepost cert create --role code-signing makes a key and its chain",
		"cleanup-test":  "delete the folder of the key, and its root with fencepost trust delete",
	},
	"key": {
		"add":    useKeys,
		"update": useKeys,
		"list":   useKeys,
		"ls":     useKeys,
		"delete": useKeys,
	},
	"blob": {
		"policy": "the trust policy for files is kept with fencepost policy and --blob",
	},
}

// flagsElsewhere are the flags of Notation that "image" and "blob" do not have.
var flagsElsewhere = map[string]string{
	"--verbose":             noLog,
	"-v":                    noLog,
	"--debug":               noLog,
	"-d":                    noLog,
	"--password":            noPassword,
	"-p":                    noPassword,
	"--id":                  useKeyURI,
	"--plugin":              useKeyURI,
	"--plugin-config":       "no plugins are run: what a key needs is in its URI",
	"--output":              useJSON,
	"-o":                    useJSON,
	"--allow-referrers-api": "leave it out: the registry's referrers API is tried first",
}

// fromNotation has those who type what they know from Notation told what takes
// its place here.
func fromNotation(root *cobra.Command) {
	cli.Elsewhere(root, commandsElsewhere[""])
	for _, cmd := range root.Commands() {
		cli.Elsewhere(cmd, commandsElsewhere[cmd.Name()])
		if cmd.Name() == "trust" {
			cli.Elsewhere(cmd, map[string]string{"-a": "write --all: it is the whole store"})
		}
		if cmd.Name() == "image" || cmd.Name() == "blob" {
			cli.Elsewhere(cmd, flagsElsewhere)
		}
	}
}
