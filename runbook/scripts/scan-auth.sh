#!/usr/bin/env bash
# 认证机制验证：以匿名、用户、另一用户、管理员、API 密钥、已吊销的密钥、已登出和伪造的会话询问每个路由，与服务自己的权限表比较。
# Verifies authentication: asks every route as anonymous, user, other user, admin, API key, revoked key, ended and forged
# session, and compares the answers with the service's own access table. A route that is not in it fails.
#
#   scan-auth.sh [--dry-run] [url]   没有 url 时用 API_URL，再用 HEALTH_URL / without url: API_URL, else HEALTH_URL
#   --dry-run   读权限表、问 /health，说明会检查什么 / reads the table and asks for /health, and says what would be checked
#
# API_URL                服务对外的地址，经过 nginx / where the service is reached from outside, through nginx
# API_CA_FILE            自签 CA 的证书 / the certificate of a CA of your own
# ACCESS_COMMAND         打印权限表的命令；按空格分词，不经过 shell，在线上版本的目录里运行
#                        prints the access table; words, no shell; it runs in the live release, or where there is
#                        none in this folder ("bun run --silent --cwd apps/server access --json")
# SCAN_USER_FILE SCAN_OTHER_FILE SCAN_ADMIN_FILE
#                        测试账号，权限 0600：第一行邮箱，第二行口令 / accounts, mode 0600: e-mail, next line password
# SCAN_KEY_FILE SCAN_REVOKED_KEY_FILE
#                        API 密钥，权限 0600 / API keys, mode 0600
# SCAN_SIGN_UP           yes：没有给出的用户由注册产生（scan-…@neostock.invalid），会留在服务里
#                        yes: users that are not given are made by sign-up, and they stay in the service
#
# 缺少任何一个身份就是未能检查：不会当作通过。请求都不带输入；自选列表只加减测试账号自己的。
# Whoever is missing makes it "could not be run", never "passed". Requests carry no input; only the watchlists of the
# accounts to try are changed, and changed back. API_LOG and metrics show its refused calls.
#
# 退出码 / exit code: 0 与权限表一致 as in the table, 1 有发现，逐个列出 findings, which are listed, 2 用法或设置错误 called or
# set wrongly, 69 未能检查 could not be run: 服务没有回答、没有权限表、缺少身份或程序 the service does not answer, there is no
# table, somebody or a program is missing. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"
# shellcheck source-path=SCRIPTDIR source=lib-scan.sh
. "$scripts/lib-scan.sh"

begin_scan scan.auth 0 1 "$@"
find_url "${arguments[0]:-}"
read -r -a access <<<"${ACCESS_COMMAND:-bun run --silent --cwd apps/server access --json}"
[ ${#access[@]} -gt 0 ] || refuse "ACCESS_COMMAND 是空的" "ACCESS_COMMAND is empty"
programs_are bun curl "${access[0]}"
secret_files_are SCAN_USER_FILE SCAN_OTHER_FILE SCAN_ADMIN_FILE SCAN_KEY_FILE SCAN_REVOKED_KEY_FILE
# The table of what serves, not of what happens to be checked out here.
folder=$PWD
if [ -n "${RELEASES_DIR:-}" ] && [ -n "${NGINX_UPSTREAM_FILE:-}" ]; then
    ports_are_set
    find_colours
    folder=$RELEASES_DIR/$live
fi
table=$scratch/access.json
code=0
cd -- "$folder" || cannot_run "没有线上版本的目录：$folder" "there is no folder of the live release: $folder"
attend "$table" "$log" apart "${access[@]}" || code=$?
if [ "$code" -ne 0 ] || [ ! -s "$table" ]; then
    show_log
    cannot_run "读不到权限表（${access[*]}，退出码 $code，在 $folder）" \
        "the access table cannot be had (${access[*]}, exit code $code, in $folder)"
fi
service_answers
if dry_run; then
    end_dry_run "会按 $folder 的权限表，以各种身份询问 $url" \
        "would ask $url as everybody, and compare with the table of $folder"
fi
say "按 $folder 的权限表检查 $url / comparing it with the table of the live release"
run_scan scan-auth.js "$url" "$table"
conclude_scan "认证（$url）" "authentication ($url)"
