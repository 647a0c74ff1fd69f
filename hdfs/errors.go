package hdfs

import (
	"context"
	"errors"
	"fmt"
	"os"

	library "github.com/colinmarc/hdfs/v2"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// fail names an error's kind and, where there is one, the way out.
func (o *Origin) fail(ctx context.Context, op, path string, err error) error {
	var done *origin.Error
	if errors.As(err, &done) {
		return done
	}
	if ctx.Err() != nil {
		return origin.NewError(origin.ErrUnavailable, op, path, errors.Join(context.Cause(ctx), ctx.Err()))
	}
	err = remote(err)
	kind, hint := o.explain(err)
	if hint != "" {
		err = fmt.Errorf("%w (%s)", err, hint)
	}
	failed := origin.NewError(kind, op, path, fmt.Errorf("%s: %w", o.id, err))
	if errors.Is(err, errMissing) {
		failed.RetryAfter = reportWait
	}
	return failed
}

// remote is the NameNode's exception within an error of the HDFS library.
func remote(err error) error {
	var e library.Error
	if errors.As(err, &e) {
		return namenode.NewRemoteError(e.Exception(), e.Message())
	}
	return err
}

// explain is an error's kind and what to do about it.
//
//lint:ignore ST1008 the kind is the answer here, not how it went
func (o *Origin) explain(err error) (kind error, hint string) {
	switch {
	case errors.Is(err, namenode.ErrCredentials), namenode.Is(err, "InvalidToken", "SecretManager$InvalidToken"):
		return origin.ErrDenied, o.loginHint(err)
	case errors.Is(err, errLayer):
		return origin.ErrUnsupported, "set dfs.encrypt.data.transfer.cipher.suites to AES/CTR/NoPadding on the DataNodes, with dfs.data.transfer.protection privacy, or that to authentication"
	case errors.Is(err, namenode.ErrNoKDC):
		return origin.ErrUnavailable, "the KDCs are those that " + o.creds.file + " names for the realm"
	case namenode.Is(err, "AccessControlException", "AuthorizationException"), errors.Is(err, os.ErrPermission):
		return origin.ErrDenied, fmt.Sprintf("asked as %s: grant that user the right, or mount with another", o.who())
	case namenode.Is(err, "SafeModeException"):
		return origin.ErrUnavailable, "the NameNode is in safe mode: wait until its DataNodes have reported, or run hdfs dfsadmin -safemode leave"
	case namenode.Is(err, "FileNotFoundException"), errors.Is(err, os.ErrNotExist):
		return origin.ErrNotFound, ""
	case namenode.Is(err, "UnresolvedPathException", "UnresolvedLinkException"):
		return origin.ErrUnsupported, "the path leads over a symbolic link, which HDFS leaves to its clients to follow: read the link's target"
	case namenode.Is(err, "InvalidPathException", "PathComponentTooLongException", "HadoopIllegalArgumentException", "IllegalArgumentException"):
		return origin.ErrInvalid, ""
	case namenode.Is(err, "FileAlreadyExistsException", "ParentNotDirectoryException", "PathIsNotDirectoryException"):
		return origin.ErrInvalid, "HDFS has a directory where this path wants a file, or a file where it wants a directory"
	case namenode.Is(err, "NSQuotaExceededException", "DSQuotaExceededException", "QuotaByStorageTypeExceededException", "QuotaExceededException"):
		return origin.ErrDenied, "the directory's quota is used up"
	case namenode.Is(err, "UnsupportedOperationException"):
		return origin.ErrUnsupported, ""
	}
	return origin.ErrUnavailable, ""
}

// who is the user that the NameNode sees.
func (o *Origin) who() string {
	if o.creds != nil {
		return o.creds.name()
	}
	return fmt.Sprintf("user %q", o.cluster.user)
}
