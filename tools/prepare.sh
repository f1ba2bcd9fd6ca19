#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: PostgreSQL's server, Node and Chromium with
# fonts by apt-get, cargo-nextest into build/tools, and the packages that drive the browser into
# build/browser. What is there already is left alone.
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

# A font for a language; Chromium's package brings fc-list.
has_font() {
    command -v fc-list >/dev/null && [ -n "$(fc-list ":lang=$1" family)" ]
}

# The Debian packages that are missing, one a line.
missing_packages() {
    has_postgres || echo postgresql
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || echo chromium
    has_font zh || echo fonts-noto-cjk
    has_font und-zsye || echo fonts-noto-color-emoji
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        fail "installing needs root. Run this as somebody who may, then try again:" \
            "apt-get install --no-install-recommends ${missing[*]}"
    fi
}

install_missing() {
    command -v apt-get >/dev/null ||
        fail "missing, and there is no apt-get here: install by hand what Debian calls ${missing[*]}"
    echo "installing for the tests: ${missing[*]}" >&2
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
    has_postgres || fail "PostgreSQL was installed, but its initdb is not found"
}

# The lock file that was installed stands beside what it led to.
has_browser_packages() {
    cmp -s tests/browser/package-lock.json build/browser/installed.json
}

install_browser_packages() {
    echo "installing what drives the browser" >&2
    mkdir -p build/browser
    cp tests/browser/package.json tests/browser/package-lock.json build/browser/
    (cd build/browser && npm ci --ignore-scripts --no-audit --no-fund >&2) ||
        fail "npm could not install what tests/browser/package-lock.json names"
    cp tests/browser/package-lock.json build/browser/installed.json
}

has_nextest() {
    cargo nextest --version >/dev/null 2>&1
}

for program in cargo git cc; do
    command -v "$program" >/dev/null ||
        fail "$program is missing: the tests need Rust (cargo, rustfmt, clippy), git and build-essential"
done
mapfile -t missing < <(missing_packages)
[ ${#missing[@]} -eq 0 ] || install_missing
has_browser_packages || install_browser_packages
PATH="$PWD/build/tools/bin:$PATH"
has_nextest ||
    cargo install cargo-nextest --locked --version "$NEXTEST_VERSION" --root build/tools
