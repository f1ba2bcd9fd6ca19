#!/usr/bin/env bash
# 日志分析：请求数、错误率、P50/P95/P99、最慢的路由，并与上一时段比较；指出何时超过手册的四个阈值。只读。
# Reads the log of requests: how many, errors, latency, slowest routes, compared with the window before, and when
# one of the manual's four thresholds was exceeded. It only reads.
#
#   analyze-logs.sh [window] [--dry-run]     时间范围 / how far to look back: 30m, 2h, 1d (24h)
#
# REQUEST_LOG_FILES    日志文件，可用 * 和 ?，绝对路径 / the log's files, absolute, plain or gzipped: the API log (JSON)
#                      or nginx's combined log, with the time to answer (seconds) as last field if it has one
#                      (默认 / default: $API_LOG_FILES, $API_LOG_FILE*)
# SIGN_IN_PATHS        登录路径前缀 / beginnings of the paths where people sign in (/api/auth/sign-in)
# DATA_FETCH_PATHS     数据拉取路径前缀 / beginnings of the paths that fetch data (/api/trpc/quotes.refresh)
#
# 阈值 / thresholds: 错误率 >5% 持续 60 秒，P99>5 秒持续 120 秒，认证失败率 >10% 持续 30 秒，数据拉取失败率 >20% 持续 180 秒
# 持续时间内至少 20 个请求才判断 / judged where that time holds at least 20 requests. P50…P99: 误差 2% 以内 within 2 %.
# 退出码 / exit code: 0 没有超过阈值 below every threshold, 1 超过阈值 above one, 2 用法或设置错误 called or set wrongly,
# 69 未能查明：没有日志、没有请求或没有读完 could not be found out: no log, no request, or not read to its end, 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

begin_check logs.analyze 0 1 "$@"
window=${arguments[0]:-24h}
window_is "$window"
API_LOG_FILES=${API_LOG_FILES:-${API_LOG_FILE:+$API_LOG_FILE*}}
REQUEST_LOG_FILES=${REQUEST_LOG_FILES:-$API_LOG_FILES}
settings_are REQUEST_LOG_FILES
export REQUEST_LOG_FILES
export SIGN_IN_PATHS=${SIGN_IN_PATHS:-/api/auth/sign-in}
export DATA_FETCH_PATHS=${DATA_FETCH_PATHS:-/api/trpc/quotes.refresh}
programs_are bun
logs_are REQUEST_LOG_FILES "$REQUEST_LOG_FILES"
if dry_run; then
    end_dry_run "会分析最近 $window 的 $log_files 个日志文件：$REQUEST_LOG_FILES" "would read $log_files log files, the last $window: $REQUEST_LOG_FILES"
fi

make_scratch
read_logs read-requests.js "$window"
case $verdict in
found) failed "$words_zh" "$words_en" ;;
unknown) cannot_run "$words_zh" "$words_en" ;;
esac
passed "$words_zh" "$words_en"
