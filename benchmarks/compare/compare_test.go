package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

func TestCommandLine(t *testing.T) {
	o, err := parse(nil)
	if err != nil || len(o.peers) != len(allPeers) || len(o.bytes) != 2 || o.rounds != 5 || o.size != 256<<20 {
		t.Errorf("defaults: %+v, %v", o, err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"-peers nginx,varnish -bytes 100 -readers 0 -rounds 0", []string{`"varnish" is none of`, "-bytes", "-readers", "-rounds"}},
		{"-bytes 2097152", []string{"-bytes"}},
		{"more", []string{`unexpected argument "more"`}},
	} {
		_, err := parse(strings.Fields(c.args))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no word of %s in: %v", c.args, want, err)
			}
		}
	}
}

// A peer whose set-ups and rounds are known, so that what is chosen and what is reported can be.
func fakePeer(name string, setups map[string][]sample) peer {
	p := peer{name: name}
	for _, s := range []string{"a", "b"} {
		if samples, ok := setups[s]; ok {
			p.setups = append(p.setups, setup{name: s, run: func(_ context.Context, cell load.Cell) (sample, error) {
				return samples[int(cell.Seed)%len(samples)], nil // another for each round
			}})
		}
	}
	return p
}

func TestTheBestSetUpIsTaken(t *testing.T) {
	p := fakePeer("x", map[string][]sample{"a": {{p50: 10, gb: 1}}, "b": {{p50: 20, gb: 2}}})
	for readers, want := range map[int]string{1: "a", 16: "b"} {
		got, err := choose(t.Context(), options{duration: time.Second}, p, load.Cell{Readers: readers})
		if err != nil || got.name != want {
			t.Errorf("%d readers: %s, %v; want %s", readers, got.name, err, want)
		}
	}
}

