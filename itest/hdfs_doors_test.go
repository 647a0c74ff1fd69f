package itest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/retry"
)

// answer is what the doors say of a fault, each in its own terms, and what the text tells through either.
type answer struct {
	status int
	s3     string
	grpc   codes.Code
	says   []string
	hides  []string // what no text may hold
}

func unavailable(says ...string) answer {
	return answer{status: 503, s3: "ServiceUnavailable", grpc: codes.Unavailable, says: says}
}

func denied(says ...string) answer {
	return answer{status: 403, s3: "AccessDenied", grpc: codes.PermissionDenied, says: says}
}

// checkText looks for what a person needs in an error's text.
func (a answer) checkText(t *testing.T, what, text string) {
	t.Helper()
	for _, s := range a.says {
		if !strings.Contains(text, s) {
			t.Errorf("%s: %s; want it to say %q", what, text, s)
		}
	}
	a.checkHidden(t, what, text)
}

// checkHidden looks in a text for what nobody may see.
func (a answer) checkHidden(t *testing.T, what, text string) {
	t.Helper()
	for _, s := range append(a.hides, "\tat ", ".java:", "Caused by", doorSecret) {
		if strings.Contains(text, s) {
			t.Errorf("%s: %s; it tells %q", what, text, s)
		}
	}
}

// checkS3 checks what the S3 door's client was answered.
func (a answer) checkS3(t *testing.T, what string, err error) {
	t.Helper()
	var api smithy.APIError
	var http *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &http) || api.ErrorCode() != a.s3 || http.HTTPStatusCode() != a.status {
		t.Errorf("%s through the S3 door: %v; want %d %s", what, err, a.status, a.s3)
		return
	}
	a.checkText(t, what+" through the S3 door", api.ErrorMessage())
}

// checkGRPC checks what the gRPC door's client was answered.
func (a answer) checkGRPC(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != a.grpc {
		t.Errorf("%s through the gRPC door: %v; want %v", what, err, a.grpc)
		return
	}
	a.checkText(t, what+" through the gRPC door", status.Convert(err).Message())
}

// refuses reads a range through both doors, which answer that it cannot be had.
func (d *doors) refuses(t *testing.T, what, mount, path string, off, n int64, a answer) {
	t.Helper()
	_, err := d.partByS3(t.Context(), mount, path, off, n)
	a.checkS3(t, what, err)
	_, err = d.partByGRPC(t.Context(), mount, path, off, n)
	a.checkGRPC(t, what, err)
}

// serves reads a range through both doors.
func (d *doors) serves(t *testing.T, what, mount, path string, off int64, want []byte) {
	t.Helper()
	for door, read := range map[string]func(context.Context, string, string, int64, int64) ([]byte, error){"S3": d.partByS3, "gRPC": d.partByGRPC} {
		if got, err := read(t.Context(), mount, path, off, int64(len(want))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s through the %s door: %d bytes of %d, %v", what, door, len(got), len(want), err)
		}
	}
}

// breaksOff reads a whole object of which only the bytes in good can be read: a client may be given some of them, then an error, never an end.
func (d *doors) breaksOff(t *testing.T, mount, path string, good []byte) {
	t.Helper()
	for door, read := range map[string]func(context.Context, string, string) ([]byte, error){"S3": d.byS3, "gRPC": d.byGRPC} {
		if got, err := read(t.Context(), mount, path); err == nil || !bytes.HasPrefix(good, got) {
			t.Errorf("%s, which can be read to byte %d, through the %s door: %d bytes, %v", path, len(good), door, len(got), err)
		}
	}
}

func (d *doors) put(ctx context.Context, mount, key string, data []byte) error {
	_, err := d.door.PutObject(ctx, &awss3.PutObjectInput{Bucket: &mount, Key: &key, Body: bytes.NewReader(data)})
	return err
}

