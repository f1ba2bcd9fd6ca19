# shellcheck shell=bash disable=SC2034
# What the scripts beside this one share. Sourced by them, never run by itself.

if [ "${BASH_VERSINFO[0]}" -lt 4 ]; then
    echo "❌ 需要 bash 4 或更新的版本 / needs bash 4 or later" >&2
    exit 2
fi

# What the end of a script means to whoever called it: could not be run, or not found out.
COULD_NOT_RUN=69

# Fields of the manifest and of psql's answers.
TAB=$'\t'

scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

say() {
    printf '%s\n' "$*"
}

# The result line: the last line that a script writes, one line of JSON that the bot reads.
#   {"result":NAME,"outcome":done|passed|failed|could_not_run|dry_run,"zh":…,"en":…,"figures":[…]}
# README.md says what it may hold; the bot reads no longer one.
RESULT_CHARS_MAX=300
RESULT_BYTES_MAX=4096
FIGURES_MAX=20
result=
# What a good end is: `done`, or `passed` of a check.
success='done'
# What is missing fails a deed; of a check it leaves nothing known.
absent=fail
# Set by whatever ends the script on purpose.
outcome=
words_zh=
words_en=
figures=()
is_dry_run=no
arguments=()
# For a script whose arguments hold the words of another program: the first ends its own options.
options_come_first=no

# Every script begins with it: answers `--help` with the script's opening comment, takes `--dry-run` from
# the arguments and leaves the others in `arguments`, refuses a wrong number of them, and writes the
# result line whatever the end is. What follows `--` is an argument, whatever it looks like.
#   begin RESULT MIN MAX "$@"
begin() {
    local min=$2 max=$3
    result=$1
    shift 3
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            sed -n '2,/^$/s/^# \{0,1\}//p' -- "$0"
            exit 0
            ;;
        --dry-run) is_dry_run=yes ;;
        --)
            shift
            arguments+=("$@")
            break
            ;;
        *)
            arguments+=("$1")
            if [ "$options_come_first" = yes ]; then
                shift
                arguments+=("$@")
                break
            fi
            ;;
        esac
        shift
    done
    # A signal may come while a command of the script writes elsewhere.
    exec {own_out}>&1 {own_err}>&2
    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ ${#arguments[@]} -lt "$min" ] || [ ${#arguments[@]} -gt "$max" ]; then
        refuse "参数个数不对：给了 ${#arguments[@]} 个" "wrong number of arguments: ${#arguments[@]}"
    fi
}

# The same for a check, which has three ends: passed (0), failed (1), could not be run (any other code).
# Only `passed` and `failed` give the first two: whatever else ends a check, an error of its own
# included, is turned into the third.
begin_check() {
    success=passed
    absent=cannot_run
    umask 077
    begin "$@"
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
    exec 1>&"$own_out" 2>&"$own_err"
    # A signal may come between a start and the note of it.
    if [ -n "$starting" ] && [ "${!:-}" != "$last_started" ]; then
        printf -v "$starting" '%s' "$!"
    fi
    stop_attended
    end_shown
    if [ -z "$outcome" ]; then
        judge_end "$code"
        code=$?
    fi
    clean_up "$code"
    code=$?
    tell_result
    exit "$code"
}

# Of an end that no function below has made: its outcome, its words, and its exit code.
judge_end() {
    case $1 in
    0)
        if [ "$success" = 'done' ] || [ -n "$words_zh" ]; then
            outcome=$success
            [ -n "$words_zh" ] || conclude "完成" "done"
            return 0
        fi
        ;;
    129 | 130 | 143)
        outcome=failed
        [ "$success" = 'done' ] || outcome=could_not_run
        conclude "被信号中止（退出码 $1），没有做完" "stopped by a signal before it was done (exit code $1)"
        printf '⛔ %s / %s\n' "$words_zh" "$words_en" >&2
        return "$1"
        ;;
    esac
    # bash 5.2 stumbles, with 2, over a trap whose signal comes while it substitutes a command.
    conclude "脚本意外结束（$1），见以上输出" "the script ended unexpectedly ($1): see what it said before"
    if [ "$success" = 'done' ]; then
        outcome=failed
        printf '❌ %s / %s\n' "$words_zh" "$words_en" >&2
        return 1
    fi
    outcome=could_not_run
    printf '⛔ %s / %s\n' "$words_zh" "$words_en" >&2
    return "$COULD_NOT_RUN"
}

# The words of the result, in both languages.
conclude() {
    words_zh=$1
    words_en=${2:-$1}
}

