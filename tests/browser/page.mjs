// What people do on the page, from the first look to a run's end. `node page.mjs URL [scenario…]`.

import { RUN_MS_MAX, become, check, checkAccessible, checkNarrow, launch, open, picture, row, say } from './browser.mjs';

const [url, ...wanted] = process.argv.slice(2);

const HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>"\'&';
/** What is said, and how it is drawn. */
const FORMATS = [
  ['*bold* _slanted_ ~struck~ `code *x*`', '<strong>bold</strong> <em>slanted</em> <s>struck</s> <code>code *x*</code>'],
  ['2*3*4 snake_case_name *open', '2*3*4 snake_case_name *open'],
  ['*粗 _斜_*，不*是*粗', '<strong>粗 <em>斜</em></strong>，不*是*粗'],
  ['a &amp; b &lt;c&gt;', 'a &amp; b &lt;c&gt;'],
  ['before\n```\nlet a &lt; *b*\n```\nafter', 'before<pre tabindex="0"><code>let a &lt; *b*</code></pre>after'],
  ['one\n&gt; quoted *b*\n> too\ntwo', 'one<blockquote>quoted <strong>b</strong>\ntoo</blockquote>two'],
  ['``` never closed', '``` never closed'],
  ['<@U0BOB> <!subteam^S0LEADS> <@U0NOBODY|who>', '<span class="mention">@Bob</span> <span class="mention">@leads</span> <span class="mention">@who</span>'],
  ['<!date^86400^{date_num} {time}|then> <!date^x^{time}|then>', '1970-01-02 08:00 then'],
  [':rocket: :no_such:', '🚀 :no_such:'],
];

