package endpoint

import "net/http"

// subresources name the S3 operation by method and by the parameter that selects it, for errors that say what was asked for. The
// first that matches wins.
var subresources = []struct{ method, param, bucketOp, objectOp string }{
	{http.MethodPost, "delete", "DeleteObjects", ""},
	{http.MethodPost, "uploads", "", "CreateMultipartUpload"},
	{http.MethodPost, "uploadId", "", "CompleteMultipartUpload"},
	{http.MethodPost, "restore", "", "RestoreObject"},
	{http.MethodPost, "select", "", "SelectObjectContent"},
	{http.MethodPut, "uploadId", "", "UploadPart"},
	{http.MethodPut, "renameObject", "", "RenameObject"},
	{http.MethodDelete, "uploadId", "", "AbortMultipartUpload"},
	{http.MethodDelete, "versionId", "", "DeleteObject of one version"},
	{http.MethodPut, "acl", "PutBucketAcl", "PutObjectAcl"},
	{http.MethodPut, "tagging", "PutBucketTagging", "PutObjectTagging"},
	{http.MethodDelete, "tagging", "DeleteBucketTagging", "DeleteObjectTagging"},
	{http.MethodPut, "retention", "", "PutObjectRetention"},
	{http.MethodPut, "legal-hold", "", "PutObjectLegalHold"},
	{http.MethodPut, "versioning", "PutBucketVersioning", ""},
	{http.MethodPut, "policy", "PutBucketPolicy", ""},
	{http.MethodDelete, "policy", "DeleteBucketPolicy", ""},
	{http.MethodPut, "lifecycle", "PutBucketLifecycleConfiguration", ""},
}

// operation names what a request asks for, in the words of S3's API where they are known.
func operation(r *http.Request, t *target) string {
	for _, s := range subresources {
		name := s.objectOp
		if t.key == "" {
			name = s.bucketOp
		}
		if s.method != r.Method || name == "" || !t.query.has(s.param) {
			continue
		}
		if name == "UploadPart" && isCopy(r.Header) {
			return "UploadPartCopy"
		}
		return name
	}
	switch {
	case t.key != "" && r.Method == http.MethodPut && isCopy(r.Header):
		return "CopyObject"
	case t.key == "" && t.bucket != "" && r.Method == http.MethodPut && onlyMarker(t.query):
		return "CreateBucket"
	case t.key == "" && t.bucket != "" && r.Method == http.MethodDelete && onlyMarker(t.query):
		return "DeleteBucket"
	case t.key == "" && r.Method == http.MethodPost && onlyMarker(t.query):
		return "PostObject"
	}
	what := clip(r.Method, 32)
	for _, p := range t.query {
		if p.name != "x-id" && !isAuthParam(p.name) {
			return what + " with ?" + clip(p.name, 64)
		}
	}
	return what
}
