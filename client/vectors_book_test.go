package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

func loadVector[T any](t testing.TB, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, name))
	need(t, err)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	need(t, d.Decode(&v))
	return v
}

// sum is CRC32C of pieces that follow one another.
func sum(pieces ...[]byte) uint32 {
	return crc32.Checksum(bytes.Join(pieces, nil), crc32.MakeTable(crc32.Castagnoli))
}

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// bookRead reads bytes of a page as docs/protocol.md says, with nothing of the code that serves: ok is false where a check fails.
func bookRead(file []byte, instance, seq uint64, record int64, key []byte, length, off, n int) (data []byte, ok bool) {
	at := func(from int64, n int) []byte {
		if from < 0 || from+int64(n) > int64(len(file)) {
			return nil
		}
		return file[from : from+int64(n)]
	}
	blocks := (length + 65535) / 65536
	size := 64
	if blocks > 8 {
		size = 128
	}
	h := at(record, size)
	if h == nil || string(h[:4]) != "ALpg" || binary.LittleEndian.Uint32(h[4:]) != uint32(length) || !bytes.Equal(h[8:24], key) || h[25] != 0 {
		return nil, false
	}
	if binary.LittleEndian.Uint32(h[28:]) != sum(number(instance), number(seq), number(uint64(record)), h[:28], h[32:]) {
		return nil, false
	}
	first, last := off/65536, (off+n-1)/65536
	for i := first; i <= last; i++ {
		b := at(record+int64(size)+int64(i)*65536, min(65536, length-i*65536))
		if b == nil || binary.LittleEndian.Uint32(h[32+4*i:]) != sum(key, b) {
			return nil, false
		}
		data = append(data, b...)
	}
	return data[off-first*65536:][:n], true
}

// TestVectorsByTheBook follows docs/protocol.md by hand, from the committed files, with the standard library alone.
func TestVectorsByTheBook(t *testing.T) {
	for _, p := range loadVector[keysVector](t, "keys.json").Parts {
		part := sha256.Sum256([]byte(p.ID))
		for _, page := range p.Pages {
			k := sha256.Sum256(bytes.Join([][]byte{part[:16], number(uint64(page.Offset)), number(uint64(page.Length))}, nil))
			if !bytes.Equal(part[:16], p.Key) || !bytes.Equal(k[:16], page.Key) {
				t.Errorf("keys of %q", p.ID)
			}
		}
	}
	v := loadVector[recordsVector](t, "records.json")
	instance, err := strconv.ParseUint(v.Instance, 16, 64)
	need(t, err)
	if v.Seed != sum(number(instance), number(v.Seq)) || v.Name != "fedcba9876543210-0000002a.seg" || string(v.Header[:8]) != "ALIOSEG\x00" ||
		binary.LittleEndian.Uint32(v.Header[60:]) != sum(v.Header[:60]) || binary.LittleEndian.Uint64(v.Header[16:]) != instance {
		t.Errorf("segment %+v", v)
	}
	file := bytes.Clone(v.Header)
	for _, r := range v.Records {
		data := generated(r.Generator, r.Length)
		if r.DataCRC != sum(data) || int64(len(file)) != r.Offset {
			t.Errorf("record at %d", r.Offset)
		}
		for i, s := range r.Sums {
			if s != sum(r.Key, data[i<<16:min((i+1)<<16, len(data))]) || s != binary.LittleEndian.Uint32(r.Header[32+4*i:]) {
				t.Errorf("record at %d: sum %d", r.Offset, i)
			}
		}
		file = append(append(file, r.Header...), data...)
		file = append(file, make([]byte, r.Offset+r.Size-int64(len(file)))...)
	}
	for _, r := range v.Reads {
		for _, rec := range v.Records {
			if rec.Offset != r.Record {
				continue
			}
			got, ok := bookRead(file, instance, v.Seq, r.Record, rec.Key, r.PageLength, r.Offset, r.Length)
			want := generated(rec.Generator, rec.Length)[r.Offset:][:r.Length]
			if !ok || !bytes.Equal(got, want) || !bytes.Equal(file[r.DataAt:][:r.DataLength][r.Skip:][:r.Length], want) || r.DataAt != r.Record+int64(r.HeaderSize)+int64(r.FirstBlock)<<16 {
				t.Errorf("read %+v", r)
			}
		}
	}
}

