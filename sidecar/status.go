package sidecar

// Status is a snapshot for the status page.
type Status struct {
	Mounts         map[string]string `json:"mounts"` // name: the origin's id
	Rules          []RuleStatus      `json:"freshness_rules"`
	Objects        int               `json:"objects_known"`
	ObjectBytes    int64             `json:"objects_bytes"`
	Listings       int               `json:"listings_kept"`
	ListingBytes   int64             `json:"listings_bytes"`
	Layouts        int               `json:"layouts_kept"`
	LayoutBytes    int64             `json:"layouts_bytes"`
	MetadataMemory int64             `json:"metadata_limit_bytes"`
	Prefetch       PrefetchStatus    `json:"prefetch"`
}

// RuleStatus is a freshness rule as it is in force.
type RuleStatus struct {
	Path    string   `json:"path"`
	Answers []string `json:"answers,omitempty"`
	MaxAge  string   `json:"max_age"`
	Why     string   `json:"why,omitempty"`
}

// Status returns a snapshot.
func (s *Sidecar) Status() Status {
	st := Status{Mounts: make(map[string]string), MetadataMemory: s.opts.MetadataMemory}
	n := s.namespace.Load()
	for name, m := range n.mounts {
		st.Mounts[name] = m.ID()
	}
	for _, r := range n.rules.All() {
		rs := RuleStatus{Path: r.Path, MaxAge: r.Age(), Why: r.Why}
		for _, k := range r.Answers {
			rs.Answers = append(rs.Answers, k.String())
		}
		st.Rules = append(st.Rules, rs)
	}
	st.Prefetch = s.ahead.status()
	st.Objects, st.ObjectBytes = s.objects.Usage()
	st.Listings, st.ListingBytes = s.lists.Usage()
	st.Layouts, st.LayoutBytes = s.layouts.usage()
	return st
}

// PrefetchStatus is what is fetched before readers ask for it: issued = useful + wasted + pending, in bytes.
type PrefetchStatus struct {
	Mode    string `json:"mode"` // for paths without a rule
	Rules   int    `json:"rules"`
	Issued  int64  `json:"issued_bytes"`
	Useful  int64  `json:"useful_bytes"`
	Wasted  int64  `json:"wasted_bytes"`
	Pending int64  `json:"pending_bytes"`
	Jobs    int    `json:"jobs"` // that wait or are being done
	Tables  int    `json:"tables"`
}

func (a *ahead) status() PrefetchStatus {
	policy, account := a.policy.Load(), a.ledger.Account()
	st := PrefetchStatus{Mode: policy.Settings().Mode.String(), Rules: len(policy.Settings().Rules), Issued: account.Issued, Useful: account.Useful, Pending: account.Pending}
	for _, n := range account.Wasted {
		st.Wasted += n
	}
	st.Tables, _ = a.learner.Usage()
	a.mu.Lock()
	defer a.mu.Unlock()
	st.Jobs = len(a.mu.queue) + len(a.mu.active)
	return st
}
