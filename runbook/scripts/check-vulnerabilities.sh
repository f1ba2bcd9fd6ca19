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

# A larger report is not read.
REPORT_BYTES_MAX=67108864

begin_check check.vulnerabilities 1 1 "$@"
version=${arguments[0]}
read -r -a scan <<<"${SCAN_COMMAND:-bun audit --json}"
[ ${#scan[@]} -gt 0 ] || refuse "SCAN_COMMAND 是空的" "SCAN_COMMAND is empty"
find_commit "$version"
programs_are bun "${scan[0]}"
if dry_run; then
    end_dry_run "会在 $version (${commit:0:12}) 的临时副本中执行：${scan[*]}" \
        "would run in a scratch copy of $version (${commit:0:12}): ${scan[*]}"
fi
say "在临时副本中扫描 $version (${commit:0:12}) / scanning a scratch copy: ${scan[*]}"
copy_commit
report=$scratch/report
code=0
attend "$report" "$log" "${scan[@]}" || code=$?

if [ "$(stat -c %s -- "$report")" -gt "$REPORT_BYTES_MAX" ]; then
    cannot_run "扫描报告过大：超过 $REPORT_BYTES_MAX 字节" "the scanner's report is larger than $REPORT_BYTES_MAX bytes"
fi
kind=other
if [ "${scan[0]##*/} ${scan[1]:-}" = "bun audit" ]; then
    kind=bun
fi
answer=$(ours read-scan.js "$kind" <"$report")
read -r finding high lower <<<"${answer%%$'\n'*}"
figure findings_high "${high:-}" "高危漏洞" "high findings"
figure findings_lower "${lower:-}" "较低的漏洞" "lower findings"
case $finding in
high)
    say "${answer#*$'\n'}"
    failed "$version 有 $high 个高危漏洞（较低的 $lower 个）" \
        "$version has $high high or critical findings (and $lower lower)"
    ;;
none)
    if [ "$lower" -eq 0 ] && [ "$code" -ne 0 ]; then
        show_log
        cannot_run "报告没有发现任何问题，扫描器却以 $code 退出" "nothing was reported, but the scanner ended with $code"
    fi
    passed "$version 没有高危漏洞（较低的 $lower 个）" "$version has no high or critical finding (lower: $lower)"
    ;;
*)
    show_log
    cannot_run "扫描报告无法读取（$code）：${answer#unreadable }" "the scanner's report cannot be read ($code): ${answer#unreadable }"
    ;;
esac
