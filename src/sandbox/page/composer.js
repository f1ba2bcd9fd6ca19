// Where people type: a growing field, completion of commands, and what Enter does.

import { el, icon } from './dom.js';
import { pick, word } from './words.js';
import { me, person, world } from './world.js';

/** Suggestions that are offered at once. */
const SUGGESTIONS_MAX = 8;
const RUN_ID = /R-[0-9A-Z]{8}/g;

/** The parts of a usage such as `rollback <version> [env=…] <reason…>` or `settle <run> ok|failed`. */
function placeholders(usage) {
  const found = [...usage.matchAll(/<([^>]+)>|\[([^\]]+)\]|(?<= )(\S+)/g)];
  return found.map(([whole, required, optional, bare]) => {
    const inside = required ?? optional ?? bare;
    const [name, value] = inside.replace(/…/g, '').trim().split('=');
    return { whole, name, isNamed: value !== undefined, takesRest: whole.includes('…') && value === undefined, words: inside.split('|') };
  });
}

/** Run ids in what this person sees, newest first, each with the line it was last seen in. */
function recentRuns() {
  const seen = new Map();
  const all = world.snapshot.rooms.flatMap((room) => room.messages).sort((a, b) => b.ts - a.ts);
  for (const message of all) {
    for (const id of JSON.stringify([message.text, message.blocks]).match(RUN_ID) ?? []) {
      const detail = message.kind === 'message' ? message.text : '';
      if (!seen.get(id)) seen.set(id, detail);
    }
  }
  return [...seen].map(([insert, detail]) => ({ insert, detail }));
}

function names(start) {
  const persons = world.snapshot.persons.map((it) => ({ insert: `@${it.name}`, detail: it.real_name }));
  const groups = world.snapshot.groups.map((it) => ({ insert: `@${it.handle}`, detail: it.members.map((id) => person(id)?.real_name).join(', ') }));
  const channels = world.snapshot.rooms.filter((it) => !it.is_dm).map((it) => ({ insert: `#${it.name}`, detail: '' }));
  return start === '@' ? [...persons, ...groups] : channels;
}

function choicesFor(placeholder) {
  if (!placeholder) return [];
  const { choices } = world.snapshot.guide;
  const plain = (list) => list.map((insert) => ({ insert, detail: '' }));
  if (placeholder.words.length > 1) return plain(placeholder.words.map((it) => it.trim()));
  if (placeholder.name === 'run') return recentRuns();
  if (placeholder.name.includes(' ')) return plain([placeholder.name]);
  return plain(choices[placeholder.name] ?? []);
}

