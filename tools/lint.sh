#!/usr/bin/env bash
# Everything that is checked without running the program. Ends at the first fault.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
cargo clippy --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
# What must not compile does not.
cargo test --doc --locked --quiet
if command -v shellcheck >/dev/null; then
    shellcheck tools/*.sh .ci/run runbook/scripts/*.sh
fi
