package truststore

// A Reason is why a store could not be used or changed: one word of a closed
// set.
type Reason string

// The reasons.
const (
	ReasonName       Reason = "name"       // no type or name of a store
	ReasonAbsent     Reason = "absent"     // there is no such store or file
	ReasonEmpty      Reason = "empty"      // the store has no certificates
	ReasonIrregular  Reason = "irregular"  // a symbolic link or a folder
	ReasonUnreadable Reason = "unreadable" // no certificates in PEM or DER
	ReasonUnsuitable Reason = "unsuitable" // a certificate that is not one for such a store
	ReasonTooLarge   Reason = "too-large"
	ReasonExists     Reason = "exists" // another certificate has the file name
	ReasonSystem     Reason = "system" // the system's store is not to be had
	ReasonIO         Reason = "io"
)

// An Error is one about a store. It wraps [io/fs.ErrNotExist] where the reason
// is ReasonAbsent, and [io/fs.ErrExist] where it is ReasonExists.
type Error struct {
	Reason Reason
	Type   Type   // "" if it is about no store
	Store  string // its name
	Path   string // the folder or the file; "" if it is about none
	Err    error  // says it all, the store and the file included
	advice string
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Advice says what to do, "" if nothing is known.
func (e *Error) Advice() string { return e.advice }

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
