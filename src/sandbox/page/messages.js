// A channel's log and a thread: rows, days, threads, files.

import { body } from './blocks.js';
import { el, icon, sync } from './dom.js';
import { clock, day, dayName, isChinese, moment, size, word } from './words.js';
import { isBot, nameOf, tint, world } from './world.js';

/** Messages of one author within this time stand together. */
const TOGETHER_SECS = 300;

export function avatar(id, className = '') {
  const name = nameOf(id);
  if (isBot(id)) return el('img', { class: `avatar ${className}`, src: '/page/icon.svg', alt: '' });
  return el('span', { class: `avatar tint-${tint(id)} ${className}`, 'aria-hidden': 'true', text: [...name][0] });
}

/** The messages that stand in the channel itself, and how many replies each has. */
export function split(room) {
  const heads = new Set(room.messages.filter((it) => !it.thread_ts || it.thread_ts === it.ts).map((it) => it.ts));
  const isReply = (it) => it.thread_ts && it.thread_ts !== it.ts && heads.has(it.thread_ts);
  const replies = new Map();
  for (const it of room.messages.filter((it) => isReply(it) && it.kind === 'message')) {
    replies.set(it.thread_ts, [...(replies.get(it.thread_ts) ?? []), it]);
  }
  return { messages: room.messages.filter((it) => !isReply(it)), replies };
}

/** The log of a room; `newFrom`: the last message that was read before the room was opened. */
export function drawLog(log, room, newFrom, intro) {
  const { messages, replies } = split(room);
  const rows = [{ key: 'intro', signature: intro.signature, make: intro.make }];
  let before = null;
  let isNewShown = false;
  for (const message of messages) {
    if (!before || day(before.ts) !== day(message.ts)) {
      rows.push(divider(`day ${day(message.ts)}`, dayName(message.ts), 'day'));
      before = null;
    }
    if (newFrom && !isNewShown && Number(message.ts) > Number(newFrom) && message.user !== world.snapshot.me) {
      rows.push(divider(`new ${newFrom}`, word('new_messages'), 'new'));
      isNewShown = true;
      before = null;
    }
    rows.push(row(message, before, replies.get(message.ts) ?? [], room));
    before = message;
  }
  sync(log, rows);
}

/** A message and the replies to it, private answers among them. */
export function drawThread(log, room, ts) {
  const theirs = room.messages.filter((it) => it.ts === ts || it.thread_ts === ts);
  const head = theirs.find((it) => it.ts === ts);
  if (!head) return false;
  const replies = theirs.filter((it) => it !== head);
  const count = replies.filter((it) => it.kind === 'message').length;
  const rows = [row(head, null, null, room)];
  rows.push(divider('replies', replyCount(count), 'replies'));
  let before = null;
  for (const message of replies) {
    rows.push(row(message, before, null, room));
    before = message;
  }
  sync(log, rows);
  return true;
}

export const replyCount = (count) => (count === 0 ? word('no_replies') : count === 1 ? word('one_reply') : word('replies', count));

function divider(key, label, kind) {
  return {
    key,
    signature: `${kind} ${label}`,
    make: () => el('div', { class: `divider ${kind}`, role: 'separator', 'aria-label': label }, el('span', { text: label })),
  };
}

function row(message, before, replies, room) {
  const isTogether = before !== null && before.kind === message.kind && message.kind === 'message'
    && before.user === message.user && message.ts - before.ts < TOGETHER_SECS
    && !message.blocks.some((block) => block.type === 'header');
  const signature = JSON.stringify([message, isTogether, replies?.map((it) => [it.ts, it.user]), isChinese(), world.snapshot.me]);
  return {
    key: `${message.kind} ${message.ts}`,
    signature,
    make: () => (message.kind === 'typed' ? typedRow(message) : messageRow(message, isTogether, replies, room)),
  };
}

// What this person typed; Slack shows it to nobody, and the answer alone reads oddly without it.
function typedRow(typed) {
  const command = `${world.snapshot.command} ${typed.text}`.trim();
  return el('div', { class: 'row typed', 'data-ts': typed.ts },
    el('time', { class: 'gutter', datetime: moment(typed.ts), title: moment(typed.ts), text: clock(typed.ts) }),
    el('div', { class: 'content' },
      el('span', { class: 'typed-words' }, el('b', { text: nameOf(typed.user) }), ` ${word('used')} `, el('code', { text: command })),
      typed.failure && el('div', { class: 'failure' }, icon('warn'), `${world.snapshot.command} ${word('unanswered')}（${typed.failure}）`)));
}

function messageRow(message, isTogether, replies, room) {
  const isPrivate = message.kind === 'ephemeral';
  const time = el('time', { class: isTogether ? 'gutter hover-time' : 'time', datetime: moment(message.ts), title: moment(message.ts), text: clock(message.ts) });
  const head = !isTogether && el('div', { class: 'head' },
    el('span', { class: 'name', text: nameOf(message.user) }),
    message.is_bot && el('span', { class: 'badge', text: word('app') }),
    time);
  return el('article', {
    class: `row${isTogether ? ' together' : ''}${isPrivate ? ' private' : ''}`,
    'data-ts': message.ts,
    'aria-label': `${nameOf(message.user)}, ${clock(message.ts)}`,
  },
  isTogether ? time : el('div', { class: 'gutter' }, avatar(message.user)),
  el('div', { class: 'content' },
    isPrivate && el('div', { class: 'only-you' }, icon('eye'), word('only_you')),
    head,
    body(message),
    message.is_edited && el('span', { class: 'edited', text: word('edited') }),
    message.files.map(fileCard),
    replies?.length > 0 && threadBar(message, replies, room)),
  !isPrivate && tools(message, room, replies !== null));
}

function fileCard(file) {
  const address = `/page/file/${encodeURIComponent(file.id)}?as=${encodeURIComponent(world.snapshot.me)}`;
  return el('div', { class: 'file' },
    el('span', { class: 'file-icon' }, icon('file')),
    el('a', { class: 'file-name', href: address, target: '_blank', rel: 'noopener' }, file.title || file.name),
    el('span', { class: 'faint', text: size(file.bytes) }),
    el('a', { class: 'button small', href: `${address}&download=1`, 'aria-label': `${word('download')} ${file.name}` }, icon('down')));
}

function threadBar(message, replies, room) {
  const authors = [...new Set(replies.map((it) => it.user))].slice(0, 4);
  const last = replies.at(-1);
  const when = day(last.ts) === day(Date.now() / 1000) ? clock(last.ts) : `${dayName(last.ts)} ${clock(last.ts)}`;
  return el('button', {
    class: 'thread-bar',
    type: 'button',
    'data-focus': `thread ${message.ts}`,
    onclick: () => world.openThread(room.id, message.ts),
  },
  authors.map((id) => avatar(id, 'tiny')),
  el('span', { class: 'thread-count', text: replyCount(replies.length) }),
  el('span', { class: 'thread-last', text: word('last_reply', when) }),
  el('span', { class: 'thread-view', text: word('view_thread') }));
}

function tools(message, room, canReply) {
  const tool = (name, label, onclick) => el('button', { class: 'tool', type: 'button', 'aria-label': label, title: label, 'data-focus': `${name} ${message.ts}`, onclick }, icon(name));
  return el('div', { class: 'tools' },
    canReply && tool('reply', word('reply_in_thread'), () => world.openThread(room.id, message.thread_ts ?? message.ts, true)),
    tool('link', word('copy_link'), () => world.copyLink(room.id, message)));
}
