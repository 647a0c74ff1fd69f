package origintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alio-lake/alio/origin"
)

// Effect is what a Rule does to a call. Make one with the functions below.
type Effect struct {
	name  string
	call  func(ctx context.Context, op, path string) error // before the call, in its place if it fails
	body  func(ctx context.Context, path string) error     // after `after` bytes of a read's body
	after int64
}

const effectWrongVersion = "wrong version"

// errInjected is the cause of every injected error, to tell it from real ones.
var errInjected = errors.New("injected fault")

// Injected reports whether err was made by a Faulty origin.
func Injected(err error) bool { return errors.Is(err, errInjected) }

// Fail answers an error of a kind instead of the call.
func Fail(kind error) Effect { return FailAfter(kind, 0) }

// FailAfter is Fail with a time for which the origin asks to be left alone.
func FailAfter(kind error, retryAfter time.Duration) Effect {
	return Effect{name: "fail", call: func(_ context.Context, op, path string) error {
		e := origin.NewError(kind, op, path, errInjected)
		e.RetryAfter = retryAfter
		return e
	}}
}

// Delay holds the call up, or until its context ends.
func Delay(d time.Duration) Effect {
	return Effect{name: "delay", call: func(ctx context.Context, op, path string) error {
		if err := sleep(ctx, d); err != nil {
			return origin.NewError(origin.ErrUnavailable, op, path, err)
		}
		return nil
	}}
}

// Hang holds the call up until its context ends.
func Hang() Effect {
	return Effect{name: "hang", call: func(ctx context.Context, op, path string) error {
		<-ctx.Done()
		return origin.NewError(origin.ErrUnavailable, op, path, ctx.Err())
	}}
}

// BreakBody fails a read's body with ErrUnavailable after n bytes, as a broken connection does.
func BreakBody(n int64) Effect {
	return Effect{name: "break body", after: n, body: func(_ context.Context, path string) error {
		return origin.NewError(origin.ErrUnavailable, OpRead, path, errInjected)
	}}
}

// FailBody fails a read's body with an error of a kind after n bytes.
func FailBody(n int64, kind error) Effect {
	return Effect{name: "fail body", after: n, body: func(_ context.Context, path string) error {
		return origin.NewError(kind, OpRead, path, errInjected)
	}}
}

// ShortBody ends a read's body with io.EOF after n bytes, however many were announced: what no origin may do.
func ShortBody(n int64) Effect {
	return Effect{name: "short body", after: n, body: func(context.Context, string) error { return io.EOF }}
}

// HangBody blocks a read's body after n bytes until the context of the read ends.
func HangBody(n int64) Effect {
	return Effect{name: "hang body", after: n, body: func(ctx context.Context, path string) error {
		<-ctx.Done()
		return origin.NewError(origin.ErrUnavailable, OpRead, path, ctx.Err())
	}}
}

// WrongVersion answers another version of the object than the one it has and that may have been asked for, as a server that
// ignores conditions does: version, ETag and part ids differ, and every byte of a body is inverted, so that a mixture shows.
func WrongVersion() Effect { return Effect{name: effectWrongVersion} }

func (e Effect) before(ctx context.Context, op, path string) error {
	if e.call == nil {
		return nil
	}
	return e.call(ctx, op, path)
}

// object is what the effect makes of an answered object.
func (e Effect) object(obj origin.Object) origin.Object {
	if e.name != effectWrongVersion {
		return obj
	}
	obj.Version += "-other"
	if obj.ETag != "" {
		obj.ETag = fmt.Sprintf(`"%s-other"`, obj.ETag[1:max(1, len(obj.ETag)-1)])
	}
	parts := append([]origin.Part(nil), obj.Parts...)
	for i := range parts {
		if parts[i].ID != "" {
			parts[i].ID += "-other"
		}
	}
	obj.Parts = parts
	return obj
}
