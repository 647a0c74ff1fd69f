package affinity

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
)

// maxBody is the largest request as JSON: MaxSplits paths of ordinary length.
const maxBody = 4 << 20

// Handler is the service as JSON over HTTP, for people and scripts. Who owns a split is answered in the ring's order, whatever members were given lately:
//
//	GET  /v1/assign?mount=M&path=P[&offset=N][&owners=K]   who owns one split
//	POST /v1/assign                                        {"owners": K, "splits": [{"mount", "path", "offset", "length"}, …]}
//	GET  /v1/ring                                          the epoch in force: members, shares, settings; with ?format=bytes the epoch itself
//	POST /v1/drain?member=NAME[&off=true]                  the member shall own nothing more, or may again
//
// An answer other than 200 is {"error": "…"}: 503 where there is no epoch yet or nobody serves, 400 for a request that makes no sense.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/assign", s.getAssign)
	mux.HandleFunc("POST /v1/assign", s.postAssign)
	mux.HandleFunc("GET /v1/ring", s.getRing)
	// No page that an operator's browser has open elsewhere may do this.
	mux.Handle("POST /v1/drain", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.postDrain)))
	return mux
}

// AssignJSON is a request as JSON.
type AssignJSON struct {
	Owners uint32      `json:"owners"`
	Splits []SplitJSON `json:"splits"`
}

// SplitJSON is a split as JSON.
type SplitJSON struct {
	Mount  string `json:"mount"`
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"`
}

// AssignedJSON is an answer as JSON.
type AssignedJSON struct {
	Epoch       uint64           `json:"epoch"`
	Hash        string           `json:"hash"`
	Assignments []AssignmentJSON `json:"assignments"`
}

