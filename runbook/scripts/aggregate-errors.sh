#!/usr/bin/env bash
# 错误日志聚合：把各服务的错误日志归并成组，给出次数、首次、末次和一个样本；新出现的标 🆕。只读。
# Groups the services' errors by what they have in common: how often, first, last, one sample in which secrets and
# people are blotted out; what the window before did not have is marked 🆕. It only reads.
#
#   aggregate-errors.sh [window] [--dry-run]     时间范围 / how far to look back: 30m, 2h, 1d (24h)
#
# ERROR_LOG_FILES   错误日志，可用 * 和 ?，绝对路径 / the logs, absolute, rotated and gzipped ones too
#                   (默认 / default: $PM2_HOME/logs/*error.log*)
# PM2_HOME          pm2 的目录 / where pm2 keeps its own ($HOME/.pm2)
#
# 有错误不算失败：这是报告。/ Errors are no failure of this script: it is a report.
# 退出码 / exit code: 0 已汇总 done, 2 用法或设置错误 called or set wrongly,
# 69 未能查明：没有日志或没有读完 could not be found out: there is no log, or it was not read to its end, 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

begin logs.errors 0 1 "$@"
window=${arguments[0]:-24h}
window_is "$window"
export ERROR_LOG_FILES=${ERROR_LOG_FILES:-"$(pm2_home)/logs/*error.log*"}
programs_are bun
logs_are ERROR_LOG_FILES "$ERROR_LOG_FILES"
if dry_run; then
    end_dry_run "会汇总最近 $window 的 $log_files 个日志文件：$ERROR_LOG_FILES" "would read $log_files log files, the last $window: $ERROR_LOG_FILES"
fi

make_scratch
read_logs read-errors.js "$window"
[ "$verdict" = good ] || cannot_run "$words_zh" "$words_en"
succeed "$words_zh" "$words_en"
