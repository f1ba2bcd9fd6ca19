// The page as a whole: who looks, where, and keeping it current.

import { askWhere, confirmed, fillIn, toast } from './dialogs.js';
import { composer } from './composer.js';
import { el, icon, kept, sync } from './dom.js';
import { avatar, drawLog, drawThread } from './messages.js';
import { mrkdwn, placeOf } from './mrkdwn.js';
import * as traffic from './traffic.js';
import { hasWord, isChinese, pick, speak, word } from './words.js';
import { ask, calls, me, nameOf, room, roomName, standing, world } from './world.js';

const at = (id) => document.getElementById(id);
const [top, side, main, thread] = ['top', 'side', 'channel', 'thread'].map(at);
/** Between two looks at the workspace, however often it changes. */
const PAUSE_MS = 80;
const RETRY_MS = 1500;

/** Where this person is. */
const place = { user: null, channel: null, thread: null, highlight: null };
/** What was the last message that somebody had read when they opened the channel. */
let newFrom = null;
let theme = kept.get('theme') ?? 'auto';
let language = kept.get('language') ?? 'auto';
let isTryHidden = kept.get('try') === 'hidden';
let isSideOpen = false;
const drafts = new Map();

const say = composer({ id: 'say', allowCommands: true, send: (text) => send(text) });
const answer = composer({ id: 'answer', allowCommands: false, send: (text) => send(text, place.thread) });
const log = el('div', { id: 'log', role: 'log', 'aria-live': 'off', tabindex: 0 });
const threadLog = el('div', { id: 'thread-log', role: 'log', 'aria-live': 'off', tabindex: 0 });
const toLatest = el('button', { id: 'to-latest', class: 'button primary', type: 'button', hidden: true, onclick: () => { log.scrollTop = log.scrollHeight; } });
const channelHead = el('header', { class: 'channel-head' });
const threadHead = el('header', { class: 'channel-head' });
main.append(channelHead, el('div', { class: 'log-frame' }, log, toLatest), say.node);
thread.append(threadHead, threadLog, answer.node);

// Looking.

let isLooking = false;
let isStale = true;

