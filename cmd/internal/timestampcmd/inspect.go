package timestampcmd

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
)

// inspectJSON is the answer of "timestamp inspect --json".
type inspectJSON struct {
	Messages []*inspect.Message `json:"messages"`
}

func newInspect(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE...",
		Short: "Show what is in requests, responses and tokens",
		Long: `Show what is in timestamp requests, responses and tokens: the time, the digest,
the signature, the certificates, and remarks on what is unusual. Files may be in
DER, PEM or base64; "-" is standard input.

Nothing is verified. What is shown is what the file says.`,
		Args: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				return cli.Usagef("nothing to inspect: name a file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error { return runInspect(env, files) },
	}
}

func runInspect(env *cli.Env, files []string) error {
	var all inspectJSON
	var status answers
	for _, file := range files {
		m, err := readMessage(env, file)
		if err != nil {
			if len(files) == 1 {
				return err
			}
			ce := &cli.Error{Code: cli.Unknown}
			errors.As(err, &ce)
			status.add(ce.Code)
			if env.JSON {
				all.Messages = append(all.Messages, &inspect.Message{File: file, Reason: ce.Reason, Error: err.Error()})
			} else {
				env.Errorf("error: %v", err)
			}
			continue
		}
		d := inspect.Describe(file, m)
		if env.JSON {
			all.Messages = append(all.Messages, d)
			continue
		}
		if err := d.Tree().Write(env.Stdout); err != nil {
			return err
		}
	}
	if env.JSON {
		if err := env.WriteJSON(all); err != nil {
			return err
		}
	}
	return cli.Silently(status.code)
}
