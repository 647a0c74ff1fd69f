// Package hudi knows the files of an Apache Hudi table, of both layouts of its timeline: what a path is (Parse), what an instant has written
// (Written), and which files make a file slice (Slice). It is no Hudi reader: it replays no timeline. The format is that of Hudi's technical specification, with what
// its Java writer 1.1.1 is seen to write for tables of versions 6 and 9.
package hudi
