#!/usr/bin/env bash
# 测试套件：在一个版本的临时副本里安装依赖，执行一个套件，边执行边显示它的输出。
# Runs one suite of a version in a scratch copy of its commit; its output is shown while it runs.
#
#   run-suite.sh [--dry-run] <unit|integration|performance|e2e> <version>     在服务的 git 仓库里运行
#                                                               run it in the service's repository
#
# 套件是根目录 package.json 的脚本 test:<suite> / the suite is the script test:<suite> of the root's package.json
# TEST_DATABASE_URL, CHECK_VARIABLES    同 check-tests.sh / as there
# --dry-run           只检查并说明会执行什么，不安装也不执行 / says what would be run, runs nothing
#
# 测试输出的 `figure NAME VALUE` 行（如 figure p99_ms 34.2）会成为结果里的数字，与上一次比较。
# Its lines `figure NAME VALUE` are the result's figures, which are compared with the last time's.
#
# 退出码 / exit code: 0 通过 passed, 1 有测试未通过 a test failed, 2 用法或设置错误 called or set wrongly,
# 69 未能执行 could not be run: 缺少程序、脚本或网络，或者一个测试也没有 a tool, script or the network is
# missing, or there was not one test. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check test 2 2 "$@"
suite=${arguments[0]}
case $suite in
unit | integration | performance | e2e) result=test.$suite ;;
*) refuse "没有这样的套件：$suite，可选 unit、integration、performance、e2e" \
    "no such suite: $suite, but unit, integration, performance or e2e" ;;
esac
check_suites "${arguments[1]}" "测试套件 $suite " "the suite $suite" "test:$suite"
