#!/usr/bin/env bash
# Docker镜像安全扫描：检查这个提交里的每个 Dockerfile，用 hadolint 和自己的规则；镜像各层的漏洞只有在设置了带数据库的扫描器时才检查。
# Scans how a version's images are made: every Dockerfile of its commit, by hadolint and by checks of our own. What is
# vulnerable in the layers of a built image is found only by a scanner with a database: IMAGE_SCAN_COMMAND.
#
#   scan-image.sh [--dry-run] <version>  在服务的 git 仓库里运行 / run it in the service's repository
#   --dry-run   检查工具和设置，说明会扫描什么 / checks tools and settings, and says what would be scanned
#
# IMAGE_SCAN_COMMAND   可选：扫描镜像的命令，报告（SARIF 2.1、npm、bun 格式）写到标准输出；按空格分词，不经过 shell。
#                      设置了却没有可读的报告，就是未能检查
#                      optional: writes its report (SARIF 2.1) to standard output; words, no shell. Where it is set
#                      and gives no report that can be read, the scan could not be run
# SCAN_DIR             配置所在 / where hadolint.yaml is (../scan)
#
# 自己的规则 / our own checks: 非 root 用户 USER, HEALTHCHECK, 固定的基础镜像 pinned base image, 不 ADD 网址 no ADD of addresses,
# ENV/ARG/COPY 里没有机密 no secrets, 不把下载直接交给 shell no download piped into a shell.
# `# hadolint ignore=DL3003` 接受一处 accepts one, it is still listed.
#
# 退出码 / exit code: 0 没有高危发现 nothing high, 1 有发现，逐个列出 findings, which are listed, 2 用法或设置错误
# called or set wrongly, 69 未能扫描 could not be run: 没有 Dockerfile、缺少工具、文件读不懂、没有报告 no Dockerfile, a tool is
# missing, a file cannot be parsed, no report. 129 130 143 被中止 stopped.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-check.sh
. "$scripts/lib-check.sh"
# shellcheck source-path=SCRIPTDIR source=lib-scan.sh
. "$scripts/lib-scan.sh"

FILES_MAX=100

begin_scan scan.image 1 1 "$@"
version=${arguments[0]}
read -r -a layers <<<"${IMAGE_SCAN_COMMAND:-}"
find_commit "$version"
programs_are bun hadolint ${layers[0]:+"${layers[0]}"}
[ -r "$SCAN_DIR/hadolint.yaml" ] ||
    cannot_run "没有 hadolint 的配置：$SCAN_DIR/hadolint.yaml" "there is no hadolint configuration: $SCAN_DIR/hadolint.yaml"
rules=$(cd -- "$SCAN_DIR" && pwd -P)/hadolint.yaml

# Whatever docker or buildah would be told to build; examples within dependencies are no part of a commit.
files=()
while IFS= read -r -d '' file; do
    case ${file##*/} in
    Dockerfile | Dockerfile.* | *.Dockerfile | *.dockerfile | Containerfile | Containerfile.*)
        [ "${file##*.}" = dockerignore ] || files+=("$file")
        ;;
    esac
done < <(git ls-tree -r --full-tree --name-only -z "$commit")
if [ ${#files[@]} -eq 0 ]; then
    cannot_run "$version 里没有 Dockerfile，没有镜像可检查" "$version has no Dockerfile: there is no image to look at"
elif [ ${#files[@]} -gt "$FILES_MAX" ]; then
    cannot_run "$version 里有 ${#files[@]} 个 Dockerfile，最多检查 $FILES_MAX 个" \
        "$version has ${#files[@]} Dockerfiles, at most $FILES_MAX are looked at"
fi
if dry_run; then
    hadolint_version=$(hadolint --version 2>/dev/null) || cannot_run "hadolint 无法运行" "hadolint does not run"
    end_dry_run "会用 $hadolint_version 检查 $version (${commit:0:12}) 的 ${#files[@]} 个 Dockerfile；镜像层：${layers[*]:-不扫描，未设置 IMAGE_SCAN_COMMAND}" \
        "would look at ${#files[@]} Dockerfiles of $version (${commit:0:12}) with $hadolint_version; layers: ${layers[*]:-not scanned, IMAGE_SCAN_COMMAND is not set}"
fi
say "检查 $version (${commit:0:12}) 的 ${#files[@]} 个 Dockerfile / looking at Dockerfiles"
copy_commit
code=0
attend "$scratch/hadolint.json" "$log" env -i PATH="$PATH" HOME="$scratch/tmp" LANG=C.UTF-8 \
    hadolint --config "$rules" --format json --no-color --no-fail --disable-ignore-pragma -- "${files[@]}" || code=$?
if [ "$code" -ne 0 ]; then
    show_log
    cannot_run "hadolint 以 $code 退出" "hadolint ended with $code"
fi
layers_report=
if [ ${#layers[@]} -gt 0 ]; then
    layers_report=$scratch/layers.answer
    code=0
    attend "$scratch/layers.json" "$log" "${layers[@]}" || code=$?
    ours read-scan.js other <"$scratch/layers.json" >"$layers_report"
    read -r finding high lower <"$layers_report"
    if [ "$finding" = unreadable ] || { [ "$finding" = none ] && [ "$lower" -eq 0 ] && [ "$code" -ne 0 ]; }; then
        show_log
        cannot_run "镜像扫描器没有给出可读的报告（退出码 $code）" "the image's scanner gave no report that can be read (exit code $code)"
    fi
fi
run_scan scan-image.js "$scratch" "$layers_report" "${files[@]}"
conclude_scan "镜像（$version）" "the images of $version"
