#!/usr/bin/env bash
# 性能基准测试通过：在这个提交的临时副本里执行性能测试；它自己的断言就是基准。
# Runs the performance suite of a version in a scratch copy of its commit; its own assertions are the
# benchmark.
#
#   check-performance.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#
# PERFORMANCE_SUITE   根目录 package.json 的脚本 / a script of the root's package.json (test:performance)
# TEST_DATABASE_URL, CHECK_VARIABLES    同 check-tests.sh / as there
# --dry-run           只检查并说明会执行什么，不安装也不执行 / says what would be run, runs nothing
#
# 测试输出的 `figure NAME VALUE` 行（如 figure p99_ms 34.2）会成为结果里的数字，与上一次比较。
# Its lines `figure NAME VALUE` are the result's figures, which are compared with the last time's.
#
# 退出码 / exit code: 0 通过 passed, 1 未达基准 a benchmark was missed, 2 用法或设置错误 called or set wrongly,
# 69 未能检查 could not be run: 缺少程序、脚本或网络，或者一个测试也没有 a tool, script or the network is
# missing, or there was not one test. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check check.performance 1 1 "$@"
read -r -a suites <<<"${PERFORMANCE_SUITE:-test:performance}"
[ ${#suites[@]} -gt 0 ] || refuse "PERFORMANCE_SUITE 是空的" "PERFORMANCE_SUITE is empty"
check_suites "${arguments[0]}" "性能基准" "the benchmarks" "${suites[@]}"
