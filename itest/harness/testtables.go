package harness

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// PutTestTable copies a table of formats/testdata/tables, which its format's own writer has made, below prefix of a bucket.
func PutTestTable(ctx context.Context, c *s3.Client, bucket, prefix, table string) error {
	root, err := RepoRoot()
	if err != nil {
		return err
	}
	if err := putFiles(ctx, c, bucket, prefix, os.DirFS(filepath.Join(root, "formats", "testdata", "tables", table))); err != nil {
		return fmt.Errorf("the test table %s: %w", table, err)
	}
	return nil
}

// PutTestData copies the files and tables of formats/testdata below prefix of a bucket.
func PutTestData(ctx context.Context, c *s3.Client, bucket, prefix string) error {
	root, err := RepoRoot()
	if err != nil {
		return err
	}
	return putFiles(ctx, c, bucket, prefix, os.DirFS(filepath.Join(root, "formats", "testdata")))
}

// putFiles copies all files of a folder below prefix of a bucket.
func putFiles(ctx context.Context, c *s3.Client, bucket, prefix string, source fs.FS) error {
	files := 0
	err := fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "fuzz":
			return fs.SkipDir
		case d.IsDir():
			return nil
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
	return err
}

//go:embed readers.txt
var readersRequirements string

//go:embed readers.py
var readersScript string

// ReadTestData reads all that PutTestData has put by the libraries of its formats (delta-rs, pyiceberg, pyarrow), and returns a line for each file and table: its name, the
// number of its rows and a hash of them, or "error" and what it says.
func ReadTestData(ctx context.Context, endpoint, access, secret, bucket, prefix string, logf Logf) ([]string, error) {
	venv, err := pythonWith(ctx, "readers-1", readersRequirements, logf)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), "-c", readersScript, endpoint, bucket, prefix)
	cmd.Env = append(os.Environ(), "S3_ACCESS_KEY="+access, "S3_SECRET_KEY="+secret)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read the test tables: %w\n%s", err, lastLines(complaints.String(), 15))
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), nil
}