// change makes the change of a vector to a copy of the segment; what to look for, and where, comes with it.
func (r *badPage) change(file []byte, p storedPage) ([]byte, storedPage) {
	file = bytes.Clone(file)
	if r.CopyTo > 0 {
		copy(file[r.CopyTo:], file[p.Record:][:segfile.RecordSize(p.Length)])
	}
	if r.FlipByte > 0 {
		file[r.FlipByte] ^= 1
	}
	clear(file[r.ZeroFrom:r.ZeroTo])
	if r.Truncate > 0 {
		file = file[:r.Truncate]
	}
	if r.Key != nil {
		p.Key = r.Key
	}
	if r.Record > 0 {
		p.Record = r.Record
	}
	return file, p
}

// TestVectorsOfPages: the pages of the committed segment are read by this client and by the book, and those that must be refused are, by both.
func TestVectorsOfPages(t *testing.T) {
	v := loadVector[pagesVector](t, "pages.json")
	file, err := os.ReadFile(filepath.Join(testdata, v.Segment))
	need(t, err)
	instance, seq, _ := segfile.ParseName(v.Segment)
	r := newRig(t)
	dir := newDirectory(r.dir, 1)
	read := func(name string, file []byte, p storedPage, in, n int) ([]byte, bool) {
		t.Helper()
		instance, seq, ok := segfile.ParseName(name)
		if !ok {
			t.Fatalf("%q is no segment's name", name)
		}
		path := filepath.Join(r.dir, segmentsDir, name)
		need(t, os.WriteFile(path, file, 0o600))
		defer os.Remove(path)
		seg := r.Client.segments.get(segmentName{instance, seq, dir})
		defer r.Client.segments.retire(seg.segmentName)
		tab := &table{segments: []*segment{seg}, pages: []page{{key: segfile.Key(p.Key), length: uint32(p.Length), record: uint32(p.Record / segfile.Align)}}}
		b := make([]byte, n)
		return b, r.readPage(context.Background(), tab, &tab.pages[0], b, in) == served
	}
	for _, p := range v.Pages {
		want := generated(p.Data, p.Length)
		for _, part := range [][2]int{{0, p.Length}, {p.Length / 2, p.Length - p.Length/2}} {
			got, ok := read(v.Segment, file, p, part[0], part[1])
			book, bookOK := bookRead(file, instance, seq, p.Record, p.Key, p.Length, part[0], part[1])
			if !ok || !bookOK || !bytes.Equal(got, want[part[0]:][:part[1]]) || !bytes.Equal(got, book) {
				t.Errorf("page of %d bytes: %v, %v", p.Length, ok, bookOK)
			}
		}
	}
	for _, x := range v.Refused {
		changed, p := x.change(file, v.Pages[x.Page])
		name := v.Segment
		if x.Rename != "" {
			name = x.Rename
		}
		instance, seq, _ := segfile.ParseName(name)
		if _, ok := read(name, changed, p, 0, p.Length); ok {
			t.Errorf("%s: believed", x.Why)
		}
		if _, ok := bookRead(changed, instance, seq, p.Record, p.Key, p.Length, 0, p.Length); ok {
			t.Errorf("%s: believed, by the book", x.Why)
		}
	}
}

