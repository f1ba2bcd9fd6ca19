#!/usr/bin/env bash
# 性能基准测试通过：在这个提交的临时副本里执行性能测试；它自己的断言就是基准。
# Runs the performance suite of a version in a scratch copy of its commit; its own assertions are the
# benchmark.
#
#   check-performance.sh <version>      在服务的 git 仓库里运行 / run it in the service's repository
#
# PERFORMANCE_SUITE   根目录 package.json 的脚本 / a script of the root's package.json (test:performance)
# TEST_DATABASE_URL, CHECK_VARIABLES    同 check-tests.sh / as there
#
# 退出码 / exit code: 0 通过 passed, 1 未达基准 a benchmark was missed, 2 用法或设置错误 called or set wrongly,
# 69 未能检查 could not be run: 缺少程序、脚本或网络，或者一个测试也没有 a tool, script or the network is
# missing, or there was not one test. 129 130 143 被中止 stopped.

set -euo pipefail
scripts=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$scripts/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

arguments_are 1 1 "$@"
read -r -a suites <<<"${PERFORMANCE_SUITE:-test:performance}"
begin_check
[ ${#suites[@]} -gt 0 ] || refuse "PERFORMANCE_SUITE 是空的 / is empty"
find_commit "$1"
say "在临时副本中测量 $1 (${commit:0:12}) / measuring in a scratch copy: ${suites[*]}"
copy_commit
suites_are "${suites[@]}"
install_dependencies
if [ -n "${TEST_DATABASE_URL:-}" ]; then
    export DATABASE_URL=$TEST_DATABASE_URL
    CHECK_VARIABLES="${CHECK_VARIABLES:-} DATABASE_URL"
fi
run_suites "性能基准" "${suites[@]}"
passed "性能基准测试通过 / every benchmark was met: ${suites[*]}"
