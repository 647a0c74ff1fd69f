package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"

	"gopkg.in/yaml.v3"
)

// scalar fills v, whose type is a text or a number, from n; place is where the reader of an error should look (the alias, not its anchor).
func (d *decoder) scalar(path string, place, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.fault(path, place, "wants %s, not %s", typeName(v), kindName(n))
		return
	}
	if isNull(n) {
		d.fault(path, place, "has no value: give it one, or remove the line")
		return
	}
	if err := d.set(n, v); err != nil {
		if _, ok := err.(typeError); ok {
			d.fault(path, place, "wants %s, not %q", typeName(v), n.Value)
			return
		}
		d.fault(path, place, "%v", err)
	}
}

// typeError says that a text is of the wrong type; the fault is worded by scalar.
type typeError struct{}

func (typeError) Error() string { return "wrong type" }

func (d *decoder) set(n *yaml.Node, v reflect.Value) error {
	switch t := v.Addr().Interface().(type) {
	case *Secret:
		text, err := expand(n.Value, d.lookup)
		*t = Secret(text)
		return err
	case *EnvString:
		text, err := expand(n.Value, d.lookup)
		*t = EnvString(text)
		return err
	case encoding.TextUnmarshaler:
		return t.UnmarshalText([]byte(n.Value))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value) // whatever its tag: a bucket may be named 2024 and a region "no"
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil || n.Tag != "!!bool" {
			return typeError{}
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil {
			return typeError{}
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || (n.Tag != "!!float" && n.Tag != "!!int") {
			return typeError{}
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("the program cannot read a %s", v.Type())
	}
	return nil
}

// typeName says in words what a value of v's type looks like.
func typeName(v reflect.Value) string { return TypeName(v.Type()) }

// TypeName says in words what is written for a value of a type, for errors and for the reference page.
func TypeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "a size"
	case reflect.TypeFor[Duration]():
		return "a duration"
	case reflect.TypeFor[Secret]():
		return "a secret"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "keys below it"
	default:
		return "text"
	}
}
