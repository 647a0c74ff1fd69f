package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// kept is a cell's result in the file of -resume: one JSON text a line.
type kept struct {
	Key     string
	Counts  counts
	Seconds float64
}

// key names a cell by all that its result depends on.
func (o *options) key(s *scenario, m mode) string {
	return fmt.Sprintln(o.workers, o.seed, o.trace, o.rounds, o.cache, o.churn, o.absent, o.ahead, o.warmMS, o.longMS, s.name, m.name)
}

// resume takes over what an earlier run has kept, and gives which results are there.
func (o *options) resume(out []result) (done []bool, err error) {
	done = make([]bool, len(out))
	if o.resumeFile == "" {
		return done, nil
	}
	f, err := os.Open(o.resumeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, fmt.Errorf("-resume: %w", err)
	}
	defer f.Close()
	had := map[string]kept{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var k kept
		if json.Unmarshal(lines.Bytes(), &k) == nil { // the last line of a run that was killed may be torn
			had[k.Key] = k
		}
	}
	for i, r := range out {
		if k, ok := had[o.key(r.scenario, r.mode)]; ok {
			out[i].counts, out[i].took, done[i] = k.Counts, time.Duration(k.Seconds*float64(time.Second)), true
		}
	}
	return done, nil
}

// keep appends a result for a later run.
func (o *options) keep(r result) error {
	if o.resumeFile == "" {
		return nil
	}
	line, err := json.Marshal(kept{o.key(r.scenario, r.mode), r.counts, r.took.Seconds()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(o.resumeFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("-resume: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
