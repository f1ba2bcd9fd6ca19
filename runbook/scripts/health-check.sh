#!/usr/bin/env bash
# 健康检查：等到服务回答 200，并且回答的版本就是要部署的版本。
# Waits until the service answers well and the version it answers is the wanted one.
#
#   health-check.sh <version> [idle|live]   默认 idle：还没有流量的颜色 / the colour without traffic
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# HEALTH_URL      经过 nginx 的健康地址，live 用它 / the health address through nginx, for `live`
# HEALTH_WITHIN   最长等待秒数 / how many seconds to wait (60)
#
# /health 要回答 {"status":…,"version":…}；version 可以是标签（可省去 v）或提交。
# The version may be a tag, with or without its v, or the commit.
# 退出码 / exit code: 0 健康 healthy, 1 不健康 not healthy, 2 用法或设置错误 called or set wrongly.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

arguments_are 1 2 "$@"
version=$1
which=${2:-idle}
ports_are_set
HEALTH_WITHIN=${HEALTH_WITHIN:-60}
whole_number_is HEALTH_WITHIN

case $which in
idle) colour=$(idle_colour) ;;
live)
    settings_are HEALTH_URL
    colour=$(live_colour)
    ;;
*) refuse "第二个参数是 idle 或 live / the second argument is idle or live, not: $which" ;;
esac
url=http://127.0.0.1:$(port_of "$colour" server)/health
if [ "$which" = live ]; then
    url=$HEALTH_URL
fi
web=http://127.0.0.1:$(port_of "$colour" web)/
commit=$(commit_of "$version")

# One look: silent when all is well, else what is wrong.
look() {
    local answer
    if ! answer=$(version_at "$url"); then
        printf 'server: %s\n' "$answer"
    elif ! is_version "$answer" "$version" "$commit"; then
        printf 'server: 回答的版本是 %s / answers version %s\n' "$answer" "$answer"
    elif ! answers "$web"; then
        printf 'web: 没有正常回答 / does not answer well\n'
    fi
}

say "检查 $which ($colour)：$url，要求版本 $version，最长 $HEALTH_WITHIN 秒 / wanted within ${HEALTH_WITHIN}s"
deadline=$((SECONDS + HEALTH_WITHIN))
told=
while true; do
    wrong=$(look)
    if [ -z "$wrong" ]; then
        say "✅ 健康，版本 $version / healthy"
        exit 0
    fi
    if [ "$wrong" != "$told" ]; then
        say "$wrong"
        told=$wrong
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
        break
    fi
    sleep 1
done
say "最近的错误输出 / latest errors:"
for part in server web; do
    tail -qn 15 -- "$(pm2_home)/logs/neostock-$part-$colour-error.log" 2>/dev/null || true
done
fail "健康检查失败：$HEALTH_WITHIN 秒内没有健康 / not healthy within ${HEALTH_WITHIN}s"
