package auditcmd

import (
	"fmt"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
)

// KindNotStamped is a finding of this command alone: roots were given, and no
// timestamp leads to them.
const KindNotStamped audit.ProblemKind = "not-stamped"

// findingJSON is something that was found in a record, with its place.
type findingJSON struct {
	// Kind is one word of a closed set, those of audit.ProblemKind and
	// KindNotStamped.
	Kind   audit.ProblemKind `json:"kind"`
	File   string            `json:"file,omitempty"`
	Line   int               `json:"line,omitempty"`   // from 1; absent: the whole file
	Offset int64             `json:"offset,omitempty"` // of the line, in bytes
	Record uint64            `json:"record,omitempty"` // its number, if it can be read
	Detail string            `json:"detail"`
	// Meaning says what that tells about the record.
	Meaning string `json:"meaning"`
}

// meanings says for each kind what it tells.
var meanings = map[audit.ProblemKind]string{
	audit.BadLine:      "something was written over it, or put in",
	audit.BadHash:      "this record, or the hash of the one before, was altered after it was written",
	audit.BadNumber:    "records were taken out, put in, or are not in their order",
	audit.BadHeader:    "the file was renamed or replaced, or does not belong there",
	audit.BadJoin:      "the end of the file before was altered or cut off, or one of the two is of another record",
	audit.BadEnd:       "the end of the file was cut off, or something was added behind it",
	audit.BadAside:     "somebody altered what may show whether it was the crash that tore the end, or somebody",
	audit.BadStamp:     "records below it were altered and their hashes computed anew, or the timestamp is not by whom you trust",
	audit.MissingFile:  "somebody removed it, or the copy is not complete",
	audit.MissingHash:  "the end of the record was cut off, or it was made anew, since that head was noted",
	audit.TornEnd:      "the server was killed or lost its power, and nobody was told that this is recorded; or somebody altered the end",
	audit.SerialTwice:  "the source of serial numbers is broken, or the record of a token was put in twice",
	audit.WasRecovered: "the server mended this at a start, or after an error of the disk",
	audit.WasRemoved:   "it reached the age of audit.retention",
	audit.TokenTime:    "the token was dated back or ahead, or the clock was set between the two",
	audit.TimeBackward: "the machine's clock was set back",
	audit.StampEarlier: "the machine's clock was ahead of the authority's",
	KindNotStamped:     "whoever can write to the folder can have made all of it anew",
}

func findings(problems []audit.Problem) []findingJSON {
	list := make([]findingJSON, 0, len(problems))
	for _, p := range problems {
		list = append(list, findingJSON{
			Kind: p.Kind, File: p.File, Line: p.Line, Offset: p.Offset, Record: p.Seq,
			Detail: p.Detail, Meaning: meanings[p.Kind],
		})
	}
	return list
}

// unstamped is the finding about a record with so many timestamps of which none
// is good.
func unstamped(stamps uint64) findingJSON {
	f := findingJSON{Kind: KindNotStamped, Detail: "there is no timestamp over it", Meaning: meanings[KindNotStamped]}
	if stamps > 0 {
		f.Detail = "none of its timestamps is good"
	}
	return f
}

// line is the finding for people: place, record, what, and what it means.
func (f *findingJSON) line() string {
	var where string
	switch {
	case f.File == "":
	case f.Line == 0:
		where = f.File + ": "
	default:
		where = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	if f.Record > 0 {
		where += fmt.Sprintf("record %d: ", f.Record)
	}
	text := fmt.Sprintf("%s%s: %s", where, f.Kind, f.Detail)
	if f.Meaning != "" {
		text += "; " + f.Meaning
	}
	return text
}
