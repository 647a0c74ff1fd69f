// Package metadata keeps what is known of objects (version, size, parts, attributes, and when that was asked) on local disk, apart from pages, with
// limits of its own: for more objects than fit into memory, and over restarts. It is not the truth: a sidecar without it asks the origin more
// often and is otherwise the same. It knows nothing of how old an answer may be, which is sidecar/freshness' business. Start at Store.
//
// Below it is Pebble, a log-structured merge tree: paths share prefixes, which sorted blocks write once and compress, and a fence needs an order
// that outlives a crash, which its log gives. There are two such trees, generations: answers are written to the young one, looked up in
// both, and taken over into the young one when they are used; when the young one has reached its share of the limit, the old one goes, whole.
// docs/design/0004-metadata.md has the reasons and the figures.
package metadata
