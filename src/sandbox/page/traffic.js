// The drawer: what Slack sent to the bot, what the bot asked of Slack, and the answers.

import { el, icon, sync } from './dom.js';
import { seconds, word } from './words.js';
import { ask, nameOf, world } from './world.js';

/** Exchanges that are kept in the list; the oldest go first. */
const KEPT_MAX = 500;

const drawer = document.getElementById('traffic');
let exchanges = [];
let chosen = null;
let direction = 'all';
let filter = '';
let onlyFailures = false;

const list = el('ul', { class: 'exchanges' });
const detail = el('div', { class: 'detail', tabindex: 0 });
const input = el('input', { type: 'search', spellcheck: 'false', autocomplete: 'off', oninput: () => { filter = input.value.trim().toLowerCase(); draw(); } });

const head = el('div', { class: 'traffic-head' });
drawer.append(head, el('div', { class: 'traffic-body' }, list, detail));

export const isOpen = () => !drawer.hidden;

export function toggle(open = drawer.hidden) {
  drawer.hidden = !open;
  document.body.classList.toggle('with-traffic', open);
  if (open) {
    frame();
    refresh().then(() => { list.scrollTop = list.scrollHeight; });
    input.focus({ preventScroll: true });
  }
  world.redraw();
  if (!open) document.getElementById('traffic-button')?.focus();
}

/** Draws the drawer's own words again, in the language of now. */
export function frame() {
  const signature = `${word('traffic')} ${direction} ${onlyFailures}`;
  if (drawer.hidden || head.signature === signature) return;
  head.signature = signature;
  const chip = (name, isOn, turn) => el('button', {
    class: 'chip', type: 'button', 'aria-pressed': String(isOn), 'data-focus': name,
    onclick: () => {
      turn();
      frame();
      head.querySelector(`[data-focus=${name}]`).focus();
    },
  }, word(name));
  drawer.setAttribute('aria-label', word('traffic_title'));
  input.placeholder = word('filter');
  input.setAttribute('aria-label', word('filter'));
  detail.setAttribute('aria-label', `${word('asked')} · ${word('answer')}`);
  head.replaceChildren(
    el('h2', { text: word('traffic') }),
    el('div', { class: 'chips', role: 'group', 'aria-label': word('filter') },
      ['all', 'to_bot', 'from_bot'].map((it) => chip(it, direction === it, () => { direction = it; })),
      chip('only_failures', onlyFailures, () => { onlyFailures = !onlyFailures; })),
    input,
    el('button', { class: 'tool', type: 'button', 'aria-label': word('dock'), title: word('dock'), onclick: () => toggle(false) }, icon('close')),
  );
  draw();
}

/** Asks for what is new. */
export async function refresh() {
  if (drawer.hidden) return;
  const answer = await ask(`/page/traffic?after=${exchanges.at(-1)?.serial ?? 0}`).catch(() => null);
  if (!answer?.exchanges.length) return;
  const known = exchanges.at(-1)?.serial ?? 0;
  exchanges = [...exchanges, ...answer.exchanges.filter((it) => it.serial > known)].slice(-KEPT_MAX);
  draw();
}

const isBad = (it) => it.status < 200 || it.status > 299 || it.answer?.ok === false;

function says(it) {
  if (it.direction === 'to_bot') {
    const user = it.asked.user_id ?? it.asked.user?.id;
    const who = user ? `${nameOf(user)} ` : '';
    const press = it.asked.actions?.[0];
    return `${who}${it.asked.command ? `${it.asked.command} ${it.asked.text}` : press ? `${press.action_id} ${press.value ?? ''}` : ''}`.trim();
  }
  const { channel, text, user, usergroup, filename } = it.asked;
  return [channel, user, usergroup, filename, text].filter((part) => typeof part === 'string' && part).join(' · ');
}

function draw() {
  const wanted = exchanges.filter((it) => (direction === 'all' || it.direction === direction)
    && (!onlyFailures || isBad(it))
    && (!filter || JSON.stringify([it.name, it.asked, it.answer]).toLowerCase().includes(filter)));
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  sync(list, wanted.length ? wanted.map(line) : [{ key: 'none', signature: word('nothing_yet'), make: () => el('li', { class: 'faint none', text: word('nothing_yet') }) }]);
  if (isAtEnd) list.scrollTop = list.scrollHeight;
  drawDetail();
}

function line(it) {
  const status = it.status === 0 ? word('no_answer') : it.direction === 'from_bot' && it.answer?.ok === false ? it.answer.error : String(it.status);
  const signature = `${it.serial} ${it === chosen} ${word('all')}`;
  return {
    key: String(it.serial),
    signature,
    make: () => el('li', {}, el('button', {
      class: `exchange ${it.direction}`, type: 'button', 'aria-pressed': String(it === chosen), 'data-focus': `x${it.serial}`,
      onclick: () => { chosen = it === chosen ? null : it; draw(); },
    },
    el('span', { class: 'arrow', 'aria-label': word(it.direction), text: it.direction === 'to_bot' ? '→' : '←' }),
    el('span', { class: 'when', text: seconds(it.at_ms / 1000) }),
    el('span', { class: 'what' }, el('b', { text: it.name || it.path }), ` ${says(it)}`),
    el('span', { class: 'took', text: it.took_ms === undefined ? '' : `${it.took_ms} ms` }),
    el('span', { class: `status${isBad(it) ? ' bad' : ''}`, text: status }))),
  };
}

function drawDetail() {
  drawer.classList.toggle('with-detail', Boolean(chosen));
  if (!chosen) {
    detail.replaceChildren(el('p', { class: 'faint none', text: word('pick_one') }));
    return;
  }
  if (detail.shown === chosen && detail.words === word('asked')) return;
  [detail.shown, detail.words] = [chosen, word('asked')];
  const answer = chosen.answer === '' ? word('empty') : chosen.answer;
  detail.replaceChildren(
    el('div', { class: 'detail-head' },
      el('b', { text: chosen.name || chosen.path }),
      el('span', { class: 'faint', text: `${word(chosen.direction)}${chosen.path ? ` · POST ${chosen.path}` : ''} · ${chosen.status || word('no_answer')}${chosen.took_ms === undefined ? '' : ` · ${chosen.took_ms} ms`}` }),
      el('button', { class: 'tool only-narrow', type: 'button', 'aria-label': word('close'), onclick: () => { chosen = null; draw(); } }, icon('close'))),
    el('h3', { text: word('asked') }), el('pre', {}, json(chosen.asked)),
    el('h3', { text: word('answer') }), el('pre', {}, json(answer)),
  );
}

/** JSON, indented, its keys and texts told apart by colour. */
function json(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  if (typeof value === 'string') return text;
  const out = el('code');
  const pieces = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null|-?\d[\d.eE+-]*)\b/g;
  let at = 0;
  for (const found of text.matchAll(pieces)) {
    out.append(text.slice(at, found.index));
    const kind = found[2] ? 'key' : found[1] ? 'string' : 'number';
    out.append(el('span', { class: `json-${kind}`, text: found[1] ?? found[3] }), found[2] ?? '');
    at = found.index + found[0].length;
  }
  out.append(text.slice(at));
  return out;
}
