# The only front door. Every target works from a fresh clone.
.PHONY: test lint

test: lint ## Everything: lints, unit tests, documentation examples.
	cargo test --locked

lint: ## Formatting and lints, warnings are errors.
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