// exits runs an alio command against the sidecar's gRPC door, which fails and says what the door says.
func (d *doors) exits(t *testing.T, a answer, args ...string) {
	t.Helper()
	bin, err := harness.AlioBinary(t.Context(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), bin, append(args, "--door", d.socket)...)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	what, code := "alio "+strings.Join(args, " "), cmd.ProcessState.ExitCode()
	if code != 1 || !strings.HasPrefix(said.String(), "alio: ") {
		t.Errorf("%s: exit %d, %q; want 1 and why", what, code, &said)
	}
	a.checkText(t, what, said.String())
}

// replicas are the files of a block on all DataNodes: data and checksums.
func (l lake) replicas(t *testing.T, path string, block int) (files []string) {
	t.Helper()
	id := strings.Split(strings.Fields(l.do(t, "locate %s", l.at(path)))[4+block], ":")[1]
	err := filepath.WalkDir(l.Dir, func(path string, e fs.DirEntry, err error) error {
		if name := "blk_" + id; err == nil && (e.Name() == name || strings.HasPrefix(e.Name(), name+"_")) {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("the replicas of block %s: %v, %v", id, files, err)
	}
	return files
}

// takeAway takes the replicas of a block away from all DataNodes, as a disk that is not mounted does. back brings them back: the DataNodes are started
// again, without their own list of what they hold.
func (l lake) takeAway(t *testing.T, path string, block int) (back func()) {
	t.Helper()
	const away = ".away"
	files := l.replicas(t, path, block)
	for _, f := range files {
		if err := os.Rename(f, f+away); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		l.dataNodes(t, "stop")
		err := filepath.WalkDir(l.Dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Name() == "replicas" {
				err = os.Remove(path)
			}
			return err
		})
		for _, f := range files {
			err = errors.Join(err, os.Rename(f+away, f))
		}
		if err != nil {
			t.Fatal(err)
		}
		l.dataNodes(t, "start")
	}
}

// readPatiently begins to read a file with a missing block, as a mount does that tries again; wait waits until it has been read.
func (l lake) readPatiently(t *testing.T, path string, data []byte) (wait func()) {
	t.Helper()
	o := l.origin(t)
	_, _, err := readAll(o, origin.ReadRequest{Path: path, Offset: 1 << 20, Length: 1000})
	wantError(t, "a missing block", err, origin.ErrUnavailable, "missing")
	if wait := origin.RetryAfter(err); wait < time.Second {
		t.Errorf("a missing block asks to wait %v", wait)
	}
	patient, err := retry.New(o, retry.Options{MaxAttempts: 60, MaxElapsed: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, got, err := readAll(patient, origin.ReadRequest{Path: path, Length: origin.WholeRange})
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("other bytes than were written")
		}
		read <- err
	}()
	return func() {
		t.Helper()
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
}

// dataNodes stops or starts both.
func (l lake) dataNodes(t *testing.T, what string) {
	t.Helper()
	for i := range l.DataNodes {
		l.do(t, "datanode %s %d", what, i)
	}
}

// testFaultsAtDoors has one sidecar over an HDFS in which one thing after another is broken and mended.
func testFaultsAtDoors(t *testing.T, l lake) {
	healthy := l.write(t, "doors/healthy", 50, 2500000)
	l.replicated(t, "doors/healthy", 3)
	d := newDoors(t, fmt.Sprintf("  lake: {uri: '%s%s', hdfs: {conf_dir: '%s', user: %s}, retry: {attempts: 2}, writes: pass_through}\n", l.URI, l.dir, l.ConfDir, harness.HDFSUser))
	served := func(t *testing.T) {
		t.Helper()
		d.serves(t, "a healthy file", "lake", "doors/healthy", 0, healthy)
	}
	t.Run("lost block", func(t *testing.T) {
		data := l.write(t, "doors/lost", 51, 2500000)
		l.replicated(t, "doors/lost", 3)
		back := l.takeAway(t, "doors/lost", 1)
		gone := unavailable("block ", "hdfs fsck "+l.dir+"/doors/lost")
		d.refuses(t, "a lost block", "lake", "doors/lost", 1<<20, 1000, gone)
		until(t, "the DataNodes report that they do not have it", func() bool {
			_, err := d.partByGRPC(t.Context(), "lake", "doors/lost", 1<<20, 1000)
			return strings.Contains(status.Convert(err).Message(), "missing")
		})
		d.refuses(t, "a missing block", "lake", "doors/lost", 1<<20, 1000, unavailable("block ", "is missing: no DataNode has it", "hdfs fsck "+l.dir+"/doors/lost"))
		d.serves(t, "the block before a lost one", "lake", "doors/lost", 1000, data[1000:2000])
		d.breaksOff(t, "lake", "doors/lost", data[:1<<20])
		d.exits(t, gone, "cat", "alio://lake/doors/lost")
		served(t)
		read := l.readPatiently(t, "doors/lost", data)
		back()
		read()
		l.replicated(t, "doors/lost", 3)
		d.serves(t, "a block that is back", "lake", "doors/lost", 0, data)
	})
	t.Run("DataNodes down", func(t *testing.T) {
		data := l.write(t, "doors/down", 52, 1500000)
		l.replicated(t, "doors/down", 2)
		l.dataNodes(t, "stop")
		d.refuses(t, "DataNodes that are down", "lake", "doors/down", 0, 1000, unavailable("none of its 2 replicas could be read", "a DataNode cannot be reached",
			"hdfs fsck "+l.dir+"/doors/down"))
		unavailable("a DataNode cannot be reached", "hdfs dfsadmin -report").checkS3(t, "a Put", d.put(t.Context(), "lake", "doors/new", []byte("new")))
		served(t)
		l.dataNodes(t, "start")
		d.serves(t, "DataNodes that are back", "lake", "doors/down", 0, data)
	})
	t.Run("corrupt", func(t *testing.T) {
		data := l.write(t, "doors/corrupt", 53, 2500000)
		l.replicated(t, "doors/corrupt", 3)
		for block := range 3 {
			l.do(t, "corrupt %s %d %d", l.at("doors/corrupt"), block, block%2)
		}
		d.serves(t, "a file of which each block has a corrupt replica", "lake", "doors/corrupt", 0, data)
		data = l.write(t, "doors/corrupter", 54, 2500000)
		l.replicated(t, "doors/corrupter", 3)
		for i := range 2 {
			l.do(t, "corrupt %s 1 %d", l.at("doors/corrupter"), i)
		}
		d.refuses(t, "corrupt replicas", "lake", "doors/corrupter", 1<<20, 1000, unavailable("block ", "corrupt", "hdfs fsck "+l.dir+"/doors/corrupter"))
		d.breaksOff(t, "lake", "doors/corrupter", data[:1<<20])
		served(t)
		data = l.write(t, "doors/corrupter", 55, 1500000)
		d.serves(t, "a file that was written again", "lake", "doors/corrupter", 0, data)
	})
	t.Run("safe mode", func(t *testing.T) {
		data := l.write(t, "doors/safe", 56, 1500000)
		l.do(t, "safemode enter")
		d.serves(t, "a file in safe mode", "lake", "doors/safe", 0, data)
		served(t)
		unavailable("safe mode", "wait until its DataNodes have reported", "hdfs dfsadmin -safemode leave").checkS3(t, "a Put in safe mode", d.put(t.Context(), "lake", "doors/new", []byte("new")))
		l.do(t, "safemode leave")
		if err := d.put(t.Context(), "lake", "doors/new", []byte("new")); err != nil {
			t.Errorf("a Put after safe mode: %v", err)
		}
		d.serves(t, "what was put", "lake", "doors/new", 0, []byte("new"))
	})
	answer{}.checkHidden(t, "the sidecar's output", d.output())
}

// testCredentialsAtDoors has one sidecar with mounts whose credentials do not work, beside one whose do, and makes them work.
func (k kerberos) testCredentialsAtDoors(t *testing.T) {
	data := pattern(60, 0, 150_000)
	k.put(t, "file", data)
	stale := "doors@" + harness.KDCRealm
	remake := func() string {
		keytab, err := k.KDC.Keytab(t.Context(), "doors", stale)
		if err != nil {
			t.Fatal(err)
		}
		return keytab
	}
	keytab, missing := remake(), filepath.Join(t.TempDir(), "missing.keytab")
	if err := k.KDC.Rekey(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(k.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.keytab")
	if err := os.WriteFile(broken, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	cache := k.ticket(t, "doors", k.Keytab, k.Principal, time.Second)
	secret := secrets(t, cache, k.Keytab, keytab)
	mount := func(name, how string) string {
		return fmt.Sprintf("  %s: {uri: '%s%s', hdfs: {conf_dir: '%s', krb5_conf: '%s', %s}}\n", name, k.URI, k.dir, k.ConfDir, k.Krb5Conf, how)
	}
	byKeytab := func(principal, keytab string) string {
		return fmt.Sprintf("principal: '%s', keytab: '%s'", principal, keytab)
	}
	d := newDoors(t, mount("good", byKeytab(k.Principal, k.Keytab))+mount("stale", byKeytab(stale, keytab))+
		mount("missing", byKeytab(k.Principal, missing))+mount("broken", byKeytab(k.Principal, broken))+mount("expired", "credential_cache: '"+cache+"'"))
	until(t, "the ticket expires", func() bool {
		_, err := k.origin(t, k.cache(cache)).Stat(t.Context(), "file")
		return err != nil
	})
	for _, c := range []struct {
		mount string
		says  []string
		mend  func() error
	}{
		{"stale", []string{stale, keytab, "make the keytab again"}, func() error { remake(); return nil }},
		{"missing", []string{missing, "no such file"}, func() error { return os.Link(k.Keytab, missing) }},
		{"broken", []string{broken, "cannot be used", "make the keytab again"}, func() error { return os.WriteFile(broken, whole, 0o600) }},
		{"expired", []string{cache, "has expired", "kinit"}, func() error { k.ticket(t, "doors", k.Keytab, k.Principal, time.Hour); return nil }},
	} {
		t.Run(c.mount, func(t *testing.T) {
			a := denied(c.says...)
			a.hides = secret
			d.refuses(t, c.mount, c.mount, "file", 0, 1000, a)
			_, err := d.door.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &c.mount})
			a.checkS3(t, "a listing", err)
			_, err = d.rpc.List(t.Context(), &apiv1.ListRequest{Mount: c.mount})
			a.checkGRPC(t, "a listing", err)
			d.exits(t, a, "stat", "alio://"+c.mount+"/file")
			d.serves(t, "the mount whose credentials work", "good", "file", 0, data)
			if err := c.mend(); err != nil {
				t.Fatal(err)
			}
			d.serves(t, "the same mount with credentials that work", c.mount, "file", 0, data)
		})
	}
	answer{hides: secret}.checkHidden(t, "the sidecar's output", d.output())
}

// secrets are the keys of a credential cache and of keytabs, and its tickets, as a text could hold them.
func secrets(t *testing.T, cache string, keytabs ...string) (all []string) {
	t.Helper()
	add := func(b []byte) {
		all = append(all, string(b), hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), strings.Trim(fmt.Sprint(b), "[]"))
	}
	tickets, err := credentials.LoadCCache(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tickets.GetEntries() {
		add(e.Key.KeyValue)
		add(e.Ticket)
	}
	for _, path := range keytabs {
		keys, err := keytab.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range keys.Entries {
			add(e.Key.KeyValue)
		}
	}
	if len(all) < 4*(2+len(keytabs)) {
		t.Fatalf("%d secrets", len(all))
	}
	return all
}
