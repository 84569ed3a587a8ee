package trustpolicy

// An Action says what the failure of a check means.
type Action string

// The actions.
const (
	Enforce Action = "enforce" // the signature is refused
	Log     Action = "log"     // it is reported, no more
	Skip    Action = "skip"    // the check is not made
)

// A Check is one of those that a level is made of.
type Check string

// The checks.
const (
	Integrity          Check = "integrity"
	Authenticity       Check = "authenticity"
	AuthenticTimestamp Check = "authenticTimestamp"
	Expiry             Check = "expiry"
	Revocation         Check = "revocation"
)

// Checks returns all of them, in the order in which they are made.
func Checks() []Check {
	return []Check{Integrity, Authenticity, Expiry, AuthenticTimestamp, Revocation}
}

// A Level is a set of actions with a name.
type Level string

// The levels.
const (
	LevelStrict     Level = "strict"
	LevelPermissive Level = "permissive"
	LevelAudit      Level = "audit"
	LevelSkip       Level = "skip"
)

// Levels returns all of them, the strictest first.
func Levels() []Level { return []Level{LevelStrict, LevelPermissive, LevelAudit, LevelSkip} }

// Actions returns what the level says of each check; nil if there is no such
// level.
func (l Level) Actions() map[Check]Action {
	switch l {
	case LevelStrict:
		return map[Check]Action{Integrity: Enforce, Authenticity: Enforce, AuthenticTimestamp: Enforce, Expiry: Enforce, Revocation: Enforce}
	case LevelPermissive:
		return map[Check]Action{Integrity: Enforce, Authenticity: Enforce, AuthenticTimestamp: Log, Expiry: Log, Revocation: Log}
	case LevelAudit:
		return map[Check]Action{Integrity: Enforce, Authenticity: Log, AuthenticTimestamp: Log, Expiry: Log, Revocation: Log}
	case LevelSkip:
		return map[Check]Action{Integrity: Skip, Authenticity: Skip, AuthenticTimestamp: Skip, Expiry: Skip, Revocation: Skip}
	}
	return nil
}

// Timestamps says when a timestamp is looked at.
type Timestamps string

// The values of verifyTimestamp.
const (
	// Always, the default: whenever the statement names a store of the type tsa.
	Always Timestamps = "always"
	// AfterCertExpiry: only when a certificate of the signing chain has expired.
	AfterCertExpiry Timestamps = "afterCertExpiry"
)
