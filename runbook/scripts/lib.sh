# shellcheck shell=bash disable=SC2034
# What the scripts beside this one share. Sourced by them, never run by itself.

if [ "${BASH_VERSINFO[0]}" -lt 4 ]; then
    echo "❌ 需要 bash 4 或更新的版本 / needs bash 4 or later" >&2
    exit 2
fi

# What the end of a script means to whoever called it: could not be run.
COULD_NOT_RUN=69

# Fields of the manifest and of psql's answers.
TAB=$'\t'

say() {
    printf '%s\n' "$*"
}

# The result line: the last line that a script writes, one line of JSON that the bot reads.
#   {"result":NAME,"outcome":done|passed|failed|could_not_run|dry_run,"zh":…,"en":…,"figures":[…]}
# README.md says what it may hold; the bot reads no longer one.
RESULT_CHARS_MAX=300
result=
success='done'
words_zh=
words_en=
figures=
is_dry_run=no
arguments=()

# Every script begins with it: answers `--help` with the script's opening comment, takes `--dry-run` from
# the arguments and leaves the others in `arguments`, refuses a wrong number of them, and writes the
# result line whatever the end is.
#   begin RESULT MIN MAX "$@"
begin() {
    local min=$2 max=$3 argument
    result=$1
    shift 3
    for argument in "$@"; do
        case $argument in
        --help | -h)
            sed -n '2,/^$/s/^# \{0,1\}//p' -- "$0"
            exit 0
            ;;
        --dry-run) is_dry_run=yes ;;
        *) arguments+=("$argument") ;;
        esac
    done
    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ ${#arguments[@]} -lt "$min" ] || [ ${#arguments[@]} -gt "$max" ]; then
        refuse "参数个数不对：给了 ${#arguments[@]} 个" "wrong number of arguments: ${#arguments[@]}"
    fi
}

# Whether nothing is to be changed.
dry_run() {
    [ "$is_dry_run" = yes ]
}

# What a script with more to do at its end defines anew: it gets the exit code, and a code that it
# returns takes its place.
clean_up() {
    return "$1"
}

# shellcheck disable=SC2317  # the trap calls it
end() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    clean_up "$code"
    code=$?
    tell_result "$code"
    exit "$code"
}

# The words of the result, in both languages.
conclude() {
    words_zh=$1
    words_en=${2:-$1}
}

# A number that is compared with the last time's:  figure p99_ms 34.2 "P99（毫秒）" "P99, ms"
figure() {
    [[ $2 =~ ^-?[0-9]+(\.[0-9]+)?$ ]] || return 0
    figures+="${figures:+,}{\"name\":\"$1\",\"value\":$2,\"zh\":$(json_text "$3"),\"en\":$(json_text "$4")}"
}

json_text() {
    local LC_ALL=C.UTF-8 text=${1:0:RESULT_CHARS_MAX}
    text=${text//[[:cntrl:]]/ }
    text=${text//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

outcome_of() {
    case $success-$1 in
    *-0) if dry_run; then echo dry_run; else echo "$success"; fi ;;
    passed-1) echo failed ;;
    passed-* | *-2 | *-69) echo could_not_run ;;
    *) echo failed ;;
    esac
}

tell_result() {
    [ -n "$words_zh" ] || conclude "以退出码 $1 结束" "ended with exit code $1"
    printf '{"result":"%s","outcome":"%s","zh":%s,"en":%s,"figures":[%s]}\n' \
        "$result" "$(outcome_of "$1")" "$(json_text "$words_zh")" "$(json_text "$words_en")" "$figures"
}

# The step failed: exit code 1. In both languages; never in a subshell, whose words would be lost.
fail() {
    conclude "$@"
    printf '❌ %s\n' "$1${2:+ / ${2#/ }}" >&2
    exit 1
}

# It was called wrongly or set up wrongly; nothing was done: exit code 2.
refuse() {
    conclude "$@"
    printf '❌ %s\n' "$1${2:+ / ${2#/ }}" >&2
    printf '用法见 / usage: %s --help\n' "$0" >&2
    exit 2
}

