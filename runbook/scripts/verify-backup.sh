#!/usr/bin/env bash
# 数据恢复验证：把最近的备份恢复到一个临时数据库，逐项核对，列出每一处不同；临时数据库总会删除。
# Restores the newest backup into a scratch database and compares schema, rows and checksums; lists
# every difference. The scratch database is always dropped.
#
#   verify-backup.sh
#
# BACKUP_DIR, PGDATABASE, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE    同 backup-database.sh / as there
# VERIFY_PGHOST, VERIFY_PGPORT, VERIFY_PGUSER   在另一台服务器上恢复 / restore on another server (PG…)
# RPO_MINUTES     恢复点目标 / recovery point objective (15)
# RTO_MINUTES     恢复时间目标 / recovery time objective (60)
#
# 退出码 / exit code: 0 备份完好且达标 sound and in time, 1 备份损坏或未能验证 damaged, or could not be
# verified (the last line says which), 2 用法或设置错误 called or set wrongly, 3 没有备份 there is no backup, 4 备份完好但未达标 sound, but an objective is missed.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

arguments_are 0 0 "$@"
database_settings_are
RPO_MINUTES=${RPO_MINUTES:-15}
RTO_MINUTES=${RTO_MINUTES:-60}
whole_number_is RPO_MINUTES
whole_number_is RTO_MINUTES

backup=$(newest_backup)
say "验证 / verifying: $(basename -- "$backup")"

differences=0
differs() {
    say "❌ $*"
    differences=$((differences + 1))
}

# What the manifest promises; a later line of the same key wins.
declare -A promised=() rows=() sums=()
last=
while IFS=$TAB read -r key one two three; do
    last=$key
    if [ "$key" = table ]; then
        rows[$one]=$two
        sums[$one]=$three
    else
        promised[$key]=${one:-}
    fi
done < <(cat -- "$backup/manifest" 2>/dev/null || true)
if [ "$last" != end ] || ! [[ ${promised[taken]:-} =~ ^[0-9]{1,12}$ ]]; then
    fail "备份损坏：清单缺失或不完整 / damaged: its manifest is missing or cut short: $backup/manifest"
fi
for file in dump schema.sql; do
    sum=$( (sha256sum <"$backup/$file") 2>/dev/null | cut -d ' ' -f 1) || sum=missing
    if [ "$sum" != "${promised[${file%.sql}_sha256]:-}" ]; then
        differs "文件 $file 与清单的 SHA-256 不符 / $file is not the file that was written"
    fi
done

export PGHOST=${VERIFY_PGHOST:-${PGHOST:-}} PGPORT=${VERIFY_PGPORT:-${PGPORT:-}}
export PGUSER=${VERIFY_PGUSER:-${PGUSER:-}}
for name in PGHOST PGPORT PGUSER; do
    [ -n "${!name}" ] || unset "$name"
done
scratch=neostock_verify_$(date -u +%s)_$$
# shellcheck disable=SC2317  # the trap calls it
finish() {
    local code=$?
    trap - EXIT
    rm -f -- "$complaints"
    dropdb --if-exists --force -- "$scratch" ||
        say "⚠️ 临时数据库 $scratch 若还在，请手动删除 / if it is still there, drop it by hand"
    exit "$code"
}
complaints=$(mktemp)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
createdb --template=template0 --encoding=UTF8 -- "$scratch" ||
    fail "未能验证：无法建立临时数据库 / not verified: no scratch database could be made"

# Goes on after a fault, so that everything that differs is found.
started=$SECONDS
if ! pg_restore --no-owner --no-privileges --dbname="$scratch" -- "$backup/dump" 2>"$complaints"; then
    differs "pg_restore 报告了错误 / pg_restore complained:"
    sed 's/^/   /' -- "$complaints"
fi
restore_secs=$((SECONDS - started))

if ! schema=$(diff --unified=0 --label backup --label restored \
    "$backup/schema.sql" <(schema_of --dbname="$scratch")); then
    differs "表结构不同 / the schema differs:"
    printf '   %s\n' "${schema//$'\n'/$'\n'   }"
fi

facts=$(psql -XAtq -F "$TAB" -v ON_ERROR_STOP=1 -d "$scratch" <<<"$TABLE_FACTS_SQL") ||
    fail "未能验证：无法统计恢复后的各表 / not verified: the restored tables could not be counted"
declare -A found=()
while IFS=$TAB read -r table count sum; do
    [ -n "$table" ] || continue
    found[$table]=yes
    if [ -z "${rows[$table]:-}" ]; then
        differs "多出的表 / a table that the backup does not name: $table"
    elif [ "$count" != "${rows[$table]}" ]; then
        differs "$table：行数 / rows $count，应为 / should be ${rows[$table]}"
    elif [ "$sum" != "${sums[$table]}" ]; then
        differs "$table：$count 行，但内容校验和不同 / the rows' checksum differs"
    fi
done <<<"$facts"
for table in "${!rows[@]}"; do
    [ -n "${found[$table]:-}" ] || differs "缺少的表 / a table is missing: $table (${rows[$table]} rows)"
done

age_secs=$(($(date -u +%s) - promised[taken]))
missed=no
judge() {
    local words=$1 secs=$2 minutes=$3
    if [ "$secs" -le $((minutes * 60)) ]; then
        say "✅ $words：$secs 秒，目标 $minutes 分钟 / ${secs}s of ${minutes} min"
    else
        say "⚠️ $words：$secs 秒，超过目标 $minutes 分钟 / ${secs}s, over ${minutes} min"
        missed=yes
    fi
}
judge "备份年龄 (RPO) / age" "$age_secs" "$RPO_MINUTES"
judge "恢复用时 (RTO) / restore" "$restore_secs" "$RTO_MINUTES"
if [ "$differences" -gt 0 ]; then
    fail "备份损坏：$differences 处不同 / damaged: $differences differences"
fi
say "✅ 备份完好：${#rows[@]} 张表的结构、行数与校验和一致 / sound: ${#rows[@]} tables agree"
if [ "$missed" = yes ]; then
    printf '❌ 备份完好，但未达到恢复目标 / sound, but a recovery objective is missed\n' >&2
    exit 4
fi