// AssignmentJSON is the answer for one split: its owners in order, or what was wrong with it.
type AssignmentJSON struct {
	SplitJSON
	Owners []OwnerJSON `json:"owners,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// OwnerJSON is a member as JSON.
type OwnerJSON struct {
	Name    string `json:"name"`
	Worker  string `json:"worker"`
	Sidecar string `json:"sidecar,omitempty"`
	Zone    string `json:"zone,omitempty"`
}

func (s *Service) getAssign(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	req := AssignJSON{Splits: []SplitJSON{{Mount: q.Get("mount"), Path: q.Get("path")}}}
	offset, errOffset := strconv.ParseInt(cmp.Or(q.Get("offset"), "0"), 10, 64)
	owners, errOwners := strconv.ParseUint(cmp.Or(q.Get("owners"), "0"), 10, 32)
	if err := errors.Join(errOffset, errOwners, only(q, "mount", "path", "offset", "owners", "length")); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	req.Splits[0].Offset, req.Owners = offset, uint32(owners)
	s.assignJSON(w, req)
}

// only refuses parameters that would be ignored.
func only(q url.Values, known ...string) error {
	for name := range q {
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return fmt.Errorf("%s: is unknown; there are %q", name, known)
		}
	}
	return nil
}

func (s *Service) postAssign(w http.ResponseWriter, r *http.Request) {
	var req AssignJSON
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf(`the body is not {"owners": 2, "splits": [{"mount": "lake", "path": "a/b.parquet", "offset": 0}]}: %w`, err))
		return
	}
	s.assignJSON(w, req)
}

func (s *Service) assignJSON(w http.ResponseWriter, req AssignJSON) {
	m := &apiv1.AssignRequest{Owners: req.Owners}
	for _, x := range req.Splits {
		m.Splits = append(m.Splits, &apiv1.Split{Mount: x.Mount, Path: x.Path, Offset: x.Offset, Length: x.Length})
	}
	reply, err := s.assign(m, nil)
	if err != nil {
		fail(w, httpCode(err), errors.New(status.Convert(err).Message()))
		return
	}
	out := AssignedJSON{Epoch: reply.Epoch, Hash: hex.EncodeToString(reply.Hash), Assignments: make([]AssignmentJSON, len(req.Splits))}
	for i, a := range reply.Assignments {
		x := AssignmentJSON{SplitJSON: req.Splits[i], Error: a.Error.GetMessage()}
		for _, o := range a.Owners {
			m := reply.Members[o]
			x.Owners = append(x.Owners, OwnerJSON{m.Name, m.Worker, m.Sidecar, m.Zone})
		}
		out.Assignments[i] = x
	}
	answer(w, http.StatusOK, out)
}

func httpCode(err error) int {
	switch status.Code(err) {
	case codes.FailedPrecondition:
		return http.StatusServiceUnavailable
	case codes.InvalidArgument:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// RingJSON is an epoch as JSON.
type RingJSON struct {
	Epoch      uint64        `json:"epoch"`
	Hash       string        `json:"hash"`
	Partitions int           `json:"partitions"`
	Settings   ring.Settings `json:"settings"`
	Members    []MemberJSON  `json:"members"`
	Hot        int           `json:"hot_sections"`
}

// MemberJSON is a member with what it holds.
type MemberJSON struct {
	OwnerJSON
	Weight   int     `json:"weight"`
	Draining bool    `json:"draining,omitempty"`
	Excluded bool    `json:"excluded,omitempty"`
	First    int     `json:"first_partitions"`
	Standby  int     `json:"standby_partitions"`
	Share    float64 `json:"share"`       // of all partitions, which it owns first
	OfFair   float64 `json:"of_its_fair"` // its share over its weight's part of the weights of all who serve; 0 for who does not
}

// Describe makes what /v1/ring answers.
func Describe(e *ring.Epoch) RingJSON {
	hash := e.Hash()
	out := RingJSON{Epoch: e.Number(), Hash: hex.EncodeToString(hash[:]), Partitions: e.Partitions(), Settings: e.Settings(), Hot: len(e.Hot()), Members: []MemberJSON{}}
	var weights float64
	for _, m := range e.Members() {
		if !m.Draining && !m.Excluded {
			weights += float64(m.Weight)
		}
	}
	for i, h := range e.Holdings() {
		m := e.Members()[i]
		x := MemberJSON{OwnerJSON: OwnerJSON{m.Name, m.Worker, m.Sidecar, m.Zone}, Weight: m.Weight, Draining: m.Draining, Excluded: m.Excluded, First: h.First, Standby: h.Standby}
		x.Share = float64(h.First) / float64(e.Partitions())
		if !m.Draining && !m.Excluded {
			x.OfFair = x.Share * weights / float64(m.Weight)
		}
		out.Members = append(out.Members, x)
	}
	return out
}

func (s *Service) getRing(w http.ResponseWriter, r *http.Request) {
	e := s.o.Source.Epoch()
	switch {
	case e == nil:
		fail(w, http.StatusServiceUnavailable, errors.New("there is no epoch yet: no leader has published one that this process has seen"))
	case r.URL.Query().Get("format") == "bytes":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(e.Encode()) // a client that went away is no fault of ours
	default:
		answer(w, http.StatusOK, Describe(e))
	}
}

// DrainedJSON says what a drain has begun.
type DrainedJSON struct {
	Member string `json:"member"`
	Drains bool   `json:"drains"`
}

func (s *Service) postDrain(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("member")
	off, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("off"), "false"))
	e := s.o.Source.Epoch()
	switch {
	case err != nil:
		fail(w, http.StatusBadRequest, errors.New("off: want true or false"))
		return
	case s.o.Drain == nil:
		fail(w, http.StatusNotImplemented, errors.New("this process only follows: ask one that has etcd"))
		return
	case !off && e != nil && !othersServe(e, name):
		fail(w, http.StatusConflict, fmt.Errorf("%q is the last member that serves: nobody would own anything", name))
		return
	}
	if err := s.o.Drain(r.Context(), name, off); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, http.StatusOK, DrainedJSON{name, !off})
}

func othersServe(e *ring.Epoch, name string) bool {
	return count(e, func(m ring.Member) bool { return !m.Draining && m.Name != name }) > 0
}

func fail(w http.ResponseWriter, code int, err error) {
	answer(w, code, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be printed"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // a client that went away is no fault of ours
}
