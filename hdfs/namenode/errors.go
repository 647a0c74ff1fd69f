package namenode

import (
	"errors"
	"fmt"
	"strings"
)

// RemoteError is an exception of the NameNode.
type RemoteError struct {
	Class   string // of the exception, in Java's spelling
	Message string // without the server's stack trace
	Code    int    // RpcErrorCodeProto; 0 if none was told
	Fatal   bool   // the server closes the connection
}

func (e *RemoteError) Error() string {
	class := e.Class[strings.LastIndexByte(e.Class, '.')+1:]
	switch {
	case class == "" && e.Message == "":
		return fmt.Sprintf("the NameNode refused the call with code %d", e.Code)
	case e.Message == "":
		return class
	case class == "":
		return e.Message
	}
	return class + ": " + e.Message
}

// Is reports whether err is a RemoteError of one of the classes, given without their packages.
func Is(err error, classes ...string) bool {
	var e *RemoteError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range classes {
		if e.Class == c || strings.HasSuffix(e.Class, "."+c) || strings.HasSuffix(e.Class, "$"+c) {
			return true
		}
	}
	return false
}

// cutTrace leaves of an exception's text what a person can use: the lines before the server's stack trace, without the class name that
// some begin with.
func cutTrace(s string) string {
	if i := strings.Index(s, "\n\tat "); i >= 0 {
		s = s[:i]
	}
	if i := strings.Index(s, "\nCaused by: "); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "") + " …"
	}
	return s
}

// ErrClosed is the cause of a call after Close.
var ErrClosed = errors.New("the NameNode client was closed")

// ErrUnreachable is the kind of error when no NameNode could be asked: none can be reached, none is active, or none answers in time.
var ErrUnreachable = errors.New("no NameNode answers")

// ErrCredentials is the kind of error when credentials are missing, have expired or are not accepted.
var ErrCredentials = errors.New("the credentials are not accepted")

// ErrNoKDC is the cause when no Kerberos server answers.
var ErrNoKDC = errors.New("no Kerberos server (KDC) answers")

func unknownMethod(err error) bool {
	var e *RemoteError
	return errors.As(err, &e) && (e.Code == 2 || Is(err, "RpcNoSuchMethodException"))
}

// elsewhere reports an answer that another NameNode may give better.
func elsewhere(err error) bool { return Is(err, "StandbyException", "ObserverRetryOnActiveException") }

// later reports an answer that the same NameNode asks to try again after a while.
func later(err error) bool { return Is(err, "RetriableException") }

// refused reports an answer that says the caller's credentials are not taken.
func refused(err error) bool {
	var e *RemoteError
	return errors.As(err, &e) && (e.Code == 15 || Is(err, "SaslException", "InvalidToken", "AccessControlException") && e.Fatal)
}

// NewRemoteError is the exception of a class with a message that may carry the server's stack trace.
func NewRemoteError(class, message string) *RemoteError {
	return &RemoteError{Class: class, Message: cutTrace(message)}
}
