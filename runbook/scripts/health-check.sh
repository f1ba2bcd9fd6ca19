#!/usr/bin/env bash
# 健康检查：等到服务回答 200，并且回答的版本就是要部署的版本。
# Waits until the service answers well and the version it answers is the wanted one.
#
#   health-check.sh [--dry-run] <version> [idle|live]   默认 idle：还没有流量的颜色 / the colour without traffic
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# HEALTH_URL      经过 nginx 的健康地址，live 用它 / the health address through nginx, for `live`
# HEALTH_WITHIN   最长等待秒数 / how many seconds to wait (60)
# RELEASES_DIR    可不设；设了则没有部署完的 idle 不算健康 / optional: with it an idle colour whose deploy was
#                 cut short is not healthy
# --dry-run       只看一次，不等待，并说出看到的 / looks once, waits for nothing, and says what it saw
#
# /health 要回答 {"status":…,"version":…}；version 可以是标签（可省去 v）或提交。
# The version may be a tag, with or without its v, or the commit.
# 退出码 / exit code: 0 健康 healthy, 1 不健康 not healthy, 2 用法或设置错误 called or set wrongly, 69 未能检查
# could not be run: 没有这个版本，或不知道谁在线 no such version, or it is not known who is live.
# 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin_check deploy.health 1 2 "$@"
version=${arguments[0]}
which=${arguments[1]:-idle}
ports_are_set
HEALTH_WITHIN=${HEALTH_WITHIN:-60}
whole_number_is HEALTH_WITHIN

case $which in
idle) ;;
live) settings_are HEALTH_URL ;;
*) refuse "第二个参数是 idle 或 live，不是：$which" "the second argument is idle or live, not: $which" ;;
esac
find_commit "$version"
programs_are curl
find_colours
colour=${!which}
url=http://127.0.0.1:$(port_of "$colour" server)/health
if [ "$which" = live ]; then
    url=$HEALTH_URL
fi
web=http://127.0.0.1:$(port_of "$colour" web)/

# One look: silent when all is well, else what is wrong, in both languages where it is ours to say.
look() {
    local answer
    if [ "$which" = idle ] && [ -n "${RELEASES_DIR:-}" ] && [ -e "$(unfinished_file "$colour")" ]; then
        printf 'deploy: %s 的部署没有做完 / the deploy of %s was cut short\n' "$colour" "$colour"
    elif ! answer=$(version_at "$url"); then
        printf 'server: %s\n' "$answer"
    elif ! is_version "$answer" "$version" "$commit"; then
        printf 'server: 回答的版本是 %s / answers version %s\n' "$answer" "$answer"
    elif ! answers "$web"; then
        printf 'web: 没有正常回答 / does not answer well\n'
    fi
}

if dry_run; then
    wrong=$(look)
    wrong=${wrong:-健康 / healthy}
    end_dry_run "会在 $HEALTH_WITHIN 秒内等待 $which ($colour) 以 $version 回答 $url；现在：${wrong%% / *}" \
        "would wait up to ${HEALTH_WITHIN}s for $which ($colour) to answer $url with $version; now: ${wrong##* / }"
fi
say "检查 $which ($colour)：$url，要求版本 $version，最长 $HEALTH_WITHIN 秒 / wanted within ${HEALTH_WITHIN}s"
began=$SECONDS
reported=
while true; do
    wrong=$(look)
    if [ -z "$wrong" ]; then
        figure seconds "$((SECONDS - began))" "等待（秒）" "waited, s"
        passed "$which ($colour) 健康，版本 $version" "$which ($colour) is healthy, version $version"
    fi
    if [ "$wrong" != "$reported" ]; then
        say "$wrong"
        reported=$wrong
    fi
    if [ "$SECONDS" -ge $((began + HEALTH_WITHIN)) ]; then
        break
    fi
    sleep 1
done
say "最近的错误输出 / latest errors:"
for part in server web; do
    tail -qn 15 -- "$(pm2_home)/logs/neostock-$part-$colour-error.log" 2>/dev/null || true
done
failed "健康检查失败：$which ($colour) 在 $HEALTH_WITHIN 秒内没有以 $version 健康地回答。${wrong%% / *}" \
    "$which ($colour) was not healthy with $version within ${HEALTH_WITHIN}s: ${wrong##* / }"
