# shellcheck shell=bash disable=SC2034,SC2154
# What the checks of the deploy's checklist share: where they work, and how suites are run. Sourced by them
# after lib.sh, never run by itself.

# The scratch folder that every check works in, and its copy of the commit.
SCRATCH_PREFIX=neostock-check
# What is left of a check that was killed belongs to nobody any more.
LEFT_MINUTES=1440
# How much of a program's output is shown.
TAIL_LINES=40
# How many figures of a suite's own are taken: the others are tests, failed and seconds.
SUITE_FIGURES_MAX=$((FIGURES_MAX - 3))
# A scanner's report that is larger is not read.
REPORT_BYTES_MAX=67108864

scratch=
log=

# Checks that leave more behind than a folder define their own.
clean_more() {
    :
}

# shellcheck disable=SC2317  # `end` calls it
clean_up() {
    clean_more
    cd /
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    return "$1"
}

make_scratch() {
    local parent=${TMPDIR:-/tmp} name
    # Its name is known before it is there: a signal may come as soon as it is.
    name=$(mktemp -u -- "$parent/$SCRATCH_PREFIX-XXXXXX")
    scratch=$name
    if ! mkdir -m 700 -- "$scratch"; then
        scratch=
        cannot_run "无法在 $parent 建立临时目录" "no scratch folder can be made in $parent"
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
        cannot_run "无法取出提交：$commit" "the commit cannot be checked out: $commit"
    fi
    cd -- "$scratch/copy" || exit
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

# A program of ours in JavaScript, away from the .env and bunfig.toml of whatever folder this is; bun keeps
# nothing of it.
ours() {
    (cd -- "$scripts" && BUN_RUNTIME_TRANSPILER_CACHE_PATH=0 bun "./$1" "${@:2}")
}

# Without a lock file `--frozen-lockfile` would install whatever is newest.
lock_is_committed() {
    git cat-file -e "$commit:bun.lock" 2>/dev/null || git cat-file -e "$commit:bun.lockb" 2>/dev/null ||
        cannot_run "这个版本没有提交 bun.lock，依赖无法锁定" "this version has no bun.lock committed, so nothing locks what it depends on"
}

# What is locked is installed; without that nothing of the version can be run.
install_dependencies() {
    programs_are bun
    lock_is_committed
    attend "$log" "$log" apart bun install --frozen-lockfile || {
        show_log
        cannot_run "依赖安装失败（bun install）" "the dependencies could not be installed (bun install)"
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

# How many tests a log says there were and how many of them failed; nothing when it does not say. It knows
# the closing lines of bun; playwright; vitest and jest; node and TAP; mocha.
tests_in() {
    sed -E 's/\x1b\[[0-9;?]*[A-Za-z]//g' -- "$1" |
        grep -E -e '^ *[0-9]+ (pass|fail)$' -e '^ *[0-9]+ (passed|failed|flaky|passing|failing)( \(.*\))?$' \
            -e '^ *Tests:? .*[0-9]+ (passed|failed)' -e '^(#|ℹ) (pass|fail) [0-9]+$' |
        grep -oE '[0-9]+ (pass|fail|flaky)|(pass|fail) [0-9]+' |
        awk '{ sum += $1 + $2 } /fail/ { wrong += $1 + $2 } END { if (NR) print sum, wrong + 0 }'
}

# Every suite must be a script of the root's package.json.
suites_are() {
    local suite missing=()
    programs_are bun
    for suite in "$@"; do
        git show "$commit:package.json" 2>/dev/null | has_script "$suite" || missing+=("$suite")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        cannot_run "根目录的 package.json 没有这些脚本：${missing[*]}" \
            "the root's package.json has no script: ${missing[*]}"
    fi
}

# Runs suites of a version in a scratch copy of its commit, all of them, whichever fail; ends the check. The
# words name what they are together:  check_suites VERSION ZH EN suite…
check_suites() {
    local version=$1 zh=$2 en=$3 suite wrong=() unrun=() began=$SECONDS all=0 all_wrong=0 own
    shift 3
    find_commit "$version"
    suites_are "$@"
    lock_is_committed
    if dry_run; then
        end_dry_run "会在 $version (${commit:0:12}) 的临时副本中安装依赖并执行：$*" \
            "would install and run in a scratch copy of $version (${commit:0:12}): $*"
    fi
    say "在临时副本中执行 $version (${commit:0:12}) 的${zh} / in a scratch copy: $*"
    copy_commit
    install_dependencies
    if [ -n "${TEST_DATABASE_URL:-}" ]; then
        export DATABASE_URL=$TEST_DATABASE_URL
        CHECK_VARIABLES="${CHECK_VARIABLES:-} DATABASE_URL"
    fi
    for suite in "$@"; do
        run_suite "$suite" $#
    done
    own=("${figures[@]}")
    figures=()
    figure tests "$all" "测试" "tests"
    figure failed "$all_wrong" "未通过" "failed"
    figure seconds "$((SECONDS - began))" "用时（秒）" "time, s"
    figures+=("${own[@]}")
    if [ ${#wrong[@]} -gt 0 ]; then
        failed "${zh}未通过：${wrong[*]}${unrun[*]:+；未能执行：${unrun[*]}}（$all 个测试中 $all_wrong 个未通过）" \
            "$en failed: ${wrong[*]}${unrun[*]:+; could not be run: ${unrun[*]}} ($all_wrong of $all tests)"
    elif [ ${#unrun[@]} -gt 0 ]; then
        cannot_run "${zh}没有真正执行：${unrun[*]}" "nothing of $en was really run: ${unrun[*]}"
    fi
    passed "${zh}全部通过：$all 个测试（$*）" "$en passed, all $all tests of: $*"
}

# Into `wrong` or `unrun` of the caller where it is not good. One that is alone has what it has measured for
# figures, one of several its count and time.
#   run_suite SUITE HOW_MANY
run_suite() {
    local suite=$1 code=0 tests=0 failures=0 began=$SECONDS name
    say "▶ bun run $suite"
    attend_shown "$log" apart bun run "$suite" || code=$?
    # Without such a line there is nothing to be read, which is no fault of its own.
    read -r tests failures < <(tests_in "$log") || true
    tests=${tests:-0}
    failures=${failures:-0}
    all=$((all + tests))
    all_wrong=$((all_wrong + failures))
    if [ "$2" -eq 1 ]; then
        suite_figures
    else
        name=${suite#test:}
        name=${name//[^a-z0-9]/_}
        figure "${name}_tests" "$tests" "$suite：测试" "$suite: tests"
        figure "${name}_seconds" "$((SECONDS - began))" "$suite：用时（秒）" "$suite: time, s"
    fi
    case $code in
    0)
        if [ "$tests" -gt 0 ]; then
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
        if [ "$tests" -eq 0 ] && grep -qiE 'did not match any test files|no tests? (files )?found' -- "$log"; then
            unrun+=("$suite")
            say "  $suite：没有测试 / there are no tests"
        else
            wrong+=("$suite")
            say "  $suite：未通过 / failed"
        fi
        ;;
    esac
}

# What a suite has measured itself: its lines `figure NAME VALUE`, the last of each name.
suite_figures() {
    local name value count=0
    while read -r _ name value; do
        [[ " tests failed seconds " != *" $name "* ]] || continue
        count=$((count + 1))
        [ "$count" -gt "$SUITE_FIGURES_MAX" ] || figure "$name" "$value" "$name" "$name"
    done < <(sed -nE 's/^ *(figure [a-z][a-z0-9_]{0,39} -?[0-9]+(\.[0-9]+)?) *$/\1/p' -- "$log" |
        awk '{ if (!($2 in value)) order[++count] = $2; value[$2] = $3 }
            END { for (at = 1; at <= count; at++) print "figure", order[at], value[order[at]] }')
    if [ "$count" -gt "$SUITE_FIGURES_MAX" ]; then
        say "⚠️ 只记录前 $SUITE_FIGURES_MAX 个数字，共 $count 个 / only the first $SUITE_FIGURES_MAX of $count figures are kept"
    fi
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
            "there is db:migrate, but no .sql migration in ${MIGRATIONS_DIR:-apps/server/db}: set MIGRATIONS_DIR"
    fi
}

# Whether the commit can undo a migration: there is a file beside it that does something.
is_reversible() {
    local commit=$1 up=$2 down
    down=${up%.sql}
    down=${down%.up}.down.sql
    git cat-file -e "$commit:$down" 2>/dev/null && ! git show "$commit:$down" | is_empty_sql
}

# The dependencies of a version, as a scanner with a database of advisories sees them; ends the check.
#   check_dependencies VERSION
check_dependencies() {
    local version=$1 scan report code=0 kind=other answer finding high lower
    read -r -a scan <<<"${SCAN_COMMAND:-bun audit --json}"
    [ ${#scan[@]} -gt 0 ] || refuse "SCAN_COMMAND 是空的" "SCAN_COMMAND is empty"
    find_commit "$version"
    programs_are bun "${scan[0]}"
    if dry_run; then
        end_dry_run "会在 $version (${commit:0:12}) 的临时副本中执行：${scan[*]}" \
            "would run in a scratch copy of $version (${commit:0:12}): ${scan[*]}"
    fi
    say "在临时副本中扫描 $version (${commit:0:12}) / scanning a scratch copy: ${scan[*]}"
    copy_commit
    report=$scratch/report
    attend "$report" "$log" "${scan[@]}" || code=$?

    if [ "$(stat -c %s -- "$report")" -gt "$REPORT_BYTES_MAX" ]; then
        cannot_run "扫描报告过大：超过 $REPORT_BYTES_MAX 字节" "the scanner's report is larger than $REPORT_BYTES_MAX bytes"
    fi
    if [ "${scan[0]##*/} ${scan[1]:-}" = "bun audit" ]; then
        kind=bun
    fi
    answer=$(ours read-scan.js "$kind" <"$report")
    read -r finding high lower <<<"${answer%%$'\n'*}"
    figure findings_high "${high:-}" "高危漏洞" "high findings"
    figure findings_lower "${lower:-}" "较低的漏洞" "lower findings"
    case $finding in
    high)
        say "${answer#*$'\n'}"
        failed "$version 有 $high 个高危漏洞（较低的 $lower 个）" \
            "$version has $high high or critical findings (and $lower lower)"
        ;;
    none)
        if [ "$lower" -eq 0 ] && [ "$code" -ne 0 ]; then
            show_log
            cannot_run "报告没有发现任何问题，扫描器却以 $code 退出" "nothing was reported, but the scanner ended with $code"
        fi
        passed "$version 没有高危漏洞（较低的 $lower 个）" "$version has no high or critical finding (lower: $lower)"
        ;;
    *)
        show_log
        cannot_run "扫描报告无法读取（$code）：${answer#unreadable }" "the scanner's report cannot be read ($code): ${answer#unreadable }"
        ;;
    esac
}
