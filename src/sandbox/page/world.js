// What every part of the page knows: the latest snapshot of what this person sees, and what can be
// done with it. `app.js` fills in the deeds.

import { word } from './words.js';

export const world = {
  /** The answer of `/page/state`; null before the first. */
  snapshot: null,
  // Deeds, by app.js: goTo(channel, ts, thread), openThread(channel, ts), press(message, element, node),
  // become(user), fillIn(idea), copyLink(channel, message), redraw().
};

export const person = (id) => world.snapshot.persons.find((it) => it.id === id);
export const room = (id) => world.snapshot.rooms.find((it) => it.id === id);
export const me = () => person(world.snapshot.me);
export const isBot = (id) => world.snapshot.bot.id === id;

export function nameOf(id) {
  return isBot(id) ? world.snapshot.bot.name : person(id)?.real_name ?? id;
}

export const roomName = (it) => (it.is_dm ? world.snapshot.bot.name : `#${it.name}`);

/** Which of the colours of avatars is theirs. */
export const tint = (id) => Math.max(0, world.snapshot.persons.findIndex((it) => it.id === id)) % 6;

/** Whether a message calls this person, by name or by group. */
export function calls(message, user) {
  const text = message.text + JSON.stringify(message.blocks ?? []);
  const theirs = world.snapshot.groups.filter((group) => group.members.includes(user));
  return text.includes(`<@${user}`)
    || theirs.some((group) => text.includes(`<!subteam^${group.id}`))
    || /<!(here|channel|everyone)/.test(text);
}

/** What somebody may be called by: their groups, or that they have none. */
export function standing(it) {
  const groups = it.groups.map((group) => `@${group}`);
  return [...(it.is_guest ? [word('guest')] : []), ...groups].join(' · ') || word('no_group');
}

/** Asks the sandbox; a refusal becomes an error whose message is the sandbox's word for it. */
export async function ask(path, body) {
  const given = body === undefined ? {} : {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, given);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `HTTP ${response.status}`);
  return answer;
}
