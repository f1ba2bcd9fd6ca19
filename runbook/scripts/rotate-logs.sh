#!/usr/bin/env bash
# 日志轮转：先检查 logrotate 的配置，再轮转到期的日志，列出换下的文件及其大小。
# Rotates the logs: checks logrotate's configuration first, then rotates what is due, and names what was put aside.
#
#   rotate-logs.sh [due|now] [--dry-run]     默认 due：到期的；now：全部 / due: what is due (default); now: all of it
#
# LOGROTATE_CONFIG    配置文件 / the configuration (/etc/logrotate.d/neostock); runbook/logrotate/neostock 是样板 is one
# LOGROTATE_STATE     状态文件 / the state (/var/lib/logrotate/status): the system's own timer uses that one too, so that
#                     nothing is rotated twice; another one where the configuration is not in /etc/logrotate.d
# LOGROTATE_COMMAND   如何调用 / how to call it (logrotate), in production: sudo -n logrotate
#
# 一行不丢：文件改名后由写它的程序重开；配置里说明了各自的办法。
# No line is lost: files get a new name and whoever writes them opens them anew; the configuration says how each does.
# 退出码 / exit code: 0 完成 done, 1 配置有错或轮转失败 the configuration is bad or a rotation failed, 2 用法或设置错误 called
# or set wrongly, 69 未能执行：没有 logrotate、没有配置、或另一次正在进行 could not be run: no logrotate, no configuration, or
# another is under way, 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

LINES_MAX=50

# logrotate, what it says in $scratch/said.
run_logrotate() {
    "${command[@]}" --state "$LOGROTATE_STATE" "$@" -- "$LOGROTATE_CONFIG" >"$scratch/said" 2>&1
}

# The errors that it told; its exit code does not count all of them.
told_errors() {
    grep -E '^error:' -- "$scratch/said" | sort -u | head -n "$LINES_MAX"
}

begin logs.rotate 0 1 "$@"
which=${arguments[0]:-due}
force=()
case $which in
due) ;;
now) force=(--force) ;;
*) refuse "参数是 due 或 now，不是 $which" "the argument is due or now, not $which" ;;
esac
LOGROTATE_CONFIG=${LOGROTATE_CONFIG:-/etc/logrotate.d/neostock}
LOGROTATE_STATE=${LOGROTATE_STATE:-/var/lib/logrotate/status}
read -r -a command <<<"${LOGROTATE_COMMAND:-logrotate}"
[ ${#command[@]} -gt 0 ] || refuse "LOGROTATE_COMMAND 是空的" "LOGROTATE_COMMAND is empty"
# The tools of an administrator stand there, which not everybody's PATH holds.
PATH=$PATH:/usr/sbin:/sbin
programs_are "${command[0]}"
[ "${command[0]##*/}" != sudo ] || programs_are logrotate
[ -r "$LOGROTATE_CONFIG" ] ||
    cannot_run "没有可读的 logrotate 配置：$LOGROTATE_CONFIG" "there is no configuration of logrotate to be read: $LOGROTATE_CONFIG"
make_scratch

if ! run_logrotate --debug "${force[@]}" || [ -n "$(told_errors)" ]; then
    told_errors >&2
    fail "logrotate 的配置有错，什么都没有轮转：$LOGROTATE_CONFIG" "the configuration of logrotate is bad, nothing was rotated: $LOGROTATE_CONFIG"
fi
if dry_run; then
    due=$(sed -nE '/^considering log /{s///;h;}; /^ *log needs rotating/{g;p;}' -- "$scratch/said" | sort -u)
    count=$(grep -c . <<<"$due" || true)
    if [ "$count" -gt 0 ]; then
        say "会轮转 / would rotate:"
        say "$due"
    fi
    end_dry_run "配置正确，会轮转 $count 个日志" "the configuration is good, $count logs would be rotated"
fi

code=0
run_logrotate --verbose "${force[@]}" || code=$?
# Its exit code for that, 3, is the same where the state cannot be opened at all.
if grep -q '^error: state file .* is already locked' -- "$scratch/said"; then
    cannot_run "另一次日志轮转正在进行" "another rotation of the logs is under way"
fi
# Where names are numbers, the older ones are moved about as well: they are not told.
mapfile -t moved < <(sed -nE '/ \(rotatecount /d; s/^(renaming|copying) (.*) to (.*)$/\2\t\3/p' -- "$scratch/said")
rotated=0
bytes=0
for pair in "${moved[@]}"; do
    from=${pair%%"$TAB"*}
    to=${pair#*"$TAB"}
    # Without `delaycompress` it is compressed by now.
    [ -e "$to" ] || to=$to.gz
    size=$(stat -c %s -- "$to" 2>/dev/null) || size=0
    rotated=$((rotated + 1))
    bytes=$((bytes + size))
    if [ "$rotated" -le "$LINES_MAX" ]; then say "$from → $to（$size 字节 / bytes）"; fi
done
figure files_rotated "$rotated" "轮转的文件" "files rotated"
figure rotated_bytes "$bytes" "轮转的字节" "bytes rotated"
if [ "$code" -ne 0 ] || [ -n "$(told_errors)" ]; then
    told_errors >&2
    tail -n 5 -- "$scratch/said" >&2
    fail "轮转失败（$code），已轮转 $rotated 个" "a rotation failed ($code), $rotated were rotated"
fi
if [ "$rotated" -eq 0 ]; then
    succeed "没有到期的日志" "no log is due"
fi
succeed "轮转了 $rotated 个日志，共 $bytes 字节" "$rotated logs were rotated, $bytes bytes"