# A tool, a file, the network or the database is missing, so nothing is known: exit code 69.
cannot_run() {
    conclude "$@"
    printf '⛔ %s\n' "$1${2:+ / ${2#/ }}" >&2
    exit "$COULD_NOT_RUN"
}

# `--help` prints the opening comment of the script; any other wrong number of arguments is refused.
#   arguments_are MIN MAX "$@"
arguments_are() {
    local min=$1 max=$2
    shift 2
    if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
        sed -n '2,/^$/s/^# \{0,1\}//p' -- "$0"
        exit 0
    fi
    if [ $# -lt "$min" ] || [ $# -gt "$max" ]; then
        refuse "参数个数不对：给了 $# 个 / wrong number of arguments: $#"
    fi
}

# Every one of these variables must have a value; names all that have none.
settings_are() {
    local name missing=()
    for name in "$@"; do
        [ -n "${!name:-}" ] || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        refuse "缺少设置 / not set: ${missing[*]}"
    fi
}

whole_number_is() {
    local name=$1
    [[ ${!name} =~ ^[1-9][0-9]{0,8}$ ]] ||
        refuse "$name 必须是正整数，现在是 / must be a whole number, is: ${!name}"
}

# The four ports of the pair, each a port and no two the same.
ports_are_set() {
    local name
    settings_are NGINX_UPSTREAM_FILE BLUE_PORT GREEN_PORT BLUE_WEB_PORT GREEN_WEB_PORT
    for name in BLUE_PORT GREEN_PORT BLUE_WEB_PORT GREEN_WEB_PORT; do
        whole_number_is "$name"
        [ "${!name}" -le 65535 ] || refuse "$name 不是端口 / is not a port: ${!name}"
    done
    if [ -n "$(printf '%s\n' "$BLUE_PORT" "$GREEN_PORT" "$BLUE_WEB_PORT" "$GREEN_WEB_PORT" |
        sort | uniq -d)" ]; then
        refuse "四个端口必须各不相同 / the four ports must differ"
    fi
}

# The colour that gets the traffic: nginx's upstream file is the only place that knows.
live_colour() {
    local port
    [ -r "$NGINX_UPSTREAM_FILE" ] ||
        fail "无法读取 nginx 的 upstream 文件 / cannot read $NGINX_UPSTREAM_FILE"
    port=$(sed -n 's/^upstream neostock_server .*127\.0\.0\.1:\([0-9]*\);.*/\1/p' \
        -- "$NGINX_UPSTREAM_FILE")
    case $port in
    "$BLUE_PORT") echo blue ;;
    "$GREEN_PORT") echo green ;;
    *) fail "$NGINX_UPSTREAM_FILE 里的 neostock_server 不指向蓝 ($BLUE_PORT) 或绿 ($GREEN_PORT)，而是：${port:-无}" \
        "/ names neither colour's port" ;;
    esac
}

idle_colour() {
    local live
    live=$(live_colour)
    if [ "$live" = blue ]; then echo green; else echo blue; fi
}

# Where a process of a colour listens: port_of blue server|web
port_of() {
    case $1-$2 in
    blue-server) echo "$BLUE_PORT" ;;
    green-server) echo "$GREEN_PORT" ;;
    blue-web) echo "$BLUE_WEB_PORT" ;;
    green-web) echo "$GREEN_WEB_PORT" ;;
    esac
}

# The full commit that a version names in this repository. What people approved is a commit: a tag
# that has moved since is refused.
commit_of() {
    local version=$1 commit
    case $version in
    '' | -* | *[[:space:]]*) refuse "不是版本 / not a version: '$version'" ;;
    esac
    commit=$(git rev-parse --verify --quiet --end-of-options "$version^{commit}") ||
        fail "无效的版本 $version：这里没有这个标签、分支或提交 / not a tag, branch or commit here"
    if [ "${NEOSTOCK_COMMIT_VERSION:-$commit}" != "$commit" ]; then
        fail "$version 在请求之后被移动了：批准的是 $NEOSTOCK_COMMIT_VERSION，现在指向 $commit。请重新发起" \
            "/ the version has moved since it was asked for: ask again"
    fi
    echo "$commit"
}

