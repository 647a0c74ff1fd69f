// Package bench is what "alio bench" measures: reads by every path beside bare preads of the same segments (Read), pages into the disk tier beside
// plain writes and a file per page (Write), and starts on a full cache (Recover). Each measures the product as it is run: "alio sidecar" in a process of its
// own, the disk tier in a directory of its own. What it makes lies in one folder and is removed, whatever happens short of kill -9. It is no part of the
// cache: nothing else imports it but the command and benchmarks. Start at Read.
package bench
