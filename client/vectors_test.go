package client

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// The vectors of ../api/testdata are for clients in every language; ../docs/protocol.md says what each is. They are made here, by
//
//	go test ./client -run TestVectorsAreCurrent -update
//
// from the code that serves, and checked by TestVectorsByTheBook, which follows the document and knows nothing of that code.
var update = flag.Bool("update", false, "write ../api/testdata")

const testdata = "../api/testdata"

type hexBytes []byte

// MarshalJSON implements json.Marshaler.
func (h hexBytes) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(h)) }

// UnmarshalJSON implements json.Unmarshaler.
func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	err := json.Unmarshal(b, &s)
	if err == nil {
		*h, err = hex.DecodeString(s)
	}
	return err
}

type keysVector struct {
	Comment string     `json:"comment"`
	Parts   []partKeys `json:"parts"`
}

type partKeys struct {
	ID    string    `json:"id"`
	Key   hexBytes  `json:"key"`
	Pages []pageKey `json:"pages"`
}

type pageKey struct {
	Offset int64    `json:"offset"`
	Length int64    `json:"length"`
	Key    hexBytes `json:"key"`
}

type recordsVector struct {
	Comment  string         `json:"comment"`
	Instance string         `json:"instance"` // 16 hex digits, as are other numbers that may not fit a double
	Seq      uint64         `json:"seq"`
	Created  int64          `json:"created"`
	Stream   uint8          `json:"stream"`
	Name     string         `json:"name"`
	Seed     uint32         `json:"seed"`
	Header   hexBytes       `json:"header"`
	Records  []recordVector `json:"records"`
	Reads    []readVector   `json:"reads"`
}

type recordVector struct {
	Offset    int64    `json:"offset"`
	Key       hexBytes `json:"key"`
	Class     uint8    `json:"class"`
	Length    int      `json:"length"`
	Generator uint32   `json:"generator"`
	DataCRC   uint32   `json:"data_crc32c"`
	Sums      []uint32 `json:"sums"`
	Header    hexBytes `json:"header"`
	Size      int64    `json:"size"`
}

type readVector struct {
	Record     int64 `json:"record"`
	PageLength int   `json:"page_length"`
	Offset     int   `json:"offset"`
	Length     int   `json:"length"`
	HeaderSize int   `json:"header_size"`
	FirstBlock int   `json:"first_block"`
	DataAt     int64 `json:"data_at"`
	DataLength int   `json:"data_length"`
	Skip       int   `json:"skip"`
}

