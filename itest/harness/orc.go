package harness

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed orc.py
var orcScript string

// WriteORC has pyarrow write an ORC file of twelve columns, c0 to c11, in stripes of about so many bytes, and returns how many there are.
func WriteORC(ctx context.Context, file string, rows, stripe int, logf Logf) (stripes int, err error) {
	out, err := runORC(ctx, nil, logf, "write", file, strconv.Itoa(rows), strconv.Itoa(stripe))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// ORCScan is what pyarrow has read of some columns of files.
type ORCScan struct {
	Seconds float64
	Rows    int
	Hash    string
}

// ScanORC has pyarrow read columns of ORC files on S3, stripe after stripe, one file after the other.
func ScanORC(ctx context.Context, endpoint, access, secret, bucket string, columns, keys []string, logf Logf) (s ORCScan, err error) {
	args := append([]string{"scan", endpoint, bucket, strings.Join(columns, ",")}, keys...)
	out, err := runORC(ctx, []string{"S3_ACCESS_KEY=" + access, "S3_SECRET_KEY=" + secret}, logf, args...)
	if err == nil {
		_, err = fmt.Sscan(out, &s.Seconds, &s.Rows, &s.Hash)
	}
	return s, err
}

func runORC(ctx context.Context, env []string, logf Logf, args ...string) (string, error) {
	venv, err := pythonWith(ctx, "readers-1", readersRequirements, logf)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), append([]string{"-c", orcScript}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("pyarrow, %s: %w\n%s", args[0], err, lastLines(complaints.String(), 15))
	}
	return strings.TrimSpace(string(out)), nil
}
