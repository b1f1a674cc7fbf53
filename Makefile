# The only front door. Every target works from a fresh clone.
.PHONY: test lint

test: lint ## Everything: lints, unit tests, documentation examples.
	cargo test --workspace --locked

lint: ## Formatting and lints, warnings are errors.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
