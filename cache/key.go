package cache

import "github.com/alio-lake/alio/cache/segfile"

// MaxPage is the largest page, in bytes.
const MaxPage = segfile.MaxPage

// Key names the content of one page; see segfile.Key.
type Key = segfile.Key

// PartKey is the hash of a part id; see segfile.PartKey.
type PartKey = segfile.PartKey

// HashPart hashes a part id.
func HashPart(id string) PartKey { return segfile.HashPart(id) }
