// Package faults has the kinds of error that every parser of the formats returns, so that a caller can tell them apart with errors.Is whichever
// format it was. It is not for errors of reading: those are passed on as they are. Start at Corrupt.
package faults

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt: the bytes are not what their format promises.
	ErrCorrupt = errors.New("corrupt file")
	// ErrTooLarge: the bytes may be right, but reading them would take more memory or time than a parser is given.
	ErrTooLarge = errors.New("too large")
)

// Corrupt makes an ErrCorrupt that says what is wrong.
func Corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// TooLarge makes an ErrTooLarge that says what is.
func TooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooLarge, fmt.Sprintf(format, args...))
}
