#!/usr/bin/env bash
# 对线上版本做一件事：在它的目录里运行程序，或重启它的进程。
# Does one thing to the release that is live: runs a program in its folder, or restarts a process.
#
#   live.sh run <program> [argument…]
#   live.sh restart neostock-server|neostock-web
#
# RELEASES_DIR, NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT, PM2_HOME
#
# 退出码 / exit code: 0 完成 done, 2 用法或设置错误 called or set wrongly, 其他：程序自己的 the program's.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

arguments_are 2 100 "$@"
verb=$1
shift
ports_are_set
settings_are RELEASES_DIR
colour=$(live_colour)
folder=$RELEASES_DIR/$colour
[ -e "$folder/.git" ] || fail "$folder 不是已部署的版本 / is not a deployed release"

case $verb in
run)
    cd -- "$folder"
    exec "$@"
    ;;
restart)
    case $1 in
    neostock-server | neostock-web) ;;
    *) refuse "只能重启 neostock-server 或 neostock-web / cannot restart: $1" ;;
    esac
    PORT=$(port_of "$colour" "${1#neostock-}") run_pm2 restart "$1-$colour" --update-env
    save_processes
    say "已重启 $1-$colour / restarted"
    ;;
*) refuse "第一个参数是 run 或 restart / the first argument is run or restart, not: $verb" ;;
esac