/** Fetches what this person sees; changes that come meanwhile lead to one more look. */
async function look() {
  isStale = true;
  if (isLooking) return;
  isLooking = true;
  while (isStale) {
    isStale = false;
    const user = place.user;
    try {
      const snapshot = await ask(`/page/state?as=${encodeURIComponent(user)}`);
      if (user === place.user) {
        world.snapshot = snapshot;
        draw();
        traffic.refresh();
      } else isStale = true;
      document.body.classList.remove('offline');
    } catch (fault) {
      document.body.classList.add('offline');
      if (fault.message === 'no_such_person' && user !== 'U0ANN') place.user = 'U0ANN';
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      isStale = true;
    }
    if (isStale) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  isLooking = false;
}

function listen() {
  const events = new EventSource('/page/events');
  events.onmessage = look;
  // The browser tries again by itself, except where the answer was no stream.
  events.onerror = () => {
    document.body.classList.add('offline');
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  };
}

// Doing.

function explain(fault) {
  return hasWord(fault.message) ? word(fault.message) : fault.message;
}

async function send(text, threadTs) {
  newFrom = null;
  log.scrollTop = log.scrollHeight;
  try {
    const body = { as: place.user, channel: place.channel, text };
    await ask('/page/say', threadTs ? { ...body, thread_ts: threadTs } : body);
    return true;
  } catch (fault) {
    toast(word('send_failed', explain(fault)), true);
    return false;
  }
}

world.redraw = () => draw();

world.press = async (message, element, node) => {
  if (element.confirm && !(await confirmed(element.confirm))) return;
  if (element.url) {
    window.open(element.url, '_blank', 'noopener');
  }
  node.setAttribute('aria-busy', 'true');
  try {
    const { ts } = message;
    const user = place.user;
    const pressed = await ask('/page/press', { as: user, channel: place.channel, ts, action_id: element.action_id, value: element.value ?? '' });
    if (pressed.view && user === place.user) fillIn(pressed.view, (values) => submit(user, pressed.view, values));
  } catch (fault) {
    toast(explain(fault), true);
  }
  node.removeAttribute('aria-busy');
};

/** Sends a form off: what is wrong with it, by block. */
async function submit(user, view, values) {
  try {
    const { errors } = await ask('/page/submit', { as: user, view: view.id, values });
    return errors;
  } catch (fault) {
    toast(explain(fault), true);
    return {};
  }
}

world.goTo = (channel, ts, threadTs) => {
  const known = room(channel);
  if (!known) return toast(word('channel_not_found'), true);
  if (channel !== place.channel) {
    drafts.set(`${place.user} ${place.channel}`, say.field.value);
    openRoom(channel);
  }
  isSideOpen = false;
  place.highlight = null;
  if (ts) {
    const found = known.messages.find((it) => it.ts === ts);
    if (!found) {
      draw();
      return toast(word('gone'), true);
    }
    place.highlight = ts;
    const head = threadTs ?? found.thread_ts;
    if (head && head !== ts) place.thread = head;
  }
  draw();
  if (ts) {
    const row = document.querySelector(`#thread [data-ts="${CSS.escape(ts)}"]`) ?? log.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
    row?.scrollIntoView({ block: 'center' });
    row?.classList.add('found');
    setTimeout(() => row?.classList.remove('found'), 2500);
  } else {
    say.field.focus({ preventScroll: true });
  }
};

function openRoom(channel) {
  place.channel = channel;
  place.thread = null;
  newFrom = lastRead(channel);
  say.restore(drafts.get(`${place.user} ${channel}`) ?? '');
  isAtEnd = true;
}

world.openThread = (channel, ts, withFocus = false) => {
  if (place.channel !== channel) openRoom(channel);
  const isNew = place.thread !== ts;
  place.thread = ts;
  draw();
  if (isNew) threadLog.scrollTop = threadLog.scrollHeight;
  (withFocus ? answer.field : thread.querySelector('.close'))?.focus({ preventScroll: true });
};

function closeThread() {
  const ts = place.thread;
  place.thread = null;
  draw();
  (log.querySelector(`[data-focus="${CSS.escape(`thread ${ts}`)}"]`) ?? say.field).focus({ preventScroll: true });
}

world.become = async (user, then) => {
  if (user !== place.user) {
    drafts.set(`${place.user} ${place.channel}`, say.field.value);
    const wasPrivate = room(place.channel)?.is_dm;
    place.user = user;
    kept.set('as', user);
    const snapshot = await ask(`/page/state?as=${encodeURIComponent(user)}`).catch(() => null);
    if (!snapshot || place.user !== user) return;
    world.snapshot = snapshot;
    const still = wasPrivate ? snapshot.rooms.find((it) => it.is_dm)?.id : place.channel;
    const threadTs = wasPrivate ? null : place.thread;
    openRoom(still ?? snapshot.rooms[0].id);
    place.thread = threadTs;
    isSideOpen = false;
    draw();
    tell(word('now_persona', nameOf(user)));
  }
  then?.();
};

world.fillIn = (idea) => world.become(idea.user, () => {
  world.goTo(idea.channel);
  say.fill(`${world.snapshot.command} ${idea.text}`);
});

world.copyLink = async (channel, message) => {
  const inThread = message.thread_ts && message.thread_ts !== message.ts ? `?thread_ts=${message.thread_ts}&cid=${channel}` : '';
  const address = `${world.snapshot.base_url}/archives/${channel}/p${message.ts.replace('.', '')}${inThread}`;
  try {
    await navigator.clipboard.writeText(address);
    toast(word('copied'));
  } catch {
    toast(address);
  }
};

// Reading and unread.

const lastRead = (channel, user = place.user) => kept.get(`read.${user}.${channel}`) ?? '0';
const isNews = (it, since, user = place.user) => it.kind !== 'typed' && it.user !== user && Number(it.ts) > Number(since);
/** What somebody has not read in a room, and what of it calls them. */
const newsIn = (it, user = place.user) => it.messages.filter((message) => isNews(message, lastRead(it.id, user), user));
const callsIn = (it) => newsIn(it).filter((message) => it.is_dm || message.kind === 'ephemeral' || calls(message, place.user)).length;
/** Whether a channel that everybody sees calls somebody who has not looked since. */
const isCalled = (user) => world.snapshot.rooms.some((it) => !it.is_dm && newsIn(it, user).some((message) => message.kind === 'message' && calls(message, user)));

function markRead() {
  const latest = room(place.channel)?.messages.at(-1);
  if (latest && document.visibilityState === 'visible' && Number(latest.ts) > Number(lastRead(place.channel))) {
    kept.set(`read.${place.user}.${place.channel}`, latest.ts);
  }
}

const announced = new Map();
/** Says what is new to whoever listens instead of looking; edits of a card are not said again. */
function announce() {
  const key = `${place.user} ${place.channel}`;
  const messages = room(place.channel).messages.filter((it) => it.kind !== 'typed');
  const since = announced.get(key);
  announced.set(key, messages.at(-1)?.ts ?? '0');
  if (since === undefined) return;
  for (const it of messages.filter((it) => isNews(it, since)).slice(-3)) {
    const words = document.createElement('div');
    words.append(mrkdwn(it.text));
    tell(`${it.kind === 'ephemeral' ? `${word('only_you')}: ` : ''}${nameOf(it.user)}: ${words.textContent}`);
  }
}

function tell(text) {
  at('announcer').replaceChildren(el('p', { text }));
}

// Drawing.

let isAtEnd = true;
log.addEventListener('scroll', () => {
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  if (isAtEnd) toLatest.hidden = true;
});
new ResizeObserver(() => { if (isAtEnd) log.scrollTop = log.scrollHeight; }).observe(log);

function draw() {
  if (!world.snapshot) return;
  const lang = language === 'auto' ? (me()?.locale.startsWith('zh') ? 'zh' : 'en') : language;
  speak(lang, world.snapshot.utc_offset_secs);
  if (!room(place.channel)) openRoom(world.snapshot.rooms[0].id);
  document.documentElement.dataset.theme = theme;
  document.body.classList.toggle('side-open', isSideOpen);
  document.body.dataset.offline = word('offline');
  at('skip').textContent = word('skip');
  markRead();
  drawTop();
  drawSide();
  drawChannel();
  drawThreadPanel();
  traffic.frame();
  announce();
  const unread = world.snapshot.rooms.reduce((sum, it) => sum + callsIn(it), 0);
  document.title = `${unread ? `(${unread}) ` : ''}${roomName(room(place.channel))} – NeoStock`;
  const address = `/archives/${place.channel}?as=${place.user}`;
  if (`${location.pathname}${location.search}` !== address) history.replaceState(null, '', address);
}

function tool(name, label, onclick, more = {}) {
  return el('button', { class: 'tool', type: 'button', 'aria-label': label, title: label, onclick, ...more }, icon(name));
}

function drawTop() {
  const persons = world.snapshot.persons.filter((it) => !it.is_deactivated);
  const called = persons.filter((it) => it.id !== place.user && isCalled(it.id)).map((it) => it.id);
  const signature = JSON.stringify([isChinese(), place.user, theme, language, traffic.isOpen(), isSideOpen, persons, called]);
  sync(top, [
    { key: 'menu', signature, make: () => tool('menu', word('menu'), () => { isSideOpen = !isSideOpen; draw(); }, { 'data-focus': 'menu', 'aria-expanded': String(isSideOpen), id: 'menu' }) },
    { key: 'jump', signature: word('jump'), make: () => el('button', { id: 'search', type: 'button', 'aria-label': word('jump'), title: word('jump_hint'), onclick: askWhere, 'data-focus': 'jump' }, icon('search'), el('span', { text: word('jump') }), el('kbd', { text: 'Ctrl K' })) },
    { key: 'persons', signature, make: () => el('div', { id: 'persons', role: 'group', 'aria-label': word('persona') }, persons.map((it) => personaButton(it, called.includes(it.id)))) },
    { key: 'tools', signature, make: drawTools },
  ]);
}

function personaButton(it, isWanted) {
  const words = [it.real_name, standing(it), ...(isWanted ? [word('mentioned')] : [])];
  return el('button', {
    class: 'persona', type: 'button', 'aria-pressed': String(it.id === place.user), 'data-focus': it.id, 'data-persona': it.id,
    title: words.join(' · '), 'aria-label': words.join(', '), onclick: () => world.become(it.id),
  }, avatar(it.id, 'small'), el('span', { class: 'persona-name', text: it.real_name }), isWanted && el('span', { class: 'dot' }));
}

const NEXT_THEME = { auto: 'light', light: 'dark', dark: 'auto' };
const NEXT_LANGUAGE = { auto: 'zh', zh: 'en', en: 'auto' };

function drawTools() {
  const icons = { auto: 'auto', light: 'sun', dark: 'moon' };
  const languageLabel = word(`language_${language}`);
  return el('div', { class: 'top-tools' },
    el('button', {
      class: 'tool words', type: 'button', 'data-focus': 'language', title: languageLabel, 'aria-label': languageLabel,
      onclick: () => { language = NEXT_LANGUAGE[language]; kept.set('language', language); draw(); toast(word(`language_${language}`)); },
    }, isChinese() ? '中' : 'EN'),
    tool(icons[theme], word(`theme_${theme}`), () => { theme = NEXT_THEME[theme]; kept.set('theme', theme); draw(); toast(word(`theme_${theme}`)); }, { 'data-focus': 'theme', id: 'theme' }),
    tool('wire', word('traffic'), () => traffic.toggle(), { 'data-focus': 'traffic', id: 'traffic-button', 'aria-pressed': String(traffic.isOpen()) }));
}

function drawSide() {
  side.setAttribute('aria-label', word('channels'));
  const mine = me();
  const entry = (it) => {
    const isHere = it.id === place.channel;
    const hasNews = !isHere && newsIn(it).length > 0;
    const count = isHere ? 0 : callsIn(it);
    return {
      key: it.id,
      signature: JSON.stringify([isHere, hasNews, count, isChinese(), it.name]),
      make: () => el('button', {
        class: `entry${isHere ? ' here' : ''}${hasNews ? ' unread' : ''}`, type: 'button', 'data-focus': it.id, 'data-room': it.id, 'aria-current': isHere ? 'page' : null, onclick: () => world.goTo(it.id),
      },
      it.is_dm ? avatar(world.snapshot.bot.id, 'tiny') : icon(it.is_private ? 'lock' : 'hash'),
      el('span', { class: 'entry-name', text: it.is_dm ? world.snapshot.bot.name : it.name }),
      count > 0 && el('span', { class: 'count', title: word('unread', count), text: String(count) })),
    };
  };
  const heading = (key, text) => ({ key, signature: text, make: () => el('h2', { text }) });
  const { ideas } = world.snapshot.guide;
  const isEmpty = room(place.channel).messages.length === 0;
  sync(side, [
    { key: 'head', signature: JSON.stringify([isChinese(), mine]), make: () => el('div', { class: 'side-head' }, el('strong', { text: 'NeoStock' }), el('span', { text: `${mine.real_name} · ${standing(mine)}` })) },
    heading('channels', word('channels')),
    ...world.snapshot.rooms.filter((it) => !it.is_dm).map(entry),
    heading('apps', word('apps')),
    ...world.snapshot.rooms.filter((it) => it.is_dm).map(entry),
    { key: 'space', signature: '', make: () => el('div', { class: 'space' }) },
    ...(ideas.length && !isEmpty ? [{ key: 'try', signature: JSON.stringify([isChinese(), isTryHidden, ideas]), make: tryPanel }] : []),
  ]);
}

function tryPanel() {
  const { ideas } = world.snapshot.guide;
  const turn = (hidden) => {
    isTryHidden = hidden;
    kept.set('try', hidden ? 'hidden' : 'shown');
    draw();
  };
  if (isTryHidden) {
    return el('button', { class: 'entry', type: 'button', 'data-focus': 'try', onclick: () => turn(false) }, icon('bulb'), el('span', { class: 'entry-name', text: word('open_try') }));
  }
  return el('section', { class: 'try', 'aria-label': word('open_try') },
    el('div', { class: 'try-head' }, icon('bulb'), el('strong', { text: word('try_title', ideas.length) }),
      tool('close', word('close_try'), () => turn(true), { 'data-focus': 'try' })),
    el('ol', {}, ideas.map(ideaItem)));
}

function ideaItem(idea) {
  return el('li', {}, el('button', { class: 'idea', type: 'button', 'data-idea': idea.text, onclick: () => world.fillIn(idea) },
    avatar(idea.user, 'small'),
    el('span', { class: 'idea-words' }, el('span', { text: pick(idea) }), el('code', { text: `${world.snapshot.command} ${idea.text}` })),
    el('span', { class: 'fill', text: word('fill') })));
}

/** The beginning of a channel; an empty one shows what to try. */
function intro(here) {
  const isEmpty = here.messages.length === 0;
  const { ideas } = world.snapshot.guide;
  const name = roomName(here);
  return {
    signature: JSON.stringify([isChinese(), here.id, isEmpty, here.left_out, ideas.length, place.user]),
    make: () => el('div', { class: `intro${isEmpty ? ' empty' : ''}` },
      here.left_out > 0 ? el('p', { class: 'faint', text: word('left_out', here.left_out) }) : [
        el('h2', { text: word(here.is_dm ? 'dm_start' : 'channel_start', name) }),
        el('p', { class: 'faint' }, here.is_dm ? word('dm_start_text', name) : word('channel_start_text', `${world.snapshot.command} help`)),
      ],
      isEmpty && ideas.length > 0 && el('section', { class: 'try inline', 'aria-label': word('open_try') },
        el('h3', { text: word('try_title', ideas.length) }), el('ol', {}, ideas.map(ideaItem)))),
  };
}

function drawChannel() {
  const here = room(place.channel);
  const persons = world.snapshot.persons.filter((it) => !it.is_deactivated);
  sync(channelHead, [
    { key: 'name', signature: roomName(here), make: () => el('h1', {}, here.is_dm ? avatar(world.snapshot.bot.id, 'small') : icon('hash'), here.is_dm ? world.snapshot.bot.name : here.name) },
    { key: 'members', signature: JSON.stringify([here.is_dm, persons, isChinese()]), make: () => el('span', { class: 'members', title: word('members') }, (here.is_dm ? [place.user] : persons.map((it) => it.id)).map((id) => avatar(id, 'tiny')), avatar(world.snapshot.bot.id, 'tiny')) },
  ]);
  log.setAttribute('aria-label', roomName(here));
  const wasAtEnd = isAtEnd;
  const latest = here.messages.at(-1)?.ts;
  drawLog(log, here, newFrom === '0' ? null : newFrom, intro(here));
  if (wasAtEnd) log.scrollTop = log.scrollHeight;
  else if (log.latest !== undefined && log.latest !== `${here.id} ${latest}`) toLatest.hidden = false;
  log.latest = `${here.id} ${latest}`;
  toLatest.textContent = `↓ ${word('to_latest')}`;
  say.label(word('say_in', roomName(here)));
}

function drawThreadPanel() {
  const wasAtEnd = threadLog.scrollHeight - threadLog.scrollTop - threadLog.clientHeight < 60;
  const isThere = place.thread !== null && drawThread(threadLog, room(place.channel), place.thread);
  if (!isThere) place.thread = null;
  thread.hidden = !isThere;
  document.body.classList.toggle('with-thread', isThere);
  if (!isThere) return;
  thread.setAttribute('aria-label', word('thread'));
  threadLog.setAttribute('aria-label', word('thread'));
  sync(threadHead, [
    { key: 'name', signature: word('thread') + place.channel, make: () => el('h1', {}, word('thread'), el('span', { class: 'faint', text: roomName(room(place.channel)) })) },
    { key: 'close', signature: word('close'), make: () => tool('close', word('close'), closeThread, { class: 'tool close', 'data-focus': 'close' }) },
  ]);
  answer.label(word('say_reply'));
  if (wasAtEnd) threadLog.scrollTop = threadLog.scrollHeight;
}

// Keys and the rest.

document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    askWhere();
  } else if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
    if (isSideOpen) {
      isSideOpen = false;
      draw();
      at('menu').focus();
    } else if (traffic.isOpen() && at('traffic').contains(document.activeElement)) {
      traffic.toggle(false);
    } else if (place.thread) closeThread();
  }
});
document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') draw(); });
at('frame').addEventListener('click', (event) => {
  if (isSideOpen && !side.contains(event.target)) {
    isSideOpen = false;
    draw();
  }
});

async function begin() {
  const asked = new URL(location.href);
  document.documentElement.dataset.theme = theme;
  place.user = asked.searchParams.get('as') ?? kept.get('as') ?? 'U0ANN';
  await look();
  const wanted = placeOf(asked);
  if (wanted && room(wanted.channel)) world.goTo(wanted.channel, wanted.ts, wanted.thread);
  say.field.focus({ preventScroll: true });
  listen();
}

begin();
