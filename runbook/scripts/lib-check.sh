# shellcheck shell=bash disable=SC2034
# What the checks of the deploy's checklist share: how they end and where they work. Sourced by them
# after lib.sh, never run by itself.
#
# A check has three ends: passed (0), failed (1), could not be run (any other code). Only `passed` and
# `failed` give the first two: whatever else ends a check, an error of its own included, is turned into
# the third. They are called by the script itself, never in a subshell.

# The scratch folder that every check works in, and its copy of the commit.
SCRATCH_PREFIX=neostock-check
# What is left of a check that was killed belongs to nobody any more.
LEFT_MINUTES=1440
# How long a program may take to end when it is told to, in tenths of a second.
END_TENTHS=20
# How much of a program's output is shown.
TAIL_LINES=40
LINE_CHARS=500

COULD_NOT_RUN=69

scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
verdict=none
scratch=
attended=
log=

passed() {
    say "✅ $*"
    verdict=passed
    exit 0
}

failed() {
    printf '❌ %s\n' "$*" >&2
    verdict=failed
    exit 1
}

cannot_run() {
    printf '⛔ 未能检查 / could not be run: %s\n' "$*" >&2
    verdict=not_run
    exit "$COULD_NOT_RUN"
}

# As in lib.sh; a refusal is the third end as well.
refuse() {
    printf '❌ %s\n' "$*" >&2
    printf '用法见 / usage: %s --help\n' "$0" >&2
    verdict=refused
    exit 2
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

# Every check begins with it: from here on it ends well whatever happens.
begin_check() {
    umask 077
    exec {told}>&2
    trap end_check EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Checks that leave more behind than a folder define their own.
clean_more() {
    :
}

# shellcheck disable=SC2317  # the trap calls it
end_check() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    # A signal may have come while a command of this script wrote elsewhere.
    exec 2>&"$told"
    stop_attended
    clean_more
    cd /
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    case $verdict-$code in
    passed-0 | failed-1 | not_run-* | refused-*) ;;
    none-129 | none-130 | none-143)
        printf '⛔ 检查被中止，没有结论 / the check was stopped, there is no verdict\n' >&2
        ;;
    *)
        # bash 5.2 stumbles, with 2, over a trap whose signal comes while it substitutes a command.
        printf '⛔ 未能检查 / could not be run: 脚本意外结束 / the script ended unexpectedly (%s)\n' "$code" >&2
        code=$COULD_NOT_RUN
        ;;
    esac
    exit "$code"
}

programs_are() {
    local program missing=()
    for program in "$@"; do
        command -v -- "$program" >/dev/null || missing+=("$program")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        cannot_run "缺少程序 / programs not found: ${missing[*]} (PATH=$PATH)"
    fi
}

# The commit to check, into `commit`. A version that is not here is not checked.
find_commit() {
    local code=0
    programs_are git
    git rev-parse --git-dir >/dev/null 2>&1 ||
        cannot_run "这里不是可用的 git 仓库 / not a git repository that can be used: $PWD"
    commit=$(commit_of "$1") || code=$?
    case $code in
    0) ;;
    2)
        verdict=refused
        exit 2
        ;;
    *) cannot_run "没有可检查的提交 / there is no commit to check" ;;
    esac
}

make_scratch() {
    local parent=${TMPDIR:-/tmp} name
    # Its name is known before it is there: a signal may come as soon as it is.
    name=$(mktemp -u -- "$parent/$SCRATCH_PREFIX-XXXXXX")
    scratch=$name
    if ! mkdir -m 700 -- "$scratch"; then
        scratch=
        cannot_run "无法建立临时目录 / no scratch folder can be made in $parent"
    fi
    find "$parent" -mindepth 1 -maxdepth 1 -type d -user "$(id -u)" -name "$SCRATCH_PREFIX-??????" \
        -mmin "+$LEFT_MINUTES" -exec rm -rf -- {} + || true
    mkdir -- "$scratch/tmp"
    log=$scratch/log
}

