#!/usr/bin/env bash
# A private PostgreSQL for tests: `start DIR` makes one in a new folder, starts it on a free
# loopback port and prints its url; `stop DIR` stops it and removes the folder. `halt DIR` takes the
# server away without a goodbye and leaves its data; `resume DIR` brings it back at the same url.
set -euo pipefail

usage() {
    echo "usage: $0 start|stop|halt|resume DIR" >&2
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

# One that nobody listens on. Another program may take it in the meantime; `start` then tries again.
free_port() {
    local port
    for _ in $(seq 50); do
        port=$((RANDOM % 20000 + 40000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "$0: no free port" >&2
    exit 1
}

# A test cluster that dies is thrown away, so nothing waits for the disk. A killed server still
# recovers: only a power cut would lose something.
serve() {
    as_owner "$1/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -s start -o \
        "-c listen_addresses=127.0.0.1 -c port=$2 -c unix_socket_directories='$dir' \
         -c max_connections=200 -c fsync=off -c synchronous_commit=on \
         -c full_page_writes=off -c shared_buffers=64MB" >/dev/null
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
        if serve "$bin" "$port"; then
            echo "$port" >"$dir/port"
            echo "postgres://postgres@127.0.0.1:$port/postgres"
            return
        fi
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

halt() {
    local bin
    bin=$(find_bin)
    cd /
    as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w -s stop
}

resume() {
    local bin
    bin=$(find_bin)
    cd -- "$dir"
    serve "$bin" "$(<"$dir/port")"
}

case $verb in
start) start ;;
stop) stop ;;
halt) halt ;;
resume) resume ;;
*) usage ;;
esac
