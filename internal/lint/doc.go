// Package lint holds the house rules as functions over the repository's source: import direction, size budget, documented names, no sleeping
// in tests and the rest of CONTRIBUTING.md that a machine can check. Its tests run them on this repository, and each of them on a
// small text that breaks it. It reads syntax only, so that all of it takes a second. Start at Rules.
package lint
