package consistency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	library "github.com/colinmarc/hdfs/v2"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
)

// hdfsBlock is small, so that files of some 100 KB have many blocks.
const hdfsBlock = 64 << 10

// hdfsWriter changes the files of one folder of a real HDFS in every way that it has: through Hadoop's own client, through the Go
// library (whose appends leave the generation stamp), and through the origin's Put.
type hdfsWriter struct {
	h     *history
	seeds *seeds
	fs    *harness.HDFS
	goFS  *library.Client
	put   origin.Writer
	names []string            // within the origin
	now   map[string]*content // nil: absent
	count map[string]int      // operations by kind
	// ragged files have a block before the last that is not full. Hadoop's client appends to them in new blocks only: it takes the length
	// of the last block to be that of the file modulo the block size, and fails.
	ragged map[string]bool
}

func newHDFSWriter(h *history, s *seeds, fs *harness.HDFS, goFS *library.Client, put origin.Writer, folder string) *hdfsWriter {
	return &hdfsWriter{h: h, seeds: s, fs: fs, goFS: goFS, put: put, names: []string{folder + "/a", folder + "/b", folder + "/c"},
		now: map[string]*content{}, count: map[string]int{}, ragged: map[string]bool{}}
}

func (w *hdfsWriter) paths() []string { return w.names }

// do gives a command; its path arguments are within the origin, whose root is the file system's.
func (w *hdfsWriter) do(ctx context.Context, format string, args ...any) (string, error) {
	return w.fs.Do(ctx, fmt.Sprintf(format, args...))
}

