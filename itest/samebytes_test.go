package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
	"github.com/alio-lake/alio/internal/vfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/origin/retry"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// TestSameBytes reads at random through the S3 door, over a cache of a few pages on a device that fails, from real servers whose objects are
// overwritten and deleted all the time behind the sidecar's back. Every answer must be of exactly one version, and of none that was replaced
// longer ago than max_age; so must an answer that there is no object. ALIO_SEED replays the choices.
func TestSameBytes(t *testing.T) {
	seed := origintest.Seed(t)
	for _, c := range []struct {
		name   string
		start  func(t *testing.T) store
		maxAge time.Duration
		memory int64
		faults bool
	}{
		{"s3, fresh", s3Store(false), 0, 1 << 20, false},
		{"s3, aged", s3Store(false), 200 * time.Millisecond, 1 << 20, true},
		{"s3, roomy", s3Store(false), 50 * time.Millisecond, 32 << 20, true},
		{"s3 with versions, fresh", s3Store(true), 0, 1 << 20, true},
		{"s3 with versions, aged", s3Store(true), 100 * time.Millisecond, 32 << 20, true},
		{"gcs, fresh", gcsStore(false), 0, 1 << 20, true},
		{"gcs, aged", gcsStore(false), 100 * time.Millisecond, 1 << 20, true},
		{"gcs with versions, fresh", gcsStore(true), 0, 1 << 20, true},
		{"gcs with versions, aged", gcsStore(true), 100 * time.Millisecond, 32 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.start(t)
			door, device := newDoor(t, s.origin, seed, c.maxAge, c.memory, c.faults)
			raceReaders(t, s, door, device, seed, c.maxAge)
		})
	}
}

// hitting is a sidecar with the lean way, as cmd/alio has it.
type hitting struct{ *sidecar.Sidecar }

func (b hitting) Hit(name []byte, r endpoint.HitRange, etag []byte) endpoint.Hit {
	if h := b.Sidecar.Hit(name, r.Offset, r.Length, r.Suffix, etag); h != nil {
		return h
	}
	return nil
}

// newDoor assembles origin, cache, disk and door as cmd/alio does, with faults in between, and returns a client of the door.
func newDoor(t *testing.T, bare origin.Origin, seed uint64, maxAge time.Duration, memory int64, faults bool) (*awss3.Client, *vfs.Faulty) {
	t.Helper()
	faulty := origintest.NewFaulty(bare, seed)
	device := vfs.NewFaulty(vfs.OS)
	if faults {
		faulty.Add(origintest.Rule{Probability: 0.02, Effect: origintest.Fail(origin.ErrThrottled)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.03, Effect: origintest.BreakBody(5000)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.02, Effect: origintest.ShortBody(100)})
	}
	around, err := retry.New(faulty, retry.Options{MaxAttempts: 4, BaseWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Seed: 1})
	must(t, err)
	tier, err := disk.New(disk.Options{Dir: filepath.Join(t.TempDir(), "cache"), Size: 12 << 20, SegmentSize: 1<<20 + 64<<10, WriteQueue: 4 << 20,
		ReadDeadline: 100 * time.Millisecond, Protected: formats.Metadata, FS: device})
	must(t, err)
	must(t, tier.Open(t.Context()))
	pages, err := cache.New(cache.Options{Memory: memory, UpOdds: 2, FillSpan: 1 << 20, FillMemory: 4 << 20, Disk: tier, Metadata: formats.Metadata, ClassNames: formats.ClassNames()})
	must(t, err)
	sc, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": around}, Pages: pages, FillSpan: 1 << 20,
		Rules: []freshness.Rule{{Path: "**", MaxAge: maxAge}}})
	must(t, err)
	handler, err := endpoint.New(endpoint.Options{Backend: hitting{sc}, Credentials: []endpoint.Credential{{AccessKeyID: "reader", SecretAccessKey: "reader-secret"}}})
	must(t, err)
	door, err := endpoint.NewDoor(endpoint.DoorOptions{Handler: handler})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)

	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { tier.Run(ctx) })
	wg.Go(func() { pages.Run(ctx) })
	wg.Go(func() { door.Serve(ln) })
	t.Cleanup(func() {
		door.Close()
		device.Clear()
		stop()
		wg.Wait()
		pages.Close()
		tier.Close()
	})
	return harness.S3Client("http://"+ln.Addr().String(), "us-east-1", "reader", "reader-secret"), device
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func raceReaders(t *testing.T, behind store, door *awss3.Client, device *vfs.Faulty, seed uint64, maxAge time.Duration) {
	files := [][]byte{
		parquettest.Arrow(t, parquettest.Spec{Columns: 6, RowGroups: 2, Rows: 9000, ValueSize: 20, Dictionary: true, Distinct: 50}),
		parquettest.Arrow(t, parquettest.Spec{Columns: 3, RowGroups: 1, Rows: 9000, ValueSize: 60}),
		bytes.Repeat([]byte("plain "), 100_000), []byte("small"), bytes.Repeat([]byte("s"), 200_000),
	}
	keys := []string{"t/a", "t/b.parquet", "t/odd name+%", "u/c"}
	l := newLedger(keys)
	var writes, deletes atomic.Int64
	write := func(rng *rand.Rand, key string) {
		if l.present(key) && writes.Load() > int64(len(keys)) && rng.IntN(5) == 0 {
			deletes.Add(1)
			if err := l.change(key, nil, func() (string, error) { return absent, behind.remove(key) }); err != nil {
				t.Error(err)
			}
			return
		}
		data := bytes.Clone(files[rng.IntN(len(files))])
		copy(data[len(data)/2:], fmt.Sprint(writes.Add(1)))
		if err := l.change(key, data, func() (string, error) { return behind.put(key, data) }); err != nil {
			t.Error(err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, k := range keys {
		write(rng, k)
	}
	const enough = 700
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { // the writer, and now and then a fault of the device
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && !t.Failed() {
			<-tick.C
			write(rng, keys[rng.IntN(len(keys))])
			sicken(device, rng)
		}
	})
	var compared, missing atomic.Int64
	var failed sync.Map // *atomic.Int64 by S3 error code
	for i := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(10+i)))
			for ctx.Err() == nil && !t.Failed() {
				switch err := readOnce(ctx, l, door, rng, keys, maxAge); {
				case err == nil, errors.Is(err, errMissing):
					if err != nil {
						missing.Add(1)
					}
					if compared.Add(1) == enough {
						cancel()
					}
				case errors.Is(err, errWrong):
					t.Errorf("%v (ALIO_SEED=%d)", err, seed)
				default:
					n, _ := failed.LoadOrStore(code(err), new(atomic.Int64))
					n.(*atomic.Int64).Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d answers compared, %d of them that there is no object; %d versions, %d deletes", compared.Load(), missing.Load(), writes.Load(), deletes.Load())
	failed.Range(func(code, n any) bool {
		t.Logf("%d requests failed: %s", n.(*atomic.Int64).Load(), code)
		return true
	})
	if compared.Load() < enough {
		t.Errorf("only %d answers were compared in a minute", compared.Load())
	}
}

// code is the S3 error code of an answer, or what else went wrong.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if errors.Is(err, context.Canceled) {
		return "canceled"
	}
	return err.Error()
}

