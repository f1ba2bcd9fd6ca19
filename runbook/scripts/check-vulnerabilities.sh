#!/usr/bin/env bash
# 代码安全扫描通过（零高危漏洞）：在这个提交的临时副本里扫描，读它的 JSON 报告；只看报告，不看扫描器的退出码。
# Scans a version in a scratch copy of its commit and reads the scanner's JSON report. The report decides,
# never the scanner's exit code alone: offline, npm and bun audit mislead by it.
#
#   check-vulnerabilities.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#
# SCAN_COMMAND    扫描命令，报告写到标准输出；按空格分词，不经过 shell
#                 writes its report to standard output; words, no shell ("bun audit --json")
#                 例如 / such as: semgrep scan --sarif --quiet --config /etc/semgrep/rules .
# --dry-run       只检查并说明会怎样扫描 / says what would be scanned and how, scans nothing
#
# 读得懂的格式 / reports that can be read: npm audit, bun audit, SARIF 2.1
# 高危 / high: severity high, critical; SARIF level error, security-severity >= 7.0
#
# 退出码 / exit code: 0 没有高危漏洞 none is high, 1 有高危漏洞，逐个列出 there are some, which are listed,
# 2 用法或设置错误 called or set wrongly, 69 未能检查 could not be run: 缺少扫描器或网络，报告为空或读不懂
# the scanner or the network is missing, its report is empty or unreadable. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check check.vulnerabilities 1 1 "$@"
check_dependencies "${arguments[0]}"
