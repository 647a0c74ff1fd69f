// Package consistency tests what Alio promises first, against real stores: every read is of exactly one version, and of none older
// than its freshness allows. Writers change files in every way that the store has while readers read them through sidecars; a history
// knows what each file may have held when, and judges every answer. There is nothing to import here. Start at history for what is
// allowed, at run for what happens. `make soak` runs the same for longer.
package consistency