func TestMediansAreReported(t *testing.T) {
	o, err := parse([]string{"-bytes", "65536", "-readers", "1,16", "-rounds", "3", "-peers", "pread,nginx,alio-s3"})
	if err != nil {
		t.Fatal(err)
	}
	f := &field{}
	f.add(peer{name: peerPread, inProcess: true, setups: fakePeer("", map[string][]sample{"a": {{p50: 5, gb: 8}}}).setups})
	f.add(fakePeer(peerNginx, map[string][]sample{"a": {{p50: 100, p99: 300, gb: 1, cpu: .5}, {p50: 900, gb: 9, cpu: 9}, {p50: 80, p99: 200, gb: .5, cpu: .1}}}))
	f.add(fakePeer(peerS3, map[string][]sample{"a": {{p50: 50, gb: 2, cpu: .2}}}))
	cells, err := measure(t.Context(), o, load.Data{Size: 1 << 20, ObjectSize: 1 << 20}, f)
	if err != nil || len(cells) != 6 {
		t.Fatalf("%d cells, %v", len(cells), err)
	}
	if n := cells[1]; n.peer != peerNginx || n.p50 != 100 || n.p99 != 200 || n.gb != 1 || n.cpu != .5 {
		t.Errorf("medians %+v", n)
	}
	text := report(o, f, cells, []string{"a machine"})
	for _, want := range []string{"## 64 KiB, 1 reader\n", "## 64 KiB, 16 readers", "| alio-s3 | 50.0 | 10.00 | 0.50 |", "| pread † | 5.0 |", "| 64 KiB, 1 | 0.50 | met |",
		"| 64 KiB, 16 | 2.00 | met |", "| 64 KiB, 16 | 0.40 | met |", "- a machine"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if strings.Contains(text, "TCP copy (GB/s) |") {
		t.Error("a target is judged that was not measured")
	}
}

func TestMissedTargetsSaySo(t *testing.T) {
	cells := []*cellResult{
		{bytes: 64 << 10, readers: 1, peer: peerPread, sample: sample{p50: 1}}, {bytes: 64 << 10, readers: 1, peer: peerLocal, sample: sample{p50: 1.6}},
		{bytes: 64 << 10, readers: 16, peer: peerNginx, sample: sample{gb: 1}}, {bytes: 64 << 10, readers: 16, peer: peerS3, sample: sample{gb: 1.2}},
	}
	text := report(options{}, &field{}, cells, nil)
	for _, want := range []string{"| 1.60 | missed |", "| 1.20 | missed |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestLocksAreReadStrictly(t *testing.T) {
	all, err := parseNginxLock(nginxLock)
	if err != nil || len(all) == 0 {
		t.Errorf("nginx.lock: %v", err)
	}
	for _, bad := range []string{"nginx 1 amd64 5", "nginx 1 amd64 x " + strings.Repeat("0", 64), "nginx 1 amd64 5 00"} {
		if _, err := parseNginxLock(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jar"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "# jars\na.jar 3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
	if err := checkJars(dir, good); err != nil {
		t.Error(err)
	}
	for name, lock := range map[string]string{
		"another sum":    strings.Replace(good, "ba78", "ba79", 1),
		"another length": strings.Replace(good, " 3 ", " 4 ", 1),
		"a missing file": good + strings.Replace(good, "a.jar", "b.jar", 1),
		"no line for it": "# jars\n",
		"no numbers":     "a.jar x y\n",
	} {
		if checkJars(dir, lock) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNginxIsConfiguredAsStated(t *testing.T) {
	text := nginxConf("/h", "127.0.0.1:1", "127.0.0.1:2", nginxSetup{"64k", "off", "auto"}, 1<<20)
	for _, want := range []string{"slice 64k;", "sendfile off;", "worker_processes auto;", "tcp_nopush off;", "access_log off;", "keepalive_requests 1000000000;", "proxy_pass http://127.0.0.1:2;"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Each way of the bare copy sends the right bytes, and a range outside of the file ends the connection.
func TestCopies(t *testing.T) {
	data := load.Data{Seed: 3, Size: 3 << 20, ObjectSize: 1 << 20}
	file := filepath.Join(t.TempDir(), "flat")
	if err := writeFlat(file, data); err != nil {
		t.Fatal(err)
	}
	mapped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, way := range []string{copyMap, copyRead, copySendfile} {
		done := make(chan error, 1)
		go func() {
			conn, err := ln.Accept()
			if err == nil {
				err = copyTo(conn.(*net.TCPConn), file, mapped, way)
				conn.Close()
			}
			done <- err
		}()
		once := func(int) (load.Reader, error) { return dialCopy(ln.Addr().String(), 1<<20) }
		if err := readAll(t.Context(), once, data); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: the server did not notice that its client left", way)
		}
	}
	r := &copyReader{}
	if err := r.Prepare(4096, 8192); err != nil || binary.LittleEndian.Uint64(r.request[:]) != 4096 || binary.LittleEndian.Uint64(r.request[8:]) != 8192 {
		t.Errorf("%v, %v", r.request, err)
	}
}

// Alluxio's process must read what this process's readers would.
func TestPlacesAreTheReaders(t *testing.T) {
	cell := load.Cell{Data: load.Data{Size: 1 << 20, ObjectSize: 1 << 20}, Bytes: 4096, Readers: 2, Access: load.Uniform, Seed: 9}
	file := filepath.Join(t.TempDir(), "places")
	if err := writePlaces(file, cell); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil || len(b) != 2*placesPerReader*8 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for reader := range 2 {
		ranges, err := load.NewRanges(cell.Data, 4096, load.Uniform, load.SeedOf(9, reader))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if got, want := binary.LittleEndian.Uint64(b[8*(reader*placesPerReader+i):]), uint64(ranges.Next()); got != want {
				t.Fatalf("reader %d, read %d: at %d, want %d", reader, i, got, want)
			}
		}
	}
}

func TestTheFieldIsClosedBackwards(t *testing.T) {
	f := &field{}
	var order []int
	for i := range 3 {
		f.onClose(func() error { order = append(order, i); return errors.New("x") })
	}
	if err := f.close(); err == nil || len(order) != 3 || order[0] != 2 {
		t.Errorf("%v, %v", order, err)
	}
	if err := f.close(); err != nil {
		t.Errorf("twice: %v", err)
	}
}