# The commit as a repository of its own: nothing that runs there can write to the real one.
copy_commit() {
    local git=(git -c core.hooksPath=/dev/null) source
    [ -n "$scratch" ] || make_scratch
    source=$(git rev-parse --git-common-dir)
    if ! "${git[@]}" clone --quiet --shared --no-checkout -- "$source" "$scratch/copy" >"$log" 2>&1 ||
        ! "${git[@]}" -C "$scratch/copy" remote remove origin >"$log" 2>&1 ||
        ! "${git[@]}" -C "$scratch/copy" checkout --quiet --detach "$commit" >"$log" 2>&1; then
        show_log
        cannot_run "无法取出提交 / the commit cannot be checked out: $commit"
    fi
    cd -- "$scratch/copy" || exit
}

# Runs a program with its group, so that a signal to this script ends both at once. Nothing that it
# started stays when it has ended. Its output goes to files, which may be one.
#   attend OUTPUT ERRORS program…
attend() {
    local output=$1 errors=$2 code=0
    shift 2
    : >"$output"
    : >"$errors"
    set -m
    "$@" </dev/null >>"$output" 2>>"$errors" {told}>&- &
    attended=$!
    set +m
    wait "$attended" || code=$?
    stop_attended
    return "$code"
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

# The version's own programs get what a program needs and nothing that leads to the real service: no
# database, no secret. CHECK_VARIABLES names what they need besides. In a subshell of its own.
apart() (
    # A copy: it is among those that go.
    more=" ${CHECK_VARIABLES:-} "
    for name in $(compgen -e); do
        case $name in
        PATH | HOME | USER | LOGNAME | LANG | LC_* | TZ | *_proxy | *_PROXY | SSL_CERT_* | NODE_EXTRA_CA_CERTS) ;;
        BUN_* | npm_config_* | NPM_CONFIG_* | PLAYWRIGHT_* | TEST_* | NEOSTOCK_ATTEMPT | NEOSTOCK_RUN) ;;
        *) [[ $more == *" $name "* ]] || unset "$name" 2>/dev/null || true ;;
        esac
    done
    export CI=1 NO_COLOR=1 TMPDIR=$scratch/tmp
    "$@"
)

show_log() {
    sed -E 's/\x1b\[[0-9;?]*[A-Za-z]//g' -- "$log" | tail -n "$TAIL_LINES" |
        sed -E "s/^(.{$LINE_CHARS}).+/\\1…/; s/^/   /"
}

# A program of ours in JavaScript, away from the .env and bunfig.toml of whatever folder this is.
ours() {
    (cd -- "$scripts" && bun "./$1" "${@:2}")
}

# What is locked is installed; without that nothing of the version can be run.
install_dependencies() {
    programs_are bun
    if [ ! -e bun.lock ] && [ ! -e bun.lockb ]; then
        # `--frozen-lockfile` would install whatever is newest.
        cannot_run "这个版本没有提交 bun.lock，依赖无法锁定 / no bun.lock is committed"
    fi
    attend "$log" "$log" apart bun install --frozen-lockfile || {
        show_log
        cannot_run "依赖安装失败 / bun install failed"
    }
}

