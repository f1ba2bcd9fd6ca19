#!/usr/bin/env bash
# 依赖漏洞扫描(SCA)：在这个提交的临时副本里，用带漏洞数据库的扫描器检查锁定的依赖；连不上数据库就是未能检查，绝不当作通过。
# Vulnerabilities of a version's dependencies, as a scanner with a database of advisories sees what is locked, in a
# scratch copy of the commit. Where its database cannot be reached it could not be run, and that never passes.
#
#   scan-sca.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#   --dry-run       说明会用什么扫描 / says what would be scanned and with what
#
# SCAN_COMMAND    扫描命令，报告（npm、bun、SARIF 2.1）写到标准输出；按空格分词，不经过 shell
#                 writes its report (npm, bun, SARIF 2.1) to standard output; words, no shell ("bun audit --json")
#
# 与 check-vulnerabilities.sh 是同一检查 / the same check as check-vulnerabilities.sh
#
# 退出码 / exit code: 0 没有高危漏洞 none is high, 1 有高危漏洞，逐个列出 there are some, which are listed, 2 用法或设置错误
# called or set wrongly, 69 未能检查 could not be run: 缺少扫描器或网络，报告为空或读不懂 the scanner or the network is
# missing, its report is empty or unreadable. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check scan.sca 1 1 "$@"
check_dependencies "${arguments[0]}"
