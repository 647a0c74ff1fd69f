package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// Command makes the command line of a subcommand of alio ("sidecar", …). Self is the usual one.
type Command func(args ...string) *exec.Cmd

// Self runs this very binary.
func Self() (Command, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	return func(args ...string) *exec.Cmd { return exec.Command(path, args...) }, nil
}

// ready is the log line of a sidecar that serves.
type ready struct {
	Message string `json:"message"`
	S3      string `json:"s3"`
	Admin   string `json:"admin"`
}

// startSidecar runs "alio sidecar" with arguments and returns once it serves, with the addresses it has logged.
func startSidecar(ctx context.Context, self Command, args ...string) (*proc.Process, ready, error) {
	var r ready
	p, err := proc.Start(ctx, self(append([]string{"sidecar"}, args...)...), func(line string) bool {
		return json.Unmarshal([]byte(line), &r) == nil && r.Message == "ready"
	})
	return p, r, err
}
