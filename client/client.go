package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Client reads through one sidecar. All methods may be called in parallel.
type Client struct {
	o           Options
	control     *control
	session     *session
	segments    *segments
	views       *views
	directories []*directory
	touches     *touches
	counts      *counts
	puts        atomic.Int64 // bytes of pages that wait to be put
	background  tasks
	alive       context.Context // ends with Close
	end         context.CancelFunc
	closing     sync.Once
	closeErr    error
}

// closeWait is how long Close waits for what is under way.
const closeWait = 5 * time.Second

// New makes a Client. It starts nothing and connects to nothing; the first call does. That the sidecar is not there is no error here, nor is a
// directory that does not exist (yet).
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	o = o.withDefaults()
	c := &Client{o: o, views: newViews(o.Views, o.ViewMemory)}
	c.alive, c.end = context.WithCancel(context.Background())
	c.segments = newSegments(o.OpenSegments, o.LocalDeadline, &c.background)
	for _, path := range o.Directories {
		c.directories = append(c.directories, newDirectory(path, o.LocalReaders))
	}
	c.control, c.session, c.touches = newControl(c), &session{c: c}, &touches{c: c}
	c.counts = newCounts(c)
	if o.Registerer != nil {
		if err := o.Registerer.Register(c.counts); err != nil {
			return nil, fmt.Errorf("client: metrics: %w", err)
		}
	}
	return c, nil
}

// Close tells the sidecar what was read lately, and lets go of everything. Reads that are under way end by themselves or fail; later ones fail with
// ErrClosed. It is safe twice. It waits at most 5 s, and says so if a device still holds a read.
func (c *Client) Close() error {
	c.closing.Do(func() { c.closeErr = c.close() })
	return c.closeErr
}

func (c *Client) close() error {
	c.touches.close()
	c.end()
	c.segments.close()
	err := c.control.close()
	if c.o.Registerer != nil {
		c.o.Registerer.Unregister(c.counts)
	}
	if !c.background.wait(closeWait) {
		err = errors.Join(err, fmt.Errorf("client: what is under way did not end within %v: a cache device hangs", closeWait))
	}
	return err
}

func (c *Client) closed() bool { return c.alive.Err() != nil }

// patient is the patience for calls that may need the origin: where there is another way, silence is doubted early.
func (c *Client) patient(otherWay bool) patience {
	return patience{deadline: c.o.ReadDeadline, doubt: otherWay}
}
