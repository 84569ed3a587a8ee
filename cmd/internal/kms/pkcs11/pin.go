package pkcs11

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// maxPIN bounds a PIN, in bytes. Tokens take 4 to 255.
const maxPIN = 255

// readPIN reads the PIN that u names. It is read for each login, so that a
// changed file counts.
func readPIN(op string, u URI, cfg Config) (string, error) {
	var pin []byte
	var from string
	switch {
	case u.PINFile != "":
		from = "the PIN file " + u.PINFile
		var err error
		if pin, err = readLine(u.PINFile); err != nil {
			return "", fault.New(fault.Credentials, op, "%s: %w", from, because(err)).
				WithHint("write the PIN to %s, on one line, readable by the user that this program runs as", u.PINFile)
		}
	case u.PINEnv != "":
		from = "the variable " + u.PINEnv
		value, ok := "", false
		if cfg.LookupEnv != nil {
			value, ok = cfg.LookupEnv(u.PINEnv)
		}
		if !ok {
			return "", fault.New(fault.Credentials, op, "%s, which holds the PIN, is not set", from).
				WithHint("set %s, or name a file with pin-source=/run/secrets/pin", u.PINEnv)
		}
		pin = []byte(value)
	default:
		return "", fault.New(fault.Credentials, op, "the token asks for a PIN, and the URI names none").
			WithHint("write the PIN to a file and add pin-source=/run/secrets/pin to the URI")
	}
	switch {
	case len(pin) == 0:
		return "", fault.New(fault.Credentials, op, "%s is empty", from).WithHint("write the PIN there")
	case len(pin) > maxPIN:
		return "", fault.New(fault.Credentials, op, "%s holds %d bytes; a PIN has at most %d", from, len(pin), maxPIN).
			WithHint("it has to hold the PIN and nothing else")
	case bytes.ContainsAny(pin, "\x00\n\r"):
		return "", fault.New(fault.Credentials, op, "%s holds more than one line, or a NUL byte", from).
			WithHint("it has to hold the PIN and nothing else")
	}
	return string(pin), nil
}

// readLine returns a file's content without the line end after it. What is too
// long for a PIN is cut, and still too long.
func readLine(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const lineEnd = len("\r\n")
	data, err := io.ReadAll(io.LimitReader(f, int64(maxPIN+lineEnd+1)))
	if err != nil {
		return nil, err
	}
	if line, ok := bytes.CutSuffix(data, []byte("\n")); ok {
		data = bytes.TrimSuffix(line, []byte("\r"))
	}
	return data, nil
}

// because takes the operation and the path out of an error that stands behind
// the name of the file.
func because(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
