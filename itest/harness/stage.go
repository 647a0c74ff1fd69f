package harness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// Way is how a query reaches its data.
type Way string

// The ways. Straight and Through differ only by Alio: both pass a recorder of their own and the one measuring proxy before the
// store. Direct is for tests that kill the sidecar: nothing stands between Trino and the door.
const (
	Straight Way = "straight" // Trino -> recorder -> measuring proxy -> S3
	Through  Way = "alio"     // Trino -> recorder -> sidecar -> measuring proxy -> S3
	Direct   Way = "direct"   // Trino -> sidecar -> measuring proxy -> S3
)

// StageOptions say how StartStage sets the stage.
type StageOptions struct {
	Dir     string        // absolute; everything the servers write. "": temporary folders, removed by Stop
	Tables  []string      // of the TPC-DS generator, at scale tiny
	Latency time.Duration // of the measuring proxy before the store, for every way
	Seed    uint64        // of its jitter (a fifth of the latency, up and down)
	Mounts  string        // YAML of more mounts of the sidecar, as AlioOptions.Mounts: buckets that Through and Direct can read, too
	// Trino says what more its Trino has beside a catalog for each way, when all else is there; Dir and Logf are the stage's. nil: nothing more.
	Trino func(*Stage) (TrinoOptions, error)
	Logf  Logf // progress; nil: Stderr
}

// LatencyJitter is how much of the stage's latency varies, up and down.
const LatencyJitter = 0.2

// Stage is everything that an experiment needs: an S3 server, the measuring proxy, a sidecar, and Trino with one catalog for each
// way, which share one metastore, so that a table written through one is read through all. Its methods are for one goroutine.
type Stage struct {
	S3     *S3Server
	Origin *s3proxy.Proxy // before the store
	Alio   *Alio
	Trino  *Trino

	recorders map[Way]*s3proxy.Proxy
	dbs       map[Way]*sql.DB
	logf      Logf
}