# Whether a package.json on standard input has a script: 3 when it has none, 4 when it cannot be read. bun
# itself fails otherwise.
has_script() {
    (cd -- "$scripts" && bun -e '
        const text = await Bun.stdin.text();
        let scripts;
        try { scripts = JSON.parse(text).scripts ?? {}; } catch { process.exit(4); }
        process.exit(Object.hasOwn(scripts, process.argv.at(-1)) ? 0 : 3);
    ' "$1")
}

# How many tests a log says have passed or failed; nothing when it does not say. It knows the closing
# lines of bun; playwright; vitest and jest; node and TAP; mocha.
tests_in() {
    sed -E 's/\x1b\[[0-9;?]*[A-Za-z]//g' -- "$1" |
        grep -E -e '^ *[0-9]+ (pass|fail)$' -e '^ *[0-9]+ (passed|failed|flaky|passing|failing)( \(.*\))?$' \
            -e '^ *Tests:? .*[0-9]+ (passed|failed)' -e '^(#|ℹ) (pass|fail) [0-9]+$' |
        grep -oE '[0-9]+ (pass|fail|flaky)|(pass|fail) [0-9]+' |
        awk '{ sum += $1 + $2 } END { if (NR) print sum }'
}

# Every suite must be a script of the root's package.json.
suites_are() {
    local suite missing=()
    programs_are bun
    for suite in "$@"; do
        has_script "$suite" <package.json || missing+=("$suite")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        cannot_run "根目录 package.json 没有这些脚本 / the root's package.json has no script: ${missing[*]}"
    fi
}

# Runs suites one after the other, all of them; the caller's closing words come after.
#   run_suites WORDS suite…
run_suites() {
    local words=$1 suite wrong=() unrun=()
    shift
    for suite in "$@"; do
        run_suite "$suite"
    done
    if [ ${#wrong[@]} -gt 0 ]; then
        failed "$words未通过 / failed: ${wrong[*]}${unrun[*]:+；未能执行 / could not be run: ${unrun[*]}}"
    elif [ ${#unrun[@]} -gt 0 ]; then
        cannot_run "$words没有真正执行 / was not really run: ${unrun[*]}"
    fi
}

# Into `wrong` or `unrun` of the caller where it is not good.
run_suite() {
    local suite=$1 code=0 tests
    say "▶ bun run $suite"
    attend "$log" "$log" apart bun run "$suite" || code=$?
    # Without such a line the pipe fails, which is no fault of its own.
    tests=$(tests_in "$log") || true
    case $code in
    0)
        if [ "${tests:-0}" -gt 0 ]; then
            say "  $suite：$tests 个测试通过 / tests passed"
            return
        fi
        unrun+=("$suite")
        say "  $suite：一个测试也没有执行 / not one test was run"
        ;;
    126 | 127 | 137 | 143)
        unrun+=("$suite")
        say "  $suite：程序缺失或被终止 / a program is missing or was killed ($code)"
        ;;
    *)
        if [ -z "$tests" ] && grep -qiE 'did not match any test files|no tests? (files )?found' -- "$log"; then
            unrun+=("$suite")
            say "  $suite：没有测试 / there are no tests"
        else
            wrong+=("$suite")
            say "  $suite：未通过，最后的输出 / failed, its last lines:"
        fi
        ;;
    esac
    show_log
}

# A text without its SQL comments and semicolons: whether anything is left to be done.
is_empty_sql() {
    # grep reads to the end: what writes to it must not die of a closed pipe.
    ! sed -e 's/--.*$//' | tr '\n' ' ' | sed -e 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' |
        grep '[^[:space:];]' >/dev/null
}

# Every migration that one commit has and another has not, one path a line; without the other, all.
#   migrations_of COMMIT [OTHER]
migrations_of() {
    local folder=${MIGRATIONS_DIR:-apps/server/db}
    {
        if [ -n "${2:-}" ]; then
            git diff --no-renames --diff-filter=A --name-only -z "$2" "$1" -- ":(top,literal)$folder"
        else
            git ls-tree -r --full-tree --name-only -z "$1" -- "$folder"
        fi
    } | tr '\n\0' ' \n' | sed -n -e '/\.down\.sql$/d' -e '/\.sql$/p'
}

# Whether the commit's apps/server has a script, as `has_script` says it.
server_has() {
    git show "$commit:apps/server/package.json" 2>/dev/null | has_script "$1"
}

# Of a version that migrates, no migrations where they are looked for are migrations elsewhere.
migrations_are_found() {
    if server_has db:migrate && [ -z "$(migrations_of "$commit")" ]; then
        cannot_run "有 db:migrate，却在 ${MIGRATIONS_DIR:-apps/server/db} 里找不到 .sql 迁移，请设置 MIGRATIONS_DIR" \
            "/ there is db:migrate, but no .sql migration: set MIGRATIONS_DIR"
    fi
}

# Whether the commit can undo a migration: there is a file beside it that does something.
is_reversible() {
    local commit=$1 up=$2 down
    down=${up%.sql}
    down=${down%.up}.down.sql
    git cat-file -e "$commit:$down" 2>/dev/null && ! git show "$commit:$down" | is_empty_sql
}
