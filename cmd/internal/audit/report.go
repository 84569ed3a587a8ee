package audit

import (
	"fmt"
	"time"
)

// A Report is what Verify found.
type Report struct {
	Segments int    `json:"segments"` // files
	Records  uint64 `json:"records"`  // lines that are records and count
	Tokens   uint64 `json:"tokens"`   // tokens among them
	Stamps   uint64 `json:"stamps"`   // and timestamps

	FirstSeq  uint64    `json:"first"` // the number of the first record there is
	LastSeq   uint64    `json:"last"`  // and of the last
	FirstTime time.Time `json:"first_time,omitzero"`
	LastTime  time.Time `json:"last_time,omitzero"`
	Head      Hash      `json:"head"` // the hash of the last: to be kept elsewhere

	// StampedSeq is the last record that a good timestamp covers, 0 if there is
	// none; StampedTime is the time in that one. They are as the log says where
	// VerifyOptions.CheckStamp is nil.
	StampedSeq  uint64    `json:"stamped"`
	StampedTime time.Time `json:"stamped_time,omitzero"`
	// StampWait is the longest that a record waited for its timestamp, by the
	// times that both say.
	StampWait time.Duration `json:"stamp_wait_ns"`
	// UnstampedSince is the time of the first record that waits for one, zero if
	// none does: timestamps were made and are gone if it waits for long.
	UnstampedSince time.Time `json:"unstamped_since,omitzero"`

	// Live says that a server is writing there; Unfinished is how many bytes at
	// the end it had not finished, which is no problem then.
	Live       bool  `json:"live"`
	Unfinished int64 `json:"unfinished"`

	// Problems are what is wrong, at most VerifyOptions.MaxProblems of
	// ProblemCount. The log is in order if there are none.
	Problems     []Problem `json:"problems"`
	ProblemCount uint64    `json:"problem_count"`
	// Notes are what is not wrong and yet worth knowing: what was recovered and
	// what was removed, at most MaxProblems of NoteCount.
	Notes     []Problem `json:"notes"`
	NoteCount uint64    `json:"note_count"`
}

// OK says that nothing is wrong.
func (r *Report) OK() bool { return r.ProblemCount == 0 }

// A Problem is something that Verify found, with its place.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	File   string      `json:"file,omitempty"`   // "": in no file
	Line   int         `json:"line,omitempty"`   // from 1; 0: the whole file
	Offset int64       `json:"offset,omitempty"` // in bytes
	Seq    uint64      `json:"n,omitempty"`      // of the record; 0: not known
	Detail string      `json:"detail"`
}

// String returns the place and what is wrong.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return fmt.Sprintf("%s: %s", p.Kind, p.Detail)
	case p.Line == 0:
		return fmt.Sprintf("%s: %s: %s", p.File, p.Kind, p.Detail)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Kind, p.Detail)
}

// A ProblemKind is a word for what is wrong.
type ProblemKind string

// What can be wrong.
const (
	BadLine      ProblemKind = "bad-line"      // it is no record
	BadHash      ProblemKind = "bad-hash"      // the record, or the one before, was altered
	BadNumber    ProblemKind = "bad-number"    // records are missing, or there twice
	BadHeader    ProblemKind = "bad-header"    // a file does not begin as it should
	BadJoin      ProblemKind = "bad-join"      // a file does not follow the one before
	BadEnd       ProblemKind = "bad-end"       // a file ends without a seal, or not with it
	BadAside     ProblemKind = "bad-aside"     // what a crash left was put aside, and is something else now
	BadStamp     ProblemKind = "bad-stamp"     // a timestamp is not over that record, or is no good
	MissingFile  ProblemKind = "missing-file"  // and nothing says that it was removed
	MissingHash  ProblemKind = "missing-hash"  // one of VerifyOptions.Contains
	TornEnd      ProblemKind = "torn-end"      // the end is not whole, and no server is writing
	SerialTwice  ProblemKind = "serial-twice"  // two tokens have one serial number
	WasRecovered ProblemKind = "recovered"     // note: something was mended
	WasRemoved   ProblemKind = "removed"       // note: files reached their age
	TokenTime    ProblemKind = "token-time"    // note: a token, and those that follow, were not recorded when they say they were issued
	TimeBackward ProblemKind = "time-backward" // note: the machine's clock was set back
	StampEarlier ProblemKind = "stamp-earlier" // note: a record says it is later than the timestamp over it
)