# What a health address says its version is. Fails when it does not answer 2xx with a version.
version_at() {
    local body
    body=$(curl --fail --silent --show-error --noproxy '*' --max-time 5 --url "$1" 2>&1) || {
        printf '%s\n' "$body"
        return 1
    }
    if [[ $body =~ \"version\"[[:space:]]*:[[:space:]]*\"([^\"]*)\" ]]; then
        printf '%s\n' "${BASH_REMATCH[1]}"
    else
        printf '回答里没有 "version" / no "version" in the answer: %.200s\n' "$body"
        return 1
    fi
}

# Whether an answered version is the wanted one: the words that were asked for, a tag of the same
# commit, either with or without its `v`, or the commit itself (at least seven digits of it).
#   is_version ANSWERED VERSION COMMIT
is_version() {
    local answered=$1 version=$2 commit=$3 name
    [ -n "$answered" ] || return 1
    while read -r name; do
        if [ "${answered#v}" = "${name#v}" ]; then
            return 0
        fi
    done < <(printf '%s\n' "$version" && git tag --points-at "$commit")
    [ ${#answered} -ge 7 ] && [[ $commit == "$answered"* ]]
}

answers() {
    curl --fail --silent --output /dev/null --noproxy '*' --max-time 5 --url "$1"
}

pm2_home() {
    echo "${PM2_HOME:-${HOME:-}/.pm2}"
}

# pm2 without the marks of this step in its environment: what it starts outlives the step. It says
# something only when it fails.
run_pm2() {
    local output
    if ! output=$(env -u NEOSTOCK_ATTEMPT -u NEOSTOCK_RUN pm2 --no-color "$@" 2>&1); then
        printf '%s\n' "$output" >&2
        return 1
    fi
}

# pm2 brings back at boot what it saved. The file holds the services' environment: for the owner only.
save_processes() {
    (umask 077 && run_pm2 save --force)
    chmod go-rwx -- "$(pm2_home)"/dump.pm2*
}

# One line of facts a table: its name, its rows, and a sum over the rows' hashes that does not depend
# on their order. What an extension brings along is its own affair.
TABLE_FACTS_SQL="
set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres';
set extra_float_digits = 1; set bytea_output = 'hex'; set lc_monetary = 'C';
set row_security = off; set search_path = pg_catalog;
select format('select %L, count(*), '
    'coalesce(sum((''x'' || left(md5((t.*)::text), 16))::bit(64)::bigint), 0) from only %I.%I t',
    format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't'
    and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
    and not exists (select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
\\gexec
"

# The schema of a database as text that two dumps of the same schema share.
#   schema_of [options of pg_dump…]
schema_of() {
    pg_dump --schema-only --no-owner --no-privileges "$@" |
        sed -E '/^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)?$/d'
}

database_settings_are() {
    settings_are BACKUP_DIR PGDATABASE
    [[ $PGDATABASE =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] ||
        refuse "PGDATABASE 不能用作文件名 / cannot be a file's name: $PGDATABASE"
    export PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}
}

# Every finished backup of this database, oldest first.
backups() {
    find "$BACKUP_DIR" -mindepth 1 -maxdepth 1 -type d \
        -name "$PGDATABASE-[0-9]*T[0-9]*Z" | LC_ALL=C sort
}

newest_backup() {
    local newest=
    if [ -d "$BACKUP_DIR" ]; then
        newest=$(backups | tail -n 1)
    fi
    if [ -z "$newest" ]; then
        printf '❌ 没有备份：%s 里没有 %s 的备份，请先运行 backup-database.sh / there is no backup here\n' \
            "$BACKUP_DIR" "$PGDATABASE" >&2
        exit 3
    fi
    echo "$newest"
}
