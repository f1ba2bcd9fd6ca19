#!/usr/bin/env bash
# 负载均衡器健康检查配置：nginx 的配置有效，健康地址转发到线上的颜色，并且回答 200。
# nginx's configuration is valid, its health address is proxied to the colour that is live, and answers 200.
#
#   check-balancer.sh [--dry-run]
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# HEALTH_URL      经过 nginx 的健康地址 / the health address through nginx
# NGINX_COMMAND   nginx 命令，可带参数，如 "sudo -n nginx"；要能执行 -t 和 -T
#                 its command with options; -t and -T must be allowed (nginx)
# --dry-run       检查相同：它本来就只读 / looks at the same, as it only reads
#
# 退出码 / exit code: 0 通过 passed, 1 有错误，逐个列出 faults, which are listed, 2 用法或设置错误 called or set
# wrongly, 69 未能检查 could not be run: 缺少程序或没有权限 a tool or a permission is missing.
# 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"

begin_check check.balancer 0 0 "$@"
ports_are_set
settings_are HEALTH_URL
[[ $HEALTH_URL =~ ^https?://[^/]+ ]] || refuse "HEALTH_URL 不是地址：$HEALTH_URL" "HEALTH_URL is not an address: $HEALTH_URL"
read -r -a nginx <<<"${NGINX_COMMAND:-nginx}"
[ ${#nginx[@]} -gt 0 ] || refuse "NGINX_COMMAND 是空的" "NGINX_COMMAND is empty"
programs_are bun curl "${nginx[0]}"
make_scratch

# Only nginx's own word counts: sudo, too, ends with 1 when it may not.
check_syntax() {
    local code=0
    "${nginx[@]}" -t >"$log" 2>&1 </dev/null || code=$?
    if [ "$code" -eq 0 ]; then
        good "nginx 配置有效 / nginx's configuration is valid"
        return
    fi
    show_log
    if grep -q 'Permission denied' -- "$log" || ! grep -qE '^nginx: (\[emerg\]|configuration file .* test failed)' -- "$log"; then
        cannot_run "无法执行：${nginx[*]} -t ($code)" "could not be called: ${nginx[*]} -t ($code)"
    fi
    failed "nginx 配置无效：${nginx[*]} -t" "nginx's configuration is not valid: ${nginx[*]} -t"
}

check_configuration() {
    local code=0 answer verdict words
    "${nginx[@]}" -T >"$scratch/dump" 2>"$log" </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        show_log
        cannot_run "无法执行：${nginx[*]} -T ($code)；sudo 需要允许它" "could not be called: ${nginx[*]} -T ($code); sudo must allow it"
    fi
    answer=$(ours read-nginx.js "$HEALTH_URL" "$NGINX_UPSTREAM_FILE" "$BLUE_PORT" "$GREEN_PORT" \
        "$BLUE_WEB_PORT" "$GREEN_WEB_PORT" <"$scratch/dump")
    if [ "${answer%%$'\n'*}" != read ]; then
        cannot_run "nginx 的配置读不懂：${answer#unreadable }" "nginx's configuration is not understood: ${answer#unreadable }"
    fi
    while read -r verdict words; do
        case $verdict in
        good) good "$words" ;;
        bad) bad "$words" ;;
        esac
    done <<<"$answer"
}

# The scripts read it by themselves; nginx understands more than they do.
check_live_colour() {
    if read_colours; then
        good "线上是 $live / is live"
    else
        bad "脚本读不出哪个颜色在线：$words_zh / the scripts cannot read which colour is live: $words_en"
    fi
}

check_answer() {
    local answer status code=0
    answer=$(curl --silent --output /dev/null --noproxy '*' --max-time 10 --write-out '%{http_code} %{time_total}' \
        --url "$HEALTH_URL") || code=$?
    status=${answer%% *}
    case $code in
    1 | 2 | 3 | 6 | 127) cannot_run "问不到 $HEALTH_URL（curl $code）" "$HEALTH_URL cannot be asked (curl $code)" ;;
    esac
    if [ "$code" -eq 0 ] && [ "$status" = 200 ]; then
        figure answer_seconds "${answer##* }" "健康地址的应答时间（秒）" "time of the health address to answer, s"
        good "$HEALTH_URL 回答 200 / answers 200"
    else
        bad "$HEALTH_URL 没有回答 200 / does not answer 200: $status (curl $code)"
    fi
}

check_syntax
check_configuration
check_live_colour
check_answer
figure faults "$faults" "问题" "faults"
if [ "$faults" -gt 0 ]; then
    failed "负载均衡器的健康检查配置不对：$faults 个问题" "the balancer's health check is not configured well: $faults faults"
fi
passed "负载均衡器的健康检查配置正确" "the balancer asks the pair for its health"
