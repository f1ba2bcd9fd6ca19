#!/usr/bin/env bash
# 预部署验证：部署之前，检查这台机器能检查的一切，一次列出所有问题。
# Before a deploy: everything this machine can check. Lists every fault, changes nothing.
#
#   pre-deploy-check.sh [--dry-run] <version>   在服务的 git 仓库里运行 / run it in the service's repository
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT, RELEASES_DIR, HEALTH_URL
# PM2_HOME        pm2 的目录 / where pm2 keeps its own ($HOME/.pm2)
# NGINX_COMMAND   nginx 命令，可带参数，如 "sudo -n nginx" / its command with options (nginx)
# FREE_MB_MIN     RELEASES_DIR 所需的空闲空间 / free space that a release needs (1024)
# --dry-run       检查相同：它本来就只读 / looks at the same, as it only reads
#
# 退出码 / exit code: 0 可以部署 ready, 1 不能部署 not ready, 2 用法或设置错误 called or set wrongly,
# 69 未能检查 could not be run: 没有 git 或仓库 no git or no repository. 129 130 143 被中止 stopped.
# 测试、安全扫描和性能基准由 check-*.sh 检查 / tests, scans and benchmarks have checks of their own.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin_check deploy.check 1 1 "$@"
# A version that is not here, or a pair that nobody knows, is known not to be ready.
absent=fail
version=${arguments[0]}
ports_are_set
settings_are RELEASES_DIR HEALTH_URL
FREE_MB_MIN=${FREE_MB_MIN:-1024}
whole_number_is FREE_MB_MIN
read -r -a nginx <<<"${NGINX_COMMAND:-nginx}"
[ ${#nginx[@]} -gt 0 ] || refuse "NGINX_COMMAND 是空的" "NGINX_COMMAND is empty"

check_programs() {
    local program missing=()
    for program in git bun pm2 curl "${nginx[0]}"; do
        command -v -- "$program" >/dev/null || missing+=("$program")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        bad "缺少程序 / programs not found: ${missing[*]} (PATH=$PATH)"
    else
        good "所需程序齐全 / every program is here"
    fi
}

check_version() {
    local file lock=none
    for file in apps/server/package.json apps/web/package.json; do
        git cat-file -e "$commit:$file" 2>/dev/null || bad "$version 里没有 / has no $file"
    done
    for file in bun.lock bun.lockb; do
        if git cat-file -e "$commit:$file" 2>/dev/null; then lock=$file; fi
    done
    if [ "$lock" = none ]; then
        bad "$version 没有提交 bun.lock，依赖无法锁定 / no bun.lock is committed"
    fi
    if git show "$commit:apps/server/package.json" 2>/dev/null | grep -q '"db:rollback"'; then
        good "回滚计划：apps/server 有 db:rollback / the way back exists"
    else
        bad "回滚计划：apps/server 没有 db:rollback 脚本 / no db:rollback, so no way back"
    fi
}

# What is deployed is a commit: what is not committed here stays here.
check_repository() {
    local changed
    changed=$(git --no-optional-locks status --porcelain --untracked-files=no 2>/dev/null) || return 0
    [ -z "$changed" ] || say "⚠️ 仓库里有未提交的修改，它们不会被部署 / uncommitted changes here are not deployed"
}

# What somebody changed by hand in the idle release would be lost.
check_idle_folder() {
    local changed
    if ! changed=$(changes_in "$idle"); then
        bad "$RELEASES_DIR/$idle 不是 git worktree / is not a git worktree"
    elif [ -n "$changed" ]; then
        bad "$RELEASES_DIR/$idle 里有手工修改 / was changed by hand: ${changed//$'\n'/,}"
    fi
}

check_balancer() {
    local output
    if output=$("${nginx[@]}" -t 2>&1); then
        good "nginx 配置有效 / nginx's configuration is valid"
    else
        bad "nginx 配置无效 / nginx's configuration is not valid: $output"
    fi
}

# A live service that is ill is no reason to keep its cure out.
check_live() {
    local answer
    if answer=$(version_at "$HEALTH_URL"); then
        good "线上是 $live，版本 $answer / live now: $live, version $answer"
    else
        say "⚠️ 线上 ($live) 没有正常回答，仍可部署 / live does not answer well: $answer"
    fi
}

check_idle_ports() {
    local part port
    for part in server web; do
        port=$(port_of "$idle" "$part")
        if is_taken "$part" "$idle"; then
            bad "端口 $port 被别的程序占用 / port $port is taken by something else"
        fi
    done
}

check_space() {
    local folder=$RELEASES_DIR free
    if ! can_write_in "$folder"; then
        bad "不能写入 / cannot be written to: $folder"
        return
    fi
    while [ ! -e "$folder" ]; do
        folder=$(dirname -- "$folder")
    done
    free=$(df --output=avail -BM -- "$folder" | tail -n 1 | tr -dc '0-9')
    figure free_mb "$free" "空闲空间（MB）" "free space, MB"
    if [ "$free" -ge "$FREE_MB_MIN" ]; then
        good "空闲空间 ${free} MB / free space"
    else
        bad "空闲空间 ${free} MB，至少需要 ${FREE_MB_MIN} MB / too little free space in $RELEASES_DIR"
    fi
}

find_commit "$version"
find_colours
good "版本 $version 是 ${commit:0:12}，将部署到 $idle / goes to $idle"
check_programs
check_version
check_repository
check_idle_folder
check_balancer
check_live
check_idle_ports
check_space
figure faults "$faults" "问题" "faults"
if [ "$faults" -gt 0 ]; then
    failed "预部署验证未通过：$version 有 $faults 个问题" "$version is not ready to be deployed: $faults faults"
fi
passed "预部署验证通过：$version 将部署到 $idle" "ready to deploy $version onto $idle"
