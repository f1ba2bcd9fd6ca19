# shellcheck shell=bash disable=SC2034,SC2154
# What the scripts about keys, secrets and logs share. Sourced by them after lib.sh, never run by itself.

# What is left of a script that was killed belongs to nobody any more.
UPKEEP_LEFT_MINUTES=1440

# The longest window that logs are read for: a month.
WINDOW_SECS_MAX=2678400

scratch=

# A folder of this run's own, for its owner only; `clean_up` removes it.
make_scratch() {
    local folder=${TMPDIR:-/tmp}
    umask 077
    find "$folder" -mindepth 1 -maxdepth 1 -type d -name 'neostock-upkeep-*' -user "$(id -u)" \
        -mmin "+$UPKEEP_LEFT_MINUTES" -exec rm -rf -- {} + 2>/dev/null || true
    scratch=$(mktemp -d -- "$folder/neostock-upkeep-XXXXXX") ||
        cannot_run "无法在 $folder 建立临时目录" "cannot make a scratch folder in $folder"
}

remove_scratch() {
    [ -z "$scratch" ] || rm -rf -- "$scratch"
}

clean_up() {
    remove_scratch
    return "$1"
}

# How far to look back: `90s`, `30m`, `2h`, `1d`, a month at most.
window_is() {
    local window=$1 seconds=0
    if [[ $window =~ ^[1-9][0-9]{0,6}[smhd]$ ]]; then
        seconds=${window%?}
        case $window in
        *m) seconds=$((seconds * 60)) ;;
        *h) seconds=$((seconds * 3600)) ;;
        *d) seconds=$((seconds * 86400)) ;;
        esac
    fi
    if [ "$seconds" -lt 1 ] || [ "$seconds" -gt "$WINDOW_SECS_MAX" ]; then
        refuse "时间范围写作 90s、30m、2h 或 1d，最长 31 天，现在是：$window" "the window is written 90s, 30m, 2h or 1d, at most 31 days, not: $window"
    fi
}

# A setting that is a number, with its default.
number_is() {
    printf -v "$1" '%s' "${!1:-$2}"
    whole_number_is "$1"
    export "${1?}"
}

# Files that the patterns name. Nothing to read is nothing known.
#   logs_are NAME PATTERNS
logs_are() {
    local name=$1 pattern
    local -a patterns found=()
    if [[ $2 == *$'\n'* ]]; then mapfile -t patterns <<<"$2"; else read -r -a patterns <<<"$2"; fi
    for pattern in "${patterns[@]}"; do
        [[ $pattern == /* ]] ||
            refuse "$name 必须是绝对路径，现在是：$pattern" "$name must be an absolute path, is: $pattern"
        mapfile -t -O "${#found[@]}" found < <(compgen -G "$pattern")
    done
    [ ${#found[@]} -gt 0 ] ||
        cannot_run "没有日志文件：$2" "there is no log file: $2"
    log_files=${#found[@]}
}

# Runs a reader of ours, away from the .env and bunfig.toml of whatever folder this is, shows its report and
# takes its facts: `verdict`, the words of the result, the figures.
#   read_logs READER [argument…]
read_logs() {
    local facts=$scratch/facts code=0 kind one two three four
    verdict=
    (cd -- "$scripts" && bun "./$1" "$facts" "${@:2}") || code=$?
    while IFS=$TAB read -r kind one two three four; do
        case $kind in
        figure) figure "$one" "$two" "$three" "$four" ;;
        words) conclude "$one" "$two" ;;
        verdict) verdict=$one ;;
        esac
    done < <(cat -- "$facts" 2>/dev/null)
    if [ "$code" -ne 0 ] || [ -z "$verdict" ]; then
        cannot_run "读日志的程序中断了（$code），没有结论" "the reader of the logs broke off ($code): there is no verdict"
    fi
}

# The keys CLI of the release that is live. What it says on standard error is for people, and holds no key.
keys_cli() {
    (cd -- "$release" && bun run --cwd apps/server keys "$@")
}

# Where the live release is, into `release`. Where there is none, the words of the result say why, and it returns 1.
read_release() {
    ports_are_set
    settings_are RELEASES_DIR
    read_colours || return 1
    release=$RELEASES_DIR/$live
    if [ ! -e "$release/.git" ]; then
        conclude "$release 不是已部署的版本" "$release is not a deployed release"
        return 1
    fi
}

find_release() {
    read_release || "$absent" "$words_zh" "$words_en"
}

# What a program said last in $scratch/trouble, without what bun adds around it.
last_words() {
    { grep -vE '^(\$ |error: script |$)' -- "$scratch/trouble" || true; } | tail -n 1
}

# Every key, a line of JSON each, without its secret, into `key_list`; else the words of the result say why, and it
# returns 1.
list_keys() {
    read_release || return 1
    if ! key_list=$(keys_cli list 2>"$scratch/trouble"); then
        conclude "无法取得密钥清单：$(last_words)" "the list of keys cannot be had: $(last_words)"
        return 1
    fi
    # A line that is no JSON is one of a program that is not ours.
    key_list=$(grep '^{' <<<"$key_list" || true)
}

# What a line of the list says of a key: `key_id`, `key_name`, `key_created` in seconds, `key_is_valid`.
KEY_ID='K[A-Za-z0-9]{1,20}'
read_key() {
    [[ $1 =~ \"id\":\"($KEY_ID)\" ]] || return 1
    key_id=${BASH_REMATCH[1]}
    [[ $1 =~ \"name\":\"([a-z0-9-]{1,64})\" ]] || return 1
    key_name=${BASH_REMATCH[1]}
    [[ $1 =~ \"created_at\":\"([0-9TZ:.+-]+)\" ]] || return 1
    key_created=$(date -d "${BASH_REMATCH[1]}" +%s) || return 1
    key_is_valid=no
    if [[ $1 =~ \"revoked_at\":null ]]; then key_is_valid=yes; fi
}

# For scripts that tell everything before they end: one line each, in both languages, and how many were not well.
unknowns=0

sound() {
    good "$1 / $2"
}

fault() {
    bad "$1 / $2"
}

unsure() {
    say "⛔ 未能查明：$1 / could not be found out: $2"
    unknowns=$((unknowns + 1))
}
