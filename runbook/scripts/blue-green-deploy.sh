#!/usr/bin/env bash
# 蓝绿部署：把一个版本放到空闲的颜色上并启动。线上的颜色完全不动。
# Puts a version onto the idle colour and starts it. The live colour is not touched.
#
#   blue-green-deploy.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#
# RELEASES_DIR        其中的 blue、green 是两个 git worktree / holds blue and green, git worktrees
# NGINX_UPSTREAM_FILE nginx 的 upstream 文件，说明谁在线 / says which colour is live
# BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# PM2_HOME            pm2 的目录 / where pm2 keeps its own ($HOME/.pm2)
# --dry-run           只检查并说明会做什么 / looks, and says what would be done
# 其余变量原样交给服务进程 / every other variable goes to the service's processes as it is.
#
# apps/server 和 apps/web 各以 `bun run start` 启动，监听 $PORT；apps/server 若有 db:migrate 会先执行，
# 所以迁移必须让旧版本也能继续工作。
# Both are started with `bun run start` and listen on $PORT. `db:migrate` of apps/server runs first if
# it exists, while the old version still serves: a migration must suit both.
#
# 开始改动空闲颜色的目录之前先停掉它的进程；失败或被中止则清除它，绝不留下半个版本。
# Its processes are stopped before its folder is changed; when it fails or is stopped, what is there is
# removed: never is half a release left, and running it again works.
#
# 退出码 / exit code: 0 已启动 started, 1 失败，空闲的颜色已清除或未动 failed, the idle colour is removed or
# as before, 2 用法或设置错误 called or set wrongly, 69 缺少程序或仓库，什么都没做 a program or the repository
# is missing, nothing was done. 129 130 143 被中止，空闲的颜色已清除 stopped, the idle colour is removed.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin deploy.start 1 1 "$@"
version=${arguments[0]}
ports_are_set
settings_are RELEASES_DIR
is_changing=no

# From here to the end of `clean_up` the idle colour runs nothing.
stop_processes() {
    local part process
    pm2_runs || return 0
    for part in server web; do
        process=neostock-$part-$idle
        if run_pm2 describe "$process" 2>/dev/null; then
            run_pm2 delete "$process" || return
        fi
    done
}

# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    if [ "$is_changing" = yes ] && [ "$1" -ne 0 ]; then
        say "清除未完成的 $idle / removing what is half done of $idle"
        cd -- "$repository" || return "$1"
        if stop_processes && { ! pm2_runs || save_processes; } && remove_folder; then
            rm -f -- "$mark"
        else
            say "⚠️ 没有完全清除：$folder；再次部署会先清除它 / not all of it is gone; the next deploy removes it first"
        fi
    fi
    return "$1"
}

remove_folder() {
    git worktree remove --force --force -- "$folder" 2>/dev/null || rm -rf -- "$folder"
    git worktree prune
    [ ! -e "$folder" ]
}

# A folder that is no worktree would let git change whatever repository is around it.
check_folder() {
    local changed
    [ -e "$folder" ] || return 0
    if [ -e "$mark" ]; then
        return 0
    fi
    changed=$(changes_in "$idle") ||
        fail "$folder 不是 git worktree，请先移走" "$folder is not a git worktree: move it away first"
    [ -z "$changed" ] ||
        fail "$folder 里有手工修改，部署会丢掉它们，请先提交或还原：${changed//$'\n'/,}" \
            "$folder was changed by hand, which a deploy would lose: commit or undo it first: ${changed//$'\n'/,}"
}

check_ports() {
    local part port
    for part in server web; do
        port=$(port_of "$idle" "$part")
        ! is_taken "$part" "$idle" || fail "端口 $port 被别的程序占用，$idle 没有改动" \
            "port $port is taken by something else, nothing of $idle was changed"
    done
}

check_out() {
    if [ -e "$folder/.git" ]; then
        git -C "$folder" checkout --quiet --force --detach "$commit" &&
            git -C "$folder" clean --quiet -ffd
    else
        git worktree prune
        git worktree add --quiet --detach "$folder" "$commit"
    fi
}

