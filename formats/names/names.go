// Package names has what the packages of the table formats share: how a path is cut, and which names are written once and never used again. It knows
// no format. It does plain string work and allocates nothing, since a path is looked at on every read. Start at Below.
package names

import "strings"

// Below finds the last folder of that name in a path. root is what comes before it, without a slash at its end; rest is what comes after it, "" for the
// folder itself, with or without a slash at its end.
func Below(path, folder string) (root, rest string, ok bool) {
	for end := len(path); ; end-- {
		i := strings.LastIndex(path[:end], folder)
		if i < 0 {
			return "", "", false
		}
		end = i + len(folder)
		starts, ends := i == 0 || path[i-1] == '/', end == len(path) || path[end] == '/'
		if !starts || !ends {
			continue
		}
		if end < len(path) {
			rest = path[end+1:]
		}
		return path[:max(i-1, 0)], rest, true
	}
}

// Split cuts a path at its last slash.
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// Join puts a name below a table's root, which may be "".
func Join(root, rest string) string {
	if root == "" {
		return rest
	}
	return root + "/" + rest
}

// Plain tells whether a path that another file names can be one below a table's root: no empty part, no "." or "..".
func Plain(path string) bool {
	for {
		part, rest, more := strings.Cut(path, "/")
		if part == "" || part == "." || part == ".." {
			return false
		}
		if !more {
			return true
		}
		path = rest
	}
}

// uuidLen is the length of a UUID in its usual spelling.
const uuidLen = 36

// IsUUID reports whether s is a UUID in its usual spelling.
func IsUUID(s string) bool {
	if len(s) != uuidLen {
		return false
	}
	for i := range uuidLen {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// HasUUID reports whether a UUID is anywhere in a name. Writers of every table format put one into what they write once: such a name is never used again.
func HasUUID(name string) bool {
	for at := 8; ; at++ { // of the first dash
		i := strings.IndexByte(name[min(at, len(name)):], '-')
		if at += i; i < 0 || at-8+uuidLen > len(name) {
			return false
		}
		if IsUUID(name[at-8 : at-8+uuidLen]) {
			return true
		}
	}
}

// Number reads a decimal number that is all of s and fits into 63 bits.
func Number(s string) (n int64, ok bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		d := int64(s[i] - '0')
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// Digits reports whether s is decimal digits only, and at least one.
func Digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
