package formats

import "strings"

// ClassOf tells a file's class by its path within the mount, as far as a path can tell: the metadata files of Delta, Hudi and Iceberg
// tables. A data file is Other (its layout, once derived, says more). A wrong guess costs a page's priority, nothing else.
func ClassOf(path string) Class {
	dir, name := splitLast(path)
	if name == "version-hint.text" || name == "_last_checkpoint" {
		return Pointer
	}
	if i := segment(path, ".hoodie"); i >= 0 {
		return hudiClass(path[i:])
	}
	if name == ".hoodie_partition_metadata" {
		return Timeline
	}
	if i := segment(path, "_delta_log"); i >= 0 {
		return deltaClass(path[i:], name)
	}
	if _, parent := splitLast(dir); parent == "metadata" && icebergName(name) {
		return Manifest
	}
	return Other
}

// icebergName reports whether a file of a folder named metadata is one of Iceberg's: table metadata, manifest lists and manifests,
// statistics (Puffin).
func icebergName(name string) bool {
	for _, suffix := range []string{".json", ".avro", ".json.gz", ".stats"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// hudiClass classifies what lies below the last .hoodie folder of a path. The metadata table (.hoodie/metadata) lists files and
// column statistics: a manifest in all but name. It has a .hoodie folder of its own, whose files are a timeline again.
func hudiClass(below string) Class {
	if strings.HasPrefix(below, "metadata/") {
		return Manifest
	}
	return Timeline
}

// deltaClass classifies what lies below a table's _delta_log folder: N.json, N.crc, N.M.compacted.json and staged commits in
// _staged_commits or _commits; N.checkpoint[.…].parquet or .json and checkpoint sidecars.
func deltaClass(below, name string) Class {
	switch {
	case strings.HasPrefix(below, "_sidecars/"):
		return Checkpoint
	case name == "" || name[0] < '0' || name[0] > '9':
		return Other
	case strings.Contains(name, ".checkpoint."):
		return Checkpoint
	case strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".crc"):
		return Commit
	}
	return Other
}

// segment returns where the path continues after its last folder of that name, or -1.
func segment(path, name string) int {
	for end := len(path); ; {
		i := strings.LastIndex(path[:end], name+"/")
		if i < 0 {
			return -1
		}
		if i == 0 || path[i-1] == '/' {
			return i + len(name) + 1
		}
		end = i + len(name)
	}
}

// splitLast cuts a path at its last slash.
func splitLast(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
