# Every target that needs a tool or a library has it set up first, so that
# `make demo` and `make test` work on a fresh clone.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

# Build tags: onednn where oneDNN can be linked, see scripts/setup. Asked when a
# recipe runs, since setup may have just installed it. TAGS= builds without.
TAGS = $(shell scripts/setup --tags)

# The whole suite takes minutes on two cores; this bounds a hang, per package.
TEST_TIMEOUT ?= 12m

# Packages that share memory between goroutines. The race detector slows
# arithmetic tenfold, so only these run under it, with their short tests.
RACE := ./pipeline/data ./pipeline/digits ./pipeline/engine ./pipeline/lock ./student/kernel ./student/vm ./teachers/...

# Packages whose arithmetic the tag onednn changes; they are tested both ways.
KERNELS := ./student/kernel ./student/op/... ./student/vm

# How long each fuzz target runs, or so many inputs: 200x. Minimising an input that
# finds something new is bounded: without a bound it takes up to a minute for each,
# and the slower targets would do nothing else.
FUZZTIME ?= 30s
FUZZMINIMIZE ?= 20x

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## find or fetch ONNX Runtime, and oneDNN where it can be installed
	@scripts/setup

.PHONY: build
build: ## build bin/distill
	go build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/distill ./cmd/distill

.PHONY: demo
demo: setup build ## distil a student on drawn digits, under three minutes
	bin/distill demo

.PHONY: test
test: setup lint ## everything a change must pass: lint, all tests, race detector
	@tags='$(TAGS)'; set -ex; \
	go test -timeout $(TEST_TIMEOUT) -tags "$$tags" ./...; \
	if [ -n "$$tags" ]; then go test -timeout $(TEST_TIMEOUT) $(KERNELS); fi; \
	go test -timeout $(TEST_TIMEOUT) -race -short -tags "$$tags" $(RACE); \
	$(MAKE) --no-print-directory fuzz FUZZTIME=200x

.PHONY: test-short
test-short: setup ## the quick tests only
	go test -timeout $(TEST_TIMEOUT) -short -tags '$(TAGS)' ./...

# testdata/gen holds programs that ./... leaves out. The run without cgo keeps
# the packages compiling where there is no C compiler.
.PHONY: lint
lint: ## gofmt, go vet (also without cgo), staticcheck, module file
	@echo 'gofmt -s -l .'; unformatted=$$(gofmt -s -l .); \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -s -w:\n%s\n' "$$unformatted"; exit 1; fi
	go vet ./... ./testdata/gen/...
	CGO_ENABLED=0 go vet ./...
	go tool staticcheck ./... ./testdata/gen/...
	@tags='$(TAGS)'; if [ -n "$$tags" ]; then set -x; \
		go vet -tags "$$tags" ./... && go tool staticcheck -tags "$$tags" ./...; fi
	go mod tidy -diff

# More for the benchmarks: -short shows that every row can be measured, and
# -bench.markdown=docs/PERFORMANCE.md writes the table where it is shown.
BENCH ?=

.PHONY: bench
bench: setup ## compare with PyTorch and other peers, on an idle machine; writes bench.json
	go test -run '^$$' -bench '^BenchmarkTable$$' -benchtime 1x -timeout 60m -tags '$(TAGS)' ./internal/bench -bench.json=bench.json $(BENCH)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME each
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
			echo "$$file $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime $(FUZZMINIMIZE) $${file%/*}; \
		done; \
	done

.PHONY: torture
torture: setup ## kills, pairs of processes, changed files and hostile input, some minutes
	go test -run '^TestTorture$$' -v -timeout 60m -tags '$(TAGS)' ./internal/torture -torture.long $(TORTURE)

.PHONY: licences
licences: ## collect the licences of what is linked in bin/LICENCES.txt
	@mkdir -p bin
	@go list -deps -tags '$(TAGS)' -f '{{with .Module}}{{.Path}} {{.Dir}}{{end}}' ./cmd/distill | sort -u | \
		while read -r module folder; do \
			for file in "$$folder"/LICEN[CS]E* "$$folder"/NOTICE*; do \
				[ ! -f "$$file" ] || { printf '\n==== %s: %s\n\n' "$$module" "$${file##*/}"; cat "$$file"; }; \
			done; \
		done >bin/LICENCES.txt
	@printf '\n==== Go: LICENSE\n\n' >>bin/LICENCES.txt; cat "$$(go env GOROOT)/LICENSE" >>bin/LICENCES.txt

.PHONY: generate
generate: ## make generated files again (needs protoc, Debian: protobuf-compiler)
	go generate ./...

.PHONY: clean
clean: ## remove what the build left in this folder; the cache folder stays
	rm -rf bin *.test *.prof
