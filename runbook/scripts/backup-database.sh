#!/usr/bin/env bash
# 数据库备份：pg_dump，加上同一快照里每张表的行数与校验和，验证时据此核对。
# Backs the database up with pg_dump, together with each table's rows and checksum out of the same
# snapshot, which verify-backup.sh compares.
#
#   backup-database.sh [new|latest]     latest：不做新备份，只报告最近的 / makes none, names the newest
#
# BACKUP_DIR      备份目录 / where backups are
# PGDATABASE      要备份的数据库 / the database; PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE as for psql
# BACKUP_KEEP     保留几份 / how many are kept (42: a week at one every four hours)
#
# 一份备份是一个目录 / a backup is a folder: PGDATABASE-YYYYmmddTHHMMSSZ/{dump,schema.sql,manifest}
# 退出码 / exit code: 0 完成 done, 1 失败，没有留下残缺的备份 failed, no partial backup is left,
# 2 用法或设置错误 called or set wrongly, 3 没有备份 there is no backup (latest).

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Waiting for an answer of the session that holds the snapshot.
ANSWER_SECS=60
# A partial backup this old belongs to nobody any more.
PARTIAL_MINUTES=1440

arguments_are 0 1 "$@"
which=${1:-new}
database_settings_are
BACKUP_KEEP=${BACKUP_KEEP:-42}
whole_number_is BACKUP_KEEP
umask 077

case $which in
new) ;;
latest)
    newest=$(newest_backup)
    say "按要求不做新备份，最近的是 / no new backup was asked for; the newest is $(basename -- "$newest")"
    exit 0
    ;;
*) refuse "参数是 new 或 latest / the argument is new or latest, not: $which" ;;
esac

mkdir -p -- "$BACKUP_DIR"
partial=$(mktemp -d -- "$BACKUP_DIR/.partial-$PGDATABASE-XXXXXX")
# shellcheck disable=SC2317  # the trap calls it
clean() {
    rm -rf -- "$partial"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

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
    fail "数据库没有给出快照 / the database gave no snapshot"

say "备份 $PGDATABASE（PostgreSQL $server）/ backing up"
pg_dump --format=custom --no-owner --no-privileges --snapshot="$snapshot" --file="$partial/dump"
schema_of --snapshot="$snapshot" >"$partial/schema.sql"
printf '%s\n' "$TABLE_FACTS_SQL" "commit;" >&"$ask"
exec {ask}>&-
sed "s/^/table$TAB/" <&"$answer" >"$partial/tables"
wait "$session_pid" || fail "无法统计各表 / the tables could not be counted"

{
    printf '%s\t%s\n' neostock-backup 1 database "$PGDATABASE" server_version "$server" \
        taken "$taken" \
        dump_sha256 "$(sha256sum <"$partial/dump" | cut -d ' ' -f 1)" \
        schema_sha256 "$(sha256sum <"$partial/schema.sql" | cut -d ' ' -f 1)"
    cat -- "$partial/tables"
    # The last line: a manifest cut short is no manifest.
    printf 'end\n'
} >"$partial/manifest"
tables=$(wc -l <"$partial/tables")
rm -- "$partial/tables"

# On the disk, then under its name: a backup that can be seen is whole.
name=$PGDATABASE-$(date -u -d "@$taken" +%Y%m%dT%H%M%SZ)
sync -- "$partial"/* "$partial"
mv -T -- "$partial" "$BACKUP_DIR/$name"
sync -- "$BACKUP_DIR"
say "✅ 备份完成 / done: $name，$tables 张表 / tables，$(du -h -- "$BACKUP_DIR/$name/dump" | cut -f 1)"

backups | head -n "-$BACKUP_KEEP" | while read -r old; do
    rm -rf -- "$old"
    say "按保留 $BACKUP_KEEP 份删除旧备份 / removed an old backup: $(basename -- "$old")"
done
find "$BACKUP_DIR" -mindepth 1 -maxdepth 1 -type d -name '.partial-*' -mmin "+$PARTIAL_MINUTES" \
    -exec rm -rf -- {} +
