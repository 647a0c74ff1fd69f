package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// headRoom is for an answer's status line and headers.
const headRoom = 8 << 10

// HTTPOptions say whom an HTTP reader asks. All are required.
type HTTPOptions struct {
	Network, Address string // as net.Dial takes them
	Bucket           string // objects are asked for as /Bucket/name
	AccessKeyID      string // each request is signed with it; a server that checks no signature ignores it
	SecretAccessKey  string
	Data             Data
	MaxBytes         int // the longest read
}

// httpReader is an HTTP/1.1 client by hand, on one connection: a request is signed and laid out in Prepare, sent with one write, and its answer is read
// into one buffer that is parsed where it lies. Nothing is allocated for a request, and no byte of a body is copied after the kernel has delivered it.
type httpReader struct {
	conn    net.Conn
	data    Data
	sign    *signer
	names   [][]byte // /bucket/name by object
	request []byte
	ranges  []byte
	want    int
	from    int64 // of the range within its object
	buf     []byte
}

// DialHTTP makes a Reader over HTTP.
func DialHTTP(o HTTPOptions) (Reader, error) {
	conn, err := net.Dial(o.Network, o.Address)
	if err != nil {
		return nil, err
	}
	r := &httpReader{conn: conn, data: o.Data, sign: newSigner(o.AccessKeyID, o.SecretAccessKey, hostOf(o)), buf: make([]byte, headRoom+o.MaxBytes)}
	for i := range o.Data.Objects() {
		r.names = append(r.names, []byte("/"+o.Bucket+"/"+o.Data.Name(i)))
	}
	return r, nil
}

func hostOf(o HTTPOptions) string {
	if o.Network == "unix" {
		return "localhost"
	}
	return o.Address
}

// Prepare implements Reader.
func (r *httpReader) Prepare(at int64, n int) error {
	object := at / r.data.ObjectSize
	r.from, r.want = at%r.data.ObjectSize, n
	b := append(r.ranges[:0], "bytes="...)
	b = strconv.AppendInt(b, r.from, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, r.from+int64(n)-1, 10)
	r.ranges = b
	r.request = r.sign.appendRequest(r.request[:0], r.names[object], b, time.Now())
	return nil
}

// Read implements Reader.
func (r *httpReader) Read() ([]byte, error) {
	if _, err := r.conn.Write(r.request); err != nil {
		return nil, err
	}
	got, end := 0, -1
	for end < 0 {
		if got >= headRoom {
			return nil, errLongHead
		}
		n, err := r.conn.Read(r.buf[got:])
		if err != nil {
			return nil, err
		}
		got += n
		end = bytes.Index(r.buf[:got], endOfHead)
	}
	body := end + len(endOfHead)
	if body > headRoom {
		return nil, errLongHead
	}
	if err := r.checkHead(r.buf[:body], r.buf[body:got]); err != nil {
		return nil, err
	}
	if got > body+r.want {
		return nil, fmt.Errorf("an answer of over %d bytes", r.want)
	}
	for got < body+r.want {
		n, err := r.conn.Read(r.buf[got : body+r.want])
		if err != nil {
			return nil, err
		}
		got += n
	}
	return r.buf[body:got], nil
}

var (
	endOfHead     = []byte("\r\n\r\n")
	partial       = []byte("HTTP/1.1 206 ")
	contentLength = []byte("\r\ncontent-length:")
	contentRange  = []byte("\r\ncontent-range:")
)

// checkHead accepts a partial answer of exactly the range.
func (r *httpReader) checkHead(head, body []byte) error {
	if !bytes.HasPrefix(head, partial) {
		return fmt.Errorf("the server answered %q, and not 206: %q", bytes.TrimSpace(head), body[:min(len(body), 300)])
	}
	if n, err := number(header(head, contentLength)); err != nil || n != int64(r.want) {
		return fmt.Errorf("the server answered with another length than %d: %q", r.want, bytes.TrimSpace(head))
	}
	value := header(head, contentRange)
	start, _, ok := bytes.Cut(bytes.TrimPrefix(value, []byte("bytes ")), []byte("-"))
	if from, err := number(start); !ok || err != nil || from != r.from {
		return fmt.Errorf("the server answered with another range than from %d: %q", r.from, bytes.TrimSpace(head))
	}
	return nil
}

// header finds a header's value; name is "\r\nname:" in lower case.
func header(head, name []byte) []byte {
	for i := 0; i+len(name) <= len(head); i++ {
		next := bytes.IndexByte(head[i:], '\r')
		if next < 0 {
			return nil
		}
		if i += next; i+len(name) > len(head) || !equalFold(head[i:i+len(name)], name) {
			continue
		}
		value := head[i+len(name):]
		return bytes.TrimSpace(value[:bytes.IndexByte(value, '\r')])
	}
	return nil
}

func equalFold(b, lower []byte) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

var (
	errNoNumber = errors.New("not a number")
	errLongHead = fmt.Errorf("an answer with headers of over %d bytes", headRoom)
)

func number(b []byte) (n int64, err error) {
	if len(b) == 0 || len(b) > 18 {
		return 0, errNoNumber
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errNoNumber
		}
		n = 10*n + int64(c-'0')
	}
	return n, nil
}

// Close implements Reader.
func (r *httpReader) Close() error { return r.conn.Close() }

// Interrupt implements Interrupter.
func (r *httpReader) Interrupt() { _ = r.conn.SetDeadline(time.Unix(1, 0)) }
