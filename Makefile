# Alio's commands. `make` alone lists them; each rule's comment is its help line.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The version pins what `make lint` runs; it is fetched through the Go module proxy and checked by its checksum database.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Packages whose tests need no engine. itest has suites of its own; the house rules are a part of lint.
UNIT := $$(go list ./... | grep -v '/itest\(/\|$$\)\|/internal/lint$$')

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/alio
	go build -ldflags "-X main.version=$$(git describe --always --dirty --tags 2>/dev/null || echo devel)" -o bin/alio ./cmd/alio

.PHONY: quickstart
quickstart: ## Trino on TPC-DS tables three ways: straight, through Alio cold, warm (KEEP=1: leave it running; ALIO_QUICK=1: one round)
	@go build -o bin/quickstart ./benchmarks/quickstart
	@exec bin/quickstart

.PHONY: test
test: unit bridge itest ## all that CI needs: unit, bridge, then itest; fails, never skips, when a server cannot be had

.PHONY: unit
unit: ## unit tests under the race detector; those of s3 start an S3 server
	go test -race -timeout 15m $(UNIT); echo "=== unit: passed in $$SECONDS s"

# Maven keeps what it fetches beside the other downloads, and asks the network for what is not there only. The module for Trino is compiled against a server.
.PHONY: bridge
bridge: ## build presto-plugin-bridge with Maven, run its unit tests, and put what an operator installs into bin/bridge
	properties=$$(go run ./itest/bridge -maven); \
	(cd presto-plugin-bridge && mvn -B -ntp -q -Dmaven.repo.local=$${ALIO_CACHE:-$$HOME/.cache/alio}/maven $$properties package); \
	go run ./itest/bridge -out bin/bridge; echo "=== bridge: passed in $$SECONDS s"

.PHONY: itest
itest: ## tests against real servers: the harness, the sidecar's binary, Trino 476, Presto 0.287, Hadoop's contract tests
	go test -race -count=1 -p 1 -timeout 45m ./itest/...; echo "=== itest: passed in $$SECONDS s"

.PHONY: placement
placement: ## splits placed by the affinity service in a Trino of one coordinator and two workers, one of which is lost and comes back (3 GB of memory); not part of CI
	go test -count=1 -tags cluster -timeout 20m -run '^TestTrinoAffinity$$' -v ./itest

.PHONY: hot-file
hot-file: ## one hot file read by all, on a Trino and a Presto of one coordinator and two workers each: their own affinity, none, ours (3 GB of memory); not part of CI
	go test -count=1 -tags cluster -timeout 30m -run '^Test(Trino|Presto)HotFile$$' -v ./itest | grep -E 'RESULT|^(---|ok|FAIL)|hot_file_test.go'

.PHONY: commits
commits: ## 1,000 commits to a Delta table beside readers at two S3 doors, and 50 tables born again (COMMITS=n: another number); not part of CI
	ALIO_COMMITS=$${COMMITS:-1000} go test -count=1 -timeout 75m -run '^TestTables$$' -v ./itest

.PHONY: counts
counts: ## what Trino asks the store over warm Delta, Iceberg and Hudi tables, straight, by the bridge and by the S3 door, and 20 commits that it reads; not part of CI
	go test -count=1 -tags counts -timeout 30m -run '^TestTrinoCounts$$' -v ./itest

.PHONY: soak
soak: ## 10,000 changes of 60 files on a real HDFS beside readers through sidecars (SOAK=n: another number); the result is printed
	ALIO_SOAK=$${SOAK:-10000} go test -count=1 -timeout 60m -run '^TestHDFS$$' -v ./itest/consistency

.PHONY: lint
lint: ## gofmt, go vet, staticcheck (pinned), the house rules of internal/lint
	@out=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not formatted (run gofmt -w on them):"; echo "$$out"; exit 1; fi
	go vet ./...
	go test -count=1 ./internal/lint/...
	go run $(STATICCHECK) ./...

.PHONY: bench
bench: ## micro benchmarks, then quickstart with its report written into benchmarks/results
	go test -run '^$$' -bench . -benchmem ./cache/... ./formats/... ./s3/... ./sidecar/...
	@go build -o bin/quickstart ./benchmarks/quickstart
	@exec bin/quickstart -results benchmarks/results

.PHONY: prefetch
prefetch: ## cold scans with prefetching off and on, before a store of 30 ms: by clients through the S3 door, and by a Trino through bridge and door; not part of CI
	go test -count=1 -tags bench -timeout 30m -run '^TestPrefetch(Bench|Trino)$$' -v ./itest

.PHONY: compare
compare: ## warm reads beside nginx, Alluxio, a JVM's bare channel and bare servers (fetched on the first run); the tables go into benchmarks/results
	cd benchmarks/compare && go test ./... && go build -o ../../bin/compare . && ../../bin/compare -processes 3 -rounds 6 -results ../results && \
	../../bin/compare -one-processor -readers 1 -peers alio-s3,alio-s3-disk,nginx,http-floor,tcp-copy -results ../results

.PHONY: sim
sim: ## a simulated fleet of 1,000 workers and its origin, with a table and a plot in benchmarks/results (SIM="-workers 100 ...": other flags; some minutes)
	@go build -o bin/sim ./benchmarks/sim
	@exec bin/sim -results benchmarks/results $(SIM)

.PHONY: proto
proto: ## generate Go from api/*/*.proto (compiler and plugins are pinned in itest/tools/go.mod)
	cd itest/tools && go run ./protogen ../../api $$(cd ../../api && ls */*.proto)

.PHONY: clean
clean: ## remove bin/ and what Maven has built; downloads stay in $ALIO_CACHE
	rm -rf bin presto-plugin-bridge/target presto-plugin-bridge/*/target
