package formats

import (
	"fmt"
	"io"

	"github.com/alio-lake/alio/formats/delta"
	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/hudi"
	"github.com/alio-lake/alio/formats/iceberg"
	"github.com/alio-lake/alio/formats/names"
)

// MaxSteps is the most steps of a plan: a reader that wants more has other readers' room in mind.
const MaxSteps = 256

// MaxPlanned is the largest file that Next reads, in bytes.
const MaxPlanned = 16 << 20

// Step is something that a reader of a file is likely to ask for soon.
type Step struct {
	// Path is a file within the mount, or a folder, which ends in a slash and stands for its listing.
	Path string
	// Size is the file's, as the file says that names it, which need not be true; 0 where it says nothing.
	Size int64
	// Maybe: the file may well not be there, and that is an answer too, as short-lived as any not-found.
	Maybe bool
}

// Next tells what a reader of a whole file of table metadata is likely to ask for next: the commit after a commit or a checkpoint; the files of the
// checkpoint that a hint names, the other parts and the sidecars of one; the timeline of a Hudi table, the files that an instant wrote, the files of its
// history; an Iceberg table's metadata, the manifest list of its present snapshot, a list's manifests. Of a path that leads nowhere it is none.
//
// Like Derive it reads by pages, those of Provisional, each once and in order, and asks for none that it does not need: a path may be enough. r answers
// ErrAbsent for what is not at hand. A plan holds at most MaxSteps. Errors are r's own, ErrCorrupt and ErrTooLarge, each with the path; what the file
// says is not believed beyond its own table: no step leaves its root.
func Next(path string, size int64, r io.ReaderAt) ([]Step, error) {
	file := func() ([]byte, error) { return readWhole(path, size, r) }
	var p steps
	var err error
	if f, ok := hudi.Parse(path); ok {
		err = p.hudi(&f, path, file)
	} else if f, ok := delta.Parse(path); ok {
		err = p.delta(&f, file)
	} else if f, ok := iceberg.Parse(path); ok {
		err = p.iceberg(&f, path, file)
	}
	if err != nil {
		return nil, fmt.Errorf("what comes after %q: %w", path, err)
	}
	return p.all, nil
}

// NextInFolder tells what a reader of a data file is likely to ask for next, from the names beside it: the logs of a Hudi base file's slice.
func NextInFolder(path string, folder []string) []Step {
	dir, name := names.Split(path)
	var p steps
	for _, log := range hudi.Slice(name, folder, MaxSteps) {
		p.add(names.Join(dir, log), 0)
	}
	return p.all
}

// readWhole reads a file page by page.
func readWhole(path string, size int64, r io.ReaderAt) ([]byte, error) {
	if size > MaxPlanned {
		return nil, faults.TooLarge("a file of %d bytes (at most %d)", size, MaxPlanned)
	}
	layout := Provisional(path, max(size, 0))
	var b []byte
	for off := int64(0); off < layout.Size(); {
		_, end, _ := layout.PageAt(off)
		page, err := readPage(r, off, end)
		if err != nil {
			return nil, err
		}
		if b == nil {
			b = page
		} else {
			b = append(b, page...)
		}
		off = end
	}
	return b, nil
}

// steps are a plan in the making.
type steps struct{ all []Step }

func (p *steps) add(path string, size int64) { p.put(Step{Path: path, Size: size}) }

func (p *steps) maybe(path string) { p.put(Step{Path: path, Maybe: true}) }

func (p *steps) put(s Step) {
	if len(p.all) < MaxSteps {
		p.all = append(p.all, s)
	}
}

// delta plans for a file of a Delta log. A commit after the last is asked for one at a time: each that is there is read, and leads to the next.
func (p *steps) delta(f *delta.File, file func() ([]byte, error)) error {
	if !f.Rooted {
		return nil
	}
	switch f.Kind {
	case delta.Commit, delta.Compacted, delta.Checkpoint:
		p.commitAfter(f, f.Version)
	case delta.CheckpointPart:
		for _, name := range f.Siblings(MaxSteps - 1) {
			p.add(f.InLog(name), 0)
		}
		p.commitAfter(f, f.Version)
	case delta.CheckpointV2:
		if f.Parquet {
			p.commitAfter(f, f.Version)
			return nil
		}
		b, err := file()
		if err != nil {
			return err
		}
		sidecars, err := delta.Sidecars(b, MaxSteps-1)
		if err != nil {
			return err
		}
		p.inLog(f, sidecars)
		p.commitAfter(f, f.Version)
	case delta.LastCheckpoint:
		b, err := file()
		if err != nil {
			return err
		}
		last, err := delta.ReadHint(b, MaxSteps-1)
		if err != nil {
			return err
		}
		p.inLog(f, last.Files)
		p.commitAfter(f, last.Version)
	}
	return nil
}

func (p *steps) inLog(f *delta.File, refs []delta.Ref) {
	for _, r := range refs {
		p.add(f.InLog(r.Name), r.Size)
	}
}

func (p *steps) commitAfter(f *delta.File, version int64) {
	if version < 1<<63-1 {
		p.maybe(f.InLog(delta.CommitName(version + 1)))
	}
}

// hudi plans for a file of a Hudi table.
func (p *steps) hudi(f *hudi.File, path string, file func() ([]byte, error)) error {
	if !f.Rooted || f.Kind == hudi.Completed && !f.Writes() {
		return nil
	}
	switch f.Kind {
	case hudi.Properties, hudi.Completed, hudi.HistoryVersion, hudi.HistoryManifest:
	default:
		return nil
	}
	b, err := file()
	if err != nil {
		return err
	}
	dir, _ := names.Split(path)
	var refs []hudi.Ref
	switch f.Kind {
	case hudi.Properties:
		folder, err := hudi.TimelineFolder(b)
		if err == nil {
			p.add(names.Join(f.Root, folder)+"/", 0)
		}
		return err
	case hudi.HistoryVersion:
		name, err := hudi.HistoryManifestName(b)
		if err == nil {
			p.add(names.Join(dir, name), 0)
		}
		return err
	case hudi.HistoryManifest:
		refs, err = hudi.HistoryFiles(b, MaxSteps)
	case hudi.Completed:
		refs, err = hudi.Written(b, MaxSteps)
		dir = f.Root
	}
	for _, r := range refs {
		p.add(names.Join(dir, r.Path), r.Size)
	}
	return err
}

// iceberg plans for a metadata file of an Iceberg table.
func (p *steps) iceberg(f *iceberg.File, path string, file func() ([]byte, error)) error {
	if !f.Rooted || f.Kind != iceberg.VersionHint && f.Kind != iceberg.Metadata && f.Kind != iceberg.ManifestList {
		return nil
	}
	b, err := file()
	if err != nil {
		return err
	}
	var refs []iceberg.Ref
	switch f.Kind {
	case iceberg.VersionHint:
		present, next, err := iceberg.Hinted(b)
		if err == nil {
			dir, _ := names.Split(path)
			p.add(names.Join(dir, present), 0)
			p.maybe(names.Join(dir, next))
		}
		return err
	case iceberg.Metadata:
		refs, err = iceberg.Snapshot(b, f.Root, MaxSteps)
	case iceberg.ManifestList:
		refs, err = iceberg.Manifests(b, f.Root, MaxSteps)
	}
	for _, r := range refs {
		p.add(r.Path, r.Size)
	}
	return err
}
