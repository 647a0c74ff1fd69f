package avro

import (
	"encoding/json"
	"strings"

	"github.com/alio-lake/alio/formats/faults"
)

// Limits of a schema. Those of Iceberg's manifests and Hudi's instants have up to a few hundred types, at most ten deep.
const (
	maxSchema = 1 << 20
	maxDepth  = 64
	maxNodes  = 1 << 14
	maxPath   = 1 << 10 // bytes of the names that lead to a field
)

// form is the shape of a value.
type form uint8

const (
	null form = iota
	boolean
	integer // int and long are encoded alike
	float
	double
	text // string and bytes are encoded alike
	fixed
	enum
	array
	mapping
	record
	union
)

var primitives = map[string]form{"null": null, "boolean": boolean, "int": integer, "long": integer, "float": float, "double": double, "bytes": text, "string": text}

// node is a type in its place: the same named type in two places is two nodes, each with the path of its place.
type node struct {
	form  form
	path  string // of fields, with dots; arrays, maps and unions add nothing to it
	size  int64  // fixed
	below []*node
}

// compiler turns a schema's JSON into nodes.
type compiler struct {
	named map[string]definition // by full name
	nodes int
}

type definition struct {
	json      map[string]any
	namespace string
}

func compile(schema []byte) (*node, error) {
	if len(schema) > maxSchema {
		return nil, faults.TooLarge("a schema of %d bytes", len(schema))
	}
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		return nil, faults.Corrupt("schema: %v", err)
	}
	c := compiler{named: map[string]definition{}}
	return c.node(v, "", "", 0)
}

func (c *compiler) node(v any, namespace, path string, depth int) (*node, error) {
	if c.nodes++; c.nodes > maxNodes || depth > maxDepth {
		return nil, faults.TooLarge("a schema of more than %d types, or deeper than %d", maxNodes, maxDepth)
	}
	switch v := v.(type) {
	case string:
		return c.name(v, namespace, path, depth)
	case []any:
		n := &node{form: union, path: path}
		for _, branch := range v {
			b, err := c.node(branch, namespace, path, depth+1)
			if err != nil {
				return nil, err
			}
			n.below = append(n.below, b)
		}
		return n, nil
	case map[string]any:
		return c.complex(v, namespace, path, depth)
	}
	return nil, faults.Corrupt("schema: a type that is a %T", v)
}

// name resolves a primitive, or a reference to what was defined before it.
func (c *compiler) name(name, namespace, path string, depth int) (*node, error) {
	if form, ok := primitives[name]; ok {
		return &node{form: form, path: path}, nil
	}
	full := qualify(name, namespace)
	d, ok := c.named[full]
	if !ok {
		full = name
		if d, ok = c.named[name]; !ok {
			return nil, faults.Corrupt("schema: type %q is not defined", name)
		}
	}
	return c.define(full, d, path, depth)
}

func qualify(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (c *compiler) complex(v map[string]any, namespace, path string, depth int) (*node, error) {
	switch typ := v["type"].(type) {
	case string:
		switch typ {
		case "array", "map":
			below, err := c.node(v[map[string]string{"array": "items", "map": "values"}[typ]], namespace, path, depth+1)
			if err != nil {
				return nil, err
			}
			return &node{form: map[string]form{"array": array, "map": mapping}[typ], path: path, below: []*node{below}}, nil
		case "record", "error", "enum", "fixed":
			name, _ := v["name"].(string)
			if own, ok := v["namespace"].(string); ok {
				namespace = own
			} else if i := strings.LastIndexByte(name, '.'); i >= 0 {
				namespace = name[:i]
			}
			full := qualify(name, namespace)
			c.named[full] = definition{v, namespace}
			return c.define(full, c.named[full], path, depth)
		}
		return c.name(typ, namespace, path, depth)
	case nil:
		return nil, faults.Corrupt("schema: an object without a type")
	default:
		return c.node(typ, namespace, path, depth+1)
	}
}

// define makes a node of a named type. One that holds itself is too deep, or has too many nodes.
func (c *compiler) define(full string, d definition, path string, depth int) (*node, error) {
	switch d.json["type"] {
	case "enum":
		return &node{form: enum, path: path}, nil
	case "fixed":
		size, _ := d.json["size"].(float64)
		if size < 0 || size > maxBlock {
			return nil, faults.Corrupt("schema: %q is fixed at %v bytes", full, size)
		}
		return &node{form: fixed, path: path, size: int64(size)}, nil
	}
	fields, _ := d.json["fields"].([]any)
	n := &node{form: record, path: path}
	for _, f := range fields {
		field, ok := f.(map[string]any)
		name, _ := field["name"].(string)
		if !ok || name == "" {
			return nil, faults.Corrupt("schema: a field of %q has no name", full)
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		if len(at) > maxPath {
			return nil, faults.TooLarge("a field of %q has a name of %d bytes", full, len(at))
		}
		b, err := c.node(field["type"], d.namespace, at, depth+1)
		if err != nil {
			return nil, err
		}
		n.below = append(n.below, b)
	}
	return n, nil
}
