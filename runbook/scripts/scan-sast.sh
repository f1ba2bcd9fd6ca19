#!/usr/bin/env bash
# 静态代码安全分析(SAST)：用 semgrep 和本地规则检查这个提交的源码，用 gitleaks 在源码和它的全部历史里找机密。
# Static analysis of a version: semgrep with our own rules on its sources, and gitleaks for secrets in them and
# in all of its history. Neither needs a network; nothing of what is found is sent anywhere, no secret is shown.
#
#   scan-sast.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#   --dry-run   检查工具和规则，说明会扫描什么 / checks tools and rules, and says what would be scanned
#
# SCAN_DIR    规则所在 / where rules/*.yml and gitleaks.toml are (../scan)
#
# 接受一处发现 / to accept a finding: `// nosemgrep: RULE` 写在该行或上一行 on its line or the one before; `.gitleaksignore`
# 写入指纹 a fingerprint. 它们仍会列出，但不阻止 they are still listed, and do not block.
#
# 退出码 / exit code: 0 没有高危发现 nothing high, 1 有发现，逐个列出 findings, which are listed, 2 用法或设置错误
# called or set wrongly, 69 未能扫描 could not be run: 缺少工具、规则读不懂、文件读不懂、没有可扫描的文件、历史不完整
# a tool is missing, a rule or a file cannot be parsed, nothing is there to scan, the history is not complete.
# 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"
# shellcheck source-path=SCRIPTDIR source=lib-scan.sh
. "$scripts/lib-scan.sh"

# gitleaks's exit code for "there are some", which it does not use for anything else.
LEAKS=42
# One file's time for one rule: what takes longer is told as not scanned.
RULE_SECS_MAX=30

begin_scan scan.sast 1 1 "$@"
version=${arguments[0]}
find_commit "$version"
programs_are bun semgrep gitleaks
rules_dir=$SCAN_DIR/rules
rules=$(cat -- "$rules_dir"/*.yml 2>/dev/null | grep -cE '^ *- id: ') ||
    cannot_run "没有 semgrep 规则：$rules_dir" "there are no semgrep rules: $rules_dir"
[ -r "$SCAN_DIR/gitleaks.toml" ] ||
    cannot_run "没有 gitleaks 的配置：$SCAN_DIR/gitleaks.toml" "there is no gitleaks configuration: $SCAN_DIR/gitleaks.toml"
rules_dir=$(cd -- "$rules_dir" && pwd -P)
secrets_file=$(cd -- "$SCAN_DIR" && pwd -P)/gitleaks.toml

# Away from whatever the caller's home or environment says of them.
tool() {
    env -u GITLEAKS_CONFIG -u GITLEAKS_CONFIG_TOML -u SEMGREP_RULES -u SEMGREP_APP_TOKEN -u SEMGREP_BASELINE_COMMIT \
        HOME="$scratch/tmp" XDG_CONFIG_HOME="$scratch/tmp" TMPDIR="$scratch/tmp" NO_COLOR=1 \
        SEMGREP_ENABLE_VERSION_CHECK=0 SEMGREP_SEND_METRICS=off SEMGREP_LOG_FILE="$scratch/semgrep.log" \
        SEMGREP_SETTINGS_FILE="$scratch/semgrep.yml" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 "$@"
}

# Semgrep on a folder, its report to a file. What the version itself says of what is to be left out does not count.
run_semgrep() {
    local code=0
    attend "$scratch/semgrep.out" "$log" tool semgrep scan --config "$rules_dir" --json --output "$1" --quiet --metrics=off \
        --disable-version-check --disable-nosem --no-git-ignore --x-ignore-semgrepignore-files --jobs 1 \
        --timeout "$RULE_SECS_MAX" --max-target-bytes 0 -- . || code=$?
    if [ "$code" -ne 0 ] || [ ! -s "$1" ]; then
        show_log
        cannot_run "semgrep 以 $code 退出，规则或文件读不懂" "semgrep ended with $code: a rule or a file cannot be read"
    fi
}

# gitleaks with what is shown blotted out.
#   run_gitleaks REPORT git|dir arguments…
run_gitleaks() {
    local report=$1 kind=$2 code=0
    shift 2
    attend "$scratch/gitleaks.out" "$log" tool gitleaks "$kind" --config "$secrets_file" --redact=100 --no-banner --no-color \
        --ignore-gitleaks-allow --gitleaks-ignore-path "$scratch/copy" --report-format json --report-path "$report" \
        --exit-code "$LEAKS" "$@" || code=$?
    if { [ "$code" -ne 0 ] && [ "$code" -ne "$LEAKS" ]; } || [ ! -s "$report" ]; then
        show_log
        cannot_run "gitleaks 以 $code 退出" "gitleaks ended with $code"
    fi
}

if dry_run; then
    mkdir -- "$scratch/empty" && cd -- "$scratch/empty"
    run_semgrep "$scratch/semgrep.json"
    semgrep_version=$(tool semgrep --version 2>/dev/null) || cannot_run "semgrep 无法运行" "semgrep does not run"
    gitleaks_version=$(tool gitleaks version 2>/dev/null) || cannot_run "gitleaks 无法运行" "gitleaks does not run"
    end_dry_run "会用 semgrep $semgrep_version（$rules 条规则）和 gitleaks $gitleaks_version 扫描 $version (${commit:0:12}) 及其历史" \
        "would scan $version (${commit:0:12}) and its history with semgrep $semgrep_version ($rules rules) and gitleaks $gitleaks_version"
fi
if [ "$(git rev-parse --is-shallow-repository)" != false ]; then
    cannot_run "仓库是浅克隆，历史不完整：请 git fetch --unshallow" \
        "the repository is shallow, its history is not complete: git fetch --unshallow"
fi
say "在临时副本中扫描 $version (${commit:0:12}) / scanning a scratch copy"
copy_commit
# The history apart from the sources, so that neither is read as the other.
mv -- .git "$scratch/history"
run_semgrep "$scratch/semgrep.json"
run_gitleaks "$scratch/sources.json" dir .
# A merge is looked at as what it brings to its first parent: git log leaves merges out otherwise.
run_gitleaks "$scratch/history.json" git --log-opts="--diff-merges=first-parent $commit" "$scratch/history"
commits=$(sed -nE 's/.* ([0-9]+) commits scanned\.?.*/\1/p' -- "$log" | tail -n 1)
run_scan scan-sast.js "$scratch" "$rules" "${commits:-0}"
conclude_scan "SAST（$version）" "SAST of $version"
