#!/usr/bin/env bash
# 数据加密验证：传输（TLS 版本、证书、加密套件、HSTS、Cookie）和存储（数据库连接、口令哈希、API 密钥、备份权限）。
# Verifies encryption: of what travels (TLS versions, certificate, ciphers, HSTS, cookies) and of what is kept (the
# connection to the database, how passwords and API keys are hashed, the modes of backups).
#
#   scan-crypto.sh [--dry-run] [host:port | https://host[:port]]   没有时用 CRYPTO_URL / without it: CRYPTO_URL
#   --dry-run   说明会检查什么，不连接 / says what would be looked at, and connects to nothing
#
# CRYPTO_URL       服务的 https 地址 / the service's https address
# API_CA_FILE      自签 CA 的证书 / the certificate of a CA of your own
# SCAN_USER_FILE   测试账号，权限 0600：第一行邮箱，第二行口令 / an account to try, mode 0600: e-mail, next line password
# SCAN_SIGN_UP     yes：没有时注册一个，会留在服务里 / yes: where none is given one is made, and stays in the service
# PGHOST PGPORT PGUSER PGDATABASE PGPASSFILE   如 psql / as for psql; 只读，只取计数 only counts are read
# PASSWORD_COLUMN  口令哈希所在 表.列 / table.column of the passwords' hashes (accounts.password)
# KEY_COLUMN       API 密钥哈希所在 表.列 / table.column of the API keys' hashes (api_keys.key_sha256)
# BACKUP_DIR       备份目录 / the folder of backups
#
# 不检查磁盘加密：程序无从知道 / encryption of the disk is not looked at: a program cannot know of it.
#
# 退出码 / exit code: 0 没有问题 nothing found, 1 有发现，逐个列出 findings, which are listed (证书 21 天内过期只列出 a
# certificate that expires within 21 days is listed only), 2 用法或设置错误 called or set wrongly, 69 未能检查 could not
# be run: 没有 TLS 地址、数据库没有回答、没有备份目录、缺少程序 no TLS address, the database does not answer, no folder of
# backups, a program is missing. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"
# shellcheck source-path=SCRIPTDIR source=lib-scan.sh
. "$scripts/lib-scan.sh"

begin_scan scan.crypto 0 1 "$@"
url=${arguments[0]:-${CRYPTO_URL:-}}
if [ -z "$url" ]; then
    cannot_run "没有 TLS 地址：请设置 CRYPTO_URL=https://主机[:端口]（只在本机回环上的环境没有 TLS 可检查）" \
        "no TLS address: set CRYPTO_URL=https://host[:port] (where all is on the loopback there is no TLS to look at)"
fi
[[ $url == *://* ]] || url=https://$url
[[ $url =~ ^https://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?$ ]] ||
    refuse "不是 host:port，也不是 https 地址：$url" "neither host:port nor an https address: $url"
programs_are bun openssl psql
secret_files_are SCAN_USER_FILE
if dry_run; then
    end_dry_run "会用 $(openssl version | cut -d ' ' -f 1,2) 检查 $url，并只读查询数据库 ${PGDATABASE:-（默认）}、检查备份目录 ${BACKUP_DIR:-（未设置）}" \
        "would look at $url with $(openssl version | cut -d ' ' -f 1,2), ask the database ${PGDATABASE:-(default)} for counts, and look at the backups in ${BACKUP_DIR:-(not set)}"
fi
say "检查 $url、数据库和备份 / looking at TLS, the database and the backups"
run_scan scan-crypto.js "$url"
conclude_scan "加密（$url）" "encryption ($url)"