# A number that is compared with the last time's:  figure p99_ms 34.2 "P99（毫秒）" "P99, ms"
figure() {
    [[ $2 =~ ^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?$ ]] || return 0
    figures+=("{\"name\":\"$1\",\"value\":$2,\"zh\":$(json_text "$3"),\"en\":$(json_text "$4")}")
}

json_text() {
    local LC_ALL=C.UTF-8 text=$1
    if [[ $text == *[!\ -~]* ]] && command -v iconv >/dev/null; then
        # What is no UTF-8 is no JSON either.
        text=$(printf '%s' "$text" | iconv -c -f UTF-8 -t UTF-8) || true
    fi
    text=${text:0:RESULT_CHARS_MAX}
    text=${text//[[:cntrl:]]/ }
    text=${text//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

tell_result() {
    local line count=${#figures[@]} list
    if dry_run && { [ "$outcome" = 'done' ] || [ "$outcome" = passed ]; }; then
        outcome=dry_run
    fi
    [ "$count" -le "$FIGURES_MAX" ] || count=$FIGURES_MAX
    while true; do
        list=$(IFS=, && printf '%s' "${figures[*]:0:count}")
        line=$(printf '{"result":"%s","outcome":"%s","zh":%s,"en":%s,"figures":[%s]}' "$result" \
            "$outcome" "$(json_text "$words_zh")" "$(json_text "$words_en")" "$list")
        if [ "$count" -eq 0 ] || [ "$(printf '%s' "$line" | LC_ALL=C wc -c)" -lt "$RESULT_BYTES_MAX" ]; then
            break
        fi
        # The last figure goes rather than the whole line.
        count=$((count - 1))
    done
    printf '%s\n' "$line"
}

# The ends of a script. Both languages, each a whole sentence that names its object; never in a subshell,
# whose words would be lost.

# It is good: exit code 0.
succeed() {
    conclude "$@"
    say "✅ $words_zh / $words_en"
    outcome=$success
    exit 0
}

# Everything was looked at, and this is what would be done: exit code 0.
end_dry_run() {
    conclude "$@"
    say "🔎 试运行，什么都没有改变 / dry run, nothing was changed: $words_zh / $words_en"
    outcome=dry_run
    exit 0
}

# The step failed: exit code 1.
fail() {
    fail_with 1 "$@"
}

# It failed in a way that has an exit code of its own:  fail_with CODE ZH EN
fail_with() {
    conclude "${@:2}"
    printf '❌ %s\n' "$2${3:+ / $3}" >&2
    outcome=failed
    exit "$1"
}

# The two verdicts of a check.
passed() {
    succeed "$@"
}

failed() {
    fail "$@"
}

# It was called wrongly or set up wrongly; nothing was done: exit code 2.
refuse() {
    conclude "$@"
    printf '❌ %s\n' "$1${2:+ / $2}" >&2
    printf '用法见 / usage: %s --help\n' "$0" >&2
    outcome=could_not_run
    exit 2
}

# A tool, a file, the network or the database is missing, so nothing is known: exit code 69.
cannot_run() {
    conclude "$@"
    printf '⛔ %s\n' "$1${2:+ / $2}" >&2
    outcome=could_not_run
    exit "$COULD_NOT_RUN"
}

# For checks that tell every fault before they end.
faults=0

good() {
    say "✅ $*"
}

bad() {
    say "❌ $*"
    faults=$((faults + 1))
}

# Every one of these variables must have a value; names all that have none.
settings_are() {
    local name missing=()
    for name in "$@"; do
        [ -n "${!name:-}" ] || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        refuse "缺少设置：${missing[*]}" "not set: ${missing[*]}"
    fi
}

whole_number_is() {
    local name=$1
    [[ ${!name} =~ ^[1-9][0-9]{0,8}$ ]] ||
        refuse "$name 必须是正整数，现在是：${!name}" "$name must be a whole number, is: ${!name}"
}

programs_are() {
    local program missing=()
    for program in "$@"; do
        command -v -- "$program" >/dev/null || missing+=("$program")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        cannot_run "缺少程序：${missing[*]}（PATH=$PATH）" "programs not found: ${missing[*]} (PATH=$PATH)"
    fi
}

# Whether a folder is there, or could be made, and can be written to.
can_write_in() {
    local folder=$1
    while [ ! -e "$folder" ]; do
        folder=$(dirname -- "$folder")
    done
    [ -d "$folder" ] && [ -w "$folder" ]
}

# How long a program may take to end when it is told to, in tenths of a second.
END_TENTHS=20
# How much of a line of a program's output is shown.
LINE_CHARS=500
attended=
shown=
# Which of them is just being started, and what was started last before it.
starting=
last_started=

# Runs a program with its group, so that a signal to this script ends both at once. Nothing that it
# started stays when it has ended.
run_group() {
    local code=0
    last_started=${!:-}
    starting=attended
    set -m
    "$@" </dev/null {own_err}>&- {own_out}>&- &
    attended=$!
    starting=
    set +m
    wait "$attended" || code=$?
    stop_attended
    return "$code"
}

# The same, with its output into files, which may be one.
#   attend OUTPUT ERRORS program…
attend() {
    local output=$1 errors=$2
    shift 2
    : >"$output"
    : >"$errors"
    run_group "$@" >>"$output" 2>>"$errors"
}

# The same, with all its output into a file and shown, line by line, while it runs.
#   attend_shown FILE program…
attend_shown() {
    local file=$1 code=0
    shift
    rm -f -- "$file.pipe"
    mkfifo -- "$file.pipe"
    last_started=${!:-}
    starting=shown
    set -m
    show_lines "$file" <"$file.pipe" {own_err}>&- &
    shown=$!
    starting=
    set +m
    run_group "$@" >"$file.pipe" 2>&1 || code=$?
    end_shown
    return "$code"
}

# Not to be stopped: it ends with what it reads.
show_lines() {
    trap '' HUP INT TERM
    tee -- "$1" | sed -u -E -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/[[:cntrl:]]/ /g' \
        -e "s/^(.{$LINE_CHARS}).+/\\1…/" -e 's/^/   /' >&"$own_out"
}

# Waits until all was shown, and no longer where somebody keeps the pipe open.
end_shown() {
    local group=$shown tenths=0
    shown=
    [ -n "$group" ] || return 0
    while kill -0 "$group" 2>/dev/null && [ "$tenths" -lt "$END_TENTHS" ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    [ "$tenths" -lt "$END_TENTHS" ] || kill -KILL -- "-$group" 2>/dev/null || true
}

stop_attended() {
    local group=$attended tenths=0
    attended=
    if [ -z "$group" ] || ! kill -TERM -- "-$group" 2>/dev/null; then
        return 0
    fi
    while group_lives "$group"; do
        if [ "$tenths" -ge "$END_TENTHS" ]; then
            kill -KILL -- "-$group" 2>/dev/null || true
            return 0
        fi
        sleep 0.1
        tenths=$((tenths + 1))
    done
}

# Whether a process of the group is alive. Those that are dead stay until somebody buries them.
group_lives() {
    local file line state group
    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        read -r state _ group _ <<<"${line##*) }"
        if [ "$group" = "$1" ] && [[ $state != [ZX] ]]; then
            return 0
        fi
    done
    return 1
}

# Another script of this folder as a part of this one: all that it says but its result.
#   part SCRIPT argument…
part() {
    "$scripts/$1" "${@:2}" | sed -u '$d'
}

# The four ports of the pair, each a port and no two the same.
ports_are_set() {
    local name
    settings_are NGINX_UPSTREAM_FILE BLUE_PORT GREEN_PORT BLUE_WEB_PORT GREEN_WEB_PORT
    for name in BLUE_PORT GREEN_PORT BLUE_WEB_PORT GREEN_WEB_PORT; do
        whole_number_is "$name"
        [ "${!name}" -le 65535 ] || refuse "$name 不是端口：${!name}" "$name is not a port: ${!name}"
    done
    if [ -n "$(printf '%s\n' "$BLUE_PORT" "$GREEN_PORT" "$BLUE_WEB_PORT" "$GREEN_WEB_PORT" |
        sort | uniq -d)" ]; then
        refuse "四个端口必须各不相同" "the four ports must differ"
    fi
}

# Which colour gets the traffic and which does not, into `live` and `idle`: nginx's upstream file is the
# only place that knows. Where it does not say, the words of the result do, and it returns 1.
read_colours() {
    local port
    if [ -e "$NGINX_UPSTREAM_FILE.before" ]; then
        conclude "上一次流量切换没有做完：$NGINX_UPSTREAM_FILE.before 还在。请运行 switch-traffic.sh，它会先恢复" \
            "a switch was cut short: $NGINX_UPSTREAM_FILE.before is still there. Run switch-traffic.sh, which puts it back first"
        return 1
    fi
    if ! [ -r "$NGINX_UPSTREAM_FILE" ]; then
        conclude "无法读取 nginx 的 upstream 文件：$NGINX_UPSTREAM_FILE" "cannot read nginx's upstream file: $NGINX_UPSTREAM_FILE"
        return 1
    fi
    port=$(sed -n 's/^upstream neostock_server .*127\.0\.0\.1:\([0-9]*\);.*/\1/p' \
        -- "$NGINX_UPSTREAM_FILE")
    case $port in
    "$BLUE_PORT") live=blue idle=green ;;
    "$GREEN_PORT") live=green idle=blue ;;
    *)
        conclude "$NGINX_UPSTREAM_FILE 里的 neostock_server 不指向蓝 ($BLUE_PORT) 或绿 ($GREEN_PORT)，而是：${port:-无}" \
            "neostock_server of $NGINX_UPSTREAM_FILE names neither colour's port ($BLUE_PORT, $GREEN_PORT) but: ${port:-none}"
        return 1
        ;;
    esac
}

find_colours() {
    read_colours || "$absent" "$words_zh" "$words_en"
}

# There while a colour's folder is not a whole release.
unfinished_file() {
    echo "$RELEASES_DIR/.$1.unfinished"
}

# The files that somebody changed by hand in a colour's release; fails where it is no git worktree. What is
# half done was changed by nobody.
changes_in() {
    local folder=$RELEASES_DIR/$1
    if [ -e "$(unfinished_file "$1")" ] || [ ! -e "$folder" ]; then
        return 0
    fi
    if [ ! -e "$folder/.git" ]; then
        [ -d "$folder" ] && [ -z "$(ls -A -- "$folder")" ]
        return
    fi
    git --no-optional-locks -C "$folder" status --porcelain --untracked-files=no 2>/dev/null
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

# The full commit that a version names in this repository, into `commit`. What people approved is a
# commit: a tag that has moved since is refused.
find_commit() {
    local version=$1
    case $version in
    '' | -* | *[[:space:]]*) refuse "不是版本：'$version'" "not a version: '$version'" ;;
    esac
    programs_are git
    git rev-parse --git-dir >/dev/null 2>&1 ||
        cannot_run "这里不是可用的 git 仓库：$PWD" "not a git repository that can be used: $PWD"
    commit=$(git rev-parse --verify --quiet --end-of-options "$version^{commit}") ||
        "$absent" "错误: 无效的版本 $version：这里没有这个标签、分支或提交" \
            "invalid version $version: it is no tag, branch or commit here"
    if [ "${NEOSTOCK_COMMIT_VERSION:-$commit}" != "$commit" ]; then
        "$absent" "$version 在请求之后被移动了：批准的是 $NEOSTOCK_COMMIT_VERSION，现在指向 $commit。请重新发起" \
            "$version has moved since it was asked for, from $NEOSTOCK_COMMIT_VERSION to $commit: ask again"
    fi
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

# Whether something listens there that is not the colour's own process. pm2's file tells, so that asking
# starts no pm2.
#   is_taken server|web COLOUR
is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$2" "$1")") 2>/dev/null &&
        ! compgen -G "$(pm2_home)/pids/neostock-$1-$2-*.pid" >/dev/null
}

# Whether pm2's own process is there; asking pm2 itself would start one.
pm2_runs() {
    local pid
    { read -r pid <"$(pm2_home)/pm2.pid"; } 2>/dev/null || [ -n "${pid:-}" ] || return 1
    [[ $pid =~ ^[0-9]+$ ]] && [ -e "/proc/$pid" ]
}

# pm2 without the marks of this step in its environment: what it starts outlives the step. It says
# something only when it fails.
run_pm2() {
    local output
    if ! output=$(env -u NEOSTOCK_ATTEMPT -u NEOSTOCK_RUN pm2 --no-color "$@" 2>&1 {own_err}>&- {own_out}>&-); then
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
        refuse "PGDATABASE 不能用作文件名：$PGDATABASE" "PGDATABASE cannot be a file's name: $PGDATABASE"
    export PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}
}

# Every finished backup of this database, oldest first.
backups() {
    find "$BACKUP_DIR" -mindepth 1 -maxdepth 1 -type d \
        -name "$PGDATABASE-[0-9]*T[0-9]*Z" | LC_ALL=C sort
}

# Into `newest`; without one it ends with 3.
find_newest_backup() {
    newest=
    if [ -d "$BACKUP_DIR" ]; then
        newest=$(backups | tail -n 1)
    fi
    [ -n "$newest" ] ||
        fail_with 3 "没有备份：$BACKUP_DIR 里没有 $PGDATABASE 的备份，请先运行 backup-database.sh" \
            "there is no backup of $PGDATABASE in $BACKUP_DIR: run backup-database.sh first"
}
