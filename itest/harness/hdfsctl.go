package harness

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// errControlGone means that the process ended before it answered.
var errControlGone = errors.New("the process ended before it answered")

// control is the line protocol with the Java side (hdfs/Main.java says what it is).
type control struct {
	ready chan struct{} // closed with the first line
	gone  chan struct{} // closed when no more lines come
	in    *os.File
	out   *os.File

	mu      sync.Mutex
	last    int
	waiting map[string]chan [2]string // kind and text of the answer, by the command's id
}

func newControl(in, out *os.File) *control {
	c := &control{ready: make(chan struct{}), gone: make(chan struct{}), in: in, out: out, waiting: map[string]chan [2]string{}}
	go c.read()
	return c
}

func (c *control) read() {
	defer close(c.gone)
	lines := bufio.NewReader(c.out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		kind, text, _ := strings.Cut(rest, " ")
		if id == "0" {
			close(c.ready)
			continue
		}
		c.mu.Lock()
		w := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if w != nil {
			w <- [2]string{kind, text}
		}
	}
}

// do sends one command line and waits for its answer; what comes after ctx has ended is dropped.
func (c *control) do(ctx context.Context, command string) (string, error) {
	answer := make(chan [2]string, 1)
	c.mu.Lock()
	c.last++
	id := strconv.Itoa(c.last)
	c.waiting[id] = answer
	_, err := c.in.WriteString(id + " " + command + "\n")
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if err != nil {
		return "", errors.Join(errControlGone, err)
	}
	select {
	case a := <-answer:
		text := strings.NewReplacer("%0A", "\n", "%0D", "\r", "%25", "%").Replace(a[1])
		if a[0] != "OK" {
			return "", errors.New(text)
		}
		return text, nil
	case <-c.gone:
		return "", errControlGone
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *control) close() {
	_ = c.in.Close()
	_ = c.out.Close()
	<-c.gone
}

// Do gives the file system one command and returns its answer. Words are parted by one space; HDFSArg writes a path or a text that
// holds one. Commands that are sent at once run at once; those on one stream must follow each other. NAME is any name of an open
// output stream, servers are numbered from 0.
//
//	create NAME PATH [BLOCKSIZE [REPLICAS]]   append NAME PATH   appendnewblock NAME PATH
//	write NAME BASE64   fill NAME SEED OFFSET BYTES (bytes of Pattern)   hflush NAME   hsync NAME
//	hsyncu NAME (hsync that updates the length at the NameNode)   close NAME   forget NAME (leave it open; its writer is gone)
//	put PATH BASE64   read PATH OFFSET BYTES (answers base64, read by Hadoop's client)
//	truncate PATH LENGTH (answers true, or false while the last block recovers)   closed PATH   recover PATH (its lease)
//	concat TARGET SOURCE...   rename FROM TO (replaces)   delete PATH (with all below it)   mkdir PATH
//	settimes PATH MTIME ATIME (milliseconds)   chmod PATH OCTAL   setowner PATH USER GROUP   owner PATH   setrep PATH N
//	ec FOLDER POLICY (XOR-2-1-1024k works with two DataNodes)   zone FOLDER KEY (an encryption zone with a new key)
//	locate PATH (answers "inode length mtime underconstruction" and "pool:id:stamp:bytes:port,port" for each block)
//	namenode stop|start|restart N   datanode stop|start|restart N   failover N   safemode enter|leave|get
//	corrupt PATH BLOCK N, lose PATH BLOCK N (damage, remove the replica on DataNode N of a closed file's block)   metrics (Counts)
func (h *HDFS) Do(ctx context.Context, command string) (string, error) {
	answer, err := h.ctl.do(ctx, command)
	if err != nil {
		return "", h.fail(command, err)
	}
	return answer, nil
}

// HDFSArg writes a word of a command, whatever it holds.
func HDFSArg(s string) string {
	return strings.NewReplacer("%", "%25", " ", "%20", "\n", "%0A", "\r", "%0D").Replace(s)
}

// Put writes a whole file, in place of what was there.
func (h *HDFS) Put(ctx context.Context, path string, data []byte) error {
	_, err := h.Do(ctx, "put "+HDFSArg(path)+" "+base64.StdEncoding.EncodeToString(data))
	return err
}

// Settled waits until a file is closed: after a truncate inside a block or a lost writer, until its last block is recovered.
func (h *HDFS) Settled(ctx context.Context, path string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := h.Do(ctx, "closed "+HDFSArg(path))
		if err != nil || answer == "true" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("hdfs %s is still not closed: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// HDFSCounts is what the servers counted since each was started, by number; a stopped one has an empty map.
type HDFSCounts struct {
	NameNodes []map[string]int64 `json:"namenodes"` // RPCs answered by method, in lower case: "getfileinfo"
	DataNodes []map[string]int64 `json:"datanodes"` // Hadoop's own names: "BytesRead", "BlocksRead", "BytesWritten", ...
}

// Counts reads the servers' own counters.
func (h *HDFS) Counts(ctx context.Context) (HDFSCounts, error) {
	var c HDFSCounts
	answer, err := h.Do(ctx, "metrics")
	if err == nil {
		err = json.Unmarshal([]byte(answer), &c)
	}
	return c, err
}

// BytesRead is what clients have read from all DataNodes.
func (c HDFSCounts) BytesRead() (n int64) {
	for _, d := range c.DataNodes {
		n += d["BytesRead"]
	}
	return n
}

// hdfsServerRPCs are what servers of the file system itself ask a NameNode, and the lease renewals of idle clients.
var hdfsServerRPCs = map[string]bool{
	"sendheartbeat": true, "blockreport": true, "blockreceivedanddeleted": true, "registerdatanode": true, "versionrequest": true,
	"renewlease": true, "getservicestatus": true, "geteditlogmanifest": true, "rolleditlog": true, "gettransactionid": true,
	"sendlifeline": true, "cachereport": true, "commitblocksynchronization": true, "transitiontoactive": true, "transitiontostandby": true,
	"reportbadblocks": true,
}

// ClientRPCs is how many RPCs of clients all NameNodes answered, and how many of each method.
func (c HDFSCounts) ClientRPCs() (total int64, by map[string]int64) {
	by = map[string]int64{}
	for _, nn := range c.NameNodes {
		for method, n := range nn {
			if !hdfsServerRPCs[method] && !strings.HasSuffix(method, "exception") { // an exception is counted beside its method
				by[method] += n
				total += n
			}
		}
	}
	return total, by
}
