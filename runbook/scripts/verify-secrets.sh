#!/usr/bin/env bash
# 验证环境变量安全性：机密够不够强，文件权限对不对，有没有泄露到 git、进程命令行或日志里。只读，绝不显示机密的值。
# Verifies the secrets: strong enough, in files for their owner only, and neither in git, nor on a command line, nor in
# a log. It only reads, and never shows a value. Every fault is told at once.
#
#   verify-secrets.sh [--dry-run]        在服务的 git 仓库里运行 / run it in the service's repository
#
# REQUIRED_SECRETS    必须有的变量名 / names that must have a value (BETTER_AUTH_SECRET DATABASE_URL): from the
#                     environment, from the file that NAME_FILE names, or from ENV_FILE; of an address its password counts
# ENV_FILE            NAME=value 的文件，可不设 / a file of NAME=value lines, if there is one
# API_KEY_FILE, PGPASSFILE, PM2_HOME    其余机密文件 / more files with secrets; pm2's dump holds the environment
# SECRET_LOG_FILES    要查的日志，可用 * 和 ? / the logs to search ($PM2_HOME/logs/* $API_LOG_FILES $API_LOG_FILE*)
# HISTORY_COMMITS     查多少个提交的历史 / how many commits of the history are searched (1000)
# KEY_MAX_DAYS        API 密钥最多几天 / how old a valid API key may be (90); with RELEASES_DIR, NGINX_UPSTREAM_FILE,
#                     BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT as for live.sh
#
# 强度 / strength: 至少 32 个字符，不是 changeme 之类，至少 8 种字符，互不相同
#                  at least 32 characters, no known placeholder, at least 8 different ones, no two alike
# 文件 / files: 归当前用户，0600，所在目录他人看不到，上级目录不是任何人可写，不被 git 跟踪
#                  of this user, 0600, in a folder that others cannot look into, below none that all may write, not in git
# 不查 / not looked for: 编码过的值（base64 等）/ values in another encoding (base64 and such).
# 退出码 / exit code: 0 通过 passed, 1 有问题 faults, 2 用法或设置错误 called or set wrongly,
# 69 未能查明 could not be found out, 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

SECRET_CHARS_MIN=32
DIFFERENT_CHARS_MIN=8
# A shorter value would be found everywhere; it is a fault by itself.
SEARCHED_CHARS_MIN=8
PLACEHOLDERS=(changeme change-me change_me placeholder example password passwort secretsecret xxxx your-secret yoursecret
    insert-here 12345678 abcdefgh development default-secret todo)
DAY_SECS=86400
HITS_MAX=20

labels=()
values=()
more=()
commits=0

add_secret() {
    labels+=("$1")
    values+=("$2")
}