// StartStage starts it all and writes the tables through the straight way. The caller must Stop it. ctx bounds the start only.
func StartStage(ctx context.Context, o StageOptions) (*Stage, error) {
	if o.Logf == nil {
		o.Logf = Stderr
	}
	s := &Stage{recorders: map[Way]*s3proxy.Proxy{}, dbs: map[Way]*sql.DB{}, logf: o.Logf}
	for _, step := range []func(context.Context, StageOptions) error{s.startStore, s.startSidecar, s.startTrino} {
		if err := step(ctx, o); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

func (s *Stage) startStore(ctx context.Context, o StageOptions) (err error) {
	if s.S3, err = StartS3(ctx, S3Options{Dir: sub(o.Dir, "s3"), Logf: o.Logf}); err != nil {
		return err
	}
	o.Logf("S3 server (versitygw): %s", s.S3.Endpoint)
	s.Origin, err = s3proxy.Start(s3proxy.Options{Target: s.S3.Endpoint, Latency: o.Latency, Jitter: LatencyJitter, Seed: o.Seed})
	return err
}

func (s *Stage) startSidecar(ctx context.Context, o StageOptions) (err error) {
	o.Logf("building and starting the sidecar")
	s.Alio, err = StartAlio(ctx, AlioOptions{Dir: sub(o.Dir, "alio"), Endpoint: s.Origin.URL(), Bucket: s.S3.Bucket, Region: s.S3.Region,
		AccessKey: s.S3.AccessKey, SecretKey: s.S3.SecretKey, Mounts: o.Mounts, Logf: o.Logf})
	if err != nil {
		return err
	}
	for way, target := range map[Way]string{Straight: s.Origin.URL(), Through: s.Alio.Door} {
		if s.recorders[way], err = s3proxy.Start(s3proxy.Options{Target: target}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) startTrino(ctx context.Context, o StageOptions) (err error) {
	more := TrinoOptions{}
	if o.Trino != nil {
		if more, err = o.Trino(s); err != nil {
			return err
		}
	}
	catalogs := maps.Clone(more.Catalogs)
	if catalogs == nil {
		catalogs = map[string]map[string]string{}
	}
	ways := map[Way]string{
		Straight: s.recorders[Straight].URL(), Through: s.recorders[Through].URL(), Direct: s.Alio.Door,
	}
	for way, endpoint := range ways {
		catalogs[string(way)] = HiveCatalog(endpoint, s.S3.Region, s.S3.AccessKey, s.S3.SecretKey)
	}
	more.Dir, more.Catalogs, more.Logf = sub(o.Dir, "trino"), catalogs, o.Logf
	if s.Trino, err = StartTrino(ctx, more); err != nil {
		return err
	}
	for way := range ways {
		if s.dbs[way], err = s.Trino.DB(string(way), "tiny"); err != nil {
			return err
		}
	}
	o.Logf("writing %d TPC-DS tables (scale tiny) as Parquet", len(o.Tables))
	return CreateTables(ctx, s.dbs[Straight], string(Straight), s.S3.Bucket, o.Tables, o.Logf)
}

// Run is one run of one query, with what it cost.
type Run struct {
	Rows    []string
	Elapsed time.Duration
	Origin  s3proxy.Summary // at the measuring proxy before the store
	Engine  s3proxy.Summary // at the way's recorder: what the engine itself asked for; zero for Direct
	Asked   int64           // bytes that the engine asked for, at the way's recorder; 0 for Direct
	// Served are the bytes that the sidecar served, by source (memory, disk, origin); nil for Straight.
	Served map[string]int64
}

// Query runs a text with ${database} and ${schema} in it one way, and counts what that run alone cost. The text may also name
// its tables alone.
func (s *Stage) Query(ctx context.Context, way Way, text string) (Run, error) {
	before, err := s.served(ctx, way)
	if err != nil {
		return Run{}, err
	}
	for _, p := range []*s3proxy.Proxy{s.Origin, s.recorders[way]} {
		if p != nil {
			if err := settle(ctx, p); err != nil {
				return Run{}, err
			}
			p.Reset()
		}
	}
	var r Run
	begun := time.Now()
	r.Rows, err = s.Rows(ctx, way, text)
	r.Elapsed = time.Since(begun)
	if err != nil {
		return r, fmt.Errorf("query by way %s: %w", way, err)
	}
	if recorder := s.recorders[way]; recorder != nil {
		entries, engine, err := recorder.Take(ctx)
		if err != nil {
			return r, err
		}
		r.Engine = engine
		r.Asked = s3proxy.Asked(entries)
	}
	if _, r.Origin, err = s.Origin.Take(ctx); err != nil {
		return r, err
	}
	if r.Origin.Dropped > 0 {
		return r, fmt.Errorf("the measuring proxy dropped %d entries: its counts are not whole", r.Origin.Dropped)
	}
	after, err := s.served(ctx, way)
	for source := range after {
		after[source] -= before[source]
	}
	r.Served = after
	return r, err
}

// settle waits for requests in flight, a minute at most.
func settle(ctx context.Context, p *s3proxy.Proxy) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return p.Settle(ctx)
}

func (s *Stage) served(ctx context.Context, way Way) (map[string]int64, error) {
	if way == Straight {
		return nil, nil
	}
	all, err := s.Alio.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]int64{}
	for _, source := range []string{"memory", "disk", "origin"} {
		by[source] = int64(all[fmt.Sprintf("alio_read_served_bytes_total{source=%q}", source)])
	}
	return by, nil
}

// Stop ends all that runs, engines before what they read. It may be called more than once.
func (s *Stage) Stop() {
	if s.Trino != nil {
		s.Trino.Stop()
	}
	for _, p := range s.recorders {
		_ = p.Close()
	}
	if s.Alio != nil {
		s.Alio.Stop()
	}
	if s.Origin != nil {
		_ = s.Origin.Close()
	}
	if s.S3 != nil {
		s.S3.Stop()
	}
}

// Output is the end of what each server wrote, for a failing test.
func (s *Stage) Output() string {
	var all error
	if s.Trino != nil {
		all = errors.Join(all, fmt.Errorf("Trino:\n%s", s.Trino.Output()))
	}
	if s.Alio != nil {
		all = errors.Join(all, fmt.Errorf("sidecar:\n%s", s.Alio.Output()))
	}
	return fmt.Sprint(all)
}

func sub(dir, name string) string {
	if dir == "" {
		return ""
	}
	return dir + "/" + name
}

// Rows runs a text with ${database} and ${schema} in it one way and counts nothing. It may be called beside other methods.
func (s *Stage) Rows(ctx context.Context, way Way, text string) ([]string, error) {
	return Rows(ctx, s.dbs[way], In(text, string(way), "tiny"))
}

// Recorder is the recorder of a way, nil for Direct: what it logs is what the engine asked for.
func (s *Stage) Recorder(way Way) *s3proxy.Proxy { return s.recorders[way] }
