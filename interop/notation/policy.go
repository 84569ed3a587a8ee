package main

import (
	"context"
	"os"

	"github.com/notaryproject/notation-go/verifier/trustpolicy"
)

// The judgement of a trust policy document, and the statement of it that -for names.
type policyJudgement struct {
	Valid     bool   `json:"valid"`
	Statement string `json:"statement,omitempty"`
	Level     string `json:"level,omitempty"`
	// Actions are those of the level with the overrides applied.
	Actions map[trustpolicy.ValidationType]trustpolicy.ValidationAction `json:"actions,omitempty"`
	Error   string                                                      `json:"error,omitempty"`
}

// A statement is one of a document.
type statement struct {
	name         string
	verification trustpolicy.SignatureVerification
}

// checkPolicy validates a document as the client's "policy import" does.
func checkPolicy(_ context.Context, o *options) (any, error) {
	data, err := os.ReadFile(o.argument)
	if err != nil {
		return nil, err
	}
	found, err := readPolicy(data, o)
	if err != nil {
		return policyJudgement{Error: err.Error()}, errNo
	}
	answer := policyJudgement{Valid: true}
	if found != nil {
		level, err := found.verification.GetVerificationLevel()
		if err != nil {
			return nil, err
		}
		answer.Statement, answer.Level, answer.Actions = found.name, level.Name, level.Enforcement
	}
	return answer, nil
}
