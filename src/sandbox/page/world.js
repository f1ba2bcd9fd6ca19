// What every part of the page knows: the latest snapshot of what this person sees, and what can be
// done with it. `app.js` fills in the deeds.

export const world = {
  /** The answer of `/page/state`; null before the first. */
  snapshot: null,
  /** Deeds: goTo(channel, ts), openThread(channel, ts), press(message, element), become(user) … */
  goTo: null,
  openThread: null,
  press: null,
  become: null,
  fillIn: null,
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

/** Whether a text calls this person, by name or by group. */
export function callsMe(text) {
  const mine = world.snapshot.groups.filter((group) => group.members.includes(world.snapshot.me));
  return text.includes(`<@${world.snapshot.me}`)
    || mine.some((group) => text.includes(`<!subteam^${group.id}`))
    || /<!(here|channel|everyone)/.test(text);
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
