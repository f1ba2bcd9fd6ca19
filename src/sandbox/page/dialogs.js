// Questions that want an answer first: Slack's confirm dialog, and the way to anywhere by keyboard.

import { el } from './dom.js';
import { mrkdwn, withEmoji } from './mrkdwn.js';
import { word } from './words.js';
import { roomName, world } from './world.js';
import { avatar } from './messages.js';

const dialog = document.getElementById('confirm');
const jump = document.getElementById('jump');

/** Asks what a button's confirm object says; whether the person agreed. */
export function confirmed(confirm) {
  const text = (object, fallback) => (object?.type === 'mrkdwn' ? mrkdwn(object.text) : withEmoji(object?.text ?? fallback));
  const answer = (value) => () => dialog.close(value);
  dialog.replaceChildren(
    el('h2', { id: 'confirm-title' }, text(confirm.title, word('confirm'))),
    el('button', { class: 'tool close', type: 'button', 'aria-label': word('close'), onclick: answer('no') }, '✕'),
    el('div', { id: 'confirm-text', class: 'prose' }, text(confirm.text, '')),
    el('div', { class: 'choices' },
      el('button', { class: 'button', type: 'button', onclick: answer('no') }, text(confirm.deny, word('cancel'))),
      el('button', { class: `button ${confirm.style === 'danger' ? 'danger' : 'primary'}`, type: 'button', autofocus: true, onclick: answer('yes') },
        text(confirm.confirm, word('confirm')))),
  );
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === 'yes');
  });
}

/**
 * Shows a form that the bot opened. `send` gets its values and says what is wrong with each block;
 * nothing wrong closes it.
 */
export function fillIn(view, send) {
  const text = (object, fallback = '') => (object?.type === 'mrkdwn' ? mrkdwn(object.text) : withEmoji(object?.text ?? fallback));
  const inputs = new Map();
  const drawn = (block) => {
    if (block.type !== 'input') return el('div', { class: 'prose' }, text(block.text));
    const { element } = block;
    const id = `form-${block.block_id}`;
    const isMenu = element.type === 'static_select';
    const field = isMenu ? el('select', { id, 'aria-describedby': `${id}-fault` },
      ...element.options.map((option) => el('option', {
        value: option.value, selected: option.value === element.initial_option?.value || null,
      }, option.text.text))) : el(element.multiline ? 'textarea' : 'input', {
      id, rows: element.multiline ? '4' : null, maxlength: element.max_length && String(element.max_length),
      required: !block.optional, 'aria-describedby': `${id}-hint ${id}-fault`,
    });
    const fault = el('p', { id: `${id}-fault`, class: 'fault', role: 'alert' });
    inputs.set(block.block_id, { element, field, fault });
    return el('div', { class: 'question' },
      el('label', { for: id }, text(block.label)), field,
      block.hint && el('p', { id: `${id}-hint`, class: 'faint' }, text(block.hint)), fault);
  };
  const submit = async (event) => {
    event.preventDefault();
    const values = {};
    for (const [block, { element, field, fault }] of inputs) {
      fault.textContent = '';
      const held = element.type === 'static_select' ? { selected_option: { value: field.value } } : { value: field.value || null };
      values[block] = { [element.action_id]: { type: element.type, ...held } };
    }
    const sending = form.querySelector('[type=submit]');
    sending.disabled = true;
    const faults = await send(values);
    sending.disabled = false;
    if (!faults) return dialog.close('yes');
    for (const [block, words] of Object.entries(faults)) {
      const input = inputs.get(block);
      if (input) input.fault.textContent = words;
    }
    return undefined;
  };
  const form = el('form', { id: 'form', onsubmit: submit },
    el('h2', { id: 'confirm-title' }, text(view.title)),
    ...view.blocks.map(drawn),
    el('div', { class: 'choices' },
      el('button', { class: 'button', type: 'button', onclick: () => dialog.close('no') }, text(view.close, word('cancel'))),
      el('button', { class: 'button primary', type: 'submit' }, text(view.submit, word('confirm')))));
  dialog.onclose = null;
  dialog.replaceChildren(form);
  dialog.showModal();
  inputs.values().next().value?.field.focus();
}

/** Everywhere that one can go: channels, the private conversation, other persons. */
function places() {
  const rooms = world.snapshot.rooms.map((it) => ({
    label: roomName(it),
    words: `${it.name} ${roomName(it)}`,
    mark: it.is_dm ? avatar(world.snapshot.bot.id, 'tiny') : el('span', { class: 'tiny mark', text: '#' }),
    go: () => world.goTo(it.id),
  }));
  const persons = world.snapshot.persons.filter((it) => it.id !== world.snapshot.me && !it.is_deactivated).map((it) => ({
    label: word('become', it.real_name),
    words: `${it.name} ${it.real_name}`,
    mark: avatar(it.id, 'tiny'),
    go: () => world.become(it.id),
  }));
  return [...rooms, ...persons];
}

/** Asks where to go. */
export function askWhere() {
  if (jump.open || dialog.open) return;
  let chosen = 0;
  let shown = [];
  const list = el('ul', { id: 'jump-list', role: 'listbox', 'aria-label': word('jump') });
  const input = el('input', {
    type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'jump-list', 'aria-autocomplete': 'list',
    'aria-label': word('jump_hint'), placeholder: word('jump_hint'), autocomplete: 'off', spellcheck: 'false',
  });
  const go = (place) => {
    jump.close();
    place?.go();
  };
  const draw = () => {
    const asked = input.value.trim().toLowerCase().replace(/^[#@]/, '');
    shown = places().filter((it) => it.words.toLowerCase().includes(asked));
    chosen = Math.min(chosen, Math.max(0, shown.length - 1));
    list.replaceChildren(...shown.map((place, at) => el('li', {
      id: `jump-${at}`, role: 'option', 'aria-selected': String(at === chosen), onclick: () => go(place),
    }, place.mark, place.label)));
    input.setAttribute('aria-activedescendant', shown.length ? `jump-${chosen}` : '');
  };
  input.addEventListener('input', () => {
    chosen = 0;
    draw();
  });
  input.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      chosen = (chosen + step + shown.length) % shown.length;
      draw();
    } else if (event.key === 'Enter' && !event.isComposing) {
      event.preventDefault();
      go(shown[chosen]);
    }
  });
  jump.setAttribute('aria-label', word('jump'));
  jump.replaceChildren(input, list);
  draw();
  jump.showModal();
  input.focus();
}

// A press beside a dialog closes it, as Slack's do.
for (const it of [dialog, jump]) {
  it.addEventListener('mousedown', (event) => {
    if (event.target === it) it.close('no');
  });
}

/** A short note at the edge, for what a person just did. */
export function toast(text, isBad = false) {
  const note = el('div', { class: `toast${isBad ? ' bad' : ''}`, text });
  document.getElementById('toasts').append(note);
  setTimeout(() => note.remove(), isBad ? 8000 : 4000);
}
