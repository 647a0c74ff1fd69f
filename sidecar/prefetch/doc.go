// Package prefetch decides what is worth fetching before a reader asks for it, and keeps the account of what became of it. It is policy: it asks no origin
// and starts nothing. Learner knows which columns each table's readers use, Ledger which bytes were fetched ahead and whether a reader came for them, Policy
// what the operator allows. sidecar does the fetching (sidecar/ahead.go).
package prefetch
