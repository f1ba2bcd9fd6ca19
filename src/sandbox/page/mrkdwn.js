// Slack's text format as nodes. Nothing here makes markup from text: what is not understood stays
// text, and only http, https, mailto and tel become links.

import { el } from './dom.js';
import { date } from './words.js';
import { isBot, me, nameOf, person, room, roomName, world } from './world.js';

const EMOJI = {
  white_check_mark: '✅', heavy_check_mark: '✔️', x: '❌', warning: '⚠️', rotating_light: '🚨', rocket: '🚀',
  arrows_counterclockwise: '🔄', hourglass: '⌛', hourglass_flowing_sand: '⏳', clock3: '🕒', no_entry: '⛔', lock: '🔒',
  unlock: '🔓', bell: '🔔', mag: '🔍', eyes: '👀', tada: '🎉', thumbsup: '👍', '+1': '👍', bulb: '💡', memo: '📝',
  fire: '🔥', robot_face: '🤖', large_green_circle: '🟢', large_blue_circle: '🔵', large_yellow_circle: '🟡', red_circle: '🔴', raised_hand: '✋',
};
/** What opens code, an entity, formatting or an emoji. */
const OPENING = /`([^`\n]+)`|<([^<>\n]+)>|([*_~])(?=\S)|:([a-z0-9_+-]+):/u;
const TAGS = { '*': 'strong', _: 'em', '~': 's' };
const isWord = (letter) => letter !== undefined && /[\p{L}\p{N}]/u.test(letter);

export const unescape = (text) => text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');

export const withEmoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);

/** A mrkdwn text as nodes. */
export function mrkdwn(text) {
  const out = document.createDocumentFragment();
  // A fence without its end is text.
  const parts = text.split('```');
  if (parts.length % 2 === 0) parts.splice(-2, 2, parts.slice(-2).join('```'));
  parts.forEach((part, at) => {
    if (at % 2 === 1) {
      const code = unescape(part).replace(/^\n/, '').replace(/\n$/, '');
      out.append(el('pre', { tabindex: 0 }, el('code', { text: code })));
    } else {
      quotes(trimmed(part, at > 0, at < parts.length - 1), out);
    }
  });
  return out;
}

// A code block stands on lines of its own: the line ends beside it are its own.
function trimmed(text, hasBefore, hasAfter) {
  const start = hasBefore ? text.replace(/^\n/, '') : text;
  return hasAfter ? start.replace(/\n$/, '') : start;
}

function quotes(text, out) {
  let quoted = [];
  let plain = [];
  const flush = () => {
    if (plain.length) inline(plain.join('\n'), out);
    if (quoted.length) {
      const quote = el('blockquote');
      inline(quoted.join('\n'), quote);
      out.append(quote);
    }
    [quoted, plain] = [[], []];
  };
  for (const line of text.split('\n')) {
    const mark = /^(>|&gt;) ?/.exec(line);
    if (mark ? plain.length : quoted.length) flush();
    if (mark) quoted.push(line.slice(mark[0].length));
    else plain.push(line);
  }
  flush();
}

function inline(text, out) {
  let rest = text;
  let words = '';
  const flush = () => {
    if (words) out.append(unescape(words));
    words = '';
  };
  while (rest) {
    const found = OPENING.exec(rest);
    if (!found) break;
    const [whole, code, entity, mark, emoji] = found;
    words += rest.slice(0, found.index);
    const from = rest.slice(found.index);
    if (code !== undefined) {
      flush();
      out.append(el('code', { text: unescape(code.replace(/<([^<>|]+)(\|[^<>]*)?>/g, '$1')) }));
      rest = from.slice(whole.length);
    } else if (entity !== undefined) {
      flush();
      out.append(entityNode(entity));
      rest = from.slice(whole.length);
    } else if (emoji !== undefined && EMOJI[emoji]) {
      words += EMOJI[emoji];
      rest = from.slice(whole.length);
    } else {
      const inside = mark && !isWord(words.at(-1)) ? formatted(from, mark) : null;
      if (inside) {
        flush();
        const node = el(TAGS[mark]);
        inline(inside, node);
        out.append(node);
        rest = from.slice(inside.length + 2);
      } else {
        words += from[0];
        rest = from.slice(1);
      }
    }
  }
  words += rest;
  flush();
}

/** What stands between two marks on one line, if the first one opens and another one closes. */
function formatted(text, mark) {
  for (let at = text.indexOf(mark, 2); at > 0; at = text.indexOf(mark, at + 1)) {
    const inside = text.slice(1, at);
    if (inside.includes('\n')) return null;
    if (/\S$/.test(inside) && !isWord(text[at + 1])) return inside;
  }
  return null;
}

function entityNode(inside) {
  const bar = inside.indexOf('|');
  const target = bar < 0 ? inside : inside.slice(0, bar);
  const label = bar < 0 ? '' : unescape(inside.slice(bar + 1));
  const id = target.slice(1);
  if (/^@[UW][A-Z0-9]+$/.test(target)) return userNode(id, label);
  if (/^#[CDG][A-Z0-9]+$/.test(target)) return channelNode(id, label);
  if (target.startsWith('!subteam^')) return groupNode(target.slice('!subteam^'.length), label);
  if (/^!(here|channel|everyone)$/.test(target)) return el('span', { class: 'mention mine', text: `@${id}` });
  if (target.startsWith('!date^')) return moment(target, label);
  return link(unescape(target), label) ?? `<${inside}>`;
}

/** `!date^seconds^format^link`, in the workspace's own time; the label where it cannot be shown. */
function moment(target, label) {
  const [, ts, format = '', address = ''] = target.split('^');
  const text = date(ts, format) ?? label;
  return (address && link(unescape(address), text)) || text;
}

function userNode(id, label) {
  const known = person(id) || isBot(id);
  const mine = id === world.snapshot.me ? ' mine' : '';
  return el('span', { class: `mention${mine}`, text: `@${known ? nameOf(id) : label || id}` });
}

function channelNode(id, label) {
  const known = room(id);
  if (!known) return el('span', { class: 'mention', text: `#${label || id}` });
  const open = () => world.goTo(id);
  return el('button', { class: 'mention link', type: 'button', onclick: open, text: roomName(known) });
}

function groupNode(id, label) {
  const group = world.snapshot.groups.find((it) => it.id === id);
  const mine = group && me()?.groups.includes(group.handle) ? ' mine' : '';
  return el('span', { class: `mention${mine}`, text: `@${group?.handle ?? (label.replace(/^@/, '') || id)}` });
}

/** A link, or null where the address is none that may be followed. */
export function link(address, label) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !['http:', 'https:', 'mailto:', 'tel:'].includes(url.protocol)) return null;
  const node = el('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer', text: label || address });
  const place = placeOf(url);
  if (place) {
    node.removeAttribute('target');
    node.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      world.goTo(place.channel, place.ts, place.thread);
    });
  }
  return node;
}

/** The message that an address of this workspace means: `/archives/C…/p…`. */
export function placeOf(url) {
  const here = [location.host, new URL(world.snapshot.base_url).host];
  const found = /^\/archives\/([A-Z0-9]+)(?:\/p(\d{7,}))?$/.exec(url.pathname);
  if (!found || !here.includes(url.host)) return null;
  const digits = found[2];
  const ts = digits && `${digits.slice(0, -6)}.${digits.slice(-6)}`;
  return { channel: found[1], ts, thread: url.searchParams.get('thread_ts') };
}
