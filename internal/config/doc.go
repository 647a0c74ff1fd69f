// Package config reads a YAML file strictly into a struct and gives its units types. It knows no key of Alio's: the tree of keys is in
// sidecar/config. Strict means that an unknown key, a key given twice, a value of the wrong type or a missing environment variable is a
// fault that names the file, the line, the key's full path and the way out, and that all faults are told at once. Start at Decode,
// then Size and Duration.
package config
