package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
)

// write makes a closed file of n bytes of a seed's pattern, in blocks of 1 MiB.
func (l lake) write(t testing.TB, path string, seed uint64, n int64) []byte {
	t.Helper()
	l.do(t, "create w %s", l.at(path))
	l.do(t, "fill w %d 0 %d", seed, n)
	l.do(t, "close w")
	return pattern(seed, 0, n)
}

// replicated waits until the NameNode knows two replicas of each of a file's blocks.
func (l lake) replicated(t testing.TB, path string, blocks int) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); strings.Count(l.do(t, "locate %s", l.at(path)), ",") < blocks; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not replicated: %s", path, l.do(t, "locate %s", l.at(path)))
		}
	}
}

// wantError checks an error's kind and that its text says what a person needs.
func wantError(t *testing.T, what string, err, kind error, says ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v; want one that is %q", what, err, kind)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v; want it to say %q", what, err, s)
		}
	}
	if strings.Contains(err.Error(), "\tat ") || strings.Contains(err.Error(), ".java:") {
		t.Errorf("%s: the error has a stack trace: %v", what, err)
	}
}

// midway opens a file, reads a part of it, lets something happen, and reads on.
func midway(t *testing.T, o origin.Origin, path string, want []byte, happens func()) {
	t.Helper()
	obj := stat(t, o, path)
	c, err := o.Read(context.Background(), origin.ReadRequest{Path: path, Version: obj.Version, Length: origin.WholeRange})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 700_000)
	if _, err := io.ReadFull(c.Body, got); err != nil {
		t.Fatal(err)
	}
	happens()
	rest, err := io.ReadAll(c.Body)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, equal %v, %v", len(got), len(want), bytes.Equal(got, want), err)
	}
	if err := c.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestHDFSFaults(t *testing.T) {
	l := newLake(harness.NewHDFS(t, harness.HDFSOptions{HA: true, DataNodes: 2, Permissions: true}))
	o := l.origin(t, func(o *hdfs.Options) { o.Buffer = 256 << 10 })
	data := l.write(t, "big", 1, 6<<20)
	t.Run("failover", func(t *testing.T) {
		midway(t, o, "big", data, func() { l.do(t, "failover 1") })
		midway(t, o, "big", data, func() {
			l.do(t, "namenode stop 1")
			l.do(t, "failover 0")
		})
		l.do(t, "namenode start 1")
	})
	t.Run("failover later", func(t *testing.T) { testFailoverLater(t, l, o, data) })
	t.Run("DataNode killed", func(t *testing.T) {
		for i := range 2 {
			l.replicated(t, "big", 6) // a NameNode that has just started hears of replicas one by one
			midway(t, o, "big", data, func() { l.do(t, "datanode stop %d", i) })
			l.do(t, "datanode start %d", i)
		}
		l.replicated(t, "big", 6)
	})
	t.Run("corrupt replicas", func(t *testing.T) { testCorruptReplicas(t, l, o) })
	t.Run("rewritten in mid-read", func(t *testing.T) { testRewritten(t, l, o) })
	t.Run("lost block", func(t *testing.T) {
		l.write(t, "gone", 3, 1500000)
		for i := range 2 {
			l.do(t, "lose %s 1 %d", l.at("gone"), i)
		}
		_, got, err := readAll(o, origin.ReadRequest{Path: "gone", Length: origin.WholeRange})
		wantError(t, "a lost block", err, origin.ErrUnavailable, "block ", "hdfs fsck "+l.dir+"/gone")
		if !bytes.HasPrefix(pattern(3, 0, 1500000), got) {
			t.Error("wrong bytes before the lost block")
		}
	})
	t.Run("not readable", func(t *testing.T) { testNotReadable(t, l, o) })
	t.Run("permissions", func(t *testing.T) { testPermissions(t, l) })
	t.Run("safe mode", func(t *testing.T) {
		l.do(t, "safemode enter")
		wantBytes(t, o, stat(t, o, "big"), data)
		_, err := o.Put(context.Background(), "new", strings.NewReader("x"), 1, origin.PutOptions{})
		wantError(t, "a Put in safe mode", err, origin.ErrUnavailable, "safe mode", "-safemode leave")
		l.do(t, "safemode leave")
	})
	t.Run("calls", func(t *testing.T) { testCalls(t, l) })
	t.Run("writes", func(t *testing.T) { testWrites(t, l, o) })
	t.Run("doors", func(t *testing.T) { testFaultsAtDoors(t, l) })
	t.Run("no NameNode", func(t *testing.T) {
		nobody := l.origin(t, func(o *hdfs.Options) { o.URI, o.ConfDir = "hdfs://127.0.0.1:1", "" })
		begun := time.Now()
		_, err := nobody.Stat(context.Background(), "x")
		wantError(t, "nobody there", err, origin.ErrUnavailable, "127.0.0.1:1", "no NameNode answers")
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("it took %v to find out", d)
		}
	})
}

