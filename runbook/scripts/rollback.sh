#!/usr/bin/env bash
# 手动回滚脚本：机器人不可用时，把线上版本回滚到一个标签或提交。步骤与 /neostock rollback 相同。
# Rolls the live release back by hand when the bot cannot: the steps of /neostock rollback.
#
#   rollback.sh [--dry-run] <version> <reason>  在服务的 git 仓库里运行 / run it in the service's repository
#
# live.sh 和 health-check.sh 的设置 / the settings of live.sh and health-check.sh
# SLACK_WEBHOOK   手动运行时通知的地址，可不设；机器人运行时由它自己通知
#                 where to tell, optional; under the bot (NEOSTOCK_RUN) the bot tells
# --dry-run       检查并说明会做什么，不改变也不通知 / looks and says what would be done, tells nobody
#
# 先检查能检查的一切，然后才动数据库；任何一步失败就停下，不继续后面的步骤。修好原因后可以再次运行。
# Everything that can be looked at is, before the database is touched; a step that fails ends it there. When
# the cause is mended it can be run again.
#
# 退出码 / exit code: 0 已回滚 rolled back, 1 失败 failed, 2 用法或设置错误 called or set wrongly, 69 缺少程序或
# 仓库，什么都没做 a program or the repository is missing, nothing was done. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin rollback 2 2 "$@"
version=${arguments[0]}
reason=${arguments[1]}
[ -n "${reason//[[:space:]]/}" ] || refuse "请写明回滚原因" "say why it is rolled back"
ports_are_set
settings_are RELEASES_DIR HEALTH_URL
is_verified=no

# A notice that cannot be sent changes nothing about the rollback.
tell() {
    local text=$1
    if dry_run || [ -n "${NEOSTOCK_RUN:-}" ] || [ -z "${SLACK_WEBHOOK:-}" ]; then
        return
    fi
    # The address is a secret: curl reads it from a pipe, not from its command line.
    curl --fail --silent --show-error --max-time 10 --output /dev/null \
        --header 'Content-Type: application/json' --data "{\"text\":$(json_text "$text")}" \
        --config <(printf 'url = "%s"\n' "$SLACK_WEBHOOK") ||
        say "⚠️ 通知没有发出 / the notice was not sent"
}

# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    if [ "$1" -ne 0 ] && [ "$is_verified" = yes ]; then
        say "❌ 回滚失败 / the rollback failed"
        tell "🚨 应用回滚失败，需要立即人工干预"
    fi
    return "$1"
}

#   step NAME ZH EN program…: in the live release; its time is a figure
step() {
    local name=$1 zh=$2 en=$3 began=$SECONDS
    shift 3
    run_group "$@" ||
        fail "${zh}失败，之后的步骤没有执行：$*" "$en failed, the steps after it were not begun: $*"
    figure "${name}_seconds" "$((SECONDS - began))" "$zh（秒）" "$en, s"
}

began=$SECONDS
# 1. 验证目标版本
find_commit "$version"
programs_are bun pm2 curl
is_verified=yes
say "开始回滚到版本: $version (${commit:0:12})"
say "回滚原因: $reason"
find_colours
folder=$(realpath --canonicalize-missing -- "$RELEASES_DIR")/$live
[ -e "$folder/.git" ] || fail "$folder 不是已部署的版本，什么都没有改变" "$folder is not a deployed release, nothing was changed"
# git would refuse to check out over it, with the database already rolled back.
changed=$(changes_in "$live") || fail "$folder 不是可用的 git worktree，什么都没有改变" \
    "$folder is not a git worktree that can be used, nothing was changed"
[ -z "$changed" ] || fail "$folder 里有手工修改，请先提交或还原，什么都没有改变：${changed//$'\n'/,}" \
    "$folder was changed by hand: commit or undo it first, nothing was changed: ${changed//$'\n'/,}"
git cat-file -e "$commit:bun.lock" 2>/dev/null || git cat-file -e "$commit:bun.lockb" 2>/dev/null ||
    fail "$version 没有提交 bun.lock，依赖无法锁定，什么都没有改变" "$version has no bun.lock committed, nothing was changed"
grep -q '"db:rollback"' -- "$folder/apps/server/package.json" ||
    fail "线上版本的 apps/server 没有 db:rollback，什么都没有改变" "apps/server of the live release has no db:rollback, nothing was changed"
if dry_run; then
    end_dry_run "会把 $folder ($live) 的数据库和代码回滚到 $version (${commit:0:12})，安装、构建并重启" \
        "would roll the database and the code of $folder ($live) back to $version (${commit:0:12}), install, build and restart"
fi

# 2. 数据库回滚
repository=$PWD
cd -- "$folder"
say "执行数据库回滚... / the database"
step database "数据库回滚" "the database's rollback" bun run --cwd apps/server db:rollback "--to=$version"

# 3. 应用程序回滚
say "执行应用回滚... / the application"
step checkout "切换代码版本" "the checkout" git checkout --quiet --detach "$commit"
step install "安装依赖" "the installation" bun install --frozen-lockfile
step build "构建应用" "the build" bun run build

# 4. 重启服务
cd -- "$repository"
say "重启服务... / restarting"
part live.sh restart neostock-server || fail "neostock-server 重启失败" "neostock-server could not be restarted"
part live.sh restart neostock-web || fail "neostock-web 重启失败" "neostock-web could not be restarted"

# 5. 健康检查
say "执行健康检查... / health check"
part health-check.sh "$version" live ||
    fail "回滚后健康检查失败：$live 没有以 $version 健康地回答" "the health check after the rollback failed: $live does not answer well with $version"

figure seconds "$((SECONDS - began))" "总用时（秒）" "all of it, s"
tell "🔄 应用已成功回滚到版本 $version"
succeed "回滚成功完成：$live 是 $version" "rolled back: $live is $version"
