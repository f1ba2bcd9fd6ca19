#!/usr/bin/env bash
# 蓝绿部署：把一个版本放到空闲的颜色上并启动。线上的颜色完全不动。
# Puts a version onto the idle colour and starts it. The live colour is not touched.
#
#   blue-green-deploy.sh <version>      在服务的 git 仓库里运行 / run it in the service's repository
#
# RELEASES_DIR        其中的 blue、green 是两个 git worktree / holds blue and green, git worktrees
# NGINX_UPSTREAM_FILE nginx 的 upstream 文件，说明谁在线 / says which colour is live
# BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# PM2_HOME            pm2 的目录 / where pm2 keeps its own ($HOME/.pm2)
# 其余变量原样交给服务进程 / every other variable goes to the service's processes as it is.
#
# apps/server 和 apps/web 各以 `bun run start` 启动，监听 $PORT；apps/server 若有 db:migrate 会先执行，
# 所以迁移必须让旧版本也能继续工作。
# Both are started with `bun run start` and listen on $PORT. `db:migrate` of apps/server runs first if
# it exists, while the old version still serves: a migration must suit both.
#
# 退出码 / exit code: 0 已启动 started, 1 失败 failed, 2 用法或设置错误 called or set wrongly.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

arguments_are 1 1 "$@"
version=$1
ports_are_set
settings_are RELEASES_DIR

# A folder that is no worktree would let git change whatever repository is around it.
check_out() {
    if [ -e "$folder/.git" ]; then
        git -C "$folder" checkout --quiet --force --detach "$commit"
        git -C "$folder" clean --quiet -ffd
    elif [ -e "$folder" ] && ! rmdir -- "$folder" 2>/dev/null; then
        fail "$folder 不是 git worktree，请先移走 / is not a git worktree: move it away first"
    else
        mkdir -p -- "$RELEASES_DIR"
        git worktree prune
        git worktree add --quiet --detach "$folder" "$commit"
    fi
}

# A new process rather than a restart: nothing of the old one's environment or folder remains.
start() {
    local part=$1 process="neostock-$1-$idle" port
    port=$(port_of "$idle" "$part")
    if run_pm2 describe "$process" 2>/dev/null; then
        run_pm2 delete "$process"
    fi
    PORT=$port run_pm2 start "$(command -v bun)" --name "$process" --interpreter none \
        --cwd "$folder/apps/$part" -- run start
    say "已启动 $process，端口 $port / started"
}

commit=$(commit_of "$version")
idle=$(idle_colour)
mkdir -p -- "$RELEASES_DIR"
folder=$(realpath -- "$RELEASES_DIR")/$idle
say "把 $version (${commit:0:12}) 部署到 $idle / onto $idle: $folder"
check_out
cd -- "$folder"
say "安装依赖 / bun install"
bun install --frozen-lockfile
say "构建 / bun run build"
bun run build
bun run --cwd apps/server --if-present db:migrate
start server
start web
save_processes
say "$idle 已启动，等待健康检查；线上未变 / $idle is started, live is unchanged"