# The value of a name in ENV_FILE, into `value`; read, never executed.
from_env_file() {
    local line
    value=
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line#export }
        [ "${line%%=*}" = "$1" ] || continue
        value=${line#*=}
        case $value in
        \"*\") value=${value#\"} value=${value%\"} ;;
        \'*\') value=${value#\'} value=${value%\'} ;;
        esac
    done <"$ENV_FILE"
}

# Where a required secret comes from; of an address only its password is one.
find_secret() {
    local name=$1 from file="${1}_FILE"
    value=${!name:-}
    from=$name
    if [ -z "$value" ] && [ -n "${!file:-}" ]; then
        from=$file
        if [ -r "${!file}" ]; then value=$(tr -d '\0' <"${!file}"); fi
    elif [ -z "$value" ] && [ -n "${ENV_FILE:-}" ] && [ -r "$ENV_FILE" ]; then
        from_env_file "$name"
        from="ENV_FILE: $name"
    fi
    if [ -z "$value" ]; then
        fault "缺少 $name" "$name has no value"
    elif [[ $value =~ ^[a-z][a-z0-9+.-]*://([^/@]*@)? ]]; then
        if [[ $value =~ ^[^:]+://[^/@:]*:([^/@]+)@ ]]; then
            add_secret "$from（口令 / password）" "${BASH_REMATCH[1]}"
        else
            sound "$name 里没有口令" "$name holds no password"
        fi
    else
        add_secret "$from" "$value"
    fi
}

is_strong() {
    local label=$1 value=$2 lower=${2,,} word different
    if [ ${#value} -lt "$SECRET_CHARS_MIN" ]; then
        fault "$label 只有 ${#value} 个字符，至少要 $SECRET_CHARS_MIN 个" "$label has ${#value} characters, it must have $SECRET_CHARS_MIN"
        return
    fi
    for word in "${PLACEHOLDERS[@]}"; do
        if [[ $lower == *"$word"* ]]; then
            fault "$label 是占位值（含 $word）" "$label is a placeholder: it holds $word"
            return
        fi
    done
    different=$(printf '%s' "$value" | grep -o . | sort -u | wc -l)
    if [ "$different" -lt "$DIFFERENT_CHARS_MIN" ]; then
        fault "$label 只用了 $different 种字符" "$label is made of $different different characters only"
        return
    fi
    sound "$label 够强" "$label is strong enough"
}

# A file with secrets: its owner alone, nobody else's eyes on the way, and not in git.
file_is_safe() {
    local label=$1 file top mode before=$((faults + unknowns))
    if [ ! -e "$2" ]; then
        fault "$label 不存在：$2" "$label is not there: $2"
        return
    fi
    file=$(realpath -- "$2")
    if [ ! -f "$file" ]; then
        fault "$label 不是普通文件：$file" "$label is no plain file: $file"
        return
    fi
    if [ "$(stat -c %u -- "$file")" != "$(id -u)" ]; then
        fault "$label 属于 $(stat -c %U -- "$file")，不是 $(id -un)" "$label belongs to $(stat -c %U -- "$file"), not to $(id -un)"
    fi
    mode=$(stat -c %a -- "$file")
    if (((8#$mode & 8#177) != 0)); then
        fault "$label 的权限是 $mode，应为 600：$file" "$label has mode $mode, must be 600: $file"
    fi
    folders_are_safe "$label" "$(dirname -- "$file")"
    if top=$(git -C "$(dirname -- "$file")" rev-parse --show-toplevel 2>/dev/null); then
        if git -C "$top" ls-files --error-unmatch -- "$file" >/dev/null 2>&1; then
            fault "$label 被 git 跟踪：$file" "$label is tracked by git: $file"
        elif ! git -C "$top" check-ignore --quiet -- "$file"; then
            fault "$label 在 git 仓库里且未被忽略：$file" "$label stands in a git repository and is not ignored: $file"
        fi
    fi
    if [ $((faults + unknowns)) -eq "$before" ]; then sound "$label：$file" "$label is safe"; fi
}

folders_are_safe() {
    local label=$1 folder=$2 mode open=''
    mode=$(stat -c %a -- "$folder")
    if (((8#$mode & 8#004) != 0)); then open="$folder ($mode)"; fi
    while true; do
        mode=$(stat -c %a -- "$folder")
        # Others cannot get past it, and see nothing of what is below.
        if (((8#$mode & 8#001) == 0)); then open=''; fi
        # The sticky bit keeps others from replacing what is not theirs.
        if (((8#$mode & 8#1002) == 8#002)); then
            fault "$label 的上级目录任何人可写（$mode）：$folder" "a folder above $label can be written by all ($mode): $folder"
        fi
        [ "$folder" != / ] || break
        folder=$(dirname -- "$folder")
    done
    if [ -n "$open" ]; then
        fault "$label 所在目录他人可读：$open" "the folder of $label can be read by others: $open"
    fi
}

alike() {
    local i j
    for ((i = 0; i < ${#values[@]}; i++)); do
        for ((j = i + 1; j < ${#values[@]}; j++)); do
            if [ "${values[i]}" = "${values[j]}" ]; then
                fault "${labels[i]} 与 ${labels[j]} 相同" "${labels[i]} and ${labels[j]} are alike"
            fi
        done
    done
}

# The values, a line each, in the scratch folder: they must not stand on a command line.
write_needles() {
    local one line
    for one in "${values[@]}" "${more[@]}"; do
        while IFS= read -r line; do
            if [ ${#line} -ge "$SEARCHED_CHARS_MIN" ]; then printf '%s\n' "$line"; fi
        done <<<"$one"
    done >"$needles"
}

# A marker before each commit and the file's name before each change tell where a hit is; the hit itself goes nowhere.
search_history() {
    local mark=$'\001' line commit='' place='' code=
    local -A hits=()
    if ! git rev-parse --git-dir >/dev/null 2>&1; then
        unsure "这里不是 git 仓库" "this is no git repository"
        return
    fi
    { cat -- "$needles" && printf '%s\n--- a/\n+++ b/\n' "$mark"; } >"$scratch/markers"
    while IFS= read -r line; do
        case $line in
        "$mark"*) commit=${line:1:12} place='' commits=$((commits + 1)) ;;
        '--- a/'* | '+++ b/'*) place=${line#????b/} place=${place#????a/} ;;
        *) hits["$commit ${place:-（提交说明 / message）}"]=found ;;
        esac
    done < <(
        git log --all -n "$HISTORY_COMMITS" -p --text --no-color --no-ext-diff --no-textconv \
            --format="%x01%H%n%B" 2>"$scratch/trouble" | { grep -aF -f "$scratch/markers" || true; } | tr -d '\0'
        printf '%s' "${PIPESTATUS[0]}" >"$scratch/code"
    )
    wait $! || true
    code=$(<"$scratch/code")
    if [ "$code" != 0 ]; then
        unsure "git 历史无法读完" "the history of git cannot be read to its end: $(tail -n 1 -- "$scratch/trouble")"
    elif [ "$commits" -eq 0 ]; then
        unsure "git 仓库里没有提交" "the repository has no commit"
    elif [ ${#hits[@]} -eq 0 ]; then
        sound "最近 $commits 个提交里没有机密" "no secret in the last $commits commits"
    fi
    if [ ${#hits[@]} -gt "$HITS_MAX" ]; then
        say "❌ 共 ${#hits[@]} 处，列出 $HITS_MAX 处 / ${#hits[@]} places, of which $HITS_MAX are shown"
    fi
    while IFS= read -r line; do
        [ -z "$line" ] || fault "git 历史里有机密，必须更换：$line" "a secret is in the history of git and must be replaced: $line"
    done < <(printf '%s\n' "${!hits[@]}" | sort | head -n "$HITS_MAX")
}

search_processes() {
    local file pid before=$faults
    while IFS= read -r file; do
        pid=${file#/proc/} pid=${pid%/cmdline}
        fault "进程 $pid（$(cat -- "/proc/$pid/comm" 2>/dev/null)）的命令行里有机密" "a secret is on the command line of process $pid"
    done < <(grep -laF -f "$needles" -- /proc/[0-9]*/cmdline 2>/dev/null)
    if [ "$faults" -eq "$before" ]; then sound "没有进程的命令行里有机密" "no secret on a command line of a process"; fi
}

search_logs() {
    local pattern file count searched=0 before=$((faults + unknowns))
    local -a globs files
    if [[ $SECRET_LOG_FILES == *$'\n'* ]]; then
        mapfile -t globs <<<"$SECRET_LOG_FILES"
    else
        read -r -a globs <<<"$SECRET_LOG_FILES"
    fi
    for pattern in "${globs[@]}"; do
        mapfile -t files < <(compgen -G "$pattern")
        for file in "${files[@]}"; do
            [ -f "$file" ] || continue
            # Plain ones go through gzip as they are.
            if ! count=$(gzip -cdfq -- "$file" 2>/dev/null | { grep -acF -f "$needles" || true; }); then
                unsure "日志无法读取：$file" "a log cannot be read: $file"
            elif [ "$count" -gt 0 ]; then
                fault "日志里有机密（$count 行），必须更换：$file" "a secret is in a log ($count lines) and must be replaced: $file"
            fi
            searched=$((searched + 1))
        done
    done
    if [ $((faults + unknowns)) -eq "$before" ]; then
        sound "$searched 个日志里没有机密" "no secret in $searched logs"
    fi
}

keys_are_young() {
    local line days oldest=0 count=0
    if [ -z "${RELEASES_DIR:-}" ]; then
        unsure "未设 RELEASES_DIR，不知道 API 密钥的天数" "RELEASES_DIR is not set: the age of the API keys is not known"
        return
    fi
    if ! list_keys; then
        unsure "$words_zh" "$words_en"
        conclude ""
        return
    fi
    while read -r line; do
        if ! read_key "$line" || [ "$key_is_valid" = no ]; then continue; fi
        count=$((count + 1))
        days=$((($(date +%s) - key_created) / DAY_SECS))
        if [ "$days" -gt "$oldest" ]; then oldest=$days; fi
        if [ "$days" -gt "$KEY_MAX_DAYS" ]; then
            fault "API 密钥 $key_id（$key_name）已用 $days 天，超过 $KEY_MAX_DAYS 天，请轮换" "API key $key_id ($key_name) is $days days old, more than $KEY_MAX_DAYS: rotate it"
        fi
    done <<<"$key_list"
    figure key_age_days "$oldest" "最老的 API 密钥（天）" "oldest API key, days"
    if [ "$count" -eq 0 ] || [ "$oldest" -le "$KEY_MAX_DAYS" ]; then
        sound "$count 把有效的 API 密钥，最老 $oldest 天" "$count valid API keys, the oldest is $oldest days old"
    fi
}

begin_check secrets.verify 0 0 "$@"
number_is HISTORY_COMMITS 1000
number_is KEY_MAX_DAYS 90
read -r -a required <<<"${REQUIRED_SECRETS:-BETTER_AUTH_SECRET DATABASE_URL}"
for name in "${required[@]}"; do
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || refuse "REQUIRED_SECRETS 里的 $name 不是变量名" "in REQUIRED_SECRETS, $name is no name of a variable"
done
SECRET_LOG_FILES=${SECRET_LOG_FILES:-"$(pm2_home)/logs/* ${API_LOG_FILES:-} ${API_LOG_FILE:+$API_LOG_FILE*}"}
programs_are git grep gzip
if dry_run; then
    say "会检查 / would look at: ${required[*]}; ENV_FILE=${ENV_FILE:-} API_KEY_FILE=${API_KEY_FILE:-} PGPASSFILE=${PGPASSFILE:-} $(pm2_home)/dump.pm2*"
    say "会查找 / would search: $HISTORY_COMMITS 个提交 / commits, /proc/*/cmdline, $SECRET_LOG_FILES"
    end_dry_run "会检查 ${#required[@]} 个机密及其文件，并在历史、进程和日志里查找" "would look at ${#required[@]} secrets and their files, and search history, processes and logs"
fi

make_scratch
needles=$scratch/needles
for name in "${required[@]}"; do find_secret "$name"; done
if [ -n "${ENV_FILE:-}" ]; then file_is_safe ENV_FILE "$ENV_FILE"; fi
for name in "${required[@]}"; do
    file=${name}_FILE
    if [ -n "${!file:-}" ]; then file_is_safe "$file" "${!file}"; fi
done
if [ -n "${API_KEY_FILE:-}" ]; then
    file_is_safe API_KEY_FILE "$API_KEY_FILE"
    if [ -s "$API_KEY_FILE" ] && [ -r "$API_KEY_FILE" ]; then
        add_secret API_KEY_FILE "$(tr -d '\0' <"$API_KEY_FILE")"
    fi
fi
if [ -n "${PGPASSFILE:-}" ]; then
    file_is_safe PGPASSFILE "$PGPASSFILE"
    # The password of a line is what comes after its fourth colon. It may well be that of DATABASE_URL.
    if [ -r "$PGPASSFILE" ]; then
        mapfile -t more < <(sed -nE '/^#/d; s/^([^:\\]|\\.)*:([^:\\]|\\.)*:([^:\\]|\\.)*:([^:\\]|\\.)*:(.+)$/\5/p' -- "$PGPASSFILE")
    fi
fi
for file in "$(pm2_home)"/dump.pm2*; do
    if [ -e "$file" ]; then file_is_safe "$(basename -- "$file")" "$file"; fi
done
for ((i = 0; i < ${#values[@]}; i++)); do is_strong "${labels[i]}" "${values[i]}"; done
for ((i = 0; i < ${#more[@]}; i++)); do is_strong "PGPASSFILE 第 $((i + 1)) 个口令 / password $((i + 1))" "${more[i]}"; done
alike
write_needles
if [ -s "$needles" ]; then
    search_history
    search_processes
    search_logs
fi
keys_are_young

figure secrets $((${#values[@]} + ${#more[@]})) "机密" "secrets"
figure findings "$faults" "问题" "faults"
figure commits "$commits" "查过的提交" "commits searched"
if [ "$faults" -gt 0 ]; then
    failed "机密有 $faults 处问题" "$faults faults with the secrets"
fi
if [ "$unknowns" -gt 0 ]; then
    cannot_run "没有发现问题，但有 $unknowns 项未能查明" "no fault, but $unknowns things could not be found out"
fi
passed "${#values[@]} 个机密都安全" "all ${#values[@]} secrets are safe"
