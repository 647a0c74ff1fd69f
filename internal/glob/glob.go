// Package glob matches paths against the patterns of rules: over "mount/path", * and ? stay within a path component, ** crosses them. It knows no braces, no
// classes and no escapes: every other character stands for itself. Start at Compile.
package glob

import (
	"regexp"
	"strings"
)

func all(string) bool { return true }

// Compile compiles a pattern in which * and ? stay within a component and ** crosses components ("a/**/b" matches "a/b" too). Every text is a pattern.
func Compile(pattern string) func(path string) bool {
	if pattern == "**" {
		return all
	}
	var re strings.Builder
	re.WriteString(`^`)
	for i := 0; i < len(pattern); {
		switch {
		case strings.HasPrefix(pattern[i:], "**/"):
			re.WriteString(`(?:[^/]*/)*`)
			i += 3
		case strings.HasPrefix(pattern[i:], "**"):
			re.WriteString(`.*`)
			i += 2
		case pattern[i] == '*':
			re.WriteString(`[^/]*`)
			i++
		case pattern[i] == '?':
			re.WriteString(`[^/]`)
			i++
		default:
			j := i + 1
			for j < len(pattern) && pattern[j] != '*' && pattern[j] != '?' {
				j++
			}
			re.WriteString(regexp.QuoteMeta(pattern[i:j]))
			i = j
		}
	}
	re.WriteString(`$`)
	// (?s): a key may hold any byte, newlines too.
	return regexp.MustCompile(`(?s)` + re.String()).MatchString
}
