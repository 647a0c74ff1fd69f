// Package freshness decides whether what was last heard of a path is young enough to be believed. A Book keeps the newest answer for each
// key with the time at which its request was sent, lets readers share requests without ever being given an answer older than they
// allow, and drops what a write has overtaken (a fence). Rules say how old an answer about which path may be. It knows nothing of
// pages or origins. Start at Book.Get.
package freshness
