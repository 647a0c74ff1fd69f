package config

import (
	"errors"
	"fmt"
	"strings"
)

// Secret is a value that is never printed: String, %v, YAML and JSON all show a mask. Reveal returns it. In a file a Secret may be
// written as ${NAME}, which takes it from the environment, so that the file can be committed and mounted without it. The
// reference must be the whole value; nothing else in a file is expanded, except EnvString.
type Secret string

const mask = "********"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String prints a mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString prints the mask, so that %#v shows no secret either.
func (s Secret) GoString() string { return s.String() }

// MarshalText prints the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// EnvString is printable text that, like a Secret, may be written as ${NAME}: what belongs to a secret and travels with it (an access
// key's id).
type EnvString string

// expand replaces a whole value ${NAME} by that environment variable. Any other text is returned as it is.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	name, isRef := strings.CutPrefix(text, "${")
	if !isRef {
		return text, nil
	}
	name, closed := strings.CutSuffix(name, "}")
	if !closed || name == "" || strings.ContainsAny(name, "${} ") {
		return "", errors.New("starts like an environment reference but is none: write ${NAME} and nothing beside it")
	}
	value, ok := lookup(name)
	if !ok || value == "" {
		return "", fmt.Errorf("the environment variable %s is not set: export it, or write the value here", name)
	}
	return value, nil
}
