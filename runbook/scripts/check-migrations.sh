#!/usr/bin/env bash
# 数据库迁移脚本验证：在真实数据库的临时副本上迁移、回滚、再迁移，并比较表结构；真实数据库只读。
# Migrates a scratch copy of the real database up, down and up again and compares the schemas. The real
# database is only read; the copy is always dropped.
#
#   check-migrations.sh [--dry-run] <version> [live-version]      在服务的 git 仓库里 / in its repository
#
# live-version        回滚到它 / what is rolled back to. 不给：空库则回到空；否则试最近的标签，结果不符就不下结论
#                     without it: an empty database goes back to empty, any other to the newest tag before
#                     the version; if that is not the state before, there is no verdict
# PGDATABASE, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE    真实数据库 / the real one, as for psql
# VERIFY_PGHOST, VERIFY_PGPORT, VERIFY_PGUSER   副本建在另一台服务器上 / the copy on another server (PG…)
# MIGRATIONS_DIR      迁移文件夹 / the folder of migrations (apps/server/db)
# MIGRATIONS_TABLE    记录已执行迁移的表 / the table of applied migrations, [SCHEMA.]NAME (migrations)
# COPY_MB_MAX         不超过它的数据库连同数据一起复制；更大的只复制表结构和 MIGRATIONS_TABLE
#                     up to this size the data is copied too, else the schema and MIGRATIONS_TABLE (512)
# CHECK_VARIABLES     还要交给迁移的变量名 / names of further variables for the migrations
# --dry-run           只检查并说明会做什么，不建立副本 / says what would be done, makes no copy
#
# PGUSER 需要 CREATEDB。db:migrate 和 db:rollback 得到副本的 DATABASE_URL 和 PG*，没有别的机密。
# PGUSER needs CREATEDB. db:migrate and db:rollback get the copy's DATABASE_URL and PG*, and no other secret.
#
# 退出码 / exit code: 0 通过 passed, 1 未通过，并说明哪一步、哪里不同 failed, with the step and what differs,
# 2 用法或设置错误 called or set wrongly, 69 未能检查 could not be run: 缺少程序、网络或数据库 a tool, the
# network or the database is missing. 129 130 143 被中止 stopped.

# shellcheck disable=SC2317  # what `attend` and `on_copy` call looks as if nothing did
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

DIFF_LINES=60

begin_check check.migrations 1 2 "$@"
version=${arguments[0]}
live=${arguments[1]:-}
settings_are PGDATABASE
MIGRATIONS_TABLE=${MIGRATIONS_TABLE:-migrations}
[[ $MIGRATIONS_TABLE =~ ^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$ ]] ||
    refuse "MIGRATIONS_TABLE 不是表名：$MIGRATIONS_TABLE" "MIGRATIONS_TABLE is not a table's name: $MIGRATIONS_TABLE"
COPY_MB_MAX=${COPY_MB_MAX:-512}
whole_number_is COPY_MB_MAX
export PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}

find_commit "$version"
target=
if [ -n "$live" ]; then
    case $live in
    -* | *[[:space:]]*) refuse "不是版本：'$live'" "not a version: '$live'" ;;
    esac
    target=$(git rev-parse --verify --quiet --end-of-options "$live^{commit}") ||
        cannot_run "线上版本 $live 不在这个仓库里" "what is live, $live, is no tag, branch or commit here"
fi
programs_are bun psql pg_dump pg_restore createdb dropdb diff

migrations_are_found

# What no database is needed for comes first: a migration that cannot be undone.
base=$target
[ -n "$base" ] || base=$(git describe --tags --abbrev=0 "$commit^" 2>/dev/null) || base=
irreversible=()
list=$(migrations_of "$commit" "$base")
while IFS= read -r file; do
    [ -z "$file" ] || is_reversible "$commit" "$file" || irreversible+=("$file")
