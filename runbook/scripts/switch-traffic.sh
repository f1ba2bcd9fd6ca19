#!/usr/bin/env bash
# 流量切换：让 nginx 指向刚部署的颜色，经过 nginx 核对版本；不对就恢复原样。
# Points nginx at the colour just deployed and asks through nginx for the version; if that is not the
# answer, everything is put back. nginx reloads without dropping a request.
#
#   switch-traffic.sh <version>         在服务的 git 仓库里运行 / run it in the service's repository
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# HEALTH_URL      经过 nginx 的健康地址 / the health address through nginx
# NGINX_COMMAND   nginx 命令，可带参数，如 "sudo -n nginx" / its command with options (nginx)
# SWITCH_WITHIN   核对新版本的最长秒数 / seconds for the new version to answer through nginx (15)
#
# 退出码 / exit code: 0 已切换 switched, 1 未切换，线上未变 not switched, live is as before,
# 2 用法或设置错误 called or set wrongly, 3 未能恢复，需要立即人工干预 could not be put back: act now.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

arguments_are 1 1 "$@"
version=$1
ports_are_set
settings_are HEALTH_URL
SWITCH_WITHIN=${SWITCH_WITHIN:-15}
whole_number_is SWITCH_WITHIN
read -r -a nginx <<<"${NGINX_COMMAND:-nginx}"

# Complete or not at all, whoever reads it and whenever the power fails.
write_upstream() {
    local next=$NGINX_UPSTREAM_FILE.next
    cat >"$next"
    sync -- "$next"
    mv -- "$next" "$NGINX_UPSTREAM_FILE"
    sync -- "$(dirname -- "$NGINX_UPSTREAM_FILE")"
}

# However this ends before the new version has answered, the old one keeps the traffic.
put_back() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    if [ -n "$before" ]; then
        say "恢复原来的 upstream ($live) / putting $live back"
        if ! write_upstream <<<"$before" || ! "${nginx[@]}" -t -q || ! "${nginx[@]}" -s reload; then
            printf '🚨 未能恢复 %s，请立即检查 nginx / could not be put back: look at nginx now\n' \
                "$NGINX_UPSTREAM_FILE" >&2
            code=3
        fi
    fi
    exit "$code"
}

wait_for_version() {
    local deadline=$((SECONDS + SWITCH_WITHIN)) answer
    while true; do
        if answer=$(version_at "$HEALTH_URL") && is_version "$answer" "$version" "$commit"; then
            return 0
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "经过 nginx 的回答是 / the answer through nginx is: $answer"
            return 1
        fi
        sleep 0.2
    done
}

commit=$(commit_of "$version")
live=$(live_colour)
idle=$(idle_colour)
server=$(port_of "$idle" server)
web=$(port_of "$idle" web)
HEALTH_WITHIN=5 "$(dirname -- "${BASH_SOURCE[0]}")/health-check.sh" "$version" idle ||
    fail "不切换：$idle 不健康或不是 $version，线上仍是 $live / not switched, $live stays live"
"${nginx[@]}" -t -q || fail "nginx 现有配置无效，不切换 / nginx's present configuration is not valid"

before=
trap put_back EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
before=$(cat -- "$NGINX_UPSTREAM_FILE")
write_upstream <<END
# 由 switch-traffic.sh 写入，线上是 $idle / written by switch-traffic.sh, $idle is live
upstream neostock_server { server 127.0.0.1:$server; }
upstream neostock_web { server 127.0.0.1:$web; }
END
"${nginx[@]}" -t -q || fail "新配置未通过 nginx -t / nginx refuses the new configuration"
"${nginx[@]}" -s reload || fail "nginx 重新加载失败 / nginx could not reload"
wait_for_version || fail "经过 nginx 没有得到 $version / $version does not answer through nginx"
before=
say "✅ 流量已切换：$live → $idle，版本 $version；$live 保留运行以便回退 / switched, $live keeps running"