const SCENARIOS = {
  async 'the first look shows what to try and fills it in'(browser) {
    const page = await open(browser, url, 'U0ANN');
    const ideas = page.locator('.try .idea:visible');
    check(await ideas.count() > 0, 'nothing to try is offered');
    await picture(page, 'first');
    await checkAccessible(page, 'the first look');
    const idea = ideas.last();
    const text = await idea.getAttribute('data-idea');
    await idea.click();
    await page.locator('.persona[data-persona=U0CAT][aria-pressed=true]').waitFor();
    check(await page.locator('#say').inputValue() === `/neostock ${text}`, 'the idea was not filled in');
    return page;
  },

  async 'a command is completed by keyboard and answered to its asker alone'(browser) {
    const page = await open(browser, url, 'U0BOB');
    const field = page.locator('#say');
    await field.focus();
    await page.keyboard.type('/neo');
    await page.locator('[role=option]').first().waitFor();
    await page.keyboard.type('stock stat');
    await page.keyboard.press('Tab');
    check(await field.inputValue() === '/neostock status ', `completed to ${await field.inputValue()}`);
    await page.keyboard.press('Enter');
    const answer = page.locator('#log .row.private', { hasText: 'neostock · status' }).last();
    await answer.waitFor();
    check((await answer.textContent()).includes('Only visible to you'), 'the answer does not say that it is private');
    await field.fill('/neostock rollback v1');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    check(/^\/neostock rollback v1\.\d $/.test(await field.inputValue()), `completed to ${await field.inputValue()}`);
    await field.fill('/neostock ');
    await picture(page, 'completion');
    await checkAccessible(page, 'completion');
    await page.keyboard.press('Escape');
    check(await page.locator('[role=listbox]:visible').count() === 0, 'Escape did not close the list');
    await field.fill('');
    await become(page, 'U0ANN');
    await page.locator('#log .intro').waitFor();
    check(await page.locator('#log .row.private', { hasText: 'neostock · status' }).count() === 0, 'somebody else sees a private answer');
    return page;
  },

  async 'a deploy is asked by one, approved by another, and watched live to its end'(browser) {
    const page = await open(browser, url, 'U0ANN');
    await say(page, '/neostock deploy v1.3 手续费修复');
    const card = row(page, '手续费修复').and(page.locator('article:not(.private)'));
    const approve = card.locator('[data-action=approve]');
    await approve.waitFor();
    await page.locator('.persona[data-persona=U0BOB] .dot').waitFor();
    await approve.click();
    await page.locator('#confirm[open]').waitFor();
    await picture(page, 'confirm');
    await checkAccessible(page, 'a confirm dialog');
    await page.keyboard.press('Escape');
    await page.locator('#confirm').waitFor({ state: 'hidden' });
    // The dialog is hidden a moment before it gives the focus back.
    const focused = card.locator('[data-action=approve]:focus');
    await focused.waitFor().catch(() => check(false, 'the focus did not come back to the button'));
    await pressAndConfirm(page, card, 'approve');
    await page.locator('#log .row.private', { hasText: '您没有 lead 角色' }).waitFor();
    await become(page, 'U0BOB');
    check(await page.getByText('您没有').count() === 0, 'Bob reads what was told to 安安');
    const heads = await headsOf(card);
    await pressAndConfirm(page, card, 'approve');
    await card.locator('.block-header', { hasText: '版本 v1.3 已上线' }).waitFor({ timeout: RUN_MS_MAX });
    check((await heads()).length > 1, `the card did not change before people's eyes: ${await heads()}`);
    check(await card.locator('.button').count() === 0, 'a finished card has buttons');
    check(await card.locator('.edited').count() === 1, 'the card is not marked as edited');
    await picture(page, 'deployed');
    return page;
  },

  async 'a rollback is watched to its end, and its thread is read'(browser) {
    const page = await open(browser, url, 'U0BOB');
    await say(page, '/neostock rollback v1.2 p99 超过 5 秒，先回滚');
    await row(page, '应用已成功回滚到版本 v1.2').locator('.thread-bar').waitFor({ timeout: RUN_MS_MAX });
    const card = row(page, '应用已成功回滚到版本 v1.2');
    check((await card.textContent()).includes('p99 超过 5 秒'), 'the card does not show the reason');
    await card.locator('.thread-bar').click();
    await page.locator('#thread .row', { hasText: '验证目标版本' }).last().waitFor();
    await page.locator('#thread .row .mention.mine', { hasText: '@Bob' }).last().waitFor();
    await picture(page, 'thread');
    await checkAccessible(page, 'a thread');
    await page.locator('#answer').fill('看起来没问题 *好* <script>');
    await page.locator('#answer').press('Enter');
    const reply = page.locator('#thread .row', { hasText: '看起来没问题' });
    await reply.waitFor();
    check((await reply.locator('.prose').innerHTML()).includes('<strong>好</strong> &lt;script&gt;'), 'formatting or escaping is wrong');
    await page.keyboard.press('Escape');
    await page.locator('#thread').waitFor({ state: 'hidden' });
    return page;
  },

  async 'nobody approves what they asked for themselves'(browser) {
    const page = await open(browser, url, 'U0BOB');
    await say(page, '/neostock deploy v1.2 can I approve my own?');
    const card = row(page, 'can I approve my own?').and(page.locator('article:not(.private)'));
    await pressAndConfirm(page, card, 'approve');
    await page.locator('#log .row.private', { hasText: 'You asked for this yourself' }).waitFor();
    check(await card.locator('[data-action=approve]').count() === 1, 'the card no longer waits');
    await pressAndConfirm(page, card, 'cancel');
    await card.locator('.block-header', { hasText: '已取消' }).waitFor();
    check(await card.locator('[data-action=approve]').count() === 0, 'a cancelled run can still be approved');
    return page;
  },

  async 'a link to a message opens it, and unread channels are marked'(browser) {
    const page = await open(browser, url, 'U0CAT');
    await page.locator('[data-room=C0DEV]').click();
    await say(page, 'see #ops and https://example.com/?a=1&b=2');
    const link = page.locator('#log a[href^="https://example.com"]');
    await link.waitFor();
    check(await link.getAttribute('rel') === 'noopener noreferrer', 'a foreign link knows where it came from');
    await page.locator('#log button.mention', { hasText: '#ops' }).click();
    await page.locator('[data-room=C0OPS][aria-current=page]').waitFor();
    const ts = await page.locator('#log article').first().getAttribute('data-ts');
    await page.goto(`${url}/archives/C0OPS/p${ts.replace('.', '')}?as=U0CAT`);
    await page.locator(`#log .found[data-ts="${ts}"]`).waitFor();
    await become(page, 'U0EVE');
    await page.locator('[data-room=C0DEV].unread').waitFor();
    await page.locator('[data-room=C0DEV]').click();
    await page.locator('[data-room=C0OPS]').click();
    check(await page.locator('[data-room=C0DEV].unread').count() === 0, 'a channel that was read is still unread');
    return page;
  },

  async 'formatting is drawn, and hostile text stays text wherever it stands'(browser) {
    const page = await open(browser, url, 'U0EVE');
    await page.locator('[data-room=C0RANDOM]').click();
    for (const [text, html] of FORMATS) {
      const { ts } = await post({ channel: 'C0RANDOM', text });
      const prose = page.locator(`#log [data-ts="${ts}"] .prose`);
      await prose.waitFor();
      check(await prose.innerHTML() === html, `${text}\n  ${await prose.innerHTML()}\n  ${html}`);
    }
    const plain = { type: 'plain_text', text: HOSTILE.slice(0, 70) };
    const mrkdwn = { type: 'mrkdwn', text: `${HOSTILE} <javascript:alert(1)|x> <data:text/html,x|y>` };
    const { ts } = await post({
      channel: 'C0RANDOM', text: HOSTILE, blocks: [
        { type: 'header', text: plain }, { type: 'section', text: mrkdwn, fields: [mrkdwn] }, { type: 'context', elements: [mrkdwn] },
        { type: 'actions', elements: [{ type: 'button', action_id: 'x', value: HOSTILE, text: plain, confirm: { title: plain, text: mrkdwn, confirm: { type: 'plain_text', text: 'ok' }, deny: { type: 'plain_text', text: 'no' } } }] },
      ],
    });
    const hostile = page.locator(`#log [data-ts="${ts}"]`);
    await hostile.locator('.button').click();
    await page.locator('#confirm[open]').waitFor();
    check((await page.locator('#confirm').textContent()).includes('<img src=x onerror='), 'the question does not show its text');
    check(await page.locator('#log img[src=x], #confirm img, #log script, #log a[href^="javascript:"], #log a[href^="data:"]').count() === 0, 'text became markup');
    await page.keyboard.press('Escape');
    return page;
  },

  async 'everything is reachable by keyboard'(browser) {
    const page = await open(browser, url, 'U0ANN');
    await page.keyboard.press('Control+k');
    await page.locator('#jump[open]').waitFor();
    await page.keyboard.type('rand');
    await page.keyboard.press('Enter');
    await page.locator('[data-room=C0RANDOM][aria-current=page]').waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.press('Escape');
    await page.locator('#jump').waitFor({ state: 'hidden' });
    const reached = new Set();
    await page.locator('body').press('Tab');
    for (let presses = 0; presses < 60; presses += 1) {
      reached.add(await page.evaluate(() => document.activeElement.dataset.focus ?? document.activeElement.id));
      check(await page.evaluate(() => document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'
        || document.activeElement.tagName === 'TEXTAREA'), 'the focus cannot be seen');
      await page.keyboard.press('Tab');
    }
    for (const name of ['skip', 'jump', 'U0BOB', 'U0EVE', 'language', 'theme', 'traffic', 'C0OPS', 'C0DEV', 'log', 'say']) {
      check(reached.has(name), `Tab does not reach ${name}: ${[...reached]}`);
    }
    await page.locator('[data-focus=U0BOB]').focus();
    await page.keyboard.press('Enter');
    await page.locator('.persona[data-persona=U0BOB][aria-pressed=true]').waitFor();
    check(await page.evaluate(() => document.activeElement.dataset.focus) === 'U0BOB', 'the focus was lost');
    return page;
  },

  async 'dark, and in the other language'(browser) {
    const page = await open(browser, url, 'U0ANN', { colorScheme: 'dark' });
    const background = () => page.evaluate(() => getComputedStyle(document.getElementById('channel')).backgroundColor);
    const dark = await background();
    check(dark === 'rgb(26, 29, 33)', `dark is ${dark}`);
    await checkAccessible(page, 'dark');
    await picture(page, 'dark');
    await page.locator('#theme').click();
    check(await background() === 'rgb(255, 255, 255)', 'the switch does not turn to light');
    check(await page.locator('html').getAttribute('lang') === 'zh-CN', '安安 does not read Chinese');
    await become(page, 'U0BOB');
    check(await page.locator('html').getAttribute('lang') === 'en', 'Bob does not read English');
    await page.locator('[data-focus=language]').click();
    check(await page.locator('html').getAttribute('lang') === 'zh-CN', 'the switch does not turn to Chinese');
    return page;
  },

  async 'on a phone nothing scrolls sideways'(browser) {
    const page = await open(browser, url, 'U0ANN', { viewport: { width: 390, height: 844 }, hasTouch: true });
    await page.locator('#log .row').first().waitFor();
    await checkNarrow(page, 'the channel');
    await picture(page, 'narrow');
    await page.locator('#menu').click();
    await page.locator('[data-room=C0DEV]').waitFor();
    await picture(page, 'narrow-menu');
    await page.keyboard.press('Escape');
    await page.locator('#log .thread-bar').last().click();
    await page.locator('#thread .row').first().waitFor();
    await checkNarrow(page, 'the thread');
    await checkAccessible(page, 'a narrow thread');
    await page.locator('#thread .close').click();
    await page.locator('#traffic-button').click();
    await page.locator('.exchange').first().click();
    await checkNarrow(page, 'the traffic');
    return page;
  },

  async 'the traffic is shown in both directions, filtered, without secrets'(browser) {
    const page = await open(browser, url, 'U0BOB');
    await page.locator('#traffic-button').click();
    await say(page, '/neostock status');
    await page.locator('.exchange.to_bot', { hasText: '/neostock status' }).last().click();
    const detail = page.locator('#traffic .detail');
    const shown = await detail.textContent();
    check(shown.includes('"command": "/neostock"') && shown.includes('"token": "•••"') && !shown.includes('legacy-token'), shown);
    await picture(page, 'traffic');
    await checkAccessible(page, 'the traffic');
    await page.locator('#traffic .chip[data-focus=from_bot]').click();
    check(await page.locator('.exchange.to_bot').count() === 0 && await page.locator('.exchange.from_bot').count() > 0, 'the direction is not filtered');
    await page.locator('#traffic input').fill('users.info');
    await page.locator('.exchange', { hasText: 'chat.' }).waitFor({ state: 'detached' });
    check(await page.locator('.exchange', { hasText: 'users.info' }).count() > 0, 'the filter shows nothing');
    await page.keyboard.press('Escape');
    await page.locator('#traffic').waitFor({ state: 'hidden' });
    return page;
  },
};