done <<<"$list"
if [ ${#irreversible[@]} -gt 0 ]; then
    printf '   %s\n' "${irreversible[@]}"
    failed "$version 的 ${#irreversible[@]} 个迁移没有 .down.sql 或它是空的" \
        "$version has ${#irreversible[@]} migrations without a .down.sql that does something"
fi

# The server of the copy, for all that follows a dump.
on_copy() (
    for name in HOST PORT USER; do
        verify=VERIFY_PG$name
        [ -z "${!verify:-}" ] || export "PG$name=${!verify}"
    done
    "$@"
)

copy=
is_made=no
steps=0
clean_more() {
    if [ -n "$copy" ] && ! on_copy dropdb --if-exists --force -- "$copy" 2>/dev/null && [ "$is_made" = yes ]; then
        say "⚠️ 临时数据库 $copy 若还在，请手动删除 / if it is still there, drop it by hand"
    fi
}

make_scratch
facts=$(psql -XAtq -F "$TAB" -v ON_ERROR_STOP=1 -c "select
    ceil(pg_database_size(current_database()) / 1048576.0)::bigint,
    (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'),
    to_regclass('$MIGRATIONS_TABLE') is not null" 2>"$log") || {
    show_log
    cannot_run "连不上数据库 $PGDATABASE" "the database $PGDATABASE cannot be reached"
}
IFS=$TAB read -r size_mb tables has_table <<<"$facts"

for script in db:migrate db:rollback; do
    code=0
    server_has "$script" || code=$?
    case $code in
    0) continue ;;
    3 | 4) ;;
    *) cannot_run "bun 无法读取 apps/server/package.json（$code）" "bun cannot read apps/server/package.json ($code)" ;;
    esac
    if [ "$script" = db:migrate ] && [ -z "$(migrations_of "$commit")" ]; then
        # The deploy runs it if it is there.
        passed "$version 没有迁移" "$version has no migrations"
    fi
    failed "$version 的 apps/server 没有 $script" "apps/server of $version has no $script"
done
if [ "$size_mb" -gt "$COPY_MB_MAX" ] && [ "$has_table" = f ] && [ "$tables" -gt 0 ]; then
    cannot_run "数据库有 $size_mb MB，只能复制表结构，却没有表 $MIGRATIONS_TABLE" \
        "the database has $size_mb MB, so only its schema can be copied, and there is no table $MIGRATIONS_TABLE: set MIGRATIONS_TABLE or COPY_MB_MAX"
fi
lock_is_committed
what=表结构和数据
what_en="schema and data"
if [ "$size_mb" -gt "$COPY_MB_MAX" ]; then
    what="表结构和 $MIGRATIONS_TABLE"
    what_en="schema and $MIGRATIONS_TABLE"
fi
if dry_run; then
    end_dry_run "会复制 $PGDATABASE（$size_mb MB，$what），在副本上迁移到 $version、回滚、再迁移，然后删除副本" \
        "would copy $PGDATABASE ($size_mb MB, $what_en), migrate the copy to $version, back and again, and drop it"
fi
copy_commit
install_dependencies

# A commit of the copy that has nothing at all, for a database that has nothing.
nothing() {
    local tree
    tree=$(git hash-object -t tree -w /dev/null)
    GIT_AUTHOR_NAME=check GIT_AUTHOR_EMAIL=check@localhost GIT_COMMITTER_NAME=check \
        GIT_COMMITTER_EMAIL=check@localhost git commit-tree -m nothing "$tree"
}

is_guess=no
if [ -n "$live" ]; then
    # As a rollback would say it, where the copy knows it by that name.
    back=$live
    [ "$(git rev-parse --verify --quiet --end-of-options "$live^{commit}")" = "$target" ] || back=$target
elif [ "$tables" -eq 0 ]; then
    back=$(nothing)
else
    is_guess=yes
    back=${base:-$(nothing)}
fi

