#!/usr/bin/env bash
# 系统健康检查（每日）：线上服务、数据库、CPU、内存、磁盘，一次列出所有问题。
# The daily look at the system: the live service, the database, processor, memory and disk. Lists every fault.
#
#   check-system.sh [--dry-run]
#
# NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT, RELEASES_DIR
# HEALTH_URL          经过 nginx 的健康地址 / the health address through nginx
# PGDATABASE, PGHOST, PGPORT, PGUSER, PGPASSFILE    同 psql / as for psql
# BACKUP_DIR          可不设；设了也检查它的磁盘 / optional: its disk is looked at too
# CPU_PERCENT_MAX     CPU 使用率上限 / of the processors, at most (80)
# MEMORY_PERCENT_MAX  内存使用率上限 / of the memory, at most (85)
# DISK_PERCENT_MAX    磁盘使用率上限：预留 30% / of a disk, at most: 30 % are kept free (70)
# SAMPLE_SECONDS      测量 CPU 的秒数 / how long the processors are watched (2)
# --dry-run           检查相同：它本来就只读 / looks at the same, as it only reads
#
# 退出码 / exit code: 0 健康 all is well, 1 有问题，逐个列出 faults, which are listed, 2 用法或设置错误 called or
# set wrongly, 69 未能检查 could not be run: 缺少程序 a tool is missing. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

begin_check system.health 0 0 "$@"
ports_are_set
settings_are HEALTH_URL RELEASES_DIR PGDATABASE
CPU_PERCENT_MAX=${CPU_PERCENT_MAX:-80}
MEMORY_PERCENT_MAX=${MEMORY_PERCENT_MAX:-85}
DISK_PERCENT_MAX=${DISK_PERCENT_MAX:-70}
SAMPLE_SECONDS=${SAMPLE_SECONDS:-2}
for name in CPU_PERCENT_MAX MEMORY_PERCENT_MAX DISK_PERCENT_MAX SAMPLE_SECONDS; do
    whole_number_is "$name"
done
programs_are curl psql df
export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}

# A percentage below its bound, or not:  within ZH EN PERCENT MAX
within() {
    if [ "$3" -le "$4" ]; then
        good "$1 $3%（上限 / at most $4%）/ $2"
    else
        bad "$1 $3%，超过上限 $4% / $2: $3%, more than $4%"
    fi
}

check_service() {
    local answer timed
    if ! answer=$(version_at "$HEALTH_URL"); then
        bad "$HEALTH_URL 没有正常回答 / does not answer well: $answer"
        return
    fi
    timed=$(curl --silent --output /dev/null --noproxy '*' --max-time 5 --write-out '%{time_total}' --url "$HEALTH_URL") || timed=
    figure answer_seconds "$timed" "健康地址的应答时间（秒）" "time of the health address to answer, s"
    good "服务正常，版本 $answer / the service is well, version $answer"
}

check_web() {
    if ! read_colours; then
        bad "不知道哪个颜色在线：$words_zh / it is not known which colour is live: $words_en"
    elif answers "http://127.0.0.1:$(port_of "$live" web)/"; then
        good "网站正常（$live）/ the web application is well"
    else
        bad "网站没有正常回答（$live）/ the web application does not answer well"
    fi
}

check_database() {
    local size
    if size=$(psql -XAtq --command 'select pg_database_size(current_database())' 2>/dev/null); then
        figure database_mb "$((size / 1048576))" "数据库（MB）" "database, MB"
        good "数据库 $PGDATABASE 正常 / the database answers"
    else
        bad "数据库 $PGDATABASE 没有回答 / the database does not answer"
    fi
}

# The processors' time since the start, busy and in all.
processor_time() {
    local user nice system idle wait irq soft steal
    read -r _ user nice system idle wait irq soft steal _ </proc/stat
    busy=$((user + nice + system + irq + soft + steal))
    all=$((busy + idle + wait))
}

check_processors() {
    local busy all busy_before all_before percent
    processor_time
    busy_before=$busy all_before=$all
    sleep "$SAMPLE_SECONDS"
    processor_time
    percent=$(((busy - busy_before) * 100 / (all > all_before ? all - all_before : 1)))
    figure cpu_percent "$percent" "CPU（%）" "processors, %"
    within "CPU" "processors" "$percent" "$CPU_PERCENT_MAX"
}

check_memory() {
    local name value total=0 free=0 percent
    while read -r name value _; do
        case $name in
        MemTotal:) total=$value ;;
        MemAvailable:) free=$value ;;
        esac
    done </proc/meminfo
    [ "$total" -gt 0 ] || cannot_run "读不到内存使用情况：/proc/meminfo" "the use of memory cannot be read: /proc/meminfo"
    percent=$(((total - free) * 100 / total))
    figure memory_percent "$percent" "内存（%）" "memory, %"
    within "内存" "memory" "$percent" "$MEMORY_PERCENT_MAX"
}

#   check_disk FOLDER FIGURE ZH EN
check_disk() {
    local percent
    if ! percent=$(df --output=pcent -- "$1" 2>/dev/null | tail -n 1 | tr -dc '0-9') || [ -z "$percent" ]; then
        bad "$3 $1 的磁盘无法检查 / the disk of $1 cannot be looked at"
        return
    fi
    figure "$2" "$percent" "$3磁盘（%）" "disk of $4, %"
    within "$3磁盘" "disk of $4" "$percent" "$DISK_PERCENT_MAX"
}

check_service
check_web
check_database
check_processors
check_memory
check_disk "$RELEASES_DIR" releases_disk_percent "版本" releases
if [ -n "${BACKUP_DIR:-}" ] && [ -d "$BACKUP_DIR" ]; then
    check_disk "$BACKUP_DIR" backups_disk_percent "备份" backups
fi
figure faults "$faults" "问题" "faults"
if [ "$faults" -gt 0 ]; then
    failed "系统有 $faults 个问题" "the system has $faults faults"
fi
passed "系统健康" "the system is well"