// TestVectorsOfOpen: this client understands the committed answer as its vector says.
func TestVectorsOfOpen(t *testing.T) {
	v := loadVector[openVector](t, "open.json")
	b, err := base64.StdEncoding.DecodeString(v.Reply)
	need(t, err)
	var reply apiv1.OpenReply
	need(t, proto.Unmarshal(b, &reply))
	var segments []*segment
	for _, s := range reply.GetSegments() {
		segments = append(segments, &segment{segmentName: segmentName{instance: s.GetInstance(), seq: s.GetSeq()}})
	}
	for i, f := range reply.GetFiles() {
		want := v.Files[i]
		if f.GetError() != nil {
			if want.Error != f.GetError().GetMessage() {
				t.Errorf("file %d: %v", i, f.GetError())
			}
			continue
		}
		got, err := decodeFile(f, "lake", segments)
		need(t, err)
		if got.object.Path != want.Path || got.object.Version != want.Version || got.object.Size != want.Size || got.settled != want.Settled || (got.fresh < 0) != (want.FreshForUs < 0) ||
			want.FreshForUs > 0 && got.fresh.Microseconds() != want.FreshForUs {
			t.Errorf("file %d: %+v", i, got.object)
		}
		checkPages(t, got, want.Pages)
	}
}

func checkPages(t *testing.T, got *opened, want []openPage) {
	t.Helper()
	end := int64(math.MinInt64)
	told := 0
	for _, p := range want {
		if p.Offset != end {
			told++
		}
		end = p.Offset + p.Length
		found := false
		switch p.Where {
		case "segment":
			i := got.table.from(p.Offset)
			pg := &got.table.pages[i]
			s := got.table.segments[pg.segment]
			found = pg.off == p.Offset && int64(pg.length) == p.Length && bytes.Equal(pg.key[:], p.Key) && int64(pg.record)*segfile.Align == p.Record &&
				segfile.Name(s.instance, s.seq) == p.Segment
		case "memory":
			found = within(got.memory, p.Offset)
		case "granted":
			row := rowAt(got.granted, p.Offset)
			found = len(row) > 0 && row[0].off == p.Offset && row[0].length == p.Length && bytes.Equal(row[0].key[:], p.Key)
		default:
			i := got.table.from(p.Offset)
			found = (i == len(got.table.pages) || got.table.pages[i].off >= p.Offset+p.Length) && !within(got.memory, p.Offset) && rowAt(got.granted, p.Offset) == nil
		}
		if !found {
			t.Errorf("page %+v is not found so", p)
		}
	}
	if told != len(got.told) {
		t.Errorf("told of %v, want %d spans", got.told, told)
	}
}

// TestTheBookIsCurrent: docs/protocol.md names every metric and every vector, and its worked example is that of the committed segment.
func TestTheBookIsCurrent(t *testing.T) {
	b, err := os.ReadFile("../docs/protocol.md")
	need(t, err)
	var want []string
	for _, h := range help {
		want = append(want, "`"+h.name+"`")
	}
	for name := range vectorFiles(t) {
		want = append(want, name)
	}
	v := loadVector[pagesVector](t, "pages.json")
	file, err := os.ReadFile(filepath.Join(testdata, v.Segment))
	need(t, err)
	part := sha256.Sum256([]byte("part one"))
	want = append(want, hex.EncodeToString(part[:16]), hex.EncodeToString(v.Pages[0].Key), hex.EncodeToString(file[64:92]), hex.EncodeToString(file[96:100]),
		fmt.Sprintf("= %08x", binary.LittleEndian.Uint32(file[92:])), fmt.Sprintf("= %08x", binary.LittleEndian.Uint32(file[96:])), fmt.Sprintf("128  %x ", file[128:129]))
	for _, text := range want {
		if !bytes.Contains(b, []byte(text)) {
			t.Errorf("docs/protocol.md lacks %s", text)
		}
	}
	for _, names := range [][]string{outcomeNames[:], methodNames[:], resultNames[:]} {
		if text := strings.Join(names, ", "); !bytes.Contains(b, []byte(text)) {
			t.Errorf("docs/protocol.md lacks %q", text)
		}
	}
}
