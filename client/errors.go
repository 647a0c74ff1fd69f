package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// The kinds of error. Test with errors.Is; the text around them says what was done to which file, and what may help. An error of the caller's
// context is returned as it is.
var (
	ErrNotFound       = errors.New("not found")
	ErrDenied         = errors.New("access denied")
	ErrVersionChanged = errors.New("object changed: open it again")
	ErrInvalid        = errors.New("invalid request")
	ErrUnsupported    = errors.New("not supported")
	ErrUnavailable    = errors.New("unavailable")
	ErrClosed         = errors.New("client is closed")
)

// kinds maps the statuses of alio.proto.
var kinds = map[codes.Code]error{
	codes.NotFound: ErrNotFound, codes.PermissionDenied: ErrDenied, codes.Unauthenticated: ErrDenied, codes.Aborted: ErrVersionChanged,
	codes.FailedPrecondition: ErrInvalid, codes.InvalidArgument: ErrInvalid, codes.OutOfRange: ErrInvalid, codes.Unimplemented: ErrUnsupported,
}

// statusError words a status that the sidecar answered.
func statusError(code codes.Code, message string) error {
	kind := kinds[code]
	switch {
	case kind == nil:
		kind = ErrUnavailable
	case code == codes.Unauthenticated:
		message += " (set Options.Token)"
	}
	return fmt.Errorf("%w: the sidecar says: %s", kind, message)
}

// codeOf is the status code of one file's error; a code of 0 is none that an error can have.
func codeOf(e *apiv1.Error) codes.Code {
	if e.GetCode() <= 0 {
		return codes.Unknown
	}
	return codes.Code(e.GetCode())
}

// fileError names the operation and the file.
func fileError(op, mount, path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s %q in %q: %w", op, path, mount, err)
}

// callError turns the error of a call that the sidecar answered into ours.
func callError(err error) error {
	if s, ok := status.FromError(err); ok {
		return statusError(s.Code(), s.Message())
	}
	return err
}
