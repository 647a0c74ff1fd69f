package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteJSON writes results as JSON: one element a line, so that a diff of two reports can be read.
func WriteJSON[T any](w io.Writer, results []T) error {
	for i, r := range results {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lead := ",\n "
		if i == 0 {
			lead = "[\n "
		}
		if _, err := fmt.Fprintf(w, "%s%s", lead, b); err != nil {
			return err
		}
	}
	end := "\n]\n"
	if len(results) == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// WriteReadTable writes results as a table for people.
func WriteReadTable(w io.Writer, results []ReadResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "access\tbytes\treaders\tpath\tp50 us\t× pread\tp99 us\tGB/s\tallocs/op\tCPU s/GB\t")
	last := ReadResult{}
	for i, r := range results {
		if i > 0 && (r.Access != last.Access || r.Bytes != last.Bytes || r.Readers != last.Readers) {
			fmt.Fprintln(t, "\t\t\t\t\t\t\t\t\t\t")
		}
		ratio := "-"
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%.1f\t%s\t%.1f\t%.2f\t%.2f\t%.2f\t\n", r.Access, size(int64(r.Bytes)), r.Readers, r.Path, r.P50, ratio, r.P99, r.GBPerSecond, r.Allocs, r.ServerCPU)
		last = r
	}
	return t.Flush()
}
