package s3proxy

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// DefaultLatency is the first-byte latency of the measuring proxy before an origin: what a request to an object store in the
// same region costs, roughly. Every table that uses it states it.
const DefaultLatency = 30 * time.Millisecond

// Options of a proxy. Only Target is required.
type Options struct {
	Target  string        // the endpoint behind, as http://host:port
	Listen  string        // "": 127.0.0.1:0
	Latency time.Duration // added before each request is passed on; 0: none
	Jitter  float64       // the latency varies uniformly by this share of it, up and down; 0..1
	Seed    uint64        // of the jitter: the same seed gives the same sequence of latencies
	MaxLog  int           // entries kept; more are counted in Summary.Dropped. 0: 1,000,000
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if u, err := url.Parse(o.Target); err != nil || u.Scheme == "" || u.Host == "" {
		errs = append(errs, fmt.Errorf("s3proxy: Target %q is not http://host:port", o.Target))
	}
	if o.Latency < 0 {
		errs = append(errs, fmt.Errorf("s3proxy: Latency %v is negative", o.Latency))
	}
	if o.Jitter < 0 || o.Jitter > 1 {
		errs = append(errs, fmt.Errorf("s3proxy: Jitter %v is not in 0..1", o.Jitter))
	}
	if o.MaxLog < 0 {
		errs = append(errs, fmt.Errorf("s3proxy: MaxLog %d is negative", o.MaxLog))
	}
	return errors.Join(errs...)
}

// Proxy is one measuring proxy. All methods may be called in parallel.
type Proxy struct {
	opts    Options
	ln      net.Listener
	server  *http.Server
	forward *httputil.ReverseProxy
	trans   *http.Transport
	closing chan struct{}
	once    sync.Once

	mu       sync.Mutex
	rng      *rand.Rand
	rules    []*rule
	log      []Entry
	dropped  int
	epoch    int // Reset raises it: a request that began before is not logged
	inFlight int
	idle     chan struct{} // closed when inFlight falls to 0; nil while nobody waits
}

// New makes a proxy and binds its address; it serves nothing before Run.
func New(o Options) (*Proxy, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.MaxLog == 0 {
		o.MaxLog = 1_000_000
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("s3proxy: %w", err)
	}
	p := &Proxy{opts: o, ln: ln, closing: make(chan struct{}), rng: rand.New(rand.NewPCG(o.Seed, 0x53335072))}
	p.trans = &http.Transport{
		MaxIdleConns: 512, MaxIdleConnsPerHost: 512, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true, // an Accept-Encoding of ours would change what the store answers
	}
	target, _ := url.Parse(o.Target)
	quiet := log.New(discard{}, "", 0) // a client that leaves in mid-body is no news here: it is in the log of requests
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // the signature covers it
		},
		Transport: p.trans, BufferPool: new(buffers), ErrorLog: quiet,
		ModifyResponse: p.breakBody, ErrorHandler: p.unreachable,
		FlushInterval: -1, // every chunk goes out as it comes, so a first byte is a first byte and a cut body shows what passed
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ErrorLog: quiet}
	return p, nil
}

// Start is New and Run in the background; the caller must Close.
func Start(o Options) (*Proxy, error) {
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	go func() { _ = p.Run(context.Background()) }()
	return p, nil
}

// URL is the proxy's endpoint, http://127.0.0.1:port.
func (p *Proxy) URL() string { return "http://" + p.ln.Addr().String() }

// Run serves until the context ends or Close is called; either is a nil error.
func (p *Proxy) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	if err := p.server.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("s3proxy: %w", err)
	}
	return nil
}

// Close ends every connection, hung ones too. It may be called more than once, and without Run.
func (p *Proxy) Close() error {
	p.once.Do(func() {
		close(p.closing)
		_ = p.server.Close()
		_ = p.ln.Close()
		p.trans.CloseIdleConnections()
	})
	return nil
}

// serve logs one request around the passing on of it.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	e := describe(r)
	epoch, delay, fault := p.begin(r)
	if fault != nil {
		e.Fault = fault.Name
	}
	rec := &recorder{ResponseWriter: w, start: e.Time}
	defer func() { // also when the body broke and the handler panics to cut the connection
		e.finish(rec, r)
		p.end(epoch, e)
	}()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-p.closing:
			panic(http.ErrAbortHandler)
		}
	}
	if fault != nil && p.instead(rec, r, fault) {
		return
	}
	p.forward.ServeHTTP(rec, withFault(r, fault))
}

// begin registers a request and draws its latency and its fault.
func (p *Proxy) begin(r *http.Request) (epoch int, delay time.Duration, fault *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight++
	delay = p.opts.Latency
	if p.opts.Jitter > 0 {
		delay += time.Duration((2*p.rng.Float64() - 1) * p.opts.Jitter * float64(delay))
	}
	return p.epoch, delay, p.pickFault(r)
}

func (p *Proxy) end(epoch int, e Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch == p.epoch {
		if len(p.log) < p.opts.MaxLog {
			p.log = append(p.log, e)
		} else {
			p.dropped++
		}
	}
	if p.inFlight--; p.inFlight == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// Settle waits until no request is in flight: an entry is written when its answer has gone out, so a client can be ahead of it.
func (p *Proxy) Settle(ctx context.Context) error {
	p.mu.Lock()
	if p.inFlight == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("s3proxy: requests still in flight: %w", ctx.Err())
	}
}

// Log is a copy of the requests that have ended since the last Reset, in the order in which they ended.
func (p *Proxy) Log() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Entry(nil), p.log...)
}

// Reset forgets the log; a request that is in flight now will not be in the next one.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log, p.dropped = nil, 0
	p.epoch++
}

// Take settles, and returns the log and its summary, and resets: what one experiment asked.
func (p *Proxy) Take(ctx context.Context) ([]Entry, Summary, error) {
	if err := p.Settle(ctx); err != nil {
		return nil, Summary{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	entries := p.log
	s := Summarize(entries)
	s.Dropped = p.dropped
	p.log, p.dropped = nil, 0
	p.epoch++
	return entries, s, nil
}

// unreachable answers for an endpoint that does not: 502, which S3 clients retry, as they would a refused connection.
func (p *Proxy) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusBadGateway)
}

// recorder counts what goes out.
type recorder struct {
	http.ResponseWriter
	start     time.Time
	status    int
	bytes     int64
	firstByte time.Duration
}

func (r *recorder) WriteHeader(status int) {
	if status >= 200 && r.status == 0 { // not the interim 100s
		r.status, r.firstByte = status, time.Since(r.start)
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach Flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// buffers are the copy buffers of the reverse proxy, 64 KiB each.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if v, ok := b.pool.Get().(*[]byte); ok {
		return *v
	}
	return make([]byte, 64<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
