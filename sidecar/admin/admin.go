package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Options configure a Server.
type Options struct {
	// Gatherer holds the metrics that /metrics shows. Required.
	Gatherer prometheus.Gatherer
	// Ready tells whether clients should be sent here; its error is shown. nil: always. Called in parallel, and must not block.
	Ready func() error
	// Status returns what /status prints as JSON, without secrets. Required. Called in parallel.
	Status func() any
	// Reload reads the configuration again for POST /reload, and returns what was done, to be printed as JSON; with an error nothing was
	// changed. nil: there is no such page. Called in parallel.
	Reload func() (any, error)
	// Mounts returns what /mounts prints as JSON; ask says whether each origin is asked if it answers. nil: there is no such page. Called in parallel.
	Mounts func(ctx context.Context, ask bool) any
	// API answers what is below /v1/; nil: there is nothing. Called in parallel, and must not block.
	API http.Handler
	// Title stands on the page at /, such as "alio sidecar v1.0".
	Title string
	// Pprof serves /debug/pprof/.
	Pprof bool
	// Grace is how long requests under way may take after Run's context has ended (default 1 s).
	Grace  time.Duration
	Logger zerolog.Logger
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var faults []error
	if o.Gatherer == nil {
		faults = append(faults, errors.New("no metrics gatherer"))
	}
	if o.Status == nil {
		faults = append(faults, errors.New("no status function"))
	}
	if o.Grace < 0 {
		faults = append(faults, fmt.Errorf("grace is negative: %v", o.Grace))
	}
	return errors.Join(faults...)
}

// Server answers operators. Its Handler may be used without Run.
type Server struct {
	opts Options
	mux  *http.ServeMux
}

// New makes a Server; it starts nothing.
func New(opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if opts.Ready == nil {
		opts.Ready = func() error { return nil }
	}
	if opts.Grace == 0 {
		opts.Grace = time.Second
	}
	s := &Server{opts: opts, mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{ErrorLog: promLog{opts.Logger}, EnableOpenMetrics: true}))
	s.mux.HandleFunc("GET /healthz", healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /status", s.status)
	s.mux.HandleFunc("GET /{$}", s.page)
	if opts.Mounts != nil {
		s.mux.HandleFunc("GET /mounts", s.mounts)
	}
	if opts.API != nil {
		s.mux.Handle("/v1/", opts.API)
	}
	if opts.Reload != nil { // no page that an operator's browser has open elsewhere may do this
		s.mux.Handle("POST /reload", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.reload)))
	}
	if opts.Pprof {
		s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return s, nil
}

// Handler returns the server's handler.
func (s *Server) Handler() http.Handler { return s.mux }

// Run serves on the listener until the context ends, then lets requests under way finish for at most the grace period. It owns the listener.
// It returns nil when the context ended it.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin server on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Grace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	<-served
	return nil
}

// healthz says that the process is alive, whatever its cache or its origins do: restarting it for those would not help.
func healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.opts.Ready(); err != nil {
		text(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	text(w, http.StatusOK, "ready")
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	s.print(w, http.StatusOK, s.opts.Status())
}

// mounts tells of the mounts; with ?check=true each origin is asked.
func (s *Server) mounts(w http.ResponseWriter, r *http.Request) {
	ask, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("check"), "false"))
	if err != nil {
		text(w, http.StatusBadRequest, "check: want true or false")
		return
	}
	s.print(w, http.StatusOK, s.opts.Mounts(r.Context(), ask))
}

// reload is 422 if the configuration cannot be used; the answer says why, and that nothing was changed.
func (s *Server) reload(w http.ResponseWriter, _ *http.Request) {
	report, err := s.opts.Reload()
	code := http.StatusOK
	if err != nil {
		code = http.StatusUnprocessableEntity
	}
	s.print(w, code, report)
}

// print answers JSON.
func (s *Server) print(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.opts.Logger.Error().Err(err).Msg("status cannot be printed")
		text(w, http.StatusInternalServerError, "status cannot be printed: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // a client that went away is no fault of ours
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}

// promLog hands the metrics handler's errors to our log.
type promLog struct{ log zerolog.Logger }

func (p promLog) Println(v ...any) {
	p.log.Warn().Str("error", fmt.Sprint(v...)).Msg("some metrics could not be gathered; the others were sent")
}
