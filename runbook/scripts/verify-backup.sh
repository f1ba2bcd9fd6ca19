#!/usr/bin/env bash
# 数据恢复验证：把最近的备份恢复到一个临时数据库，逐项核对，列出每一处不同；临时数据库总会删除。
# Restores the newest backup into a scratch database and compares schema, rows and checksums; lists
# every difference. The scratch database is always dropped.
#
#   verify-backup.sh [--dry-run]
#
# BACKUP_DIR, PGDATABASE, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE    同 backup-database.sh / as there
# VERIFY_PGHOST, VERIFY_PGPORT, VERIFY_PGUSER   在另一台服务器上恢复 / restore on another server (PG…)
# RPO_MINUTES     恢复点目标 / recovery point objective (15)
# RTO_MINUTES     恢复时间目标 / recovery time objective (60)
# --dry-run       只核对文件并说明会做什么，不建立临时数据库 / compares the files only, makes no database
#
# 退出码 / exit code: 0 备份完好且达标 sound and in time, 1 备份损坏 damaged, 2 用法或设置错误 called or set wrongly,
# 3 没有备份 there is no backup, 4 备份完好但未达标 sound, but an objective is missed, 69 未能验证：缺少程序或数据库
# not verified: a program or the database is missing. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin_check backup.verify 0 0 "$@"
database_settings_are
RPO_MINUTES=${RPO_MINUTES:-15}
RTO_MINUTES=${RTO_MINUTES:-60}
whole_number_is RPO_MINUTES
whole_number_is RTO_MINUTES

find_newest_backup
backup=$newest
name=$(basename -- "$backup")
say "验证 / verifying: $name"
programs_are psql pg_dump pg_restore createdb dropdb diff

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
    failed "备份 $name 损坏：清单缺失或不完整" "the backup $name is damaged: its manifest is missing or cut short"
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
can_reach() {
    psql -XAtq -d postgres -c 'select 1' >/dev/null
}

if dry_run; then
    can_reach || cannot_run "连不上恢复用的服务器，备份 $name 未验证" \
        "the server to restore on cannot be reached, $name is not verified"
    [ "$differences" -eq 0 ] ||
        failed "备份 $name 损坏：$differences 个文件不是写入的那个" "the backup $name is damaged: $differences files are not those that were written"
    end_dry_run "会把 $name 恢复到一个临时数据库，核对 ${#rows[@]} 张表，然后删除它" \
        "would restore $name into a scratch database, compare ${#rows[@]} tables, and drop it"
fi
scratch=
complaints=
# Its name is known before it is there: a signal may come as soon as it is.
# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    [ -z "$complaints" ] || rm -f -- "$complaints"
    if [ -n "$scratch" ] && ! dropdb --if-exists --force -- "$scratch"; then
        say "⚠️ 临时数据库 $scratch 若还在，请手动删除 / if it is still there, drop it by hand"
    fi
    return "$1"
}
# Not to be stopped: for a createdb that is gone the server would go on, and be ready after the dropdb.
make_scratch() (
    trap '' HUP INT TERM
    createdb --template=template0 --encoding=UTF8 -- "$scratch"
)
complaints=$(mktemp) || cannot_run "无法建立临时文件，备份 $name 未验证" "no temporary file can be made, $name is not verified"
scratch=neostock_verify_$(date -u +%s)_$$
make_scratch ||
    cannot_run "无法建立临时数据库，备份 $name 未验证" "no scratch database could be made, $name is not verified"

# Goes on after a fault, so that everything that differs is found.
started=$SECONDS
if ! run_group pg_restore --no-owner --no-privileges --dbname="$scratch" -- "$backup/dump" 2>"$complaints"; then
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
    cannot_run "无法统计恢复后的各表，备份 $name 未验证" "the restored tables could not be counted, $name is not verified"
declare -A found=()
restored_rows=0
while IFS=$TAB read -r table count sum; do
    [ -n "$table" ] || continue
    found[$table]=yes
    restored_rows=$((restored_rows + count))
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
figure tables "${#found[@]}" "表" "tables"
figure rows "$restored_rows" "行" "rows"
figure differences "$differences" "不同之处" "differences"
figure restore_seconds "$restore_secs" "恢复用时（秒）" "restore, s"
figure age_seconds "$age_secs" "备份年龄（秒）" "age, s"
if [ "$differences" -gt 0 ]; then
    failed "备份 $name 损坏：$differences 处不同" "the backup $name is damaged: $differences differences"
fi
if [ "$missed" = yes ]; then
    fail_with 4 "备份 $name 完好，但未达到恢复目标（RPO $RPO_MINUTES 分钟，RTO $RTO_MINUTES 分钟）" \
        "the backup $name is sound, but a recovery objective is missed (RPO $RPO_MINUTES min, RTO $RTO_MINUTES min)"
fi
passed "备份 $name 完好：${#rows[@]} 张表的结构、行数与校验和一致" "the backup $name is sound: ${#rows[@]} tables agree"