/** What can stand where the caret is: {from, items, hint, isEager}, or null. */
export function suggestions(text, allowCommands) {
  const current = /\S*$/.exec(text)[0];
  const from = text.length - current.length;
  const matching = (items) => items
    .filter((it) => it.insert.toLowerCase().startsWith(current.toLowerCase()) && it.insert !== current)
    .slice(0, SUGGESTIONS_MAX);
  if (/^[@#]/.test(current)) return { from, items: matching(names(current[0])), hint: '', isEager: true };
  if (!allowCommands || !text.startsWith('/')) return null;
  const { command, guide } = world.snapshot;
  const words = text.slice(0, from).split(/\s+/).filter(Boolean);
  if (words.length === 0 || (words.length === 1 && words[0] === command)) {
    const start = words.length === 0 ? '' : current;
    if (words.length === 0 && !command.startsWith(current)) return null;
    const items = guide.commands
      .map((it) => ({ name: it.usage.split(' ')[0], usage: it.usage, detail: pick(it) }))
      .filter((it) => it.name.startsWith(start.toLowerCase()))
      .map((it) => ({ insert: `${command} ${it.name}`, label: `${command} ${it.usage}`, detail: it.detail }));
    const isWhole = guide.commands.some((it) => it.usage.split(' ')[0] === start);
    return { from: 0, items, hint: '', isEager: !isWhole };
  }
  if (words[0] !== command) return null;
  const known = guide.commands.find((it) => it.usage.split(' ')[0] === words[1]);
  if (!known) return null;
  const parts = placeholders(known.usage);
  const positional = parts.filter((it) => !it.isNamed && !it.name.includes(' '));
  const given = words.slice(2).filter((it) => !it.includes('=')).length;
  const named = parts.filter((it) => it.isNamed || it.name.includes(' '));
  const next = positional[given] ?? (positional.at(-1)?.takesRest ? positional.at(-1) : null);
  const isNamed = current !== '' && named.some((it) => `${it.name}=`.startsWith(current.split('=')[0]));
  const wanted = isNamed || (!next && named.length) ? named : [next];
  const items = matching(wanted.flatMap(choicesFor));
  return { from, items, hint: known.usage, part: (isNamed ? named[0] : next)?.whole ?? '', isEager: false };
}

/**
 * A composer: its node and field, and `fill(text)`, `restore(text)`, `label(text)`. `send(text)` is asked
 * to send and answers whether that was done.
 */
export function composer({ id, allowCommands, send }) {
  let shown = null;
  let chosen = -1;
  let isSending = false;
  const list = el('ul', { id: `${id}-list`, class: 'suggestions', role: 'listbox', hidden: true });
  const field = el('textarea', {
    id, rows: 1, role: 'combobox', 'aria-expanded': 'false', 'aria-controls': `${id}-list`, 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false', maxlength: '4000',
  });
  const button = el('button', { class: 'send', type: 'submit', disabled: true }, icon('send'));
  const tips = el('span', { class: 'tips' });
  const box = el('form', { class: 'composer', onsubmit: submit }, list, field,
    el('div', { class: 'composer-foot' }, tips, button));

  function draw() {
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight, 220)}px`;
    button.disabled = field.value.trim() === '' || isSending;
    const isOpen = Boolean(shown && (shown.items.length || shown.hint));
    list.hidden = !isOpen;
    field.setAttribute('aria-expanded', String(isOpen));
    field.setAttribute('aria-activedescendant', isOpen && chosen >= 0 ? `${id}-${chosen}` : '');
    if (!isOpen) return;
    list.setAttribute('aria-label', word('completions'));
    list.replaceChildren(
      shown.hint ? usageLine() : '',
      ...shown.items.map((item, at) => el('li', {
        id: `${id}-${at}`, role: 'option', 'aria-selected': String(at === chosen),
        onmousedown: (event) => { event.preventDefault(); accept(at); },
      }, el('span', { class: 'suggestion', text: item.label ?? item.insert }), el('span', { class: 'faint', text: item.detail.replace(/`/g, '') }))),
    );
    list.children[chosen + (shown.hint ? 1 : 0)]?.scrollIntoView({ block: 'nearest' });
  }

  function usageLine() {
    const { hint, part } = shown;
    const at = part ? hint.indexOf(part) : -1;
    const words = at < 0 ? [hint] : [hint.slice(0, at), el('b', { text: part }), hint.slice(at + part.length)];
    return el('li', { class: 'usage', role: 'presentation' }, el('code', {}, `${world.snapshot.command} `, words));
  }

  function look() {
    shown = field.selectionStart === field.value.length ? suggestions(field.value, allowCommands) : null;
    chosen = shown?.isEager && shown.items.length ? 0 : -1;
    draw();
  }

  function accept(at) {
    field.value = `${field.value.slice(0, shown.from)}${shown.items[at].insert} `;
    field.focus();
    look();
  }

  async function submit(event) {
    event?.preventDefault();
    const text = field.value;
    if (isSending || text.trim() === '') return;
    isSending = true;
    field.value = '';
    shown = null;
    draw();
    const done = await send(text.trim());
    isSending = false;
    // What could not be sent comes back, unless something else was typed meanwhile.
    if (!done && field.value === '') field.value = text;
    draw();
  }

  field.addEventListener('input', look);
  field.addEventListener('click', look);
  field.addEventListener('blur', () => { shown = null; draw(); });
  field.addEventListener('keydown', (event) => {
    // Enter and the arrows belong to the input method while it composes.
    if (event.isComposing || event.keyCode === 229) return;
    const count = shown?.items.length ?? 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (count && step) {
      event.preventDefault();
      chosen = chosen < 0 ? (step > 0 ? 0 : count - 1) : (chosen + step + count) % count;
      draw();
    } else if (count && event.key === 'Tab' && !event.shiftKey) {
      event.preventDefault();
      accept(Math.max(0, chosen));
    } else if (shown && event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      shown = null;
      draw();
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      if (count && chosen >= 0) accept(chosen);
      else submit();
    }
  });
  return {
    node: box,
    field,
    fill(text) {
      field.value = text;
      field.focus();
      look();
    },
    /** Puts back what was being written here, without taking the focus. */
    restore(text) {
      field.value = text;
      shown = null;
      draw();
    },
    label(placeholder) {
      field.placeholder = placeholder;
      field.setAttribute('aria-label', placeholder);
      button.setAttribute('aria-label', word('send'));
      tips.textContent = allowCommands ? word('tips') : word('thread_plain');
    },
  };
}
