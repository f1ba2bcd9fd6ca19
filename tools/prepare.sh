#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: PostgreSQL's server by apt-get, and
# cargo-nextest into build/tools. What is there already is left alone.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

NEXTEST_VERSION=0.9.143

fail() {
    echo "$0: $*" >&2
    exit 1
}

has_postgres() {
    local candidate
    command -v initdb >/dev/null && return 0
    for candidate in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$candidate" ] && return 0
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        fail "PostgreSQL's server is missing, and installing it needs root. Run this as somebody who" \
            "may, then try again: apt-get install --no-install-recommends postgresql"
    fi
}

install_postgres() {
    command -v apt-get >/dev/null ||
        fail "PostgreSQL's server is missing, and there is no apt-get here: install it by hand"
    echo "installing PostgreSQL for the tests" >&2
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends postgresql
    has_postgres || fail "PostgreSQL was installed, but its initdb is not found"
}

has_nextest() {
    cargo nextest --version >/dev/null 2>&1
}

for program in cargo git cc; do
    command -v "$program" >/dev/null ||
        fail "$program is missing: the tests need Rust (cargo, rustfmt, clippy), git and build-essential"
done
has_postgres || install_postgres
PATH="$PWD/build/tools/bin:$PATH"
has_nextest ||
    cargo install cargo-nextest --locked --version "$NEXTEST_VERSION" --root build/tools
