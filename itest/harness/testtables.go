package harness

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// PutTestTable copies a table of formats/testdata/tables, which its format's own writer has made, below prefix of a bucket.
func PutTestTable(ctx context.Context, c *s3.Client, bucket, prefix, table string) error {
	root, err := RepoRoot()
	if err != nil {
		return err
	}
	files, source := 0, os.DirFS(filepath.Join(root, "formats", "testdata", "tables", table))
	err = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		key := path.Join(prefix, name)
		files++
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)})
		return err
	})
	if err == nil && files == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("the test table %s: %w", table, err)
	}
	return nil
}
