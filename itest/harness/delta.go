package harness

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed deltalake.txt
var deltalake string

//go:embed delta.py
var deltaScript string

// WriteDelta writes a Delta table with columns id, price and name below s3://bucket/prefix: delta-rs, which is no engine, does it, in five commits with a
// checkpoint at the fourth. The table has 4,000 rows but for the 300 that one of the commits deletes.
func WriteDelta(ctx context.Context, s *S3Server, prefix string, logf Logf) error {
	venv, err := pythonWith(ctx, "deltalake-1.6.6", deltalake, logf)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), "-c", deltaScript, "s3://"+s.Bucket+"/"+prefix)
	cmd.Env = append(os.Environ(), "S3_ENDPOINT="+s.Endpoint, "S3_ACCESS_KEY="+s.AccessKey, "S3_SECRET_KEY="+s.SecretKey, "S3_REGION="+s.Region)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write a Delta table: %w\n%s", err, lastLines(string(out), 15))
	}
	return nil
}
