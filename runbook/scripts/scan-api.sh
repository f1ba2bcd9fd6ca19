#!/usr/bin/env bash
# API安全测试：像攻击者那样询问正在运行的服务：响应头、错误、方法、请求体、路径、CORS、Cookie、登录次数限制，每项一行。
# Asks the running service as an attacker would: headers, errors, methods, bodies, paths, CORS, cookies, the limit of
# sign-ins; a line each. It must refuse, and say little.
#
#   scan-api.sh [--dry-run] [url]   没有 url 时用 API_URL，再用 HEALTH_URL / without url: API_URL, else HEALTH_URL
#   --dry-run   只问 /health，说明会检查什么 / asks for /health alone, and says what would be checked
#
# API_URL         服务对外的地址，经过 nginx / where the service is reached from outside, through nginx
# API_CA_FILE     自签 CA 的证书 / the certificate of a CA of your own
# SCAN_USER_FILE  测试账号，权限 0600：第一行邮箱，第二行口令 / an account to try, mode 0600: e-mail, next line password
# SCAN_SIGN_UP    yes：没有测试账号时注册一个 scan-…@neostock.invalid，它会留在服务里
#                 yes: where none is given one is made by sign-up, and it stays in the service
#
# 它会用不存在的账号做最多 30 次错误登录：认证失败率会上升，告警可能触发。
# It fails to sign in up to 30 times, with an account that does not exist: the rate of failed sign-ins rises, and its
# alert may fire.
#
# 退出码 / exit code: 0 没有问题 nothing found, 1 有发现，逐个列出 findings, which are listed, 2 用法或设置错误 called or set
# wrongly, 69 未能检查 could not be run: 服务没有回答、没有测试账号、缺少程序 the service does not answer, there is no
# account, a program is missing. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"
# shellcheck source-path=SCRIPTDIR source=lib-scan.sh
. "$scripts/lib-scan.sh"

begin_scan scan.api 0 1 "$@"
find_url "${arguments[0]:-}"
programs_are bun curl
secret_files_are SCAN_USER_FILE
service_answers
if dry_run; then
    end_dry_run "会像攻击者那样询问 $url；测试账号：${SCAN_USER_FILE:-${SCAN_SIGN_UP:-无}}" \
        "would ask $url as an attacker would; account: ${SCAN_USER_FILE:-${SCAN_SIGN_UP:-none}}"
fi
say "检查 $url / asking it"
run_scan scan-api.js "$url"
conclude_scan "API（$url）" "API ($url)"
