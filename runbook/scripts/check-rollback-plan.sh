#!/usr/bin/env bash
# 回滚计划确认：说出回滚的目标，并确认回得去：目标提交存在，有 db:rollback，其间每个迁移都可逆。
# Names what a rollback would return to and confirms that it can: the commit is here, db:rollback exists,
# and every migration in between can be undone.
#
#   check-rollback-plan.sh [--dry-run] <version> <live-version>   在服务的 git 仓库里 / in its repository
#
# live-version    线上的版本，即回滚目标；为空则是首次登记，没有可回滚的版本，只检查 db:rollback
#                 what is live and would be returned to; empty: none is known to be, there is nothing to return
#                 to yet, and only db:rollback is looked at
# MIGRATIONS_DIR  迁移文件夹 / the folder of migrations (apps/server/db)
# --dry-run       检查相同：它本来就只读 / looks at the same, as it only reads
#
# 可逆 / reversible: NAME.up.sql 或 NAME.sql 旁边有不为空的 NAME.down.sql / has a NAME.down.sql that is not empty
#
# 退出码 / exit code: 0 已确认 confirmed, 1 无法确认，列出原因 not confirmed, with every reason,
# 2 用法或设置错误 called or set wrongly, 69 未能检查 could not be run. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check check.rollback-plan 2 2 "$@"
version=${arguments[0]}
live=${arguments[1]}
find_commit "$version"
programs_are bun

# db:rollback runs in the release that is to be left: the new one.
check_way_back() {
    local code=0
    server_has db:rollback || code=$?
    case $code in
    0) good "$version 的 apps/server 有 db:rollback / has db:rollback" ;;
    3) bad "$version 的 apps/server 没有 db:rollback / has no db:rollback" ;;
    4) bad "$version 没有可读的 apps/server/package.json / has none that can be read" ;;
    *) cannot_run "bun 无法读取 apps/server/package.json（$code）" "bun cannot read apps/server/package.json ($code)" ;;
    esac
    if [ -n "$target" ] &&
        ! git show "$target:apps/server/package.json" 2>/dev/null | has_script db:rollback; then
        say "⚠️ $live 没有 db:rollback：之后不能再往回 / has no db:rollback: there is no way back behind it"
    fi
}

check_target() {
    case $live in
    '')
        say "⚠️ 首次登记：没有已知的线上版本，暂无回滚目标 / none is known to be live: nothing to return to yet"
        return
        ;;
    -* | *[[:space:]]*) refuse "不是版本：'$live'" "not a version: '$live'" ;;
    esac
    if ! target=$(git rev-parse --verify --quiet --end-of-options "$live^{commit}"); then
        bad "线上版本 $live 不在这个仓库里 / what is live is no tag, branch or commit here"
        target=
        return
    fi
    good "回滚目标是 $live (${target:0:12}) / the rollback returns to it"
    if [ "$target" = "$commit" ]; then
        say "⚠️ 它就是要部署的提交，回滚不改变任何代码 / it is the very commit, a rollback changes no code"
    fi
}

check_migrations() {
    local list file count=0 irreversible=0
    list=$(migrations_of "$commit" "$target")
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        count=$((count + 1))
        if is_reversible "$commit" "$file"; then
            good "可逆 / reversible: $file"
        else
            irreversible=$((irreversible + 1))
            bad "不可逆，没有 .down.sql 或它是空的 / irreversible, its .down.sql is missing or empty: $file"
        fi
    done <<<"$list"
    figure migrations "$count" "其间的迁移" "migrations in between"
    figure irreversible "$irreversible" "不可逆的迁移" "irreversible migrations"
    [ "$count" -gt 0 ] || good "其间没有迁移 / no migrations in between"
}

target=
migrations_are_found
check_target
check_way_back
[ -z "$target" ] || check_migrations
if [ "$faults" -gt 0 ]; then
    failed "回滚计划无法确认：$version 有 $faults 个问题" "the way back from $version is not confirmed: $faults faults"
fi
if [ -z "$live" ]; then
    passed "首次登记 $version：之前没有可回滚的版本" "$version is the first that is known: there is nothing to return to"
fi
passed "回滚计划已确认：$version → $live" "the way back is confirmed: $version → $live"
