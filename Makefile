# `make` alone prints this file's targets.
.DEFAULT_GOAL := help
.PHONY: help build demo test lint bench fuzz tools clean

SHELL := /bin/bash -o pipefail

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Packages and flags for `go test`: make test TEST='-run Ingest ./webhook'
TEST ?= ./...
# How long each fuzz target runs.
FUZZTIME ?= 1m

# The runner is built and then executed, not `go run`: a signal reaches it.
testrun = go build -o .tools/bin/testrun ./internal/testenv/testrun && exec .tools/bin/testrun

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the static binary ./callvault
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o callvault ./cmd/callvault

demo: ## Play a past day of calls from both providers and stay up
	go run ./cmd/callvault demo

test: ## Run all tests, with all that they need: PostgreSQL, MinIO, a browser
	@$(testrun) test $(TEST)

lint: ## Check format, vet and lint
	@$(testrun) tools lint
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	.tools/bin/golangci-lint run

bench: ## Measure speed and memory and write docs/performance.md
	@$(testrun) tools bench
	go run ./internal/bench all

fuzz: ## Run every fuzz target for FUZZTIME (1m)
	@go test -list '^Fuzz' ./... | \
	awk '/^Fuzz/ {targets[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, targets[i]; n = 0}' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
	done

tools: ## Install all that tests, linting and benchmarks need
	@$(testrun) tools lint bench

clean: ## Remove what was built, the tools too
	rm -rf .tools callvault
