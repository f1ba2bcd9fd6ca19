# Thin on purpose: what takes more than a line stands in tools/.
.DEFAULT_GOAL := help
.PHONY: help demo test torture tools fmt lint doc bench clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Run the bot against a local workspace and a sample service; Ctrl-C ends it
	@cargo run --release --locked -- demo

test: ## Format, lints, documentation and every test, on SQLite and a private PostgreSQL
	@tools/test.sh

torture: ## Kill and stop parts of it at random while runs go on, and check everything, for five minutes
	@tools/torture.sh

tools: ## Install what `make test` needs and this machine lacks
	@tools/prepare.sh

fmt: ## Format the sources
	@cargo fmt --all

lint: ## What `make test` checks before its tests
	@tools/lint.sh

doc: ## Build the documentation of the code
	@RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

bench: ## Measure; the figures of the README come from here
	@cargo bench --locked

clean: ## Remove everything that was built
	@cargo clean
	@rm -rf build