# How long a process may take to end when it is told to: requests that are under way are answered first.
END_MS=10000

# A new process rather than a restart: nothing of the old one's environment or folder remains.
start() {
    local part=$1 process="neostock-$1-$idle" port
    port=$(port_of "$idle" "$part")
    PORT=$port run_pm2 start "$(command -v bun)" --name "$process" --interpreter none --kill-timeout "$END_MS" \
        --cwd "$folder/apps/$part" -- run start || fail "pm2 没有启动 $process" "pm2 did not start $process"
    say "已启动 $process，端口 $port / started"
}

#   timed NAME ZH EN program…: how long it took, as a figure
timed() {
    local name=$1 zh=$2 en=$3 began=$SECONDS
    shift 3
    run_group "$@" || return
    figure "${name}_seconds" "$((SECONDS - began))" "$zh（秒）" "$en, s"
}

began=$SECONDS
find_commit "$version"
programs_are bun pm2
find_colours
repository=$PWD
folder=$(realpath --canonicalize-missing -- "$RELEASES_DIR")/$idle
mark=$(unfinished_file "$idle")
can_write_in "$RELEASES_DIR" || fail "不能写入 $RELEASES_DIR" "cannot write in $RELEASES_DIR"
check_folder
check_ports
if dry_run; then
    end_dry_run "会停掉 $idle，把 $version (${commit:0:12}) 放到 $folder，安装、构建、迁移数据库并启动；线上 ($live) 不动" \
        "would stop $idle, put $version (${commit:0:12}) into $folder, install, build, migrate the database and start it; live ($live) stays"
fi

say "把 $version (${commit:0:12}) 部署到 $idle / onto $idle: $folder"
mkdir -p -- "$RELEASES_DIR" || fail "无法建立 $RELEASES_DIR" "cannot make $RELEASES_DIR"
was_unfinished=no
[ ! -e "$mark" ] || was_unfinished=yes
if ! printf '%s\n' "$version" >"$mark"; then
    [ "$was_unfinished" = yes ] || rm -f -- "$mark"
    fail "不能写入 $RELEASES_DIR，$idle 没有改动" "cannot write in $RELEASES_DIR, nothing of $idle was changed"
fi
is_changing=yes
stop_processes || fail "pm2 停不掉 $idle 的进程" "pm2 cannot stop the processes of $idle"
if [ "$was_unfinished" = yes ]; then
    say "上一次部署没有做完，先清除 / the last deploy was cut short: removing what it left"
    remove_folder || fail "清除不了 $folder" "cannot remove $folder"
fi
check_out || fail "无法把 $version 取出到 $folder" "$version cannot be checked out into $folder"
cd -- "$folder"
say "安装依赖 / bun install"
timed install "安装依赖" "installing" bun install --frozen-lockfile ||
    fail "$version 的依赖安装失败（bun install）" "the dependencies of $version could not be installed (bun install)"
say "构建 / bun run build"
timed build "构建" "building" bun run build || fail "$version 构建失败（bun run build）" "$version could not be built (bun run build)"
timed migrate "迁移数据库" "migrating the database" bun run --cwd apps/server --if-present db:migrate ||
    fail "数据库迁移到 $version 失败（db:migrate）" "the database could not be migrated to $version (db:migrate)"
start server
start web
save_processes || fail "pm2 没有保存 $idle 的进程" "pm2 did not save the processes of $idle"
rm -f -- "$mark"
is_changing=no
figure seconds "$((SECONDS - began))" "总用时（秒）" "all of it, s"
figure release_mb "$(du -sm -- "$folder" | cut -f 1)" "版本大小（MB）" "size of the release, MB"
succeed "$version 已在 $idle 启动，等待健康检查；线上 ($live) 未变" \
    "$version is started on $idle and waits for its health check; live ($live) is unchanged"
