// The page's own words in both languages, and how times and sizes are written.

const WORDS = {
  zh: {
    workspace: '本地工作区', skip: '跳到输入框', channels: '频道', direct: '私信', apps: '应用',
    jump: '跳转到…', jump_hint: '频道、私信或身份', persona: '身份', become: '以 {0} 的身份', you: '您',
    guest: '访客', no_group: '不在任何用户组', menu: '菜单', app: '应用', unread: '{0} 条未读',
    theme_auto: '外观：跟随系统', theme_light: '外观：浅色', theme_dark: '外观：深色',
    language_auto: '语言：跟随身份', language_zh: '语言：中文', language_en: '语言：英文',
    traffic: '流量', traffic_title: '机器人与 Slack 之间的流量', filter: '筛选', all: '全部',
    to_bot: 'Slack → 机器人', from_bot: '机器人 → Slack', asked: '请求', answer: '应答', no_answer: '没有应答', empty: '（空）',
    nothing_yet: '还没有流量。在频道里输入一条命令试试。', pick_one: '选择一条，查看请求与应答。', only_failures: '只看失败',
    thread: '消息列', close: '关闭', replies: '{0} 条回复', one_reply: '1 条回复', last_reply: '最后回复 {0}', view_thread: '查看消息列',
    reply_in_thread: '在消息列中回复', copy_link: '复制链接', copied: '链接已复制', no_replies: '还没有回复',
    only_you: '仅您可见', edited: '（已编辑）', used: '使用了', today: '今天', yesterday: '昨天', new_messages: '新消息',
    to_latest: '有新消息', say_in: '发送消息到 {0}', say_reply: '回复…', send: '发送', thread_plain: '消息列里不能用命令', tips: 'Enter 发送 · Shift+Enter 换行',
    completions: '可用的命令', complete_tips: '↑↓ 选择 · Tab 填入 · Esc 关闭', left_out: '更早的 {0} 条没有显示',
    channel_start: '这里是 {0} 的开头', channel_start_text: '输入 {0}，机器人就会回答。没有人会受影响：这是一个本地工作区。', dm_start_text: '只有您和 {0} 能看到这里。命令在这里同样可用。',
    try_title: '可以试的 {0} 件事', fill: '填入', close_try: '收起', open_try: '可以试的事', download: '下载', open: '打开', bytes: '字节',
    cancel: '取消', confirm: '确定', gone: '这条消息不在您能看到的地方', send_failed: '没有发送成功：{0}',
    no_such_button: '这个按钮已经不在了', operation_timeout: '机器人 3 秒内没有应答（operation_timeout）', dispatch_failed: '机器人没有正确应答（dispatch_failed）', msg_too_long: '内容太长，最多 4000 字',
    no_commands_in_threads: '消息列里不能用斜杠命令，请在频道里输入', offline: '演示已停止或无法连接，正在重试…', unanswered: '没有得到回应', image: '图片',
    no_text: '请输入内容', thread_not_found: '这个消息列已经不在了', channel_not_found: '没有这个频道', no_such_person: '没有这个人', members: '人和机器人', stop_here: '分隔线', mention: '提到您', now_persona: '现在您是 {0}', dock: '关闭流量面板',
  },
  en: {
    workspace: 'Local workspace', skip: 'Skip to the composer', channels: 'Channels', direct: 'Direct messages', apps: 'Apps',
    jump: 'Jump to…', jump_hint: 'A channel, a conversation or a person', persona: 'You are', become: 'Be {0}', you: 'you',
    guest: 'guest', no_group: 'in no user group', menu: 'Menu', app: 'APP', unread: '{0} unread',
    theme_auto: 'Theme: as the system', theme_light: 'Theme: light', theme_dark: 'Theme: dark',
    language_auto: 'Language: the persona’s', language_zh: 'Language: Chinese', language_en: 'Language: English',
    traffic: 'Traffic', traffic_title: 'Traffic between the bot and Slack', filter: 'Filter', all: 'All',
    to_bot: 'Slack → bot', from_bot: 'bot → Slack', asked: 'Request', answer: 'Answer', no_answer: 'no answer', empty: '(empty)',
    nothing_yet: 'No traffic yet. Type a command in a channel.', pick_one: 'Pick one to see its request and answer.', only_failures: 'Failures only',
    thread: 'Thread', close: 'Close', replies: '{0} replies', one_reply: '1 reply', last_reply: 'Last reply {0}', view_thread: 'View thread',
    reply_in_thread: 'Reply in thread', copy_link: 'Copy link', copied: 'Link copied', no_replies: 'No replies yet',
    only_you: 'Only visible to you', edited: '(edited)', used: 'used', today: 'Today', yesterday: 'Yesterday', new_messages: 'New',
    to_latest: 'New messages', say_in: 'Message {0}', say_reply: 'Reply…', send: 'Send', thread_plain: 'No commands in threads', tips: 'Enter sends · Shift+Enter adds a line',
    completions: 'Commands', complete_tips: '↑↓ choose · Tab fills in · Esc closes', left_out: '{0} earlier messages are not shown',
    channel_start: 'This is the very beginning of {0}', channel_start_text: 'Type {0} and the bot answers. Nobody can be harmed: this workspace is local.', dm_start_text: 'Only you and {0} see this. Commands work here too.',
    try_title: '{0} things to try', fill: 'Fill in', close_try: 'Hide', open_try: 'Things to try', download: 'Download', open: 'Open', bytes: 'bytes',
    cancel: 'Cancel', confirm: 'OK', gone: 'That message is not where you can see it', send_failed: 'Not sent: {0}',
    no_such_button: 'That button is no longer there', operation_timeout: 'The bot did not answer within 3 seconds (operation_timeout)', dispatch_failed: 'The bot’s answer was no agreement (dispatch_failed)', msg_too_long: 'That is too long: 4000 characters at most',
    no_commands_in_threads: 'Slash commands do not work in threads; type it in the channel', offline: 'The demo has stopped or cannot be reached; trying again…', unanswered: 'got no answer', image: 'Image',
    no_text: 'Type something first', thread_not_found: 'That thread is gone', channel_not_found: 'There is no such channel', no_such_person: 'There is no such person', members: 'People and the bot', stop_here: 'Divider', mention: 'mentions you', now_persona: 'You are {0} now', dock: 'Close the traffic drawer',
  },
};