// generated is the deterministic content of a page: a linear congruential generator's high bytes.
func generated(x uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

var vectorHeader = segfile.Header{Instance: 0xfedcba9876543210, Seq: 42, Created: 1_790_000_000, Stream: 1}

const vectorPart = `s3:"https://s3.example.com" "lake" "sales/part-7.parquet" "\"9b2cf535f27731c974343645a3985328\"" 1234567`

func makeKeys() any {
	v := keysVector{Comment: "A part's key is the first 16 bytes of SHA-256 of its id; clients are told it. A page's key is the first 16 bytes of " +
		"SHA-256(part key, page's offset in the part as 8 bytes, page's length as 8 bytes), numbers little-endian."}
	for _, id := range []string{"", "x", vectorPart, "äöü \x01 日本"} {
		part := segfile.HashPart(id)
		p := partKeys{ID: id, Key: part[:]}
		for _, r := range [][2]int64{{0, 1}, {0, 65536}, {65536, 65536}, {1<<40 + 5, 1 << 20}} {
			k := part.Page(r[0], r[1])
			p.Pages = append(p.Pages, pageKey{r[0], r[1], k[:]})
		}
		v.Parts = append(v.Parts, p)
	}
	return v
}

func makeRecords() any {
	h := vectorHeader
	v := recordsVector{Comment: "A segment's header and records in it. A record's bytes are made so: x = generator; for each byte x = x*1664525+1013904223 mod 2^32, byte = x>>24. " +
		"sums are those of the record's header, and of PutPage.crc32c. reads say which bytes of a segment answer a read of a page.",
		Instance: fmt.Sprintf("%016x", h.Instance), Seq: h.Seq, Created: h.Created, Stream: h.Stream, Name: segfile.Name(h.Instance, h.Seq), Seed: h.Seed(), Header: h.Encode()}
	off := int64(segfile.HeaderSize)
	for i, n := range []int{1, 64 << 10, 64<<10 + 1, 512 << 10, 513 << 10, 1 << 20} {
		data, key := generated(uint32(i), n), segfile.HashPart(vectorPart).Page(off, int64(n))
		b := segfile.AppendRecord(nil, h.Seed(), off, key, uint8(i), data)
		r := recordVector{Offset: off, Key: key[:], Class: uint8(i), Length: n, Generator: uint32(i), DataCRC: segfile.Crc(0, data),
			Header: b[:segfile.RecordHeaderSize(n)], Size: int64(len(b))}
		r.Sums = append(r.Sums, putPage(grant{0, int64(n), key}, data).GetCrc32C()...)
		v.Records = append(v.Records, r)
		for _, part := range [][2]int{{0, n}, {n / 2, 1}, {n - 1, 1}, {n / 3, n / 3}} {
			if part[1] > 0 {
				v.Reads = append(v.Reads, makeRead(off, n, part[0], part[1]))
			}
		}
		off += int64(len(b))
	}
	return v
}

func makeRead(record int64, length, off, n int) readVector {
	p := segfile.PlanRead(segfile.Location{Off: record, Length: length}, off, n)
	return readVector{record, length, off, n, p.Header, p.First, p.At, p.Data, p.Skip}
}

type openVector struct {
	Comment string       `json:"comment"`
	Reply   string       `json:"reply"`
	Files   []vectorFile `json:"files"`
	Retired []string     `json:"retired"`
}

type vectorFile struct {
	Error      string     `json:"error,omitempty"`
	Path       string     `json:"path,omitempty"`
	Version    string     `json:"version,omitempty"`
	Size       int64      `json:"size,omitempty"`
	FreshForUs int64      `json:"fresh_for_us,omitempty"`
	Settled    int64      `json:"settled,omitempty"` // where the parts that have a key end
	Pages      []openPage `json:"pages,omitempty"`
}

type openPage struct {
	Offset    int64    `json:"offset"`
	Length    int64    `json:"length"`
	Class     uint8    `json:"class"`
	Key       hexBytes `json:"key"`
	Where     string   `json:"where"` // segment, memory, granted, claimed, missing
	Directory uint32   `json:"directory,omitempty"`
	Segment   string   `json:"segment,omitempty"`
	Record    int64    `json:"record,omitempty"`
}

// vectorReply is an answer with all that an answer can have: several parts, one of them without a key, extents, runs of several lengths, every kind
// of place.
func vectorReply() *apiv1.OpenReply {
	first, second := segfile.HashPart("part one"), segfile.HashPart("part two")
	return &apiv1.OpenReply{
		Generation: 1 << 62, Forget: true,
		Segments: []*apiv1.Segment{{Directory: 0, Instance: vectorHeader.Instance, Seq: 42}, {Directory: 1, Instance: 1, Seq: 1 << 33}},
		Retired:  []*apiv1.Segment{{Directory: 1, Instance: 0xffff, Seq: 7}},
		Files: []*apiv1.OpenedFile{{
			Object:     &apiv1.Object{Path: "sales/part-7.parquet", Version: "v", Size: 3_000_000, ModifiedMs: 1_790_000_000_000, Etag: `"e"`},
			FreshForUs: 10_000_000,
			Parts:      []*apiv1.Part{{Length: 2_000_000, Key: first[:]}, {Offset: 2_000_000, Length: 1_000_000, Key: second[:]}},
			Extents: []*apiv1.Extent{
				{Lengths: []uint32{4, 262_144, 100_000}, Counts: []uint32{1, 5, 1}, Classes: []byte{9, 5, 5},
					Placed: []uint32{1, 2, 3}, Segments: []uint32{0, 1, 0}, Records: []uint32{1, 4_294_967_295, 4101}, Memory: []uint32{0, 5}},
				{Offset: 2_000_000, Lengths: []uint32{500_000}, Counts: []uint32{2}, Classes: []byte{5}, Placed: []uint32{0, 1}, Segments: []uint32{1, 1}, Records: []uint32{2, 9000}},
			},
		}, {
			Error: &apiv1.Error{Code: 5, Message: "no such file"},
		}, {
			Object: &apiv1.Object{Path: "filled", Version: "etag 1", Size: 5000}, FreshForUs: -1,
			Parts:   []*apiv1.Part{{Length: 5000, Key: first[:]}},
			Extents: []*apiv1.Extent{{Lengths: []uint32{1000}, Counts: []uint32{5}, Classes: []byte{0}, Granted: []uint32{0, 2}, Claimed: []uint32{1}, Memory: []uint32{3}}},
			Claim:   &apiv1.Claim{Token: []byte("token"), DeadlineMs: 10_000},
		}, {
			Object:  &apiv1.Object{Path: "logs/being-written", Version: "w", Size: 2_500},
			Parts:   []*apiv1.Part{{Length: 1_000, Key: first[:]}, {Offset: 1_000, Length: 1_000, Key: second[:]}, {Offset: 2_000, Length: 500}},
			Extents: []*apiv1.Extent{{Lengths: []uint32{1_000}, Counts: []uint32{2}, Classes: []byte{0}, Placed: []uint32{1}, Segments: []uint32{0}, Records: []uint32{77}}},
		}},
	}
}

func makeOpen() any {
	reply := vectorReply()
	b, err := (proto.MarshalOptions{Deterministic: true}).Marshal(reply)
	if err != nil {
		panic(err)
	}
	v := openVector{Comment: "reply is an OpenReply in base64; files are what it says.", Reply: base64.StdEncoding.EncodeToString(b)}
	for _, f := range reply.GetFiles() {
		v.Files = append(v.Files, expandFile(f, reply.GetSegments()))
	}
	for _, s := range reply.GetRetired() {
		v.Retired = append(v.Retired, fmt.Sprintf("%d/%s", s.GetDirectory(), segfile.Name(s.GetInstance(), s.GetSeq())))
	}
	return v
}

// expandFile names every page of an answer, the long way round.
func expandFile(f *apiv1.OpenedFile, segments []*apiv1.Segment) vectorFile {
	if f.GetError() != nil {
		return vectorFile{Error: f.GetError().GetMessage()}
	}
	out := vectorFile{Path: f.GetObject().GetPath(), Version: f.GetObject().GetVersion(), Size: f.GetObject().GetSize(), FreshForUs: f.GetFreshForUs()}
	for _, p := range f.GetParts() {
		if len(p.GetKey()) > 0 {
			out.Settled = p.GetOffset() + p.GetLength()
		}
	}
	for _, e := range f.GetExtents() {
		var pages []openPage
		off := e.GetOffset()
		for run, length := range e.GetLengths() {
			for range e.GetCounts()[run] {
				p := openPage{Offset: off, Length: int64(length), Class: e.GetClasses()[run], Where: "missing"}
				for _, part := range f.GetParts() {
					if in := off - part.GetOffset(); in >= 0 && in < part.GetLength() {
						k := segfile.PartKey(part.GetKey()).Page(in, p.Length)
						p.Key = k[:]
					}
				}
				pages = append(pages, p)
				off += int64(length)
			}
		}
		for where, steps := range map[string][]uint32{"segment": e.GetPlaced(), "memory": e.GetMemory(), "granted": e.GetGranted(), "claimed": e.GetClaimed()} {
			at := uint32(0)
			for i, step := range steps {
				at += step
				pages[at].Where = where
				if where == "segment" {
					s := segments[e.GetSegments()[i]]
					pages[at].Directory, pages[at].Segment = s.GetDirectory(), segfile.Name(s.GetInstance(), s.GetSeq())
					pages[at].Record = int64(e.GetRecords()[i]) * segfile.Align
				}
			}
		}
		out.Pages = append(out.Pages, pages...)
	}
	return out
}

type pagesVector struct {
	Comment string       `json:"comment"`
	Segment string       `json:"segment"`
	Pages   []storedPage `json:"pages"`
	Refused []badPage    `json:"refused"`
}

type storedPage struct {
	Record int64    `json:"record"`
	Length int      `json:"length"`
	Key    hexBytes `json:"key"`
	Data   uint32   `json:"generator"`
}

// badPage is a change after which page must not be believed.
type badPage struct {
	Why      string   `json:"why"`
	Page     int      `json:"page"`
	FlipByte int64    `json:"flip_byte,omitempty"` // its lowest bit is flipped
	ZeroFrom int64    `json:"zero_from,omitempty"`
	ZeroTo   int64    `json:"zero_to,omitempty"`
	Truncate int64    `json:"truncate,omitempty"` // the file's new size
	Key      hexBytes `json:"key,omitempty"`      // the reader looks for this one
	Record   int64    `json:"record,omitempty"`   // and here
	CopyTo   int64    `json:"copy_to,omitempty"`  // the whole record is copied there first
	Rename   string   `json:"rename,omitempty"`   // the file has this name
}

// makeSegment is the small real segment file, sealed, and its vector.
func makeSegment() ([]byte, pagesVector) {
	h := vectorHeader
	b := h.Encode()
	v := pagesVector{Comment: "pages of the segment file beside this one, whose content the generator of records.json makes; and changes after which a page must be refused.",
		Segment: segfile.Name(h.Instance, h.Seq)}
	var index []segfile.Location
	for i, n := range []int{1, 100, 3000} {
		key := segfile.HashPart("part one").Page(int64(1000*i), int64(n))
		loc := segfile.Location{Key: key, Off: int64(len(b)), Length: n, Class: uint8(i)}
		b = segfile.AppendRecord(b, h.Seed(), loc.Off, key, loc.Class, generated(uint32(100+i), n))
		index = append(index, loc)
		v.Pages = append(v.Pages, storedPage{loc.Off, n, key[:], uint32(100 + i)})
	}
	b = append(b, segfile.EncodeFooter(h, index, int64(len(b)))...)
	p1, p2 := v.Pages[1], v.Pages[2]
	v.Refused = []badPage{
		{Why: "magic", Page: 2, FlipByte: p2.Record},
		{Why: "length", Page: 2, FlipByte: p2.Record + 4},
		{Why: "key in the header", Page: 2, FlipByte: p2.Record + 8},
		{Why: "class: the header's sum does not hold", Page: 2, FlipByte: p2.Record + 24},
		{Why: "codec", Page: 2, FlipByte: p2.Record + 25},
		{Why: "header's sum", Page: 2, FlipByte: p2.Record + 28},
		{Why: "block's sum", Page: 2, FlipByte: p2.Record + 32},
		{Why: "unused bytes of the header", Page: 2, FlipByte: p2.Record + 63},
		{Why: "first byte of the data", Page: 2, FlipByte: p2.Record + 64},
		{Why: "last byte of the data", Page: 2, FlipByte: p2.Record + 64 + 2999},
		{Why: "another page's key is looked for", Page: 2, Key: p1.Key},
		{Why: "another page's record", Page: 2, Record: p1.Record},
		{Why: "the right record, copied to another place", Page: 1, Record: p2.Record, CopyTo: p2.Record},
		{Why: "a hole was punched", Page: 2, ZeroFrom: p2.Record, ZeroTo: p2.Record + 64 + 3000},
		{Why: "a hole was punched into the data", Page: 2, ZeroFrom: p2.Record + 64, ZeroTo: p2.Record + 64 + 3000},
		{Why: "the file ends within the page", Page: 2, Truncate: p2.Record + 64 + 2999},
		{Why: "the file ends within the header", Page: 2, Truncate: p2.Record + 10},
		{Why: "the file's own header says that it is another segment", Page: 2, Rename: segfile.Name(h.Instance, h.Seq+1)},
	}
	return b, v
}

func vectorFiles(t testing.TB) map[string][]byte {
	segment, pages := makeSegment()
	out := map[string][]byte{pages.Segment: segment}
	for name, v := range map[string]any{"keys.json": makeKeys(), "records.json": makeRecords(), "open.json": makeOpen(), "pages.json": pages} {
		b, err := json.MarshalIndent(v, "", " ")
		need(t, err)
		out[name] = append(b, '\n')
	}
	return out
}

// TestVectorsAreCurrent: the committed files are what the code makes, all of them and no others.
func TestVectorsAreCurrent(t *testing.T) {
	want := vectorFiles(t)
	if *update {
		need(t, os.MkdirAll(testdata, 0o755))
		for name, b := range want {
			need(t, os.WriteFile(filepath.Join(testdata, name), b, 0o644))
		}
	}
	for name, b := range want {
		got, err := os.ReadFile(filepath.Join(testdata, name))
		need(t, err)
		if !bytes.Equal(got, b) {
			t.Errorf("%s is not what the code makes; if that is meant, run: go test ./client -run TestVectorsAreCurrent -update", name)
		}
	}
	entries, err := os.ReadDir(testdata)
	need(t, err)
	for _, e := range entries {
		if want[e.Name()] == nil && !e.IsDir() { // folders are made elsewhere
			t.Errorf("%s: nothing makes it", e.Name())
		}
	}
}
