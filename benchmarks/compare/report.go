package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report writes the results as Markdown.
func report(o options, f *field, cells []*cellResult, shape []string) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("# Warm reads, side by side\n")
	for _, s := range shape {
		line("- %s", s)
	}
	line("- command: `make compare`, that is `compare -peers %s -bytes %s -readers %s -rounds %d -processes %d -duration %v -size %d -seed %d%s`", strings.Join(o.peers, ","), list(o.bytes),
		list(o.readers), o.rounds, o.processes, o.duration, o.size>>20, o.seed, held(o))
	line("- medians of %d interleaved runs of %v each, taken by %s of nginx and of the sidecar with its pages in memory in turns; a data set of %d MiB, all of it in each peer's cache and in the page cache; uniform reads, aligned to their size, the same for all", o.rounds, o.duration, plural(o.processes, "process"), o.size>>20)
	line("- one client for everything that speaks HTTP: by hand, on one connection a reader, every request signed, nothing allocated; signing and checking are outside of p50 and p99, and inside of GB/s")
	line("- CPU is the server's seconds for each GB served; where there is no server († below) it holds the reader, its signing and its checking too")
	line("")
	for _, p := range f.peers {
		mark := ""
		if p.inProcess {
			mark = " †"
		}
		line("- **%s**%s: %s", p.name, mark, p.what)
	}
	for i := 0; i < len(cells); {
		n := i
		for n < len(cells) && cells[n].bytes == cells[i].bytes && cells[n].readers == cells[i].readers {
			n++
		}
		table(line, f, cells[i:n])
		i = n
	}
	verdicts(line, cells)
	return b.String()
}

func table(line func(string, ...any), f *field, cells []*cellResult) {
	line("\n## %d KiB, %s\n", cells[0].bytes>>10, plural(cells[0].readers, "reader"))
	line("| | p50 us | × pread | × nginx | p99 us | GB/s | × nginx | CPU s/GB | as |")
	line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	pread, nginx := find(cells, peerPread), find(cells, peerNginx)
	for _, c := range cells {
		mark := ""
		for _, p := range f.peers {
			if p.name == c.peer && p.inProcess {
				mark = " †"
			}
		}
		line("| %s%s | %.1f | %s | %s | %.1f | %.2f | %s | %.2f | %s |", c.peer, mark, c.p50, ratio(c.p50, pread.p50), ratio(c.p50, nginx.p50), c.p99, c.gb, ratio(c.gb, nginx.gb), c.cpu, c.setup)
	}
}

// target is something that the design wants to hold.
type target struct {
	says           string
	bytes, readers int
	of, against    string
	what           func(sample) float64
	bound          float64
	atMost         bool
}

func p50(s sample) float64 { return s.p50 }
func gb(s sample) float64  { return s.gb }
func cpu(s sample) float64 { return s.cpu }

var targets = []target{
	{"local read at most 1.5 times pread (p50)", 64 << 10, 1, peerLocal, peerPread, p50, 1.5, true},
	{"S3 door at most 0.6 of nginx (p50)", 64 << 10, 1, peerS3, peerNginx, p50, .6, true},
	{"S3 door at least 1.25 times nginx (GB/s)", 64 << 10, 16, peerS3, peerNginx, gb, 1.25, false},
	{"S3 door at least 0.8 of a bare TCP copy (GB/s)", 64 << 10, 16, peerS3, peerCopy, gb, .8, false},
	{"the least HTTP beside nginx (p50): what any server could reach", 64 << 10, 1, peerFloor, peerNginx, p50, .6, true},
	{"the least HTTP beside nginx (GB/s): what any server could reach", 64 << 10, 16, peerFloor, peerNginx, gb, 1.25, false},
	{"the least HTTP with sums beside nginx (GB/s): without signature, look-up, headers", 64 << 10, 16, peerFloorChecked, peerNginx, gb, 1.25, false},
	{"S3 door at most half of nginx's CPU", 64 << 10, 16, peerS3, peerNginx, cpu, .5, true},
	{"local read no slower than Alluxio in the JVM (p50)", 64 << 10, 1, peerLocal, peerAlluxio, p50, 1, true},
	{"Java read faster than Alluxio in the JVM (p50)", 64 << 10, 1, peerJava, peerAlluxio, p50, 1, true},
	{"Java read faster than Alluxio in the JVM (p50)", 1 << 20, 1, peerJava, peerAlluxio, p50, 1, true},
	{"Java read beside a bare FileChannel with a sum (p50): 12 us beside 11.3 where the target was set", 64 << 10, 1, peerJava, peerChannel, p50, 12 / 11.3, true},
	{"Java mapped read beside it (p50): 8 us beside 11.3", 64 << 10, 1, peerJavaMapped, peerChannel, p50, 8 / 11.3, true},
}

// verdicts holds the results against the targets, where both sides were measured.
func verdicts(line func(string, ...any), cells []*cellResult) {
	line("\n## Held against the targets\n")
	line("| target | size, readers | is | |")
	line("| --- | --- | ---: | --- |")
	for _, t := range targets {
		var in []*cellResult
		for _, c := range cells {
			if c.bytes == t.bytes && c.readers == t.readers {
				in = append(in, c)
			}
		}
		of, against := t.what(find(in, t.of)), t.what(find(in, t.against))
		if of == 0 || against == 0 {
			continue
		}
		verdict := "missed"
		if is := of / against; t.atMost && is <= t.bound || !t.atMost && is >= t.bound {
			verdict = "met"
		}
		line("| %s | %d KiB, %d | %.2f | %s |", t.says, t.bytes>>10, t.readers, of/against, verdict)
	}
}

// held is the flag that holds all to one processor, if it was given.
func held(o options) string {
	if o.oneProcessor {
		return " -one-processor"
	}
	return ""
}

// find returns a peer's sample; the zero one if it was not measured.
func find(cells []*cellResult, name string) sample {
	for _, c := range cells {
		if c.peer == name {
			return c.sample
		}
	}
	return sample{}
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func list(numbers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
}

// machineShape says what was measured, where and when.
func machineShape(ctx context.Context) []string {
	commit, _ := output(ctx, "git", "rev-parse", "HEAD")
	if dirty, _ := output(ctx, "git", "status", "--porcelain", "--untracked-files=no"); dirty != "" {
		commit += ", modified"
	}
	kernel, _ := output(ctx, "uname", "-sr")
	loads, _ := os.ReadFile("/proc/loadavg")
	return []string{
		"commit " + commit + ", " + time.Now().UTC().Format("2006-01-02 15:04 MST"),
		fmt.Sprintf("%d processors (%s), %s of memory, %s, %s", runtime.NumCPU(), procLine("/proc/cpuinfo", "model name"), procLine("/proc/meminfo", "MemTotal"), kernel, runtime.Version()),
		"load average at the end: " + strings.TrimSpace(string(loads)),
	}
}

// procLine is the value of the first line of a /proc file that has a name.
func procLine(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}
