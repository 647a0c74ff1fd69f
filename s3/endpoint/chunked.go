package endpoint

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// chunkReader unwraps the aws-chunked encoding ("Signature Calculations for the Authorization Header: Transferring Payload in Multiple
// Chunks", and "… for trailing headers", in the S3 API reference):
//
//	<size in hex>[;chunk-signature=<64 hex>] CRLF <size bytes> CRLF   as often as needed
//	0[;chunk-signature=<64 hex>] CRLF
//	[<name>:<value> CRLF]… [x-amz-trailer-signature:<64 hex> CRLF]    where a trailer was announced
//	CRLF
//
// Bytes pass as they come and are checked at the end of their chunk, so a chunk of any size needs no memory; whoever reads must not
// believe the last byte before io.EOF, which comes only if everything held (see payload). Any other end is an *apiError.
type chunkReader struct {
	br      *bufio.Reader
	signed  bool         // chunks carry signatures
	signer  *chunkSigner // checks them; nil: they are not looked at
	trailer *trailerSums // nil: no trailer
	size    int64        // decoded bytes, as announced
	seen    int64        // decoded bytes so far, this chunk's included
	left    int64        // of this chunk
	hash    hash.Hash    // over this chunk
	sig     string       // of this chunk, as sent
	err     error
}

// maxChunkLine bounds a chunk's or a trailer's line, in bytes.
const maxChunkLine = 4 << 10

func newChunkReader(body io.Reader, size int64) *chunkReader {
	return &chunkReader{br: bufio.NewReaderSize(body, 32<<10), size: size, hash: sha256.New()}
}

func (c *chunkReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, c.err
	}
	for c.err == nil && c.left == 0 {
		c.err = c.nextChunk()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.br.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	if c.signer != nil {
		c.hash.Write(b[:n])
	}
	if c.trailer != nil {
		c.trailer.write(b[:n])
	}
	switch {
	case err != nil:
		c.err = incompleteBody(unexpected(err))
	case c.left == 0:
		c.err = c.endChunk()
	}
	return n, nil // c.err, if any, at the next call
}

// nextChunk reads a chunk's first line, and all the rest after the last chunk: then io.EOF.
func (c *chunkReader) nextChunk() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	sizeText, extension, _ := strings.Cut(line, ";")
	size, err := strconv.ParseUint(sizeText, 16, 62)
	if err != nil {
		return malformedChunk("its size is not a hex number")
	}
	if int64(size) > c.size-c.seen {
		return malformedChunk(fmt.Sprintf("the chunks hold more than the %d bytes of x-amz-decoded-content-length", c.size))
	}
	if c.sig = ""; c.signed {
		var ok bool
		if c.sig, ok = strings.CutPrefix(extension, "chunk-signature="); !ok && c.signer != nil {
			return rejected("payload", http.StatusForbidden, "SignatureDoesNotMatch", "A chunk of the body carries no chunk-signature.")
		}
	}
	c.left = int64(size)
	c.seen += c.left
	if size > 0 {
		return nil
	}
	return c.finish()
}

// endChunk checks a data chunk that has been read whole.
func (c *chunkReader) endChunk() error {
	if err := c.checkSignature(); err != nil {
		return err
	}
	line, err := c.line()
	if err == nil && line != "" {
		err = malformedChunk("its data is longer than its size says")
	}
	return err
}

func (c *chunkReader) checkSignature() error {
	if c.signer == nil {
		return nil
	}
	want := c.signer.chunk(c.hash.Sum(nil))
	c.hash.Reset()
	return matchSignature(want, c.sig)
}

func matchSignature(want, got string) error {
	if subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return rejected("payload", http.StatusForbidden, "SignatureDoesNotMatch",
			"A chunk of the body does not match its signature: it was changed on the way, or signed with another key.")
	}
	return nil
}

// finish reads what follows the last data chunk.
func (c *chunkReader) finish() error {
	if err := c.checkSignature(); err != nil {
		return err
	}
	if c.seen != c.size {
		return incompleteBody(fmt.Errorf("%d of %d bytes came: %w", c.seen, c.size, io.ErrUnexpectedEOF))
	}
	if c.trailer != nil {
		if err := c.readTrailer(); err != nil {
			return err
		}
	} else if line, err := c.br.ReadSlice('\n'); err != io.EOF && (err != nil || strings.TrimRight(string(line), "\r\n") != "") {
		return malformedChunk("something follows the last chunk")
	}
	if _, err := c.br.ReadByte(); err != io.EOF {
		return malformedChunk("something follows the last chunk")
	}
	return io.EOF
}

// maxTrailers bounds the trailing headers.
const maxTrailers = 16

// readTrailer reads and checks the trailing headers. The published example ends each header's line with LF and puts a bare CRLF before
// the signature; SDKs write CRLF and no such line. Both are read.
func (c *chunkReader) readTrailer() error {
	wantSig := c.signed
	sig := ""
	digest := sha256.New()
	for range maxTrailers {
		line, err := c.br.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		if err != nil && err != io.EOF || len(line) > maxChunkLine {
			return malformedTrailer("a line is too long or cut short")
		}
		if text == "" {
			if err == io.EOF || !wantSig || sig != "" {
				break
			}
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return malformedTrailer("a line is not a header")
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "x-amz-trailer-signature" {
			sig = value
			continue
		}
		digest.Write([]byte(name + ":" + value + "\n"))
		if err := c.trailer.receive(name, value); err != nil {
			return err
		}
	}
	if c.signer != nil {
		if err := matchSignature(c.signer.trailer(digest.Sum(nil)), sig); err != nil {
			return err
		}
	}
	return c.trailer.check()
}

// line reads one line without its end.
func (c *chunkReader) line() (string, error) {
	line, err := c.br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxChunkLine:
		return "", malformedChunk("its first line is too long")
	case err != nil:
		return "", incompleteBody(unexpected(err))
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}

// unexpected turns an end in mid-chunk into what it is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformedChunk(what string) error {
	return &apiError{status: http.StatusBadRequest, code: "InvalidChunk", message: "A chunk of the aws-chunked body cannot be read: " + what + "."}
}

func malformedTrailer(what string) error {
	return &apiError{status: http.StatusBadRequest, code: "MalformedTrailerError", message: "The trailing headers of the body cannot be read: " + what + "."}
}
