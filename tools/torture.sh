#!/usr/bin/env bash
# `make torture`: kills and stops bots, supervisors and the database while runs are under way, and
# holds what everybody knows of them against each other. Its PostgreSQL is its own, to be killed.
#   NEOSTOCK_TORTURE_MINUTES=600  how long (5 by itself)
#   NEOSTOCK_TORTURE_SEED=…       the schedule of an earlier torture
#   NEOSTOCK_TORTURE_SHAPES=0,2   only these of the shapes in tests/it/torture/plan.rs
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

NEOSTOCK_TORTURE_CLUSTER=${TMPDIR:-/tmp}/neostock-torture-$$-$RANDOM
export NEOSTOCK_TORTURE_CLUSTER

# shellcheck disable=SC2317  # the trap calls it
finish() {
    local code=$?
    trap - EXIT
    tools/postgres-cluster.sh stop "$NEOSTOCK_TORTURE_CLUSTER" || true
    exit "$code"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

NEOSTOCK_TEST_POSTGRES=$(tools/postgres-cluster.sh start "$NEOSTOCK_TORTURE_CLUSTER")
export NEOSTOCK_TEST_POSTGRES

cargo test --quiet --locked --test it -- --ignored --exact --nocapture \
    torture::everything_survives_what_kills_a_part_of_it
