package itest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
)

// commitsAge is how old what is believed at the second door may be.
const commitsAge = time.Second

// commits is a store that delta-rs writes to, and two sidecars whose S3 doors it reads by: one believes nothing, one everything for a second.
type commits struct {
	store        *harness.S3Server
	zero, second *harness.Alio
	delta        *harness.DeltaClient
}

func startCommits(ctx context.Context, t *testing.T) *commits {
	t.Helper()
	c := &commits{store: harness.S3(t), delta: harness.Delta(t)}
	door := func(age time.Duration) *harness.Alio {
		a := harness.SidecarWith(t, harness.AlioOptions{Endpoint: c.store.Endpoint, Bucket: c.store.Bucket, Region: c.store.Region, AccessKey: c.store.AccessKey,
			SecretKey: c.store.SecretKey, ExtraYAML: fmt.Sprintf("freshness:\n  rules:\n    - {path: \"**\", max_age: %v}\n", age)})
		need(t, c.delta.Settings(ctx, a.Door, a.AccessKey, a.SecretKey))
		return a
	}
	c.zero, c.second = door(0), door(commitsAge)
	need(t, c.delta.Settings(ctx, c.store.Endpoint, c.store.AccessKey, c.store.SecretKey))
	return c
}

func numberFrom(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	need(t, err)
	return n
}

// Tables as libraries that are no engine write and read them. Commits one after the other by a writer of its own, and readers at the doors after each: at 0 they see it at once; at a second what they see was the newest within
// the last second, and the commit itself where it passed the door. (ALIO_COMMITS: another number of them.)
func TestTables(t *testing.T) {
	n := numberFrom(t, "ALIO_COMMITS", 30)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Duration(n)*3*time.Second)
	defer cancel()
	c := startCommits(ctx, t)
	t.Run("one after the other", func(t *testing.T) { c.oneByOne(ctx, t, n) })
	t.Run("read by their libraries", func(t *testing.T) { c.byTheirLibraries(ctx, t) })
	t.Run("born again", func(t *testing.T) { c.bornAgain(ctx, t, max(3, n/20)) })
}

// latest is how many rows a reader asks for when it does not ask for all: each is a file, and to read a thousand of them after each of a thousand commits takes hours.
const latest = 50

// oneByOne has every reader ask for the rows from an id on: for all after each hundredth commit and the last, and in a short run always.
func (c *commits) oneByOne(ctx context.Context, t *testing.T, n int) {
	uri := "s3://" + c.store.Bucket + "/commits"
	ended := make([]time.Time, n) // when the commit of a version was there
	through, behind := 0, 0
	begin := time.Now()
	for i := range n {
		endpoint, passed := c.store.Endpoint, i%5 == 4
		if passed {
			endpoint = c.second.Door
		}
		need(t, c.delta.Write(ctx, endpoint, uri, i, 1, "one", i == 0))
		ended[i] = time.Now()
		from := max(0, i+1-latest)
		if i%100 == 99 || i == n-1 {
			from = 0
			t.Logf("%d commits, %v", i+1, time.Since(begin).Round(time.Second))
		}
		r, err := c.delta.Read(ctx, c.zero.Door, uri, from)
		if err != nil || r.Version != int64(i) || !c.complete(r, from) {
			t.Fatalf("at 0, right after commit %d: %+v, %v", i, r, err)
		}
		begun := time.Now()
		least := 0
		for least < i && (passed || begun.Sub(ended[least+1]) > commitsAge) {
			least++
		}
		if r, err = c.delta.Read(ctx, c.second.Door, uri, from); err != nil || r.Version < int64(least) || !c.complete(r, from) {
			t.Fatalf("at a second, after commit %d (by that door: %t): %+v, %v; commit %d was there more than a second before", i, passed, r, err, least)
		}
		if passed {
			through++
		} else if r.Version < int64(i) {
			behind++
		}
	}
	t.Logf("%d commits: at 0 each was seen at once; at a second %d passed the door and were seen at once, of the others %d were not yet seen", n, through, behind)
	if behind == 0 {
		t.Error("at a second every commit was seen at once: it is not believed for that long, and the test shows nothing")
	}
}

// complete tells whether the rows are those of the version from an id on: one a commit, with its number.
func (c *commits) complete(r harness.DeltaRead, from int) bool {
	rows, sum := int64(0), int64(0)
	for id := int64(from); id <= r.Version; id++ {
		rows, sum = rows+1, sum+id
	}
	return r.Rows == rows && r.Sum == sum
}

