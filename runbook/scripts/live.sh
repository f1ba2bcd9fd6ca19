#!/usr/bin/env bash
# 对线上版本做一件事：在它的目录里运行程序，或重启它的进程。
# Does one thing to the release that is live: runs a program in its folder, or restarts a process.
#
#   live.sh [--dry-run] run <program> [argument…]
#   live.sh [--dry-run] restart neostock-server|neostock-web
#
# RELEASES_DIR, NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT, PM2_HOME
# --dry-run       说明会做什么，不做 / says what would be done, does not do it
#
# run 成为那个程序，所以它成功启动后没有结果行。选项写在 run 或 restart 之前。
# `run` becomes the program: once that has begun, no result line is written. Options stand before the verb.
#
# 退出码 / exit code: 0 完成 done, 1 没有这个版本或重启失败 there is no such release, or it could not be
# restarted, 2 用法或设置错误 called or set wrongly, 69 缺少程序 a program is missing, 129 130 143 被中止
# stopped, 其他：程序自己的 any other: the program's.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

options_come_first=yes
begin live 2 100 "$@"
verb=${arguments[0]}
words=("${arguments[@]:1}")
case $verb in
run) ;;
restart)
    result=live.restart
    case ${words[*]} in
    neostock-server | neostock-web) ;;
    *) refuse "只能重启 neostock-server 或 neostock-web，不能重启：${words[*]}" \
        "only neostock-server or neostock-web can be restarted, not: ${words[*]}" ;;
    esac
    ;;
*) refuse "第一个参数是 run 或 restart，不是：$verb" "the first argument is run or restart, not: $verb" ;;
esac
ports_are_set
settings_are RELEASES_DIR
find_colours
folder=$RELEASES_DIR/$live
[ -e "$folder/.git" ] || fail "$folder 不是已部署的版本" "$folder is not a deployed release"

if [ "$verb" = run ]; then
    cd -- "$folder"
    programs_are "${words[0]}"
    if dry_run; then
        end_dry_run "会在 $folder 里运行：${words[*]}" "would run in $folder: ${words[*]}"
    fi
    exec "${words[@]}" {own_err}>&- {own_out}>&-
fi
programs_are pm2
process=${words[0]}-$live
if dry_run; then
    end_dry_run "会重启 $process" "would restart $process"
fi
PORT=$(port_of "$live" "${words[0]#neostock-}") run_pm2 restart "$process" --update-env ||
    fail "$process 重启失败" "$process could not be restarted"
save_processes || fail "pm2 没有保存 $process" "pm2 did not save $process"
succeed "已重启 $process" "$process was restarted"
