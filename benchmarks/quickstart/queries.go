package main

import (
	"context"
	"fmt"

	"github.com/alio-lake/alio/itest/harness"
)

// tables are what the queries read.
var tables = []string{"store_sales", "date_dim", "item", "store", "customer", "household_demographics"}

// tpcdsNames are the queries of the set. They were chosen so that an answer at scale tiny is never empty and depends on no order:
// each has fewer rows than its LIMIT (q03 20, q34 19, q43 2, q52 11, q55 20, q65 3, q70 3 of 100), one row (q28), or none (q98).
// They hold no floating-point sums, whose last digit depends on the order of adding.
var tpcdsNames = []string{"q03", "q28", "q34", "q43", "q52", "q55", "q65", "q70", "q98"}

// twoColumns is the query of research on over-read: it asks about 511 KB of one file of 4 MB, in three ranges.
const twoColumns = "SELECT sum(ss_quantity), sum(ss_net_paid) FROM ${database}.${schema}.store_sales"

// query is one experiment.
type query struct {
	name, text string
	inSet      bool // counts in the set's sums: the TPC-DS ones
}

func queries(ctx context.Context, logf harness.Logf) ([]query, error) {
	texts, err := harness.TPCDS(ctx, logf)
	if err != nil {
		return nil, err
	}
	var all []query
	for _, name := range tpcdsNames {
		text, ok := texts[name]
		if !ok {
			return nil, fmt.Errorf("the TPC-DS texts hold no %s", name)
		}
		all = append(all, query{name: name, text: text, inSet: true})
	}
	return append(all, query{name: "2-columns", text: twoColumns}), nil
}