// sicken puts one fault of the device in place of the last.
func sicken(device *vfs.Faulty, rng *rand.Rand) {
	device.Clear()
	switch rng.IntN(6) {
	case 0:
		device.Add(vfs.Rule{Op: vfs.OpRead, Flip: 1 + rng.Int64N(200_000)})
		device.Add(vfs.Rule{Op: vfs.OpReadNow, Flip: 1 + rng.Int64N(200_000)})
	case 1:
		device.Add(vfs.Rule{Op: vfs.OpWrite, Err: syscall.ENOSPC, Short: 100})
	case 2:
		device.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		device.Add(vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
	}
}

var (
	errWrong   = errors.New("a wrong answer")
	errMissing = errors.New("no object, rightly")
)

// readOnce makes one request through the door. Its error is errWrong if the answer was wrong, errMissing if it was that there is no object, another
// one if there was no answer.
func readOnce(ctx context.Context, l *ledger, door *awss3.Client, rng *rand.Rand, keys []string, maxAge time.Duration) error {
	key := keys[rng.IntN(len(keys))]
	in := &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: &key}
	switch rng.IntN(6) {
	case 0:
		_, err := door.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: aws.String("t/")})
		if err != nil {
			return err
		}
	case 1:
	case 2:
		in.Range = aws.String(fmt.Sprintf("bytes=-%d", 1+rng.Int64N(100_000)))
	default:
		off := rng.Int64N(400_000)
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+rng.Int64N(200_000)))
	}
	asked := time.Now()
	out, err := door.GetObject(ctx, in)
	if err != nil && code(err) == "NoSuchKey" {
		if err := l.judge(key, absent, 0, nil, asked, time.Now(), maxAge); err != nil {
			return fmt.Errorf("%w: %s: %w", errWrong, key, err)
		}
		return errMissing
	}
	if err != nil {
		return err
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err != nil {
		return err
	}
	var off, last, size int64
	if out.ContentRange != nil {
		if _, err := fmt.Sscanf(*out.ContentRange, "bytes %d-%d/%d", &off, &last, &size); err != nil || last-off+1 != int64(len(got)) {
			return fmt.Errorf("%w: Content-Range %s for %d bytes", errWrong, *out.ContentRange, len(got))
		}
	}
	if err := l.judge(key, *out.ETag, off, got, asked, time.Now(), maxAge); err != nil {
		return fmt.Errorf("%w: %s %s: %w", errWrong, key, aws.ToString(in.Range), err)
	}
	return nil
}
