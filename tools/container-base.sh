#!/usr/bin/env bash
# Makes what the test of the Dockerfile stands on, in a folder that is not there yet: base.tar, a
# Debian 12 as small as debian:12-slim, and packages/, where its apt-get finds what the Dockerfile
# installs. The image is then built without a network. Needs root, mmdebstrap and dpkg-scanpackages.
#
#   tools/container-base.sh build/container
set -euo pipefail

[ $# -eq 1 ] || {
    echo "usage: $0 FOLDER" >&2
    exit 2
}
folder=$(realpath -m -- "$1")
[ ! -e "$folder" ] || {
    echo "$0: $folder is there already: remove it to have it made anew" >&2
    exit 1
}
mkdir -p -- "$(dirname -- "$folder")"
made=$(mktemp -d -- "$folder.XXXXXX")
trap 'rm -rf -- "$made"' EXIT

mirror=http://deb.debian.org/debian
# What the Dockerfile installs, and what it only takes a program from.
installed='ca-certificates libpcre2-8-0 tini zlib1g'
unpacked=git
# What debian:12-slim leaves out.
left_out=()
for path in doc man info locale groff linda lintian; do
    left_out+=(--dpkgopt="path-exclude=/usr/share/$path/*")
done
left_out+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')

mkdir -- "$made/packages"
mmdebstrap --quiet --variant=minbase --include=usr-is-merged \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "${left_out[@]}" \
    --customize-hook="chroot \"\$1\" apt-get install -q -y --no-install-recommends --download-only $installed" \
    --customize-hook="chroot \"\$1\" sh -c 'cd /var/cache/apt/archives && apt-get download -q $unpacked'" \
    --customize-hook="cp \"\$1\"/var/cache/apt/archives/*.deb '$made/packages/'" \
    --customize-hook="echo 'deb [trusted=yes] file:/packages ./' >\"\$1/etc/apt/sources.list\"" \
    bookworm "$made/base.tar" "$mirror" >&2
(cd -- "$made/packages" && dpkg-scanpackages --multiversion . /dev/null 2>/dev/null >Packages)
chmod -R a+rX -- "$made"
mv -- "$made" "$folder"
