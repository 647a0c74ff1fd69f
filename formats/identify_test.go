package formats

import (
	"bufio"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/tables.txt from what Identify says; read the difference")

// tablePaths are the paths of all files of the tables that real writers wrote, and of the folders of their logs, as engines ask for them.
func tablePaths(t testing.TB) (paths []string) {
	err := fs.WalkDir(os.DirFS("testdata/tables"), ".", func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return err
		case d.IsDir() && (name == "_delta_log" || name == ".hoodie" || name == "timeline"):
			paths = append(paths, path, path+"/")
		case strings.HasSuffix(path, ".paths"):
			text, err := os.ReadFile("testdata/tables/" + path)
			if err != nil {
				return err
			}
			paths = append(paths, strings.Fields(string(text))...)
		case !d.IsDir() && strings.Contains(path, "/"):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

// TestTables: what every path of every table under testdata is, against a list that was read line by line. A new writer's names go there.
func TestTables(t *testing.T) {
	const golden = "testdata/tables.txt"
	var got strings.Builder
	for _, path := range tablePaths(t) {
		f := Identify(path)
		root := "-"
		if f.Rooted {
			root = f.Root
		}
		fmt.Fprintf(&got, "%s\t%s %s\t%s\t%s\t%s\n", path, f.Format, f.Kind, f.Class, f.Mutability, root)
	}
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 10_000 {
		t.Errorf("%s has %d bytes only", golden, len(want))
	}
	lines := bufio.NewScanner(strings.NewReader(string(want)))
	for line := range strings.Lines(got.String()) {
		if lines.Scan(); lines.Text()+"\n" != line {
			t.Fatalf("got  %swant %s\n(-rewrite rewrites %s)", line, lines.Text(), golden)
		}
	}
	if lines.Scan() {
		t.Errorf("no table has %s", lines.Text())
	}
}

// samples are paths of every kind.
var samples = []string{"db/t/part-0.parquet", "db/t/p=1/part-00000-80a083e8-7026-4e79-81be-64bd76c43a11-c000.snappy.parquet", "db/t/_delta_log/00000000000000000007.json",
	"db/t/_delta_log/00000000000000000012.checkpoint.0000000002.0000000003.parquet", "db/t/_delta_log/_sidecars/80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
	"db/t/_delta_log/_last_checkpoint", "db/t/metadata/snap-123-1-80a083e8-7026-4e79-81be-64bd76c43a11.avro", "db/t/metadata/v3.metadata.json",
	"db/t/.hoodie/timeline/20261128062501938_20261128062504344.deltacommit", "db/t/.hoodie/20261128062501938.commit.requested",
	"db/t/.hoodie/metadata/files/.files-0000-0_20261128062501938.log.1_0-0-0", "db/t/.hoodie/timeline/history/20261128062501938_20261128062504344_0.parquet",
	"db/t/p/80a083e8-7026-4e79-81be-64bd76c43a11-0_0-1-2_20261128062501938.parquet", "db/t/deletion_vector_80a083e8-7026-4e79-81be-64bd76c43a11.bin"}

func TestIdentifyAllocatesNothing(t *testing.T) {
	for _, path := range samples {
		if n := testing.AllocsPerRun(10, func() { Identify(path) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

// BenchmarkIdentify looks at a path; it happens once for each file that is opened.
func BenchmarkIdentify(b *testing.B) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		Identify(samples[i%len(samples)])
	}
}
