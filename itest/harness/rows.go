package harness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rows runs a query to its end and returns its rows, each as one string of its values with their types, so that two answers can
// be compared. NULL, ” and 'NULL' differ.
func Rows(ctx context.Context, db *sql.DB, query string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var b strings.Builder
		for i, v := range values {
			if i > 0 {
				b.WriteString(" | ")
			}
			if v == nil {
				b.WriteString("NULL")
			} else {
				fmt.Fprintf(&b, "%#v", v)
			}
		}
		all = append(all, b.String())
	}
	return all, rows.Err()
}

// SameRows compares two answers as multisets and says where they differ; nil if they do not. Two empty answers are an error: they
// would agree about nothing.
func SameRows(want, got []string) error {
	if len(want) == 0 && len(got) == 0 {
		return errors.New("both answers are empty: the query proves nothing")
	}
	a, b := slices.Clone(want), slices.Clone(got)
	slices.Sort(a)
	slices.Sort(b)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Errorf("rows differ (%d and %d of them); the first that differs, sorted:\n  want %s\n  got  %s", len(a), len(b), a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("%d rows, want %d", len(b), len(a))
	}
	return nil
}
