// Block Kit drawn as Slack draws it, as far as a message can hold it.

import { el } from './dom.js';
import { mrkdwn, withEmoji } from './mrkdwn.js';
import { word } from './words.js';
import { world } from './world.js';

/** A text object: mrkdwn or plain. */
function text(object) {
  if (!object) return '';
  return object.type === 'mrkdwn' ? mrkdwn(object.text ?? '') : withEmoji(object.text ?? '');
}

const DRAWN = {
  header: (block) => el('h3', { class: 'block-header' }, text(block.text)),
  section,
  divider: () => el('hr'),
  context: (block) => el('div', { class: 'block-context' },
    (block.elements ?? []).map((it) => (it.type === 'image' ? image(it) : el('span', { class: 'prose' }, text(it))))),
  actions: (block, message) => el('div', { class: 'block-actions' },
    (block.elements ?? []).map((it) => element(it, message))),
  image,
  markdown: (block) => el('div', { class: 'prose' }, mrkdwn(block.text ?? '')),
};

/** Everything that a message says: its blocks, or its text where it has none, and its attachments. */
export function body(message) {
  const blocks = message.blocks ?? [];
  const out = el('div', { class: 'body' });
  if (blocks.length) out.append(...blocks.map((block) => drawn(block, message)));
  else if (message.text) out.append(el('div', { class: 'prose' }, mrkdwn(message.text)));
  for (const attachment of message.attachments ?? []) out.append(attached(attachment, message));
  return out;
}

function drawn(block, message) {
  const draw = DRAWN[block.type];
  return draw ? draw(block, message) : el('div', { class: 'prose faint', text: `[${block.type}]` });
}

function section(block, message) {
  const words = el('div', { class: 'section-words' });
  if (block.text) words.append(el('div', { class: 'prose' }, text(block.text)));
  if (block.fields) {
    words.append(el('div', { class: 'fields' }, block.fields.map((it) => el('div', { class: 'prose' }, text(it)))));
  }
  const accessory = block.accessory && element(block.accessory, message);
  return el('div', { class: 'block-section' }, words, accessory && el('div', { class: 'accessory' }, accessory));
}

// Nothing is loaded from outside: an image is its description.
function image(it) {
  return el('span', { class: 'picture', text: `🖼 ${it.alt_text || word('image')}` });
}

function attached(attachment, message) {
  const out = el('div', { class: 'attached' });
  for (const key of ['pretext', 'title', 'text']) {
    if (attachment[key]) out.append(el('div', { class: 'prose' }, mrkdwn(attachment[key])));
  }
  out.append(...(attachment.blocks ?? []).map((block) => drawn(block, message)));
  if (!out.firstChild && attachment.fallback) out.append(el('div', { class: 'prose' }, mrkdwn(attachment.fallback)));
  return out;
}

function element(it, message) {
  if (it.type === 'image') return image(it);
  if (it.type !== 'button') {
    return el('button', { class: 'button', type: 'button', disabled: true, text: it.placeholder?.text ?? it.type });
  }
  const style = ['primary', 'danger'].includes(it.style) ? ` ${it.style}` : '';
  const node = el('button', {
    class: `button${style}`,
    type: 'button',
    'data-focus': `${message.ts} ${it.action_id} ${it.value ?? ''}`,
    'data-action': it.action_id,
    onclick: () => world.press(message, it, node),
  }, text(it.text));
  return node;
}
