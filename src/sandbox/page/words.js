// The page's own words in both languages, and how times and sizes are written.

const WORDS = {
  skip: ['跳到输入框', 'Skip to the composer'],
  channels: ['频道', 'Channels'],
  apps: ['应用', 'Apps'],
  jump: ['跳转到…', 'Jump to…'],
  jump_hint: ['频道、私信或身份', 'A channel, a conversation or a person'],
  persona: ['身份', 'You are'],
  become: ['以 {0} 的身份', 'Be {0}'],
  guest: ['访客', 'guest'],
  no_group: ['不在任何用户组', 'in no user group'],
  menu: ['菜单', 'Menu'],
  app: ['应用', 'APP'],
  unread: ['{0} 条未读', '{0} unread'],
  theme_auto: ['外观：跟随系统', 'Theme: as the system'],
  theme_light: ['外观：浅色', 'Theme: light'],
  theme_dark: ['外观：深色', 'Theme: dark'],
  language_auto: ['语言：跟随身份', 'Language: the persona’s'],
  language_zh: ['语言：中文', 'Language: Chinese'],
  language_en: ['语言：英文', 'Language: English'],
  traffic: ['流量', 'Traffic'],
  traffic_title: ['机器人与 Slack 之间的流量', 'Traffic between the bot and Slack'],
  filter: ['筛选', 'Filter'],
  all: ['全部', 'All'],
  to_bot: ['Slack → 机器人', 'Slack → bot'],
  from_bot: ['机器人 → Slack', 'bot → Slack'],
  asked: ['请求', 'Request'],
  answer: ['应答', 'Answer'],
  no_answer: ['没有应答', 'no answer'],
  empty: ['（空）', '(empty)'],
  nothing_yet: ['还没有流量。在频道里输入一条命令试试。', 'No traffic yet. Type a command in a channel.'],
  pick_one: ['选择一条，查看请求与应答。', 'Pick one to see its request and answer.'],
  only_failures: ['只看失败', 'Failures only'],
  thread: ['消息列', 'Thread'],
  close: ['关闭', 'Close'],
  replies: ['{0} 条回复', '{0} replies'],
  one_reply: ['1 条回复', '1 reply'],
  last_reply: ['最后回复 {0}', 'Last reply {0}'],
  view_thread: ['查看消息列', 'View thread'],
  reply_in_thread: ['在消息列中回复', 'Reply in thread'],
  copy_link: ['复制链接', 'Copy link'],
  copied: ['链接已复制', 'Link copied'],
  no_replies: ['还没有回复', 'No replies yet'],
  only_you: ['仅您可见', 'Only visible to you'],
  edited: ['（已编辑）', '(edited)'],
  used: ['使用了', 'used'],
  today: ['今天', 'Today'],
  yesterday: ['昨天', 'Yesterday'],
  new_messages: ['新消息', 'New'],
  to_latest: ['有新消息', 'New messages'],
  say_in: ['发送消息到 {0}', 'Message {0}'],
  say_reply: ['回复…', 'Reply…'],
  send: ['发送', 'Send'],
  thread_plain: ['消息列里不能用命令', 'No commands in threads'],
  tips: ['Enter 发送 · Shift+Enter 换行', 'Enter sends · Shift+Enter adds a line'],
  completions: ['可用的命令', 'Commands'],
  left_out: ['更早的 {0} 条没有显示', '{0} earlier messages are not shown'],
  channel_start: ['这里是 {0} 的开头', 'This is the very beginning of {0}'],
  channel_start_text: ['输入 {0}，机器人就会回答。没有人会受影响：这是一个本地工作区。', 'Type {0} and the bot answers. Nobody can be harmed: this workspace is local.'],
  dm_start: ['您与 {0} 的私信', 'Your conversation with {0}'],
  dm_start_text: ['只有您和 {0} 能看到这里。命令在这里同样可用。', 'Only you and {0} see this. Commands work here too.'],
  try_title: ['可以试的 {0} 件事', '{0} things to try'],
  fill: ['填入', 'Fill in'],
  close_try: ['收起', 'Hide'],
  open_try: ['可以试的事', 'Things to try'],
  download: ['下载', 'Download'],
  bytes: ['字节', 'bytes'],
  cancel: ['取消', 'Cancel'],
  confirm: ['确定', 'OK'],
  no_such_view: ['这个表单已经不在了', 'That form is gone'],
  gone: ['这条消息不在您能看到的地方', 'That message is not where you can see it'],
  send_failed: ['没有发送成功：{0}', 'Not sent: {0}'],
  no_such_button: ['这个按钮已经不在了', 'That button is no longer there'],
  operation_timeout: ['机器人 3 秒内没有应答（operation_timeout）', 'The bot did not answer within 3 seconds (operation_timeout)'],
  dispatch_failed: ['机器人没有正确应答（dispatch_failed）', 'The bot’s answer was no agreement (dispatch_failed)'],
  msg_too_long: ['内容太长，最多 4000 字', 'That is too long: 4000 characters at most'],
  no_commands_in_threads: ['消息列里不能用斜杠命令，请在频道里输入', 'Slash commands do not work in threads; type it in the channel'],
  offline: ['演示已停止或无法连接，正在重试…', 'The demo has stopped or cannot be reached; trying again…'],
  unanswered: ['没有得到回应', 'got no answer'],
  image: ['图片', 'Image'],
  no_text: ['请输入内容', 'Type something first'],
  thread_not_found: ['这个消息列已经不在了', 'That thread is gone'],
  channel_not_found: ['没有这个频道', 'There is no such channel'],
  no_such_person: ['没有这个人', 'There is no such person'],
  members: ['人和机器人', 'People and the bot'],
  mentioned: ['有消息提到', 'mentioned'],
  now_persona: ['现在您是 {0}', 'You are {0} now'],
  dock: ['关闭流量面板', 'Close the traffic drawer'],
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
  return (WORDS[key]?.[isChinese() ? 0 : 1] ?? key).replace(/\{(\d)\}/g, (_, at) => values[at]);
}

