# shellcheck shell=bash disable=SC2034,SC2154
# What the scans share: how they begin, and how what was found becomes their end. Sourced by them after
# lib.sh and lib-check.sh, never run by itself.
#
# A scan's program in JavaScript tells every finding in a line and leaves its sums in a file (scan-report.js);
# without that file, or with a check among them that could not be made, nothing has passed.

# Rules and configurations, beside the scripts.
SCAN_DIR=${SCAN_DIR:-$scripts/../scan}

# A scan reads, and leaves nothing but what its help says.
#   begin_scan RESULT MIN MAX "$@"
begin_scan() {
    begin_check "$@"
    make_scratch
    verdict_file=$scratch/verdict
}

# Runs a scan's program: what it cannot say itself is that it has fallen over.
#   run_scan PROGRAM.js arguments…
run_scan() {
    local program=$1 code=0
    shift
    attend_shown "$scratch/said" ours "$program" "$verdict_file" "$@" || code=$?
    if [ "$code" -ne 0 ] || [ ! -s "$verdict_file" ]; then
        cannot_run "扫描程序 $program 意外结束（$code）" "the scan's program $program ended unexpectedly ($code)"
    fi
}

# The end of every scan.
#   conclude_scan SUBJECT_ZH SUBJECT_EN
conclude_scan() {
    local key value high='' lower='' unknown='' checks='' first='' unknown_zh='' unknown_en='' note_zh='' note_en=''
    local one more=() name zh en
    while IFS='=' read -r key value; do
        case $key in
        high | lower | unknown | checks | first | unknown_zh | unknown_en | note_zh | note_en) printf -v "$key" %s "$value" ;;
        figure) more+=("$value") ;;
        esac
    done <"$verdict_file"
    if ! [[ $high:$lower:$unknown:$checks =~ ^[0-9]+:[0-9]+:[0-9]+:[0-9]+$ ]]; then
        cannot_run "$1：扫描结果不完整" "$2: the scan's sums are incomplete"
    fi
    figure findings_high "$high" 高危 high
    figure findings_lower "$lower" 较低 lower
    figure checks "$checks" 检查项 checks
    figure checks_unknown "$unknown" 未能检查 'could not be checked'
    for one in "${more[@]}"; do
        IFS=$TAB read -r name value zh en <<<"$one"
        figure "$name" "$value" "$zh" "$en"
    done
    if [ "$high" -gt 0 ]; then
        failed "$1：$high 处问题（另有较低 $lower 处，未能检查 $unknown 项），首个：$first" \
            "$2: $high findings ($lower lower, $unknown not checked), the first: $first"
    elif [ "$unknown" -gt 0 ]; then
        cannot_run "$1：$unknown 项未能检查，首项：$unknown_zh" \
            "$2: $unknown could not be checked, the first: $unknown_en"
    elif [ "$checks" -eq 0 ]; then
        cannot_run "$1：什么也没有检查" "$2: nothing was checked"
    fi
    passed "$1：$checks 项检查，没有高危问题（较低 $lower 处）$note_zh" \
        "$2: $checks checks, no high finding ($lower lower)$note_en"
}

# Where the service answers: as given, else API_URL, else where HEALTH_URL points. Into `url`.
find_url() {
    url=${1:-${API_URL:-}}
    if [ -z "$url" ] && [ -n "${HEALTH_URL:-}" ]; then
        url=${HEALTH_URL%/health}
    fi
    url=${url%/}
    [ -n "$url" ] || refuse "没有服务地址：请给出 url，或设置 API_URL 或 HEALTH_URL" \
        "no address of the service: give a url, or set API_URL or HEALTH_URL"
    [[ $url =~ ^https?://[A-Za-z0-9.:_-]+(\[[0-9a-fA-F:]+\](:[0-9]+)?)?(/[A-Za-z0-9._~/-]*)?$ ]] ||
        refuse "不是 http(s) 地址：$url" "not an http(s) address: $url"
}

# Files with secrets, by the names of the variables that name them: for their owner only.
#   secret_files_are NAME…
secret_files_are() {
    local name mode
    for name in "$@"; do
        [ -n "${!name:-}" ] || continue
        [ -r "${!name}" ] || cannot_run "$name 指向的文件无法读取：${!name}" "the file of $name cannot be read: ${!name}"
        mode=$(stat -L -c %a -- "${!name}")
        if [ $((8#$mode & 8#077)) -ne 0 ]; then
            refuse "$name 指向的文件别人也能读（$mode），请 chmod 600：${!name}" \
                "others may read the file of $name ($mode), chmod 600 it: ${!name}"
        fi
    done
}

# Whether somebody is there to be asked.
service_answers() {
    local code=0 ca=()
    [ -z "${API_CA_FILE:-}" ] || ca=(--cacert "$API_CA_FILE")
    curl --silent --show-error --output /dev/null --noproxy '*' --max-time 10 "${ca[@]}" --url "$url/health" \
        2>"$log" || code=$?
    if [ "$code" -ne 0 ]; then
        show_log
        cannot_run "服务没有回答：$url/health（curl $code）" "the service does not answer: $url/health (curl $code)"
    fi
}
