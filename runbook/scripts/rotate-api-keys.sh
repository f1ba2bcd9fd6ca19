#!/usr/bin/env bash
# API 密钥轮换（每 90 天）：新旧两把密钥同时有效一小段时间，使用方确认能用新密钥后才吊销旧的。
# Rotates an API key (every 90 days): both are valid for a while, and the old one is revoked only after its
# consumer works with the new one.
#
#   rotate-api-keys.sh [name] [--dry-run]     密钥名 / the key's name (web)
#
# API_KEY_FILE      使用方（apps/web）读取密钥的文件 / the file that the consumer, apps/web, reads its key from
# DATABASE_URL      线上版本的 `keys` 命令用它 / for the `keys` command of the live release
# RELEASES_DIR, NGINX_UPSTREAM_FILE, BLUE_PORT, GREEN_PORT, BLUE_WEB_PORT, GREEN_WEB_PORT
# OVERLAP_SECONDS   两把密钥同时有效多少秒 / how long both stay valid after the change (5)
# KEY_MAX_DAYS      密钥最多用几天，--dry-run 据此判断 / how old a key may be, for --dry-run to say (90)
# CONSUMER_WITHIN   使用方最迟几秒用上新密钥 / seconds within which the consumer must use it (15)
#
# 步骤 / steps: 新建 → 验证 → 写入文件 → 使用方验证 → 重叠 → 吊销旧的 → 再验证
#               create → verify → write the file → verify the consumer → overlap → revoke the old → verify again
# 吊销之前任何失败：旧密钥继续有效，文件还原，新密钥吊销。中途被杀：再运行一次即可，它先收尾。
# A failure before the revocation leaves the old key in force, puts the file back and revokes the new one. Killed in
# between: run it again, it first finishes or cleans up what it finds.
# 吊销不可撤销。同名的其他有效密钥都会被吊销：一个名字只属于一个使用方。密钥不会出现在命令行和输出里。
# A revocation cannot be undone. Every other valid key of the name is revoked too: a name belongs to one consumer.
# Keys are never on a command line or in the output.
#
# 退出码 / exit code: 0 完成 done, 1 失败，旧密钥仍有效 failed, the old key is in force, 2 用法或设置错误 called or set wrongly,
# 4 旧密钥已吊销，但新密钥未通过最后验证，立即处理 the old key is revoked, but the new one did not pass the last look: act
# at once, 69 未能执行，什么都没改 could not be run, nothing was changed, 129、130、143 被中止，同样还原 stopped, undone as well.

# shellcheck disable=SC2317  # the end calls what undoes
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-upkeep.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib-upkeep.sh"

REVOKED_BUT_ILL=4
OVERLAP_SECONDS_MAX=3600
DAY_SECS=86400
KEY='nsk_[A-Za-z0-9_-]{20,200}'
ID=$KEY_ID

# How far it has come: what must be undone when it ends here.
#   nothing → creating → created → written → revoking → revoked
stage=nothing
new=
new_id=
old=
old_id=
known=()
pause=

# The id by which the server knows a key, into `who`: nothing where it refuses it.
ask_server() {
    local answer
    who=
    answer=$(printf 'header = "x-api-key: %s"\n' "$1" |
        curl --silent --noproxy '*' --max-time 10 --config - --write-out '\n%{http_code}' \
            --url "$server/api/trpc/keys.whoami") || return 1
    case ${answer##*$'\n'} in
    200)
        [[ $answer =~ \"id\":\"($ID)\" ]] || return 1
        who=${BASH_REMATCH[1]}
        ;;
    401 | 403) ;;
    *) return 1 ;;
    esac
}

