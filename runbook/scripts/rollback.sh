#!/usr/bin/env bash
# 手动回滚脚本：机器人不可用时，把线上版本回滚到一个标签或提交。步骤与 /neostock rollback 相同。
# Rolls the live release back by hand when the bot cannot: the steps of /neostock rollback.
#
#   rollback.sh <version> <reason>      在服务的 git 仓库里运行 / run it in the service's repository
#
# live.sh 和 health-check.sh 的设置 / the settings of live.sh and health-check.sh
# SLACK_WEBHOOK   手动运行时通知的地址，可不设；机器人运行时由它自己通知
#                 where to tell, optional; under the bot (NEOSTOCK_RUN) the bot tells
#
# 退出码 / exit code: 0 已回滚 rolled back, 1 失败 failed, 2 用法或设置错误 called or set wrongly.

set -euo pipefail
scripts=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$scripts/lib.sh"

arguments_are 2 2 "$@"
version=$1
reason=$2
ports_are_set
settings_are RELEASES_DIR HEALTH_URL

# A notice that cannot be sent changes nothing about the rollback.
tell() {
    local text=$1
    if [ -n "${NEOSTOCK_RUN:-}" ] || [ -z "${SLACK_WEBHOOK:-}" ]; then
        return
    fi
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    # The address is a secret: curl reads it from a pipe, not from its command line.
    curl --fail --silent --show-error --max-time 10 --output /dev/null \
        --header 'Content-Type: application/json' --data "{\"text\":\"$text\"}" \
        --config <(printf 'url = "%s"\n' "$SLACK_WEBHOOK") ||
        say "⚠️ 通知没有发出 / the notice was not sent"
}

# shellcheck disable=SC2317  # the trap calls it
finish() {
    local code=$?
    trap - EXIT
    if [ "$code" -ne 0 ]; then
        say "❌ 回滚失败 / the rollback failed"
        tell "🚨 应用回滚失败，需要立即人工干预"
    fi
    exit "$code"
}

# 1. 验证目标版本
commit=$(commit_of "$version")
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say "开始回滚到版本: $version (${commit:0:12})"
say "回滚原因: $reason"

# 2. 数据库回滚
say "执行数据库回滚... / the database"
"$scripts/live.sh" run bun run --cwd apps/server db:rollback "--to=$version"

# 3. 应用程序回滚
say "执行应用回滚... / the application"
"$scripts/live.sh" run git checkout --quiet --detach "$commit"
"$scripts/live.sh" run bun install --frozen-lockfile
"$scripts/live.sh" run bun run build

# 4. 重启服务
say "重启服务... / restarting"
"$scripts/live.sh" restart neostock-server
"$scripts/live.sh" restart neostock-web

# 5. 健康检查
say "执行健康检查... / health check"
"$scripts/health-check.sh" "$version" live

say "✅ 回滚成功完成 / rolled back"
tell "🔄 应用已成功回滚到版本 $version"
