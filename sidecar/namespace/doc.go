// Package namespace puts origins of any kinds under one another, as an operator mounts them: "lake" on HDFS, "lake/archive" in a bucket of GCS,
// "lake/archive/2019" on S3. The mount with the longest path that holds a name answers for it; what an origin itself holds below another
// mount's path is hidden, as below a mount point of a file system. One Origin is all of that below one first path component, so that whoever
// reads from it need not know. Start at New, then list.go for how listings are put together.
package namespace