// testFailoverLater has no active NameNode for a while: a call waits for one.
func testFailoverLater(t *testing.T, l lake, o origin.Origin, data []byte) {
	l.do(t, "namenode stop 0")
	answer := make(chan error, 1)
	go func() {
		obj, err := o.Stat(context.Background(), "big")
		if err == nil && obj.Size != int64(len(data)) {
			err = fmt.Errorf("%+v", obj)
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Errorf("answered without an active NameNode: %v", err)
	case <-time.After(500 * time.Millisecond):
		l.do(t, "failover 1")
		if err := <-answer; err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, _, err := readAll(o, origin.ReadRequest{Path: "big", Length: 100}); err != nil || ctx.Err() != nil {
		t.Error(err)
	}
	l.do(t, "namenode start 0")
	l.do(t, "failover 0")
}

// testCorruptReplicas damages one replica of a block: the bytes must come from the other. It is the second block, where large reads are under way: the
// library returns the bytes of those unchecked. The NameNode names the replicas in any order, and the library shuns a DataNode that has failed, so
// there are many files.
func testCorruptReplicas(t *testing.T, l lake, o origin.Origin) {
	for i := range 8 {
		path := fmt.Sprintf("corrupt-%d", i)
		want := l.write(t, path, uint64(10+i), 2<<20)
		l.do(t, "corrupt %s 1 %d", l.at(path), i%2)
		for range 3 {
			wantBytes(t, o, stat(t, o, path), want)
		}
	}
}

// testRewritten cuts a block in the middle and writes other bytes behind, while a body of it is open: the DataNode goes on answering from the same
// replica, but nothing of the new version may be handed out as of the old one.
func testRewritten(t *testing.T, l lake, o origin.Origin) {
	const size, cut = 24 << 20, 1 << 20
	l.do(t, "create w %s %d", l.at("rewritten"), 32<<20)
	l.do(t, "fill w 20 0 %d", size)
	l.do(t, "close w")
	c, err := o.Read(context.Background(), origin.ReadRequest{Path: "rewritten", Length: origin.WholeRange})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Body.Close()
	got := make([]byte, 300_000)
	if _, err := io.ReadFull(c.Body, got); err != nil {
		t.Fatal(err)
	}
	l.do(t, "truncate %s %d", l.at("rewritten"), cut)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Settled(ctx, l.dir+"/rewritten"); err != nil {
		t.Fatal(err)
	}
	l.do(t, "append w %s", l.at("rewritten"))
	l.do(t, "fill w 21 %d %d", cut, size-cut)
	l.do(t, "close w")
	rest, err := io.ReadAll(c.Body)
	if got = append(got, rest...); !bytes.HasPrefix(pattern(20, 0, size), got) {
		t.Errorf("%d bytes that are not the beginning of the version that was opened", len(got))
	}
	wantError(t, "the rest", err, origin.ErrVersionChanged)
	wantBytes(t, o, stat(t, o, "rewritten"), append(pattern(20, 0, cut), pattern(21, cut, size-cut)...))
}

// testNotReadable has files that the library cannot read: they are listed, without a version, and refused with the reason.
func testNotReadable(t *testing.T, l lake, o origin.Origin) {
	l.do(t, "mkdir %s", l.at("ec"))
	l.do(t, "ec %s XOR-2-1-1024k", l.at("ec"))
	l.write(t, "ec/f", 5, 5000)
	l.do(t, "mkdir %s", l.at("zone"))
	l.do(t, "zone %s key1", l.at("zone"))
	l.write(t, "zone/f", 6, 5000)
	for path, why := range map[string]string{"ec/f": "erasure-coded", "zone/f": "encryption zone"} {
		_, err := o.Stat(context.Background(), path)
		wantError(t, "stat", err, origin.ErrUnsupported, why)
		_, err = o.Read(context.Background(), origin.ReadRequest{Path: path, Length: 1})
		wantError(t, "read", err, origin.ErrUnsupported, why)
		list, err := o.List(context.Background(), origin.ListRequest{Prefix: path})
		if err != nil || len(list.Entries) != 1 || list.Entries[0].Version != "" || list.Entries[0].Parts != nil || list.Entries[0].Size != 5000 {
			t.Errorf("%s is listed as %+v, %v", path, list.Entries, err)
		}
	}
	for path, kind := range map[string]error{"ec": origin.ErrNotFound, "big/below": origin.ErrNotFound, "a//b": origin.ErrInvalid, "/big": origin.ErrInvalid,
		"big/": origin.ErrInvalid, "./big": origin.ErrInvalid, "ec/../big": origin.ErrInvalid, "a:b": origin.ErrInvalid, "bad\xffutf8": origin.ErrInvalid,
		".snapshot/big": origin.ErrInvalid, "": origin.ErrInvalid, strings.Repeat("x", 300): origin.ErrNotFound} {
		_, err := o.Stat(context.Background(), path)
		wantError(t, fmt.Sprintf("stat %q", path), err, kind)
		if list, err := o.List(context.Background(), origin.ListRequest{Prefix: path + "/"}); path != "ec" && (err != nil || len(list.Entries) != 0) {
			t.Errorf("below %q: %+v, %v", path, list, err)
		}
	}
	_, err := o.Stat(context.Background(), "ec")
	wantError(t, "stat", err, origin.ErrNotFound, "directory")
}

func testPermissions(t *testing.T, l lake) {
	l.write(t, "secret/f", 7, 5000)
	l.write(t, "private", 7, 5000)
	l.do(t, "chmod %s 700", l.at("secret"))
	l.do(t, "chmod %s 600", l.at("private"))
	bob := l.origin(t, func(o *hdfs.Options) { o.User = "bob" })
	_, err := bob.Stat(context.Background(), "secret/f")
	wantError(t, "stat below a closed directory", err, origin.ErrDenied, "bob", "secret")
	_, err = bob.List(context.Background(), origin.ListRequest{Prefix: "secret/"})
	wantError(t, "list of a closed directory", err, origin.ErrDenied, "bob", "secret")
	_, err = bob.Read(context.Background(), origin.ReadRequest{Path: "private", Length: 1})
	wantError(t, "read of a file of others", err, origin.ErrDenied, "bob", "private")
	_, err = bob.Put(context.Background(), "secret/g", strings.NewReader("x"), 1, origin.PutOptions{})
	wantError(t, "put", err, origin.ErrDenied, "bob", "secret")
	wantError(t, "delete", bob.Delete(context.Background(), "big"), origin.ErrDenied, "bob", "big")
	if obj := stat(t, bob, "big"); obj.Size == 0 {
		t.Errorf("%+v", obj)
	}
	if _, got, err := readAll(bob, origin.ReadRequest{Path: "big", Length: 100}); err != nil || !bytes.Equal(got, pattern(1, 0, 100)) {
		t.Errorf("a reader who is not the superuser: %d bytes, %v", len(got), err)
	}
}

// testCalls counts what reads cost the NameNode.
func testCalls(t *testing.T, l lake) {
	o := l.origin(t)
	rpcs := func() (of map[string]int64) {
		t.Helper()
		c, err := l.Counts(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, of = c.ClientRPCs()
		return of
	}
	// A NameNode counts a call after it has answered it, so what is wanted may take a moment to show.
	count := func(f func(), want string) (got string) {
		t.Helper()
		was := rpcs()
		f()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(5 * time.Second); got != want && time.Now().Before(deadline); <-tick.C {
			is := rpcs()
			got = fmt.Sprintf("locate %d, info %d, blocks %d", is["getlocatedfileinfo"]-was["getlocatedfileinfo"],
				is["getfileinfo"]-was["getfileinfo"], is["getblocklocations"]-was["getblocklocations"])
		}
		return got
	}
	read := func(n int64) func() {
		return func() {
			if _, _, err := readAll(o, origin.ReadRequest{Path: "big", Length: n}); err != nil {
				t.Error(err)
			}
		}
	}
	for _, c := range []struct {
		what, want string
		f          func()
	}{
		{"stat", "locate 1, info 0, blocks 0", func() { stat(t, o, "big") }},
		{"a small read", "locate 2, info 1, blocks 1", read(64 << 10)},
		{"a read of three buffers", "locate 4, info 1, blocks 1", read(6 << 20)},
	} {
		if got := count(c.f, c.want); got != c.want {
			t.Errorf("%s: %s; want %s", c.what, got, c.want)
		}
	}
	onlyWhatIsAsked(t, l, o)
}

// onlyWhatIsAsked reads a little from the beginning of a large block: the DataNode sends that, whole checksum chunks of it, and nothing of the rest of the
// block. It counts a read once it has been sent to its end; one that the client cuts off it does not count at all.
func onlyWhatIsAsked(t *testing.T, l lake, o *hdfs.Origin) {
	t.Helper()
	sent := func() int64 {
		c, err := l.Counts(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return c.BytesRead()
	}
	before, n := sent(), int64(0)
	const off, length = 100_001, 64 << 10
	if _, _, err := readAll(o, origin.ReadRequest{Path: "big", Offset: off, Length: length}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); n < length && time.Now().Before(deadline); <-tick.C {
		n = sent() - before
	}
	if n < length || n > length+4096 {
		t.Errorf("the DataNode sent %d bytes for %d", n, length)
	}
}

func testWrites(t *testing.T, l lake, o *hdfs.Origin) {
	ctx := context.Background()
	data := pattern(8, 0, 2500000)
	obj, err := o.Put(ctx, "deep/er/f", bytes.NewReader(data), -1, origin.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if now := stat(t, o, "deep/er/f"); now.Version != obj.Version || len(now.Parts) != 3 {
		t.Errorf("put %+v, stat %+v", obj, now)
	}
	wantBytes(t, o, obj, data)
	_, err = o.Put(ctx, "deep/er/f", bytes.NewReader(data[:10]), 11, origin.PutOptions{})
	wantError(t, "a body that is too short", err, origin.ErrInvalid, "10 bytes")
	_, err = o.Put(ctx, "deep/er/f", io.MultiReader(bytes.NewReader(data[:10]), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })), -1, origin.PutOptions{})
	wantError(t, "a body whose sender went away", err, origin.ErrInvalid, "broke off")
	wantBytes(t, o, obj, data)
	testCreates(t, l, o, data)
	wantBytes(t, o, obj, data)
	_, err = o.Put(ctx, "deep/er", strings.NewReader("x"), 1, origin.PutOptions{})
	wantError(t, "put over a directory", err, origin.ErrInvalid, "directory")
	_, err = o.Put(ctx, "deep/er/f/g", strings.NewReader("x"), 1, origin.PutOptions{})
	wantError(t, "put below a file", err, origin.ErrInvalid)
	if err := o.Delete(ctx, "deep/er"); err != nil {
		t.Error(err)
	}
	stat(t, o, "deep/er/f") // still there
	done, cancel := context.WithCancel(ctx)
	_, err = o.Put(done, "deep/er/f", io.MultiReader(bytes.NewReader(data), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, done.Err()
	})), -1, origin.PutOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a Put whose context ended: %v", err)
	}
	wantBytes(t, o, obj, data)
	if answer := l.do(t, "locate %s", l.at("deep/er/f")); answer == "" {
		t.Error("gone")
	}
	list, err := o.List(ctx, origin.ListRequest{Prefix: "deep/"})
	if err != nil || len(list.Entries) != 1 {
		t.Errorf("what failed Puts have left is listed: %+v, %v", list, err)
	}
}

// testCreates writes only where nothing is: what is there stays, whether it was there before or has come while the body was written.
func testCreates(t *testing.T, l lake, o *hdfs.Origin, data []byte) {
	ctx, create := context.Background(), origin.PutOptions{IfAbsent: true}
	unread := readerFunc(func([]byte) (int, error) { return 0, errors.New("the body was read") })
	_, err := o.Put(ctx, "deep/er/f", unread, -1, create)
	wantError(t, "put where a file is", err, origin.ErrVersionChanged, "there already")
	_, err = o.Put(ctx, "deep/er", unread, -1, create)
	wantError(t, "put where a directory is", err, origin.ErrInvalid, "directory")
	theirs := pattern(9, 0, 1000)
	meanwhile := io.MultiReader(bytes.NewReader(data), readerFunc(func([]byte) (int, error) {
		l.put(t, "deep/er/new", theirs)
		return 0, io.EOF
	}))
	_, err = o.Put(ctx, "deep/er/new", meanwhile, -1, create)
	wantError(t, "put where a file has come meanwhile", err, origin.ErrVersionChanged, "there already")
	wantBytes(t, o, stat(t, o, "deep/er/new"), theirs)
	if err := o.Delete(ctx, "deep/er/new"); err != nil {
		t.Error(err)
	}
	obj, err := o.Put(ctx, "deep/er/new", bytes.NewReader(data), int64(len(data)), create)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, o, obj, data)
	if err := o.Delete(ctx, "deep/er/new"); err != nil {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