// steps runs several commands and stops at the first error.
func (w *hdfsWriter) steps(ctx context.Context, commands ...string) error {
	for _, c := range commands {
		if _, err := w.fs.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// hdfsOps are the operations with their weights. Those that need a file get one that is there.
var hdfsOps = []struct {
	name   string
	weight int
	run    func(w *hdfsWriter, ctx context.Context, rng *rand.Rand, path string) error
}{
	{"create", 3, (*hdfsWriter).create},
	{"append", 4, (*hdfsWriter).append},
	{"go append", 4, (*hdfsWriter).goAppend},
	{"truncate", 2, (*hdfsWriter).truncate},
	{"rewind", 3, (*hdfsWriter).rewind},
	{"concat", 2, (*hdfsWriter).concat},
	{"rename", 2, (*hdfsWriter).rename},
	{"set times", 2, (*hdfsWriter).setTimes},
	{"put", 2, (*hdfsWriter).putWhole},
	{"delete", 1, (*hdfsWriter).delete},
}

func (w *hdfsWriter) op(ctx context.Context, rng *rand.Rand) error {
	path := w.names[rng.IntN(len(w.names))]
	total := 0
	for _, o := range hdfsOps {
		total += o.weight
	}
	at, n := 0, rng.IntN(total)
	for n >= hdfsOps[at].weight {
		n -= hdfsOps[at].weight
		at++
	}
	if w.now[path] == nil {
		at = 0
	}
	w.count[hdfsOps[at].name]++
	err := hdfsOps[at].run(w, ctx, rng, path)
	if err != nil && busy(err) {
		return w.giveUp(ctx, path)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s %s, which was before: %v: %w", hdfsOps[at].name, path, w.h.before(path), err)
	}
	return nil
}

// show runs a write during which the path may show a state and after which it shows it.
func (w *hdfsWriter) show(path string, s *state, write func() error) error {
	w.h.begin(path, s)
	if err := write(); err != nil {
		return err
	}
	w.h.finish(s)
	return nil
}

// exactly is a state of one size.
func exactly(c content, what string) *state { return &state{content: c, least: c.size(), what: what} }

// grow writes some runs into an open stream and closes it. After an hflush readers may see any size up to what was written, since the
// NameNode is not told of each; after an hsync that updates the length, and after the close, they must see all of it.
func (w *hdfsWriter) grow(ctx context.Context, rng *rand.Rand, path, stream string, c content, open string) error {
	least, what := c.size(), strings.Fields(open)[0]
	for i := range 1 + rng.IntN(4) {
		seed, n := w.seeds.next(), 1+rng.Int64N(hdfsBlock*3/2)
		c = c.plus(seed, n)
		flush := []string{"hflush", "hsync", "hsyncu"}[rng.IntN(3)]
		commands := []string{fmt.Sprintf("fill %s %d 0 %d", stream, seed, n), flush + " " + stream}
		if i == 0 {
			commands = append([]string{open}, commands...)
		}
		s := &state{content: c, least: least, what: what + ", " + flush}
		if err := w.show(path, s, func() error { return w.steps(ctx, commands...) }); err != nil {
			return err
		}
		if flush == "hsyncu" {
			least = c.size()
			w.h.finish(w.h.begin(path, exactly(c, what+", hsync of the length")))
		}
	}
	w.now[path] = &c
	return w.show(path, exactly(c, what+", close"), func() error { return w.steps(ctx, "close "+stream) })
}

func (w *hdfsWriter) create(ctx context.Context, rng *rand.Rand, path string) error {
	w.ragged[path] = false
	return w.grow(ctx, rng, path, path, content{}, fmt.Sprintf("create %s /%s", path, path))
}

func (w *hdfsWriter) append(ctx context.Context, rng *rand.Rand, path string) error {
	how := "append"
	if w.ragged[path] || rng.IntN(3) == 0 {
		how, w.ragged[path] = "appendnewblock", true
	}
	return w.grow(ctx, rng, path, path, *w.now[path], fmt.Sprintf("%s %s /%s", how, path, path))
}

// goAppend appends through the Go library: the last block grows under its old generation stamp.
func (w *hdfsWriter) goAppend(ctx context.Context, rng *rand.Rand, path string) error {
	return w.goAppendRun(ctx, path, w.seeds.next(), 1+rng.Int64N(hdfsBlock))
}

func (w *hdfsWriter) goAppendRun(ctx context.Context, path string, seed uint64, n int64) error {
	old := *w.now[path]
	c := old.plus(seed, n)
	open := w.h.begin(path, &state{content: c, least: old.size(), what: "append by the Go library"})
	if err := appendAll(w.goFS, "/"+path, c.bytes(old.size(), n)); err != nil {
		return errors.Join(errGoAppend, err)
	}
	w.h.finish(open)
	w.now[path] = &c
	w.h.finish(w.h.begin(path, exactly(c, "append by the Go library, closed")))
	return nil
}

// appendAll appends and waits until the NameNode has the last block from its DataNodes.
func appendAll(client *library.Client, path string, data []byte) error {
	f, err := client.Append(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	for {
		closed := f.Close()
		if err != nil || !library.IsErrReplicating(closed) {
			return errors.Join(err, closed)
		}
	}
}

// busy tells errors that a loaded HDFS and its clients have by themselves, whoever reads: an append right after a recovery, and the Go
// library, whose appends leave the generation stamp: a DataNode's late report of the block as it was then makes the NameNode throw the
// replica away, or the library's client repeats a call that had been carried out.
func busy(err error) bool {
	for _, s := range []string{"is not sufficiently replicated yet", "Not replicated yet", "passed 'previous' block null does not match", "replication in progress"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return errors.Is(err, errGoAppend) || errors.Is(err, errStuck)
}

// errStuck is a last block that is not recovered.
var errStuck = errors.New("the last block is not recovered after 30 s")

// errGoAppend is any failure of an append by the Go library.
var errGoAppend = errors.New("append by the Go library")

// giveUp takes a file away that a write has failed on.
func (w *hdfsWriter) giveUp(ctx context.Context, path string) error {
	w.count["given up"]++
	w.ragged[path] = false
	if err := w.steps(ctx, "forget "+path); err != nil {
		return err
	}
	return w.delete(ctx, nil, path)
}

// cutTo truncates and waits until the last block is recovered, which takes up to a heartbeat. Until then the NameNode shows the blocks
// that stay, the last of them as long as it was.
func (w *hdfsWriter) cutTo(ctx context.Context, path string, n int64) error {
	err := w.show(path, &state{content: *w.now[path], least: n, what: "truncate"}, func() error {
		if _, err := w.do(ctx, "truncate /%s %d", path, n); err != nil {
			return err
		}
		return w.settle(ctx, path)
	})
	if err != nil {
		return err
	}
	c := w.now[path].cut(n)
	w.now[path] = &c
	w.h.finish(w.h.begin(path, exactly(c, "truncate, recovered")))
	return nil
}

// settle waits for a recovery and, where it does not come, asks for it; once in some thousand truncates it never does.
func (w *hdfsWriter) settle(ctx context.Context, path string) error {
	for range 3 {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := w.fs.Settled(short, "/"+path)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if _, err := w.do(ctx, "recover /%s", path); err != nil {
			return err
		}
	}
	return errStuck
}

func (w *hdfsWriter) truncate(ctx context.Context, rng *rand.Rand, path string) error {
	size := w.now[path].size()
	n := rng.Int64N(size + 1)
	if rng.IntN(4) == 0 {
		n -= n % hdfsBlock
	}
	if n == size {
		return nil
	}
	return w.cutTo(ctx, path, n)
}

// rewind replaces the end of a file by as many other bytes: same path, inode, length, and block id.
func (w *hdfsWriter) rewind(ctx context.Context, rng *rand.Rand, path string) error {
	size := w.now[path].size()
	k := 1 + rng.Int64N(hdfsBlock)
	if k > size {
		return nil
	}
	if err := w.cutTo(ctx, path, size-k); err != nil {
		return err
	}
	if w.ragged[path] || rng.IntN(2) == 0 {
		return w.goAppendRun(ctx, path, w.seeds.next(), k)
	}
	seed, old := w.seeds.next(), *w.now[path]
	c := old.plus(seed, k)
	s := &state{content: c, least: old.size(), what: "append of what was cut"}
	if err := w.show(path, s, func() error {
		return w.steps(ctx, fmt.Sprintf("append %s /%s", path, path), fmt.Sprintf("fill %s %d 0 %d", path, seed, k), "close "+path)
	}); err != nil {
		return err
	}
	w.now[path] = &c
	w.h.finish(w.h.begin(path, exactly(c, "append of what was cut, closed")))
	return nil
}

// concat appends the blocks of another file, which goes.
func (w *hdfsWriter) concat(ctx context.Context, rng *rand.Rand, path string) error {
	source := w.names[rng.IntN(len(w.names))]
	if source == path || w.now[source] == nil || w.now[source].size() == 0 || w.now[path].size() == 0 {
		return nil
	}
	c := content{append(append([]run(nil), w.now[path].runs...), w.now[source].runs...)}
	if c.size() > 20*hdfsBlock {
		return nil
	}
	gone := w.h.begin(source, &state{absent: true, what: "concat into " + path})
	err := w.show(path, exactly(c, "concat"), func() error { return w.steps(ctx, fmt.Sprintf("concat /%s /%s", path, source)) })
	w.h.finish(gone)
	w.now[path], w.now[source], w.ragged[path] = &c, nil, true
	return err
}

// rename moves a file over another, or to a free name.
func (w *hdfsWriter) rename(ctx context.Context, rng *rand.Rand, path string) error {
	to := w.names[rng.IntN(len(w.names))]
	if to == path {
		return nil
	}
	c := *w.now[path]
	gone := w.h.begin(path, &state{absent: true, what: "rename to " + to})
	err := w.show(to, exactly(c, "rename"), func() error { return w.steps(ctx, fmt.Sprintf("rename /%s /%s", path, to)) })
	w.h.finish(gone)
	w.now[to], w.now[path], w.ragged[to] = &c, nil, w.ragged[path]
	return err
}

// setTimes forges the modification time: always the same.
func (w *hdfsWriter) setTimes(ctx context.Context, _ *rand.Rand, path string) error {
	return w.steps(ctx, fmt.Sprintf("settimes /%s 1000000000000 1000000000000", path))
}

// putWhole puts through the origin, which writes beside the path and renames.
func (w *hdfsWriter) putWhole(ctx context.Context, rng *rand.Rand, path string) error {
	seed, n := w.seeds.next(), rng.Int64N(3*hdfsBlock)
	c := content{}.plus(seed, n)
	err := w.show(path, exactly(c, "put"), func() error {
		_, err := w.put.Put(ctx, path, bytes.NewReader(c.bytes(0, n)), n, origin.PutOptions{})
		return err
	})
	w.now[path], w.ragged[path] = &c, false
	return err
}

func (w *hdfsWriter) delete(ctx context.Context, _ *rand.Rand, path string) error {
	w.now[path] = nil
	return w.show(path, &state{absent: true, what: "delete"}, func() error {
		answer, err := w.do(ctx, "delete /%s", path)
		if err == nil && answer != "true" {
			err = errors.New("nothing was deleted")
		}
		return err
	})
}
