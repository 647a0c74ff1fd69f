package namenode

import (
	"errors"
	"fmt"
	"math"
)

// Kind is what a path names.
type Kind int

// The kinds of HdfsFileStatusProto.
const (
	Directory Kind = 1
	File      Kind = 2
	Symlink   Kind = 3
)

// Block is one block of a file, as the NameNode knows it.
type Block struct {
	Pool     string
	ID       uint64
	Stamp    uint64 // generation stamp
	Bytes    int64  // as the NameNode counts them; of a block under construction they may lag behind or be those before a truncate
	Offset   int64  // of the block's first byte in the file
	Replicas int    // DataNodes that hold it
	Corrupt  bool   // every replica is corrupt
}

// Status is what the NameNode tells of one path, all in one answer.
type Status struct {
	Kind    Kind
	Name    string // the last component; "" where the path itself was asked for
	Length  int64  // bytes, those of a block under construction included as far as the NameNode knows them
	ModTime int64  // milliseconds since 1970
	FileID  uint64 // of the inode
	Owner   string
	// Encrypted and Striped files (encryption zones, erasure coding) cannot be read block by block.
	Encrypted, Striped bool

	Located           bool // the fields below were told
	Blocks            []Block
	UnderConstruction bool
	LastComplete      bool
	Last              *Block // nil for a file without blocks
}

var errNumber = errors.New("a number is larger than any file")

func signed(v uint64) (int64, error) {
	if v > math.MaxInt64 {
		return 0, errNumber
	}
	return int64(v), nil
}

// parseStatus reads an HdfsFileStatusProto.
func parseStatus(b []byte) (*Status, error) {
	s := &Status{}
	err := each(b, func(f field) (err error) {
		switch f.num {
		case 1:
			s.Kind = Kind(min(f.value, 100))
		case 2:
			s.Name = string(f.data)
		case 3:
			s.Length, err = signed(f.value)
		case 5:
			s.Owner = string(f.data)
		case 7:
			s.ModTime, err = signed(f.value)
		case 12:
			err = parseLocations(f.data, s)
		case 13:
			s.FileID = f.value
		case 15:
			s.Encrypted = true
		case 17:
			s.Striped = true
		case 18:
			s.Encrypted = s.Encrypted || f.value&2 != 0
			s.Striped = s.Striped || f.value&4 != 0
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the NameNode's file status cannot be parsed: %w", err)
	}
	if s.Kind < Directory || s.Kind > Symlink {
		return nil, fmt.Errorf("the NameNode's file status is of the unknown kind %d", s.Kind)
	}
	return s, nil
}

// parseLocations reads a LocatedBlocksProto.
func parseLocations(b []byte, s *Status) error {
	s.Located = true
	return each(b, func(f field) error {
		switch f.num {
		case 2, 4:
			block, err := parseBlock(f.data, s)
			if err != nil {
				return err
			}
			if f.num == 4 {
				s.Last = &block
			} else {
				s.Blocks = append(s.Blocks, block)
			}
		case 3:
			s.UnderConstruction = f.value != 0
		case 5:
			s.LastComplete = f.value != 0
		case 6:
			s.Encrypted = true
		case 7:
			s.Striped = true
		}
		return nil
	})
}

// parseBlock reads a LocatedBlockProto. Block indices mark a striped one.
func parseBlock(b []byte, s *Status) (Block, error) {
	var out Block
	err := each(b, func(f field) (err error) {
		switch f.num {
		case 1:
			err = parseExtended(f.data, &out)
		case 2:
			out.Offset, err = signed(f.value)
		case 3:
			out.Replicas++
		case 4:
			out.Corrupt = f.value != 0
		case 9:
			s.Striped = true
		}
		return err
	})
	return out, err
}

// parseExtended reads an ExtendedBlockProto.
func parseExtended(b []byte, out *Block) error {
	return each(b, func(f field) (err error) {
		switch f.num {
		case 1:
			out.Pool = string(f.data)
		case 2:
			out.ID = f.value
		case 3:
			out.Stamp = f.value
		case 4:
			out.Bytes, err = signed(f.value)
		}
		return err
	})
}

// Page is one page of a directory.
type Page struct {
	Entries   []*Status // in the order of HDFS: by the names' bytes, taken as signed
	Remaining int       // entries after these
}

// parseListing reads a GetListingResponseProto; nil if the path names nothing.
func parseListing(b []byte) (*Page, error) {
	var page *Page
	err := each(b, func(f field) error {
		if f.num != 1 {
			return nil
		}
		page = &Page{}
		return each(f.data, func(f field) error {
			switch f.num {
			case 1:
				s, err := parseStatus(f.data)
				if err != nil {
					return err
				}
				page.Entries = append(page.Entries, s)
			case 2:
				page.Remaining = int(min(f.value, math.MaxInt32))
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("the NameNode's listing cannot be parsed: %w", err)
	}
	return page, nil
}

// parseOne reads a response whose field 1 is a file status (getFileInfo, getLocatedFileInfo); nil if the path names nothing.
func parseOne(b []byte) (*Status, error) {
	var s *Status
	err := each(b, func(f field) (err error) {
		if f.num == 1 && f.data != nil {
			s, err = parseStatus(f.data)
		}
		return err
	})
	return s, err
}
