package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Defaulter is what a map's or list's element implements (on its pointer) when its zero value is not its default.
type Defaulter interface{ SetDefaults() }

// Source remembers where in a file each key stood, so that faults found later can name the line.
type Source struct {
	File  string
	lines map[string]yaml.Node // by path; only Line and Column are kept
}

// Decode reads one YAML document into out, a pointer to a struct that already holds the defaults: keys that are absent leave them. lookup
// finds environment variables for Secret and EnvString; nil means os.LookupEnv. The error, if any, is a Faults with every fault
// of the file. An empty document is fine.
//
// Field names come from yaml tags. Fields may be structs, maps with string keys, lists, strings, bools, integers, floats, and whatever
// implements encoding.TextUnmarshaler. Aliases are followed; merge keys are refused, since a key that comes from two places cannot be told
// to the reader of an error.
func Decode(file string, data []byte, out any, lookup func(string) (string, bool)) (*Source, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	d := &decoder{root: reflect.TypeOf(out).Elem(), lookup: lookup, src: &Source{File: file, lines: map[string]yaml.Node{}}}
	stream := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := stream.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return d.src, nil
		}
		return d.src, Faults{syntaxFault(file, err)}
	}
	if len(doc.Content) == 1 {
		d.value("", doc.Content[0], reflect.ValueOf(out).Elem())
	}
	var second yaml.Node
	if err := stream.Decode(&second); err == nil {
		d.fault("", &second, "a second document starts here: a configuration is one document, remove the --- line")
	} else if !errors.Is(err, io.EOF) {
		d.faults = append(d.faults, syntaxFault(file, err))
	}
	return d.src, d.faults.Err()
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

func syntaxFault(file string, err error) Fault {
	f := Fault{File: file, Message: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Message = "not YAML: " + m[2]
	}
	return f
}

// Locate fills in the file and the line of each fault whose path, or the nearest path above it, stands in the file.
func (s *Source) Locate(faults Faults) Faults {
	out := make(Faults, len(faults))
	for i, f := range faults {
		out[i] = f
		for path := f.Path; f.Line == 0 && path != ""; path = parent(path) {
			if n, ok := s.lines[path]; ok {
				out[i].File, out[i].Line, out[i].Column = s.File, n.Line, n.Column
				break
			}
		}
	}
	return out
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// decoder walks a document beside the Go value that it fills.
type decoder struct {
	root   reflect.Type
	lookup func(string) (string, bool)
	src    *Source
	faults Faults
}

func (d *decoder) fault(path string, n *yaml.Node, format string, args ...any) {
	d.faults = append(d.faults, Fault{File: d.src.File, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// value fills v from n. v's type bounds the recursion, so an alias that holds itself ends too.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	place := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(path, place, n, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, place, n, v)
	}
}

// entries calls f for each key of a mapping, and faults keys that are given twice or are no plain text. A null leaves the defaults: it is
// what remains of a section whose keys are all commented out.
func (d *decoder) entries(path string, n *yaml.Node, f func(name string, key, value *yaml.Node)) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fault(path, n, "wants keys below it, not %s", kindName(n))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch line, twice := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.fault(path, key, "has a key that is no plain name")
		case key.Tag == "!!merge":
			d.fault(Join(path, key.Value), key, "merge keys are not supported: write the keys out")
		case twice:
			d.fault(Join(path, key.Value), key, "given twice (first in line %d): keep one", line)
		default:
			first[key.Value] = key.Line
			d.src.lines[Join(path, key.Value)] = yaml.Node{Line: key.Line, Column: key.Column}
			f(key.Value, key, value)
		}
	}
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	fields := fieldsOf(v.Type())
	d.entries(path, n, func(name string, key, value *yaml.Node) {
		index, ok := fields.index[name]
		if !ok {
			d.fault(Join(path, name), key, "unknown key%s", suggest(d.root, path, name, fields.names))
			return
		}
		d.value(Join(path, name), value, v.Field(index))
	})
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	d.entries(path, n, func(name string, _, value *yaml.Node) {
		element := newElement(v.Type().Elem())
		d.value(Join(path, name), value, element)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), element)
	})
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(path, n, "wants a list, not %s: write [a, b], or one \"- item\" per line", kindName(n))
		return
	}
	items := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, c := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.src.lines[at] = yaml.Node{Line: c.Line, Column: c.Column}
		element := newElement(v.Type().Elem())
		d.value(at, c, element)
		items = reflect.Append(items, element)
	}
	v.Set(items)
}

func newElement(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if def, ok := p.Interface().(Defaulter); ok {
		def.SetDefaults()
	}
	return p.Elem()
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys below it"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return kindName(n.Alias)
	default:
		return fmt.Sprintf("the value %q", n.Value)
	}
}
