// Package orc reads what says where things lie in an ORC file: the postscript, the stripes of the footer, the streams of a stripe's footer, and what the
// columns are called; it steps over the rest, statistics among it. It is no ORC reader. Memory and time are bounded, and no input makes it panic. Start at ReadPostscript. The format
// is that of the ORC v1 specification and orc_proto.proto of apache/orc.
package orc
