package endpoint

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// xmlWriter appends S3's XML. encoding/xml is not used because it turns the control characters that keys may hold into U+FFFD, another
// key; S3 writes them as character references, which a lenient parser reads and a strict one refuses, and so does this. (Clients
// that care ask for encoding-type=url.)
type xmlWriter struct{ b []byte }

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// s3Namespace belongs on the root of every answer but errors.
const s3Namespace = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`

// open starts an element; attr is written as it is.
func (x *xmlWriter) open(name, attr string) {
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	x.b = append(x.b, attr...)
	x.b = append(x.b, '>')
}

func (x *xmlWriter) close(name string) {
	x.b = append(x.b, '<', '/')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

// text writes an element that holds text.
func (x *xmlWriter) text(name, value string) {
	x.open(name, "")
	x.escape(value)
	x.close(name)
}

func (x *xmlWriter) int(name string, v int64) { x.text(name, strconv.FormatInt(v, 10)) }

func (x *xmlWriter) bool(name string, v bool) { x.text(name, strconv.FormatBool(v)) }

func (x *xmlWriter) escape(s string) {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '&':
				x.b = append(x.b, "&amp;"...)
			case c == '<':
				x.b = append(x.b, "&lt;"...)
			case c == '>':
				x.b = append(x.b, "&gt;"...)
			case c == '"':
				x.b = append(x.b, "&quot;"...)
			case c < ' ' || c == 0x7f:
				x.b = fmt.Appendf(x.b, "&#x%X;", c)
			default:
				x.b = append(x.b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == 0xFFFE || r == 0xFFFF { // not XML characters, though UTF-8 holds them
			x.b = fmt.Appendf(x.b, "&#x%X;", r)
		} else if r == utf8.RuneError && n == 1 {
			x.b = append(x.b, "\uFFFD"...)
		} else {
			x.b = append(x.b, s[i:i+n]...)
		}
		i += n
	}
}
