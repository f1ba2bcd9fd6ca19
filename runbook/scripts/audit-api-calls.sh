#!/usr/bin/env bash
# 审计 API 调用日志：谁调用了什么，谁被拒绝，哪些密钥可疑。只读，不改动任何东西。
# Audits the log of API calls: who called what, who was refused, which keys look stolen. It only reads.
#
#   audit-api-calls.sh [window] [--dry-run]     时间范围 / how far to look back: 30m, 2h, 1d (24h)
#
# API_LOG_FILES        日志文件，可用 * 和 ?，绝对路径，含轮转与 .gz / the log's files, absolute, rotated ones too
#                      (默认 / default: $API_LOG_FILE*)
# RELEASES_DIR, NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
#                      线上版本，用其 `keys list` 取得密钥清单；未设 RELEASES_DIR 则不核对密钥
#                      the live release, whose `keys list` names the keys; without RELEASES_DIR they are not compared
# 超过即为异常 / above these it is a finding, in the window:
# DENIED_ADDRESS_MAX   一个地址被拒绝（401、403）次数 / calls of one address that were refused (50)
# DENIED_ACTOR_MAX     一个密钥或用户被拒绝次数 / the same of one key or user (20)
# KEY_ADDRESSES_MAX    一个密钥的来源地址数 / addresses that one key was used from (5)
# BURST_MAX            一个调用者一分钟内的调用数 / calls of one caller in a minute (600)
# UNKNOWN_ROUTE_MAX    一个地址访问不存在的路由次数 / calls of one address to routes that do not exist (50)
# 已吊销的密钥再被使用、清单之外的密钥，一次即为异常；吊销后一分钟内被拒绝的不算：轮换时会试一次旧密钥。
# A call with a revoked key, or with a key that is not in the list, is always a finding; but not one that was refused
# within a minute of the revocation: a rotation tries the old key once more.
#
# 读不懂的行会计数并说明；日志没有读完、或其间没有任何调用，则无结论。
# Lines that cannot be read are counted and said. A log that was not read to its end, or without a call, proves nothing.
# 退出码 / exit code: 0 没有异常 nothing unusual, 1 有异常 findings, 2 用法或设置错误 called or set wrongly,
# 69 未能查明 could not be found out, 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

begin_check audit.calls 0 1 "$@"
window=${arguments[0]:-24h}
window_is "$window"
API_LOG_FILES=${API_LOG_FILES:-${API_LOG_FILE:+$API_LOG_FILE*}}
settings_are API_LOG_FILES
number_is DENIED_ADDRESS_MAX 50
number_is DENIED_ACTOR_MAX 20
number_is KEY_ADDRESSES_MAX 5
number_is BURST_MAX 600
number_is UNKNOWN_ROUTE_MAX 50
programs_are bun
logs_are API_LOG_FILES "$API_LOG_FILES"
if dry_run; then
    end_dry_run "会审计最近 $window 的 $log_files 个日志文件：$API_LOG_FILES" "would audit $log_files log files, the last $window: $API_LOG_FILES"
fi

make_scratch
keys=-
trouble_zh=
if [ -n "${RELEASES_DIR:-}" ]; then
    if list_keys; then
        keys=$scratch/keys
        printf '%s\n' "$key_list" >"$keys"
    else
        trouble_zh=$words_zh trouble_en=$words_en
        say "⛔ $trouble_zh / $trouble_en"
    fi
else
    say "ℹ️ 未设 RELEASES_DIR，不核对密钥清单 / RELEASES_DIR is not set: keys are not compared with their list"
fi
export API_LOG_FILES
read_logs read-calls.js "$window" "$keys"
case $verdict in
found) failed "$words_zh" "$words_en" ;;
unknown) cannot_run "$words_zh" "$words_en" ;;
esac
if [ -n "$trouble_zh" ]; then
    cannot_run "日志没有异常，但是$trouble_zh" "nothing unusual in the log, but $trouble_en"
fi
passed "$words_zh" "$words_en"
