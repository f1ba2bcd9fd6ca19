#!/usr/bin/env bash
# `make test`: the lints, then every test on SQLite and on a private PostgreSQL that lives as long
# as this script. The last line on standard output is the count; the exit code is 0 only when
# everything passed and something was tested.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

if ! [ -t 1 ]; then
    export CARGO_TERM_COLOR=never NO_COLOR=1
elif [ -z "${NO_COLOR:-}" ]; then
    # The tests' output goes through a pipe, where cargo would turn its colours off.
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}
fi
export PATH="$PWD/build/tools/bin:$PATH"

# The server may run as another user, so its folder is not inside one that is private to us.
cluster=${TMPDIR:-/tmp}/neostock-test-$$-$RANDOM
log=$(mktemp)
prepared=$(mktemp)
preparing=
has_cluster=no
passed=0
failed=0

# Whatever happened before: stop the cluster, say the count.
# shellcheck disable=SC2317  # the trap calls it
finish() {
    local code=$?
    trap - EXIT
    if [ -n "$preparing" ]; then
        # A failed lint does not cut an installation in half; whoever interrupts does mean it.
        [ "$code" -lt 128 ] || kill "$preparing" 2>/dev/null || true
        wait "$preparing" || true
    fi
    if [ "$has_cluster" = yes ]; then
        tools/postgres-cluster.sh stop "$cluster" || true
        rm -rf -- "$cluster"
    fi
    rm -f -- "$log" "$prepared"
    # A check before the tests that failed, or tests that did not come to their end, count as one.
    if [ "$failed" -eq 0 ] && { [ "$code" -ne 0 ] || [ "$passed" -eq 0 ]; }; then
        failed=1
    fi
    echo "$passed passed, $failed failed"
    if [ "$failed" -gt 0 ] && [ "$code" -eq 0 ]; then
        code=1
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The number before a word in nextest's summary; 0 where the word is absent.
counted() {
    sed -n -E "s/.*[ :]([0-9]+) $2.*/\1/p" <<<"$1" | grep . || echo 0
}

# One waits for the network and the other for the processor: together they take as long as the longer.
echo "installing what the tests need and is missing, beside the lints"
tools/prepare.sh >"$prepared" 2>&1 &
preparing=$!
tools/lint.sh
code=0
wait "$preparing" || code=$?
preparing=
cat -- "$prepared" >&2
[ "$code" -eq 0 ] || exit "$code"

has_cluster=yes
NEOSTOCK_TEST_POSTGRES=$(tools/postgres-cluster.sh start "$cluster")
export NEOSTOCK_TEST_POSTGRES

code=0
cargo nextest run --locked 2>&1 | tee "$log" || code=$?

# "Summary [  12.3s] 99 tests run: 96 passed (1 slow), 1 failed, 1 exec failed, 1 timed out, 4 skipped"
summary=$(sed -E 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Summary \[' | tail -n 1 || true)
passed=$(counted "$summary" passed)
for word in 'failed' 'exec failed' 'timed out'; do
    failed=$((failed + $(counted "$summary" "$word")))
done

# One more test, which takes minutes and kills a PostgreSQL of its own.
if tools/torture.sh; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi
exit "$code"
