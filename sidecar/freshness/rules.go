package freshness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/internal/glob"
)

// Kind is what an answer is about.
type Kind uint8

// The kinds of answer.
const (
	Object   Kind = iota // an object's version
	Listing              // the names below a prefix
	NotFound             // that a path names nothing
)

// Kinds names the kinds as configuration files do, in the order of the constants.
var Kinds = []string{"object", "listing", "not_found"}

func (k Kind) String() string { return Kinds[k] }

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, error) {
	for i, name := range Kinds {
		if s == name {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no kind of answer: want one of %s", s, strings.Join(Kinds, ", "))
}

// Rule gives the answers about some paths their max_age.
type Rule struct {
	// Path is a glob over "mount/path": * and ? stay within a path component, ** crosses them. Of a built-in rule it only shows what it is about.
	Path string
	// Answers are the kinds the rule speaks of; empty means all.
	Answers []Kind
	// MaxAge is how old the last confirmation may be: 0 asks every time, Forever never again.
	MaxAge time.Duration
	// Why is shown where rules are listed.
	Why string

	match      func(full string) bool // the operator's rules
	mutability []formats.Mutability   // the built-in ones: what a path tells of its file; empty means all
}

// BuiltIn are the rules that stand after an operator's own (design section 7). What a path tells of its file is known in one place, formats.Identify; here
// each mutability has its number.
func BuiltIn() []Rule {
	const data = 10 * time.Second
	object := []Kind{Object}
	return []Rule{
		{Path: "**", Answers: []Kind{Listing, NotFound}, MaxAge: 0, Why: "a stale listing or not-found hides a commit"},
		{Path: "**/{_last_checkpoint,version-hint.text,hoodie.properties,_version_,*.inflight,*.requested}", Answers: object, MaxAge: 0,
			Why:        "pointers, unfinished instants and unknown files of a table's metadata move",
			mutability: []formats.Mutability{formats.Moving, formats.ListingSensitive}},
		{Path: "**/.*.log.*", Answers: object, MaxAge: data, Why: "Hudi log files and archives may grow", mutability: []formats.Mutability{formats.AppendOnly}},
		{Path: "**/{*<uuid>*,<file id>_<token>_<instant>.*,<instant>[_<instant>].<action>}", Answers: object, MaxAge: Forever,
			Why:        "a name with a UUID, or with the time of a Hudi instant, is written once and never used again",
			mutability: []formats.Mutability{formats.Immutable}},
		{Path: "**", Answers: object, MaxAge: data, Why: "a plain name may be overwritten in place"},
	}
}

// Rules decide by the first rule that matches.
type Rules struct {
	rules []Rule
	own   int // how many of them are the operator's
}

// NewRules compiles the operator's rules and puts the built-in ones after them. The error names every rule that is wrong.
func NewRules(own []Rule) (*Rules, error) {
	r := &Rules{}
	var faults []string
	for i, rule := range own {
		switch {
		case rule.Path == "":
			faults = append(faults, fmt.Sprintf("rule %d: path is empty: give a glob over mount/path, such as lake/sales/**", i+1))
		case rule.MaxAge < 0:
			faults = append(faults, fmt.Sprintf("rule %d (%s): max_age %v is negative", i+1, rule.Path, rule.MaxAge))
		}
		rule.match = glob.Compile(rule.Path)
		r.rules = append(r.rules, rule)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("freshness rules: %s", strings.Join(faults, "; "))
	}
	r.own = len(r.rules)
	r.rules = append(r.rules, BuiltIn()...)
	return r, nil
}

// MaxAge returns how old an answer of a kind about mount/path may be.
func (r *Rules) MaxAge(mount, path string, kind Kind) time.Duration {
	if r.own > 0 {
		full := mount + "/" + path
		for i := range r.rules[:r.own] {
			if r.rules[i].covers(kind) && r.rules[i].match(full) {
				return r.rules[i].MaxAge
			}
		}
	}
	var told bool
	var m formats.Mutability
	for i := r.own; i < len(r.rules); i++ {
		rule := &r.rules[i]
		if !rule.covers(kind) {
			continue
		}
		if len(rule.mutability) > 0 && !told {
			told, m = true, formats.Identify(path).Mutability
		}
		if len(rule.mutability) == 0 || slices.Contains(rule.mutability, m) {
			return rule.MaxAge
		}
	}
	return 0
}

// All lists the rules in the order in which they are tried.
func (r *Rules) All() []Rule { return append([]Rule(nil), r.rules...) }

func (r *Rule) covers(kind Kind) bool {
	for _, k := range r.Answers {
		if k == kind {
			return true
		}
	}
	return len(r.Answers) == 0
}

// Age spells the rule's max_age as configuration files do.
func (r Rule) Age() string {
	if r.MaxAge == Forever {
		return "forever"
	}
	return r.MaxAge.String()
}
