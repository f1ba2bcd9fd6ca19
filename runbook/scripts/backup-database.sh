#!/usr/bin/env bash
# 数据库备份：pg_dump，加上同一快照里每张表的行数与校验和，验证时据此核对。
# Backs the database up with pg_dump, together with each table's rows and checksum out of the same
# snapshot, which verify-backup.sh compares.
#
#   backup-database.sh [--dry-run] [new|latest]     latest：不做新备份，只报告最近的 / makes none, names the newest
#
# BACKUP_DIR      备份目录 / where backups are
# PGDATABASE      要备份的数据库 / the database; PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE as for psql
# BACKUP_KEEP     保留几份 / how many are kept (42: a week at one every four hours)
# --dry-run       只检查并说明会做什么 / looks, and says what would be done
#
# 一份备份是一个目录 / a backup is a folder: PGDATABASE-YYYYmmddTHHMMSSZ/{dump,schema.sql,manifest}
# 退出码 / exit code: 0 完成 done, 1 失败，没有留下残缺的备份 failed, no partial backup is left,
# 2 用法或设置错误 called or set wrongly, 3 没有备份 there is no backup (latest), 69 未能备份：缺少程序或数据库
# could not be run: a program or the database is missing. 129 130 143 被中止，没有留下残缺的备份 stopped,
# no partial backup is left.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Waiting for an answer of the session that holds the snapshot.
ANSWER_SECS=60
# A partial backup this old belongs to nobody any more.
PARTIAL_MINUTES=1440

begin backup 0 1 "$@"
which=${arguments[0]:-new}
case $which in
new | latest) ;;
*) refuse "参数是 new 或 latest，不是：$which" "the argument is new or latest, not: $which" ;;
esac
database_settings_are
BACKUP_KEEP=${BACKUP_KEEP:-42}
whole_number_is BACKUP_KEEP
umask 077
partial=

# A backup that is not whole is none. The session that holds the snapshot goes with its input.
# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    [ -z "$partial" ] || rm -rf -- "$partial"
    return "$1"
}

if [ "$which" = latest ]; then
    find_newest_backup
    succeed "按要求不做新备份，最近的是 $(basename -- "$newest")" \
        "no new backup was asked for; the newest is $(basename -- "$newest")"
fi
programs_are psql pg_dump
size_mb=$(psql -XAtq -v ON_ERROR_STOP=1 -c 'select ceil(pg_database_size(current_database()) / 1048576.0)::bigint') ||
    cannot_run "连不上数据库 $PGDATABASE，没有备份" "the database $PGDATABASE cannot be reached, nothing was backed up"
can_write_in "$BACKUP_DIR" || fail "不能写入 $BACKUP_DIR" "cannot write in $BACKUP_DIR"
if dry_run; then
    there=0
    [ ! -d "$BACKUP_DIR" ] || there=$(backups | wc -l)
    end_dry_run "会把 $PGDATABASE（$size_mb MB）备份到 $BACKUP_DIR（已有 $there 份，保留 $BACKUP_KEEP 份）" \
        "would back $PGDATABASE ($size_mb MB) up into $BACKUP_DIR (holds $there, keeps $BACKUP_KEEP)"
fi

mkdir -p -- "$BACKUP_DIR" || fail "无法建立 $BACKUP_DIR" "cannot make $BACKUP_DIR"
began=$SECONDS
# Its name is known before it is there: a signal may come as soon as it is.
partial=$(mktemp -u -- "$BACKUP_DIR/.partial-$PGDATABASE-XXXXXX")
mkdir -m 700 -- "$partial" || fail "不能写入 $BACKUP_DIR" "cannot write in $BACKUP_DIR"

# A session that holds the snapshot open; psql reads what is written to it and ends with its input.
taken=$(date -u +%s)
coproc session { psql -XAtq -F "$TAB" -v ON_ERROR_STOP=1; }
# shellcheck disable=SC2154  # coproc sets it
session_pid=$session_PID
ask=${session[1]}
# Of its own: bash closes the other as soon as psql has ended, read or not.
exec {answer}<&"${session[0]}"
printf '%s\n' "begin isolation level repeatable read, read only;" \
    "set idle_in_transaction_session_timeout = 0;" \
    "select pg_export_snapshot(), current_setting('server_version');" >&"$ask"
IFS=$TAB read -r -t "$ANSWER_SECS" snapshot server <&"$answer" ||
    fail "数据库 $PGDATABASE 没有给出快照" "the database $PGDATABASE gave no snapshot"

say "备份 $PGDATABASE（PostgreSQL $server）/ backing up"
run_group pg_dump --format=custom --no-owner --no-privileges --snapshot="$snapshot" --file="$partial/dump" ||
    fail "$PGDATABASE 备份失败（pg_dump），没有留下残缺的备份" "$PGDATABASE could not be backed up (pg_dump), no partial backup is left"
schema_of --snapshot="$snapshot" >"$partial/schema.sql" ||
    fail "无法写出 $PGDATABASE 的表结构" "the schema of $PGDATABASE could not be written"
printf '%s\n' "$TABLE_FACTS_SQL" "commit;" >&"$ask"
exec {ask}>&-
sed "s/^/table$TAB/" <&"$answer" >"$partial/tables" || fail "不能写入 $BACKUP_DIR" "cannot write in $BACKUP_DIR"
wait "$session_pid" || fail "无法统计 $PGDATABASE 的各表" "the tables of $PGDATABASE could not be counted"

{
    printf '%s\t%s\n' neostock-backup 1 database "$PGDATABASE" server_version "$server" \
        taken "$taken" \
        dump_sha256 "$(sha256sum <"$partial/dump" | cut -d ' ' -f 1)" \
        schema_sha256 "$(sha256sum <"$partial/schema.sql" | cut -d ' ' -f 1)"
    cat -- "$partial/tables"
    # The last line: a manifest cut short is no manifest.
    printf 'end\n'
} >"$partial/manifest" || fail "不能写入 $BACKUP_DIR" "cannot write in $BACKUP_DIR"
tables=$(wc -l <"$partial/tables")
rows=$(awk -F "$TAB" '{ sum += $3 } END { printf "%d", sum }' <"$partial/tables")
rm -- "$partial/tables"

# On the disk, then under its name: a backup that can be seen is whole.
name=$PGDATABASE-$(date -u -d "@$taken" +%Y%m%dT%H%M%SZ)
sync -- "$partial"/* "$partial" || fail "备份 $name 没有写到磁盘上" "the backup $name did not get onto the disk"
mv -T -- "$partial" "$BACKUP_DIR/$name" || fail "无法写入 $BACKUP_DIR/$name" "cannot write $BACKUP_DIR/$name"
partial=
sync -- "$BACKUP_DIR"
figure tables "$tables" "表" "tables"
figure rows "$rows" "行" "rows"
figure dump_bytes "$(stat -c %s -- "$BACKUP_DIR/$name/dump")" "备份大小（字节）" "size, bytes"
figure seconds "$((SECONDS - began))" "用时（秒）" "time, s"

backups | head -n "-$BACKUP_KEEP" | while read -r old; do
    rm -rf -- "$old"
    say "按保留 $BACKUP_KEEP 份删除旧备份 / removed an old backup: $(basename -- "$old")"
done
find "$BACKUP_DIR" -mindepth 1 -maxdepth 1 -type d -name '.partial-*' -mmin "+$PARTIAL_MINUTES" \
    -exec rm -rf -- {} +
succeed "备份完成：$name，$tables 张表，$rows 行" "backed up: $name, $tables tables, $rows rows"