# The id of the key that the consumer works with, into `who`: nothing where it has none that works.
ask_consumer() {
    local answer
    who=
    answer=$(curl --silent --noproxy '*' --max-time 10 --url "$web/status") || return 1
    [[ $answer =~ \"key\":(\"($ID)\"|null) ]] || return 1
    who=${BASH_REMATCH[2]}
}

# Asks until the consumer works with this key.
consumer_uses() {
    local deadline=$((SECONDS + CONSUMER_WITHIN))
    while true; do
        if ask_consumer && [ "$who" = "$1" ]; then return 0; fi
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# The valid keys of the name, oldest first: `valid`, and of each its age in `created`.
find_valid() {
    local line
    list_keys || return 1
    valid=()
    while read -r line; do
        read_key "$line" || continue
        names[$key_id]=$key_name
        created[$key_id]=$key_created
        if [ "$key_name" = "$name" ] && [ "$key_is_valid" = yes ]; then valid+=("$key_id"); fi
    done <<<"$key_list"
    mapfile -t valid < <(for id in "${valid[@]}"; do printf '%s %s\n' "${created[$id]}" "$id"; done |
        sort -k1,1n -k2,2V | cut -d ' ' -f 2)
}

# The same where the words of the result are said already.
look_again() {
    local zh=$words_zh en=$words_en
    find_valid && return 0
    conclude "$zh" "$en"
    return 1
}

age_days() {
    echo $((($(date +%s) - ${created[$1]}) / DAY_SECS))
}

is_valid() {
    local id
    for id in "${valid[@]}"; do [ "$id" != "$1" ] || return 0; done
    return 1
}

# Revokes keys, and looks whether they are: what the command says is not enough, it may have been cut off.
revoke() {
    local id is_well=yes
    for id in "$@"; do
        keys_cli revoke "$id" >/dev/null 2>&1 || true
    done
    look_again || return 1
    for id in "$@"; do
        if is_valid "$id"; then is_well=no; fi
    done
    [ "$is_well" = yes ]
}

# The file as it is gets a second name, so that going back needs no room on the disk.
hold_file() {
    [ ! -e "$file" ] || ln -T -- "$file" "$before"
}

# The new key, whole or not at all, for the same owner and nobody else.
write_file() {
    (umask 077 && printf '%s\n' "$new" >"$next") || return 1
    if [ -e "$before" ]; then
        chown --reference="$before" -- "$next" || return 1
    fi
    sync -- "$next" && [ "$(<"$next")" = "$new" ] && mv -T -- "$next" "$file" && sync -- "$folder"
}

put_file_back() {
    # It was not written: mv refuses two names of one file.
    if [ "$before" -ef "$file" ]; then return 0; fi
    if [ -e "$before" ]; then
        mv -T -- "$before" "$file" && sync -- "$folder"
    else
        rm -f -- "$file"
    fi
}

# What is to be known besides, for people and in the result.
add_words() {
    say "⚠️ $1 / $2"
    words_zh+="；$1"
    words_en+="; $2"
}

# Both stay valid, the new one in the file: that harms nobody, and the next run sorts it out.
leave_new() {
    add_words "$1，新密钥 $new_id 留在文件中且有效，请再运行一次" "$2: the new key $new_id stays in the file and is valid; run this again"
}

# Whether the file holds what it held before, or can keep the new key; told.
take_back() {
    if [ "$stage" = revoking ]; then
        if ! look_again; then
            leave_new "无法确认旧密钥的状态" "what became of the old key is not known"
            return 1
        fi
        if [ -z "$old_id" ] || ! is_valid "$old_id"; then
            leave_new "旧密钥已吊销" "the old key is revoked"
            return 1
        fi
    fi
    if ! put_file_back; then
        leave_new "文件无法还原" "the file cannot be put back"
        return 1
    fi
    if [ -n "$old_id" ] && ask_consumer && [ "$who" = "$new_id" ] && ! consumer_uses "$old_id"; then
        add_words "文件已还原，但使用方仍用 $new_id，未吊销；请再运行一次" "the file is put back, but the consumer goes on with $new_id, which is not revoked: run this again"
        return 1
    fi
}

# Everything before the revocation is undone.
undo() {
    local id leftover=()
    case $stage in
    nothing | revoked) return 0 ;;
    written | revoking) take_back || return 0 ;;
    esac
    # Not by its id alone: `keys create` may have been cut off before it said which it made.
    if look_again; then
        for id in "${valid[@]}"; do
            [[ " ${known[*]} " == *" $id "* ]] || leftover+=("$id")
        done
        if [ ${#leftover[@]} -eq 0 ] || revoke "${leftover[@]}"; then
            add_words "旧密钥 ${old_id:-（无）} 仍有效，已还原" "the old key, ${old_id:-none}, is in force, all is undone"
            return 0
        fi
    fi
    add_words "旧密钥 ${old_id:-（无）} 仍有效，新密钥 ${new_id:-？} 未能吊销，再运行一次会收尾" "the old key, ${old_id:-none}, is in force; the new one, ${new_id:-?}, could not be revoked: run this again"
}

clean_up() {
    if [ -n "$pause" ]; then kill "$pause" 2>/dev/null; fi
    if [ "$1" -ne 0 ]; then undo; fi
    if [ -n "${next:-}" ]; then rm -f -- "$next" "$before"; fi
    remove_scratch
    return "$1"
}

# The last step; nothing undoes it.
revoke_old() {
    stage=revoking
    revoke "$@" || fail "未能吊销旧密钥 $*" "the old key could not be revoked: $*"
    stage=revoked
    # Whoever used to be let in must be refused now, and the consumer must go on working.
    if [ -n "$old" ] && [ "$old" != "$new" ] && { ! ask_server "$old" || [ -n "$who" ]; }; then
        fail_with "$REVOKED_BUT_ILL" "🚨 密钥 $* 已吊销，但服务仍接受旧密钥，或没有回答，立即处理" "key $* is revoked, but the server still takes it, or does not answer: act at once"
    fi
    if ! consumer_uses "$in_force"; then
        fail_with "$REVOKED_BUT_ILL" "🚨 旧密钥已吊销，但使用方用新密钥 $in_force 未通过验证，立即处理" "the old key is revoked, but the consumer does not work with the new one, $in_force: act at once"
    fi
}

overlap() {
    say "新旧密钥同时有效 $OVERLAP_SECONDS 秒 / both are valid for $OVERLAP_SECONDS s"
    # Without the lock: it must not outlive this script in a child.
    sleep "$OVERLAP_SECONDS" {lock}>&- {own_err}>&- {own_out}>&- >/dev/null 2>&1 &
    pause=$!
    wait "$pause"
    pause=
    consumer_uses "$in_force" || fail "重叠期间使用方不再能用新密钥 $in_force" "the consumer stopped working with the new key $in_force"
}

figures_are() {
    figure age_days "$1" "旧密钥天数" "age of the old key, days"
    figure overlap_seconds "$2" "重叠秒数" "overlap, s"
    figure keys_valid "${#valid[@]}" "有效密钥" "valid keys"
}

begin secrets.rotate 0 1 "$@"
name=${arguments[0]:-web}
[[ $name =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] ||
    refuse "密钥名只能用小写字母、数字和连字符，现在是：$name" "a key's name has lower-case letters, digits and hyphens, is: $name"
ports_are_set
settings_are RELEASES_DIR API_KEY_FILE DATABASE_URL
number_is KEY_MAX_DAYS 90
number_is CONSUMER_WITHIN 15
OVERLAP_SECONDS=${OVERLAP_SECONDS:-5}
if [[ ! $OVERLAP_SECONDS =~ ^[0-9]{1,4}$ ]] || [ "$OVERLAP_SECONDS" -gt "$OVERLAP_SECONDS_MAX" ]; then
    refuse "OVERLAP_SECONDS 是 0 到 $OVERLAP_SECONDS_MAX 的整数，现在是：$OVERLAP_SECONDS" "OVERLAP_SECONDS is a whole number of at most $OVERLAP_SECONDS_MAX, is: $OVERLAP_SECONDS"
fi
programs_are bun curl flock
make_scratch
declare -A created=() names=()

# The file itself, also where its name is a link.
file=$(realpath -m -- "$API_KEY_FILE")
folder=$(dirname -- "$file")
base=$(basename -- "$file")
if [ ! -d "$folder" ] || [ ! -w "$folder" ]; then
    cannot_run "API_KEY_FILE 所在目录不存在或不可写：$folder" "the folder of API_KEY_FILE is not there or cannot be written: $folder"
fi
if [ -e "$file" ] && [ ! -f "$file" ]; then
    refuse "API_KEY_FILE 不是普通文件：$file" "API_KEY_FILE is no plain file: $file"
fi
if [ -e "$file" ] && [ ! -r "$file" ]; then
    cannot_run "API_KEY_FILE 不可读：$file" "API_KEY_FILE cannot be read: $file"
fi
if ! dry_run; then
    touch -- "$folder/.$base.lock" ||
        cannot_run "无法建立锁文件：$folder/.$base.lock" "the lock file cannot be made: $folder/.$base.lock"
    exec {lock}>>"$folder/.$base.lock"
    flock --nonblock "$lock" ||
        cannot_run "另一次密钥轮换正在进行，这次什么都没做" "another rotation is under way; this one did nothing"
    # Left by one that was killed; the file itself holds a valid key at every moment.
    before=$folder/.$base.before
    next=$folder/.$base.next
    rm -f -- "$before" "$next" || cannot_run "无法在 $folder 里写入" "nothing can be written in $folder"
fi

find_release
server=http://127.0.0.1:$(port_of "$live" server)
web=http://127.0.0.1:$(port_of "$live" web)
find_valid || cannot_run "$words_zh" "$words_en"
known=("${valid[@]}")

if [ -f "$file" ]; then
    IFS= read -r -n 1024 old <"$file" || true
    [[ $old =~ ^$KEY$ ]] || old=
fi
# A server that does not answer says nothing about the key.
ask_server "${old:-none}" || cannot_run "服务没有回答：$server" "the server does not answer: $server"
old_id=$who
if [ -n "$old_id" ]; then
    [ "${names[$old_id]:-}" = "$name" ] ||
        refuse "API_KEY_FILE 里的密钥 $old_id 名为 ${names[$old_id]:-？}，不是 $name" "the key in API_KEY_FILE, $old_id, is named ${names[$old_id]:-?}, not $name"
    ask_consumer || cannot_run "使用方没有回答：$web/status" "the consumer does not answer: $web/status"
    [ "$who" = "$old_id" ] ||
        cannot_run "使用方用的是 ${who:-无效的密钥}，不是 API_KEY_FILE 里的 $old_id" "the consumer works with ${who:-no valid key}, not with the $old_id of API_KEY_FILE"
fi

others=()
is_newest=yes
for id in "${valid[@]}"; do
    if [ "$id" = "$old_id" ]; then
        mark="使用中 / in use"
        is_newest=yes
    else
        mark="文件中没有 / not in the file"
        others+=("$id")
        is_newest=no
    fi
    due=
    if [ "$(age_days "$id")" -ge "$KEY_MAX_DAYS" ]; then due="，已满 $KEY_MAX_DAYS 天，该轮换 / due"; fi
    say "$name $id：$(age_days "$id") 天 / days，$mark$due"
done
[ -n "$old_id" ] || say "⚠️ API_KEY_FILE 里没有有效的密钥，将新建一把 / no valid key in API_KEY_FILE: a new one is made"
age=0
if [ -n "$old_id" ]; then age=$(age_days "$old_id"); fi
# The file holds the newest: a rotation was killed before it revoked the others.
is_unfinished=no
if [ -n "$old_id" ] && [ ${#others[@]} -gt 0 ] && [ "$is_newest" = yes ]; then is_unfinished=yes; fi

if dry_run; then
    figures_are "$age" "$OVERLAP_SECONDS"
    if [ "$is_unfinished" = yes ]; then
        end_dry_run "会收尾上次中断的轮换：吊销 ${others[*]}，保留 $old_id" "would finish the rotation that broke off: revoke ${others[*]}, keep $old_id"
    fi
    due=
    if [ "$age" -ge "$KEY_MAX_DAYS" ]; then due=yes; fi
    end_dry_run "会轮换 $name 的密钥 ${old_id:-（无）}，已用 $age 天${due:+，已到期}" "would rotate the key of $name, ${old_id:-none}, $age days old${due:+: it is due}"
fi

if [ -n "$old_id" ] && [ ${#others[@]} -gt 0 ]; then
    say "先收尾上次中断的轮换：吊销 ${others[*]} / first finishing a rotation that broke off: revoking ${others[*]}"
    revoke "${others[@]}" || fail "未能吊销 ${others[*]}" "could not revoke ${others[*]}"
    known=("${valid[@]}")
    consumer_uses "$old_id" || fail "收尾之后使用方不能用 $old_id" "after that the consumer does not work with $old_id"
    if [ "$is_unfinished" = yes ]; then
        figures_are "$age" 0
        succeed "上次中断的轮换已完成：$old_id 有效，${others[*]} 已吊销" "the rotation that broke off is finished: $old_id is valid, ${others[*]} revoked"
    fi
    others=()
fi

hold_file || fail "无法在 $folder 里写入" "nothing can be written in $folder"
stage=creating
made=$(keys_cli create --name "$name" 2>"$scratch/trouble") ||
    fail "新建密钥失败：$(last_words)" "the new key could not be made: $(last_words)"
if [[ $made =~ \"id\":\"($ID)\" ]]; then new_id=${BASH_REMATCH[1]}; fi
if [[ $made =~ \"key\":\"($KEY)\" ]]; then new=${BASH_REMATCH[1]}; fi
unset made
if [ -z "$new_id" ] || [ -z "$new" ]; then
    fail "keys create 的回答看不懂" "what keys create answered is not understood"
fi
stage=created
since=$SECONDS
say "新建了 $new_id / made"
if ! ask_server "$new" || [ "$who" != "$new_id" ]; then
    fail "服务不接受新密钥 $new_id" "the server does not take the new key $new_id"
fi
in_force=$new_id
stage=written
write_file || fail "无法写入 API_KEY_FILE：$file" "API_KEY_FILE cannot be written: $file"
say "已写入 $file / written"
consumer_uses "$new_id" ||
    fail "使用方在 $CONSUMER_WITHIN 秒内没有用上新密钥 $new_id" "the consumer does not work with the new key $new_id within $CONSUMER_WITHIN s"
overlap
gone=("$old_id" "${others[@]}")
[ -n "$old_id" ] || gone=("${others[@]}")
if [ ${#gone[@]} -gt 0 ]; then
    revoke_old "${gone[@]}"
else
    stage=revoked
fi
look_again || true
figures_are "$age" $((SECONDS - since))
if [ ${#gone[@]} -gt 0 ]; then
    succeed "$name 的密钥已轮换：$new_id 有效，${gone[*]} 已吊销（不可撤销）" "the key of $name is rotated: $new_id is valid, ${gone[*]} revoked (which cannot be undone)"
fi
succeed "$name 有了第一把有效的密钥 $new_id" "$name has its first valid key, $new_id"
