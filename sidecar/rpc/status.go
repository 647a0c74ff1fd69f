package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
)

// kinds maps origin's kinds of error to statuses, as api/v1/alio.proto lists them.
var kinds = map[error]codes.Code{
	origin.ErrNotFound:       codes.NotFound,
	origin.ErrUnknownMount:   codes.FailedPrecondition,
	origin.ErrDenied:         codes.PermissionDenied,
	origin.ErrVersionChanged: codes.Aborted,
	origin.ErrInvalidRange:   codes.OutOfRange,
	origin.ErrInvalid:        codes.InvalidArgument,
	origin.ErrUnsupported:    codes.Unimplemented,
	origin.ErrThrottled:      codes.ResourceExhausted,
	origin.ErrUnavailable:    codes.Unavailable,
}

// toStatus makes any error a status. One that is a status already stays as it is; if the call itself has ended, that is what is said.
func toStatus(ctx context.Context, err error) *status.Status {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return s
	}
	if end := ctx.Err(); end != nil && errors.Is(err, end) {
		return status.FromContextError(end)
	}
	return status.New(kinds[origin.Kind(err)], strings.ToValidUTF8(err.Error(), "?"))
}

// fileError is an error of one file in a batch.
func fileError(ctx context.Context, err error) *apiv1.Error {
	s := toStatus(ctx, err)
	return &apiv1.Error{Code: int32(s.Code()), Message: s.Message()}
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func precondition(format string, args ...any) error {
	return status.Errorf(codes.FailedPrecondition, format, args...)
}
