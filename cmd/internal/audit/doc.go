// Package audit keeps the record of issue: one line for each token that was
// issued and for each change of clock, key and configuration, on the disk
// before the token is released, and chained by hashes so that nothing can be
// altered, left out or put in between without its being seen (ETSI EN 319 421,
// 7.12 and 7.13; CA/Browser Forum code signing requirements, 5.4).
//
//	log, err := audit.Open(audit.Config{Dir: "/var/lib/fencepost/audit"})
//	...
//	err = log.Append(ctx, &audit.Token{Serial: serial, ...}) // err: issue nothing
//
// [Verify] checks such a folder, [Find] looks for records, [Walk] reads them
// all. They can read a folder that a server is writing to.
//
// # What it proves
//
// The chain alone proves that nothing was altered by somebody who did not
// compute it anew from there on, for which no secret is needed. That is what
// timestamps over it are for (see Config.Stamp), best by an authority of
// somebody else: what is under one cannot be altered any more, nor dated back.
// They are in the chain themselves, so that one cannot be taken out without
// altering what follows it, and the next one covers that. Records since the
// last timestamp, and the end of the log, can be cut off unseen by who can write
// to the folder, unless the auditor knows a later hash from elsewhere: State
// tells the newest, Verify takes it as VerifyOptions.Contains.
//
// # Files
//
// A log is one folder. Its files are
//
//	NNNNNNNN-YYYYMMDDThhmmssZ.jsonl          records: a number from 1, and when it begins
//	NNNNNNNN-YYYYMMDDThhmmssZ.jsonl.1.torn   what a crash left at the end of one
//	lock                                     locked by the server that writes
//
// A file of records is UTF-8 text, one JSON object a line (RFC 8259), each line
// ended by a newline (0x0a), without white space outside strings, at most 65,536
// bytes long. The values are strings, whole numbers, true and false; there are no
// objects or arrays within. In strings only the quotation mark and the backslash
// are escaped as \" and \\, and characters that do not show or control a
// terminal as \uXXXX. Members come in the order given here. A later version may
// add kinds, and members after those here, and readers pass over what they do
// not know.
//
//	{"n":17,"synced":15,"time":"2026-03-01T12:00:00.123456789Z","kind":"token",...,"hash":"..."}
//
//	n        the number of the record, running on over the files from 1
//	synced   the last record that was on the disk when this one was written; those
//	         with the same number here were written together
//	time     of recording, by the machine's clock, UTC, nine digits of fraction
//	kind     one of those below
//	hash     base64url without padding (43 characters) of the SHA-256 of: the hash of
//	         the record before, 32 octets, zero for the first; and the line from its
//	         beginning up to and not including ,"hash":"..."}
//
// Digests of other things are in lower-case hexadecimal, spans of time in
// nanoseconds, times like time. What is in brackets is left out where there is
// nothing to say.
//
//	segment    segment, format, instance, host, program, prev_n, prev_hash, stamped_n,
//	           [unsealed]
//	seal       count, reason, earliest, latest
//	token      serial, gen_time, policy, algorithm, digest, accuracy_ns, clock_state,
//	           clock_bound_ns, cert, key, token_sha256, [client], [request]
//	start      program, pid, [detail]
//	stop       reason
//	config     event, digest, files, [changed]
//	key        event, key, [uri], cert, [not_after], [detail]
//	clock      event, state, offset_ns, bound_ns, [detail]
//	stamp      head_n, head, token
//	recovered  reason, name, last_n, offset, bytes, sha256, [aside], [detail]
//	removed    segment, name, first_n, last_n, last_hash
//
// The first line of each file is a segment; it says which record it follows, and
// its hash. A file that is full or old enough ends with a seal. One that ends
// without was given up because the disk failed or something in it is damaged;
// then the segment of the next file says so in unsealed, what follows its prev_n
// in the file is void, and a recovered tells more.
//
// In a stamp, token is the DER of a TimeStampToken in base64 with padding; its
// imprint is head itself, as a SHA-256, so that "openssl ts -verify -digest" can
// check it.
//
// With jq, the tokens that were issued while the clock was worse than 200 ms:
//
//	jq -c 'select(.kind == "token" and .clock_bound_ns > 200000000)' *.jsonl
//
// # Durability
//
// Records that come at the same time are written together and synced once. A
// file is written by one goroutine, one group after the other, so that at most
// the last group can be torn by a crash. Open verifies the last file, puts aside
// what was torn, which nobody was ever told is recorded, and says so in a
// recovered. What was on the disk before a later group was written cannot have
// been torn: if it is not right, it was damaged, and the file is left as it is.
// After an error of the disk nothing is taken for written that was not synced
// before, the file is given up, and Append fails until another can be made.
package audit
