package config

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// Encode prints a configuration as YAML that Decode reads back, but for secrets, which are masked.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	err := e.Close()
	return b.Bytes(), err
}
