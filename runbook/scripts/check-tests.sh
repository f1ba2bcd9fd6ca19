#!/usr/bin/env bash
# 所有测试通过：在这个提交的临时副本里安装依赖，逐个执行测试套件。
# Runs the test suites of a version in a scratch copy of its commit. All of them, whichever fail.
#
#   check-tests.sh [--dry-run] <version>        在服务的 git 仓库里运行 / run it in the service's repository
#
# TEST_SUITES         根目录 package.json 的脚本 / scripts of the root's package.json
#                     ("test:unit test:integration test:e2e")
# TEST_DATABASE_URL   测试用的数据库，作为 DATABASE_URL 交给测试 / the tests' database, their DATABASE_URL
# CHECK_VARIABLES     还要交给测试的变量名 / names of further variables for the tests
#
# --dry-run           只检查并说明会执行什么，不安装也不执行 / says what would be run, runs nothing
#
# 测试只得到 PATH、HOME、语言、代理、BUN_*、npm_config_*、PLAYWRIGHT_*、TEST_* 等变量：
# 线上的数据库和机密不会交给它们。
# The tests get PATH, HOME, language, proxies, BUN_*, npm_config_*, PLAYWRIGHT_*, TEST_* and no others:
# neither the real database nor a secret.
#
# 退出码 / exit code: 0 通过 passed, 1 有测试未通过 a suite failed, 2 用法或设置错误 called or set wrongly,
# 69 未能检查 could not be run: 缺少程序、脚本或网络，或者一个测试也没有 a tool, script or the network is
# missing, or there was not one test. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check check.tests 1 1 "$@"
read -r -a suites <<<"${TEST_SUITES:-test:unit test:integration test:e2e}"
[ ${#suites[@]} -gt 0 ] || refuse "TEST_SUITES 是空的" "TEST_SUITES is empty"
check_suites "${arguments[0]}" "测试" "the tests" "${suites[@]}"
