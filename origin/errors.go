package origin

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of error. Test with errors.Is; the text around them names the operation, the path and the cause.
var (
	ErrNotFound       = errors.New("not found")
	ErrDenied         = errors.New("access denied")
	ErrVersionChanged = errors.New("object changed")
	ErrThrottled      = errors.New("throttled")
	ErrUnavailable    = errors.New("origin unavailable")
	ErrInvalidRange   = errors.New("range not satisfiable")
	ErrInvalid        = errors.New("invalid request")
	ErrUnknownMount   = errors.New("no such mount")
	ErrUnsupported    = errors.New("not supported")
)

// Error is an origin's error: a kind, what was being done to which path, and the cause.
type Error struct {
	Kind  error  // one of the kinds above
	Op    string // "read", "stat", "list", …
	Path  string
	Cause error
	// RetryAfter is how long the origin asked to be left alone; 0 if it did not say.
	RetryAfter time.Duration
	// Size is the object's size where an ErrInvalidRange's answer told it, else -1.
	Size int64
}

// NewError makes an Error of a kind. cause may be nil.
func NewError(kind error, op, path string, cause error) *Error {
	return &Error{Kind: kind, Op: op, Path: path, Cause: cause, Size: -1}
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%s %q: %v", e.Op, e.Path, e.Kind)
	}
	return fmt.Sprintf("%s %q: %v: %v", e.Op, e.Path, e.Kind, e.Cause)
}

// Unwrap lets errors.Is see both the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Permanent reports whether repeating the same request cannot help.
func Permanent(err error) bool {
	return !errors.Is(err, ErrThrottled) && !errors.Is(err, ErrUnavailable)
}

// Kind returns which of the kinds err is of, or ErrUnavailable if it is of none.
func Kind(err error) error {
	for _, k := range []error{ErrNotFound, ErrDenied, ErrVersionChanged, ErrThrottled, ErrInvalidRange, ErrInvalid, ErrUnknownMount, ErrUnsupported} {
		if errors.Is(err, k) {
			return k
		}
	}
	return ErrUnavailable
}

// As finds the first of o and what it wraps (by an Unwrap() Origin method) that implements T: how an optional capability is found
// through the wrappers.
func As[T any](o Origin) (T, bool) {
	for o != nil {
		if t, ok := o.(T); ok {
			return t, true
		}
		u, ok := o.(interface{ Unwrap() Origin })
		if !ok {
			break
		}
		o = u.Unwrap()
	}
	var zero T
	return zero, false
}
