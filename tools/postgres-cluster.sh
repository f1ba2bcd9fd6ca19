#!/usr/bin/env bash
# A private PostgreSQL for tests: `start DIR` makes one in a new folder, starts it on a free
# loopback port and prints its url; `stop DIR` stops it and removes the folder. `crash DIR` kills
# all of it as a machine's death would, and `resume DIR` starts it again on the same port.
set -euo pipefail

usage() {
    echo "usage: $0 start|stop|crash|resume DIR" >&2
    exit 2
}

[ $# -eq 2 ] || usage
verb=$1
dir=$(realpath -m -- "$2")

# PostgreSQL's own programs: on the path, or where Debian keeps them (the newest version).
find_bin() {
    local candidate
    for candidate in "$(dirname -- "$(command -v initdb || echo /nowhere/initdb)")" \
        $(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse); do
        if [ -x "$candidate/initdb" ]; then
            echo "$candidate"
            return
        fi
    done
    echo "$0: no initdb here; install PostgreSQL's server package" >&2
    exit 1
}

# PostgreSQL refuses to run as root: there it runs as the user its package made.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

# One that nobody listens on, below those that connections out of this machine take, so that `resume`
# finds it free. Another program may take it in the meantime; `start` then tries again.
free_port() {
    local port
    for _ in $(seq 50); do
        port=$((RANDOM % 10000 + 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "$0: no free port" >&2
    exit 1
}

start() {
    local bin port
    bin=$(find_bin)
    mkdir -- "$dir"
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres:postgres -- "$dir"
    fi
    if ! as_owner test -x "$dir"; then
        echo "$0: PostgreSQL's user cannot reach $dir; choose a folder under /tmp" >&2
        exit 1
    fi
    cd -- "$dir"
    as_owner "$bin/initdb" --no-sync -k -A trust -U postgres -E UTF8 --locale=C \
        -D "$dir/data" >"$dir/initdb.log" 2>&1 || {
        cat "$dir/initdb.log" >&2
        exit 1
    }
    for _ in 1 2 3; do
        port=$(free_port)
        serve "$bin" "$port" && return
    done
    tail -n 20 "$dir/server.log" >&2
    exit 1
}

# Starts the server on a port and prints its url.
serve() {
    local bin=$1 port=$2
    # A test cluster that dies is thrown away, so nothing waits for the disk. A killed server
    # still recovers: only a power cut would lose something.
    as_owner "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -s start -o \
        "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$dir' \
         -c max_connections=200 -c fsync=off -c synchronous_commit=on \
         -c full_page_writes=off -c shared_buffers=64MB" >/dev/null || return 1
    echo "postgres://postgres@127.0.0.1:$port/postgres"
}

# kill -9 of the postmaster and of everything it started; what it listened on is kept for `resume`.
crash() {
    local pid
    pid=$(head -n 1 "$dir/data/postmaster.pid")
    sed -n 4p "$dir/data/postmaster.pid" >"$dir/port"
    # The postmaster first: it would start its children anew.
    # shellcheck disable=SC2046  # one word a child
    kill -KILL "$pid" $(pgrep -P "$pid") || true
    # Whoever is its parent now may take its time to bury it.
    while grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status"; do sleep 0.01; done
}

resume() {
    local bin
    bin=$(find_bin)
    cd -- "$dir"
    # Backends that are only just dying hold the shared memory for a moment.
    for _ in $(seq 50); do
        serve "$bin" "$(cat "$dir/port")" 2>/dev/null && return
        sleep 0.1
    done
    tail -n 20 "$dir/server.log" >&2
    exit 1
}

stop() {
    local bin
    bin=$(find_bin)
    cd /
    if [ -f "$dir/data/PG_VERSION" ]; then
        as_owner "$bin/pg_ctl" -D "$dir/data" -m fast -w -s stop || true
        rm -rf -- "$dir"
    fi
}

case $verb in
start) start ;;
stop) stop ;;
crash) crash ;;
resume) resume ;;
*) usage ;;
esac