// remove deletes all below a prefix: by a door, or past both (nil).
func (c *commits) remove(ctx context.Context, t *testing.T, door *harness.Alio, prefix string) {
	t.Helper()
	by := c.store.Client()
	if door != nil {
		by = harness.S3Client(door.Door, door.Region, door.AccessKey, door.SecretKey)
	}
	pages := awss3.NewListObjectsV2Paginator(c.store.Client(), &awss3.ListObjectsV2Input{Bucket: &c.store.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		need(t, err)
		for _, o := range page.Contents {
			_, err := by.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &c.store.Bucket, Key: o.Key})
			need(t, err)
		}
	}
}

// A table that is dropped and created again under the same path, with other numbers of commits and rows under the same names of commits: readers see all of one or all
// of the other. At 0 it is the new one at once; at a second after that at the latest, and at once where all of it passed the door.
func (c *commits) bornAgain(ctx context.Context, t *testing.T, rounds int) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	uri := "s3://" + c.store.Bucket + "/again"
	rows := map[string]int64{} // by tag, of the whole table
	create := func(endpoint, tag string, n int) {
		t.Helper()
		for i := range n {
			need(t, c.delta.Write(ctx, endpoint, uri, 10*i, 10, tag, i == 0))
		}
		rows[tag] = int64(10 * n)
	}
	create(c.store.Endpoint, "t0", 3)
	sees := func(door *harness.Alio) string {
		r, err := c.delta.Read(ctx, door.Door, uri, 0)
		if err != nil {
			return "" // between two tables there is none, and its files may be gone
		}
		if r.Least != r.Greatest || r.Rows != rows[r.Least] {
			t.Errorf("a reader sees a mixture: %+v; tables have %v rows", r, rows)
		}
		return r.Least
	}
	old, failed := 0, 0
	for round := range rounds {
		tag := fmt.Sprintf("t%d", round+1)
		sees(c.second)
		sees(c.zero)
		<-time.After(time.Duration(rng.Int64N(int64(commitsAge))))
		passes := round%3 == 2
		if passes {
			c.remove(ctx, t, c.second, "again/")
			create(c.second.Door, tag, 1+rng.IntN(4))
		} else {
			c.remove(ctx, t, nil, "again/")
			create(c.store.Endpoint, tag, 1+rng.IntN(4))
		}
		there := time.Now()
		if got := sees(c.zero); got != tag {
			t.Errorf("at 0, right after %s was created: %q", tag, got)
		}
		for begun := time.Now(); ; begun = time.Now() {
			got := sees(c.second)
			if got == tag {
				break
			}
			if passes || begun.Sub(there) > commitsAge {
				t.Errorf("at a second, %v after %s was created (by that door: %t): %q", begun.Sub(there), tag, passes, got)
				break
			}
			if got == "" {
				failed++
			} else {
				old++
			}
		}
	}
	t.Logf("%d tables born again: within the second %d reads saw the old one, %d failed since its files were gone", rounds, old, failed)
}

// Every file and table of formats/testdata that a library reads (Hudi has none: engines read those) has the same rows straight and through a door, cold and warm.
func (c *commits) byTheirLibraries(ctx context.Context, t *testing.T) {
	need(t, harness.PutTestData(ctx, c.store.Client(), c.store.Bucket, "testdata"))
	want, err := harness.ReadTestData(ctx, c.store.Endpoint, c.store.AccessKey, c.store.SecretKey, c.store.Bucket, "testdata", t.Logf)
	need(t, err)
	if len(want) != 23 {
		t.Errorf("%d files and tables were read, not 23: %q", len(want), want)
	}
	for _, line := range want {
		if strings.Contains(line, "\terror\t") {
			t.Errorf("straight: %s", line)
		}
	}
	before, err := c.zero.Metrics(ctx)
	need(t, err)
	for _, try := range []string{"cold", "warm"} {
		got, err := harness.ReadTestData(ctx, c.zero.Door, c.zero.AccessKey, c.zero.SecretKey, c.store.Bucket, "testdata", t.Logf)
		need(t, err)
		same(t, "through the door, "+try, want, got)
	}
	after, err := c.zero.Metrics(ctx)
	need(t, err)
	if served := after["alio_read_requested_bytes_total"] - before["alio_read_requested_bytes_total"]; served < 100_000 {
		t.Errorf("only %v bytes were read through the door", served)
	}
	t.Logf("the same rows of %d files and tables: %q", len(want), want)
}