/** Whether there are words for this fault. */
export const hasWord = (key) => Object.hasOwn(WORDS, key);

/** One of a pair of texts, by language. */
export const pick = (pair) => pair[language];

// The workspace's own time of day, whatever the machine's is: shifted, then read as UTC.
const local = (ts) => new Date(Number(ts) * 1000 + offsetMs);
const two = (number) => String(number).padStart(2, '0');

export const clock = (ts) => `${two(local(ts).getUTCHours())}:${two(local(ts).getUTCMinutes())}`;
export const seconds = (ts) => `${clock(ts)}:${two(local(ts).getUTCSeconds())}`;
export const day = (ts) => local(ts).toISOString().slice(0, 10);

function near(ts) {
  const now = Date.now() / 1000;
  if (day(ts) === day(now)) return word('today');
  return day(ts) === day(now - 86400) ? word('yesterday') : null;
}

/** Today, yesterday, or the date. */
export const dayName = (ts) => near(ts) ?? spelled(ts, { weekday: 'long', month: 'long', day: 'numeric' });

const spelled = (ts, style) => new Intl.DateTimeFormat(isChinese() ? 'zh-CN' : 'en-US', { timeZone: 'UTC', ...style }).format(local(ts));
/** The tokens of Slack's `<!date^…>`. */
const DATES = {
  date_num: day,
  date: (ts) => spelled(ts, { dateStyle: 'long' }),
  date_short: (ts) => spelled(ts, { dateStyle: 'medium' }),
  date_long: (ts) => spelled(ts, { dateStyle: 'full' }),
  date_pretty: (ts) => near(ts) ?? DATES.date(ts),
  date_short_pretty: (ts) => near(ts) ?? DATES.date_short(ts),
  date_long_pretty: (ts) => near(ts) ?? DATES.date_long(ts),
  time: clock,
  time_secs: seconds,
};

/** A moment in a format of Slack's, or null where it is none. */
export function date(ts, format) {
  let isKnown = /^\d{1,12}$/.test(ts);
  const text = format.replace(/\{(\w+)\}/g, (_, token) => {
    isKnown = isKnown && Object.hasOwn(DATES, token);
    return isKnown ? DATES[token](ts) : '';
  });
  return isKnown ? text : null;
}

/** Day and time, for titles and screen readers. */
export const moment = (ts) => `${day(ts)} ${seconds(ts)}`;

export function size(bytes) {
  if (bytes < 1024) return `${bytes} ${word('bytes')}`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
