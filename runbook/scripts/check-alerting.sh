#!/usr/bin/env bash
# 监控告警配置验证：用 neostock-ops 检查这个提交里的 monitoring/alerting-config.yml，列出每一处错误。
# Has neostock-ops check monitoring/alerting-config.yml as it is in a version's commit; every fault is listed.
#
#   check-alerting.sh [--dry-run] <version>     在服务的 git 仓库里运行 / run it in the service's repository
#
# NEOSTOCK_OPS    机器人的程序 / the bot's program (neostock-ops)
# ALERTING_FILE   提交里的文件 / the file in the commit (monitoring/alerting-config.yml)
# --dry-run       只说明会检查什么 / says what would be checked, checks nothing
#
# 退出码 / exit code: 0 没有错误 no fault, 1 有错误，或提交里没有这个文件 faults, or the commit has no such file,
# 2 用法或设置错误 called or set wrongly, 69 未能检查 could not be run: 缺少程序 the program is missing.
# 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

# Every fault is shown; the program itself limits how many there are.
TAIL_LINES=500

begin_check check.alerting 1 1 "$@"
version=${arguments[0]}
program=${NEOSTOCK_OPS:-neostock-ops}
file=${ALERTING_FILE:-monitoring/alerting-config.yml}
case $file in
/* | -* | ../* | */../* | */..) refuse "ALERTING_FILE 不在仓库里：$file" "ALERTING_FILE does not lie in the repository: $file" ;;
esac
find_commit "$version"
programs_are "$program"
program=$(command -v -- "$program")
program=$(realpath -- "$program")
if [ "$(git cat-file -t "$commit:$file" 2>/dev/null)" != blob ]; then
    failed "$version 里没有 $file" "$version has no $file"
fi
if dry_run; then
    end_dry_run "会用 $program 检查 $version 的 $file" "would check $file of $version with $program"
fi
make_scratch
mkdir -p -- "$scratch/$(dirname -- "$file")"
git show "$commit:$file" >"$scratch/$file"
cd -- "$scratch"

code=0
attend "$log" "$log" "$program" check --alerting "$file" || code=$?
show_log
# Its exit code alone could be that of something else under its name.
# Notes may follow the verdict, each with what to do about it, indented.
last=$(grep -v -e '^note: ' -e '^    ' -- "$log" | tail -n 1) || last=
if [ "$code" -eq 0 ] && [[ $last == "ok: "* ]]; then
    figure faults 0 "错误" "faults"
    passed "告警配置有效：$file" "the alerting configuration is valid: $file"
elif [ "$code" -eq 1 ] && [[ $last =~ ^[0-9]+\ faults?$ ]]; then
    figure faults "${last%% *}" "错误" "faults"
    failed "告警配置有 ${last%% *} 处错误：$file" "the alerting configuration has $last: $file"
fi
cannot_run "$program 没有给出结论（$code）" "$program gave no verdict ($code)"