let language = 'zh';
let offsetMs = 8 * 3600_000;

export function speak(lang, utcOffsetSecs) {
  language = lang;
  offsetMs = utcOffsetSecs * 1000;
  document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
}

export const isChinese = () => language === 'zh';

/** A text of the page, with what belongs into its places. */
export function word(key, ...values) {
  return (WORDS[language][key] ?? key).replace(/\{(\d)\}/g, (_, at) => values[at]);
}

/** Whether there are words for this fault. */
export const hasWord = (key) => Object.hasOwn(WORDS.en, key);

/** One of a pair of texts, by language. */
export const pick = (pair) => pair[language];

// The workspace's own time of day, whatever the machine's is: shifted, then read as UTC.
const local = (ts) => new Date(Number(ts) * 1000 + offsetMs);
const two = (number) => String(number).padStart(2, '0');

export const clock = (ts) => `${two(local(ts).getUTCHours())}:${two(local(ts).getUTCMinutes())}`;
export const seconds = (ts) => `${clock(ts)}:${two(local(ts).getUTCSeconds())}`;
export const day = (ts) => local(ts).toISOString().slice(0, 10);

/** Today, yesterday, or the date. */
export function dayName(ts) {
  const now = Date.now() / 1000;
  if (day(ts) === day(now)) return word('today');
  if (day(ts) === day(now - 86400)) return word('yesterday');
  const style = { timeZone: 'UTC', weekday: 'long', month: 'long', day: 'numeric' };
  return new Intl.DateTimeFormat(isChinese() ? 'zh-CN' : 'en-US', style).format(local(ts));
}

/** Day and time, for titles and screen readers. */
export const moment = (ts) => `${day(ts)} ${seconds(ts)}`;

export function size(bytes) {
  if (bytes < 1024) return `${bytes} ${word('bytes')}`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