# The password that libpq would take: bun reads no password file.
password() {
    local host=${PGHOST:-localhost} line fields
    if [ -n "${PGPASSWORD:-}" ]; then
        printf '%s' "$PGPASSWORD"
        return
    fi
    while IFS= read -r line; do
        # Two characters that no such file holds, in place of those that are escaped.
        line=${line//\\\\/$'\3'}
        line=${line//\\:/$'\4'}
        IFS=: read -r -a fields <<<"$line"
        [ ${#fields[@]} -eq 5 ] || continue
        fields=("${fields[@]//$'\4'/:}")
        fields=("${fields[@]//$'\3'/\\}")
        if [[ ${fields[0]} == [*] || ${fields[0]} == "$host" ]] &&
            [[ ${fields[1]} == [*] || ${fields[1]} == "${PGPORT:-5432}" ]] &&
            [[ ${fields[2]} == [*] || ${fields[2]} == "$copy" ]] &&
            [[ ${fields[3]} == [*] || ${fields[3]} == "${PGUSER:-$(id -un)}" ]]; then
            printf '%s' "${fields[4]}"
            return
        fi
    done < <(cat -- "${PGPASSFILE:-${HOME:-}/.pgpass}" 2>/dev/null || true)
}

encoded() {
    local LC_ALL=C text=$1 at letter
    for ((at = 0; at < ${#text}; at++)); do
        letter=${text:at:1}
        case $letter in
        [A-Za-z0-9._~-]) printf '%s' "$letter" ;;
        *) printf '%%%02X' "'$letter" ;;
        esac
    done
}

# A script of apps/server, with the copy for its database.
#   in_server db:migrate | db:rollback --to=…
in_server() {
    local secret
    secret=$(password)
    export PGDATABASE=$copy
    [ -z "$secret" ] || export PGPASSWORD=$secret
    DATABASE_URL=postgres://$(encoded "${PGUSER:-$(id -un)}")${secret:+:$(encoded "$secret")}@
    case ${PGHOST:-localhost} in
    /*) DATABASE_URL+="localhost:${PGPORT:-5432}/$copy?host=$(encoded "$PGHOST")" ;;
    *:*) DATABASE_URL+="[$PGHOST]:${PGPORT:-5432}/$copy" ;;
    *) DATABASE_URL+="${PGHOST:-localhost}:${PGPORT:-5432}/$copy" ;;
    esac
    export DATABASE_URL
    CHECK_VARIABLES="${CHECK_VARIABLES:-} DATABASE_URL PGDATABASE PGHOST PGPORT PGUSER PGPASSWORD PGSSLMODE PGSSLROOTCERT"
    apart bun run --cwd apps/server "$@"
}

#   step WORDS db:migrate | db:rollback --to=…
step() {
    local words=$1 code=0 began=$SECONDS name
    shift
    say "▶ $words：bun run --cwd apps/server $*"
    attend "$log" "$log" on_copy in_server "$@" || code=$?
    if [ "$code" -eq 0 ]; then
        name=${1#db:}
        [ "$steps" -lt 2 ] || name+=_again
        figure "${name}_seconds" "$((SECONDS - began))" "$words（秒）" "${name//_/ }, s"
        steps=$((steps + 1))
        return 0
    fi
    show_log
    on_copy psql -XAtq -d "$copy" -c 'select 1' >/dev/null 2>&1 ||
        cannot_run "$words时连不上临时数据库 $copy" "the copy $copy could not be reached any more: $*"
    case $code in
    126 | 127 | 137 | 143) cannot_run "$words：程序缺失或被终止（$code）" "a program is missing or was killed: $* ($code)" ;;
    esac
    failed "$words失败：$*（$code）" "failed: $* ($code)"
}

# The schema of the copy without the table that only counts migrations.
#   schema_into FILE
schema_into() {
    on_copy schema_of --dbname="$copy" --exclude-table="$MIGRATIONS_TABLE" >"$scratch/$1" 2>"$log" || {
        show_log
        cannot_run "无法读取临时数据库 $copy 的表结构" "the schema of the copy $copy cannot be read"
    }
}

#   differ BEFORE AFTER: whether they do; shows what differs.
differ() {
    local text
    if text=$(diff --unified=1 --label "$1" --label "$2" -- "$scratch/$1" "$scratch/$2"); then
        return 1
    fi
    sed -n "1,${DIFF_LINES}s/^/   /p" <<<"$text"
}

# With a table come the sequences that it owns.
fill_copy() {
    if [ "$size_mb" -le "$COPY_MB_MAX" ]; then
        pg_dump --format=custom --no-owner --no-privileges | restore
        return
    fi
    pg_dump --format=custom --no-owner --no-privileges --schema-only | restore || return
    if [ "$has_table" = t ]; then
        pg_dump --format=custom --no-owner --no-privileges --data-only --table="$MIGRATIONS_TABLE" | restore
    fi
}

# A comment on an extension is its owner's to make, and no copy needs it.
restore() {
    on_copy pg_restore --no-owner --no-privileges --no-comments --exit-on-error --dbname="$copy"
}

# Copies of checks that were killed, long ago.
drop_old_copies() {
    local old
    on_copy psql -XAtq -d postgres -c "select datname from pg_database
        where datname ~ '^neostock_check_[0-9]{1,12}_[a-z0-9]+$' and datdba = current_user::regrole
        and split_part(datname, '_', 3)::bigint < extract(epoch from now()) - $LEFT_MINUTES * 60" 2>/dev/null |
        while read -r old; do
            on_copy dropdb --if-exists --force -- "$old" 2>/dev/null || true
        done
}

# Not to be stopped: for a createdb that is gone the server would go on, and be ready after the dropdb.
make_copy() (
    trap '' HUP INT TERM
    on_copy createdb --template=template0 --encoding=UTF8 -- "$copy"
)

drop_old_copies || true
name=${scratch##*-}
copy=neostock_check_$(date -u +%s)_${name,,}
say "把 $PGDATABASE（$size_mb MB）的$what复制到 $copy / copying"
if ! make_copy >"$log" 2>&1; then
    show_log
    cannot_run "无法建立临时数据库 $copy" "the scratch database $copy cannot be made"
fi
is_made=yes
attend "$log" "$log" fill_copy || {
    show_log
    cannot_run "无法复制数据库 $PGDATABASE" "the database $PGDATABASE cannot be copied"
}

schema_into before
step 迁移 db:migrate
schema_into migrated
step 回滚 db:rollback "--to=$back"
schema_into rolled-back
if ! cmp -s -- "$scratch/before" "$scratch/migrated"; then
    if differ before rolled-back; then
        if [ "$is_guess" = yes ]; then
            cannot_run "回滚到 $back 不是迁移前的状态；请给出线上版本" \
                "a rollback to $back is not the state before the migration: say which version is live"
        fi
        failed "回滚之后与迁移之前的表结构不同：$version" "after the rollback of $version the schema is not what it was before"
    fi
elif ! cmp -s -- "$scratch/before" "$scratch/rolled-back"; then
    # A deploy that did not go live has left them there: the state before is the one that was gone back to.
    say "⚠️ 真实数据库里已有这些迁移，从 $back 的状态开始验证 / they are in the real database already"
    again=yes
fi
step 再次迁移 db:migrate
schema_into migrated-again
if differ migrated migrated-again; then
    failed "两次迁移之后的表结构不同：$version" "the schema is not the same after the second migration to $version"
fi
if [ -n "${again:-}" ]; then
    step 再次回滚 db:rollback "--to=$back"
    schema_into rolled-back-again
    if differ rolled-back rolled-back-again; then
        failed "两次回滚之后的表结构不同：$version" "the schema is not the same after the second rollback of $version"
    fi
fi
figure database_mb "$size_mb" "数据库（MB）" "the database, MB"
passed "迁移可以执行、撤销、再执行：$version，副本含$what" \
    "the migrations of $version go up, down and up again on a copy of $what_en"