/** Says something as the bot, past the bot. */
async function post(message) {
  const headers = { 'Content-Type': 'application/json', Authorization: 'Bearer xoxb-sandbox-0001' };
  const response = await fetch(`${url}/api/chat.postMessage`, { method: 'POST', headers, body: JSON.stringify(message) });
  const answer = await response.json();
  check(answer.ok, JSON.stringify(answer));
  return answer;
}

/** Presses a button of a card and agrees to its question. */
async function pressAndConfirm(page, card, action) {
  await card.locator(`[data-action=${action}]`).click();
  await page.locator('#confirm[open] .choices .button').last().click();
  await page.locator('#confirm').waitFor({ state: 'hidden' });
}

/** Remembers every headline that a card has from now on, as the page shows it. */
async function headsOf(card) {
  const ts = await card.getAttribute('data-ts');
  const page = card.page();
  await page.evaluate((ts) => {
    const read = () => document.querySelector(`#log [data-ts="${ts}"] .block-header`)?.textContent;
    globalThis.heads = new Set([read()]);
    new MutationObserver(() => globalThis.heads.add(read())).observe(document.getElementById('log'), { childList: true });
  }, ts);
  return () => page.evaluate(() => [...globalThis.heads]);
}

const browser = await launch();
let failed = 0;
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (wanted.length && !wanted.some((word) => name.includes(word))) continue;
  const since = Date.now();
  try {
    const page = await scenario(browser);
    check(page.faults.length === 0, page.faults.join('\n'));
    console.log(`ok      ${name} (${Date.now() - since} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
    const last = browser.contexts().at(-1)?.pages().at(-1);
    console.log(await last?.locator('#log').innerText().catch(() => ''));
    if (last) await picture(last, `failed-${failed}`);
  }
  for (const context of browser.contexts()) await context.close();
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
