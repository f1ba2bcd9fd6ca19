#!/usr/bin/env bash
# 流量切换：让 nginx 指向刚部署的颜色，经过 nginx 核对版本；不对就恢复原样。
# Points nginx at the colour just deployed and asks through nginx for the version; if that is not the
# answer, everything is put back. nginx reloads without dropping a request.
#
#   switch-traffic.sh [--dry-run] <version>     在服务的 git 仓库里运行 / run it in the service's repository
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# HEALTH_URL      经过 nginx 的健康地址 / the health address through nginx
# NGINX_COMMAND   nginx 命令，可带参数，如 "sudo -n nginx" / its command with options (nginx)
# SWITCH_WITHIN   核对新版本的最长秒数 / seconds for the new version to answer through nginx (15)
# RELEASES_DIR    可不设，同 health-check.sh / optional, as for health-check.sh
# --dry-run       检查空闲颜色和 nginx，说明会做什么，不切换 / looks at the idle colour and nginx, switches nothing
#
# 切换期间原来的 upstream 文件存为 NGINX_UPSTREAM_FILE.before；若被强行杀死，它还在，下一次切换会先恢复它，
# 在此之前其他脚本拒绝工作。
# While it works the old upstream file is kept as NGINX_UPSTREAM_FILE.before. Where it was killed, that is
# still there: the next switch puts it back first, and the other scripts refuse to work before.
#
# 退出码 / exit code: 0 已切换 switched, 1 未切换，线上未变 not switched, live is as before,
# 2 用法或设置错误 called or set wrongly, 3 未能恢复，需要立即人工干预 could not be put back: act now,
# 69 缺少程序或仓库，什么都没做 a program or the repository is missing, nothing was done.
# 129 130 143 被中止，已恢复 stopped, and put back.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin deploy.switch 1 1 "$@"
version=${arguments[0]}
ports_are_set
settings_are HEALTH_URL
SWITCH_WITHIN=${SWITCH_WITHIN:-15}
whole_number_is SWITCH_WITHIN
# It was healthy a moment ago: no long wait.
HEALTH_WITHIN=${HEALTH_WITHIN:-5}
whole_number_is HEALTH_WITHIN
read -r -a nginx <<<"${NGINX_COMMAND:-nginx}"
[ ${#nginx[@]} -gt 0 ] || refuse "NGINX_COMMAND 是空的" "NGINX_COMMAND is empty"
next=$NGINX_UPSTREAM_FILE.next
before=$NGINX_UPSTREAM_FILE.before
is_switching=no

# Complete or not at all, whoever reads it and whenever the power fails.
write_upstream() {
    cat >"$next" && sync -- "$next" && mv -- "$next" "$NGINX_UPSTREAM_FILE" &&
        sync -- "$(dirname -- "$NGINX_UPSTREAM_FILE")"
}

# By its name alone: that takes no space on a disk that is full. The old file is let go when nginx has read it.
put_back() {
    rm -f -- "$next"
    if ! [ "$before" -ef "$NGINX_UPSTREAM_FILE" ]; then
        ln -- "$before" "$next" && mv -- "$next" "$NGINX_UPSTREAM_FILE" || return
    fi
    "${nginx[@]}" -t -q && "${nginx[@]}" -s reload && rm -f -- "$before" && sync -- "$(dirname -- "$NGINX_UPSTREAM_FILE")"
}

# However this ends before the new version has answered, the old one keeps the traffic.
# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    [ "$is_switching" = yes ] || return "$1"
    rm -f -- "$next"
    [ -e "$before" ] || return "$1"
    say "恢复原来的 upstream ($live) / putting $live back"
    put_back && return "$1"
    outcome=failed
    conclude "未能恢复 $NGINX_UPSTREAM_FILE，请立即检查 nginx" "$NGINX_UPSTREAM_FILE could not be put back: look at nginx now"
    printf '🚨 %s / %s\n' "$words_zh" "$words_en" >&2
    return 3
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

began=$SECONDS
find_commit "$version"
programs_are curl "${nginx[0]}"
if [ -e "$before" ] && ! dry_run; then
    say "上一次切换没有做完，先恢复 / the last switch was cut short: putting it back first"
    put_back || fail_with 3 "未能恢复 $NGINX_UPSTREAM_FILE，请立即检查 nginx" \
        "$NGINX_UPSTREAM_FILE could not be put back: look at nginx now"
fi
find_colours
server=$(port_of "$idle" server)
web=$(port_of "$idle" web)
HEALTH_WITHIN=$((HEALTH_WITHIN < 5 ? HEALTH_WITHIN : 5)) part health-check.sh "$version" idle ||
    fail "不切换：$idle 不健康或不是 $version，线上仍是 $live" "not switched: $idle is not healthy or not $version, $live stays live"
"${nginx[@]}" -t -q || fail "nginx 现有配置无效，不切换，线上仍是 $live" \
    "nginx's present configuration is not valid: not switched, $live stays live"
if dry_run; then
    can_write_in "$(dirname -- "$NGINX_UPSTREAM_FILE")" || fail "不能写入 $NGINX_UPSTREAM_FILE" "cannot write $NGINX_UPSTREAM_FILE"
    end_dry_run "会把流量从 $live 切换到 $idle，版本 $version" "would switch the traffic from $live to $idle, version $version"
fi

is_switching=yes
if ! cp -p -- "$NGINX_UPSTREAM_FILE" "$next" || ! sync -- "$next" || ! mv -- "$next" "$before"; then
    fail "无法保存原来的 $NGINX_UPSTREAM_FILE，不切换，线上仍是 $live" \
        "the old $NGINX_UPSTREAM_FILE cannot be kept: not switched, $live stays live"
fi
write_upstream <<END || fail "无法写入 $NGINX_UPSTREAM_FILE" "$NGINX_UPSTREAM_FILE cannot be written"
# 由 switch-traffic.sh 写入，线上是 $idle / written by switch-traffic.sh, $idle is live
upstream neostock_server { server 127.0.0.1:$server; }
upstream neostock_web { server 127.0.0.1:$web; }
END
"${nginx[@]}" -t -q || fail "新配置未通过 nginx -t，线上仍是 $live" "nginx refuses the new configuration, $live stays live"
"${nginx[@]}" -s reload || fail "nginx 重新加载失败，线上仍是 $live" "nginx could not reload, $live stays live"
wait_for_version || fail "经过 nginx 没有得到 $version，线上仍是 $live" "$version does not answer through nginx, $live stays live"
rm -f -- "$before"
is_switching=no
figure seconds "$((SECONDS - began))" "用时（秒）" "time, s"
succeed "流量已切换：$live → $idle，版本 $version；$live 保留运行以便回退" \
    "the traffic was switched from $live to $idle, version $version; $live keeps running"
