#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: PostgreSQL's server and nginx by apt-get,
# cargo-nextest into build/tools, bun and pm2 into build/parts. What is there already is left alone.
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
        fail "PostgreSQL's server or nginx is missing, and installing them needs root. Run this as" \
            "somebody who may: apt-get install --no-install-recommends postgresql nginx-light"
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

has_nginx() {
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ]
}

install_nginx() {
    command -v apt-get >/dev/null ||
        fail "nginx is missing, and there is no apt-get here: install it by hand"
    echo "installing nginx for the tests" >&2
    as_root apt-get update -q
    # Not started: the tests run one of their own.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -q -y --no-install-recommends nginx-light
    has_nginx || fail "nginx-light was installed, but nginx is not found"
}

has_parts() {
    cmp -s tests/parts/package-lock.json build/parts/package-lock.json &&
        build/parts/bin/bun --version >/dev/null 2>&1 && [ -e build/parts/bin/pm2 ]
}

# Installed without their scripts; bun's program then lies in the package of this machine's kind.
install_parts() {
    local bun
    command -v npm >/dev/null || fail "npm is missing: the tests need it for bun and pm2"
    echo "installing bun and pm2 for the tests" >&2
    mkdir -p build/parts/bin
    cp tests/parts/package.json tests/parts/package-lock.json build/parts/
    npm ci --prefix build/parts --ignore-scripts --no-audit --no-fund --silent
    ln -sf ../node_modules/pm2/bin/pm2 build/parts/bin/pm2
    for bun in build/parts/node_modules/@oven/bun-*/bin/bun; do
        ln -sf "../${bun#build/parts/}" build/parts/bin/bun
        if build/parts/bin/bun --version >/dev/null 2>&1; then
            return
        fi
    done
    fail "bun was installed, but it does not run here"
}

has_nextest() {
    cargo nextest --version >/dev/null 2>&1
}

for program in cargo git cc; do
    command -v "$program" >/dev/null ||
        fail "$program is missing: the tests need Rust (cargo, rustfmt, clippy), git and build-essential"
done
has_postgres || install_postgres
has_nginx || install_nginx
has_parts || install_parts
PATH="$PWD/build/tools/bin:$PATH"
has_nextest ||
    cargo install cargo-nextest --locked --version "$NEXTEST_VERSION" --root build/tools
