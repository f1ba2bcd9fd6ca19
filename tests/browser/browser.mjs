// Debian's chromium, driven through playwright-core, and the few things every scenario needs.

import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';

// `tools/prepare.sh` installs the packages there.
const require = createRequire(new URL('../../build/browser/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** How long anything on the page may take; a whole run of the sample has longer. */
const PATIENCE_MS = 15_000;
export const RUN_MS_MAX = 60_000;

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

/** A page as one person; faults of its scripts and of its policy end the scenario. */
export async function open(browser, url, user, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 }, colorScheme: 'light', reducedMotion: 'reduce', ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => {
    // A refused press or a lost connection is reported there too: those the page tells people itself.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) page.faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) page.faults.push(`asked for ${request.url()}`);
  });
  await page.goto(`${url}/?as=${user}`);
  await page.locator(`.persona[data-persona=${user}][aria-pressed=true]`).waitFor();
  return page;
}

export function check(condition, words) {
  if (!condition) throw new Error(words);
}

/** Types into the composer and sends it. */
export async function say(page, text) {
  await page.locator('#say').fill(text);
  await page.locator('#say').press('Escape');
  await page.locator('#say').press('Enter');
}

/** The newest row that holds this text. */
export const row = (page, text) => page.locator('#log .row', { hasText: text }).last();

export async function become(page, user) {
  await page.locator(`.persona[data-persona=${user}]`).click();
  await page.locator(`.persona[data-persona=${user}][aria-pressed=true]`).waitFor();
}

/** What a screen reader, a keyboard or a weak eye would stumble over. */
export async function checkAccessible(page, where) {
  // The policy of the page allows no script of ours inside it: it is evaluated from outside.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
  const bad = violations.filter((it) => ['serious', 'critical'].includes(it.impact));
  const shown = bad.map((it) => `${it.id}: ${it.help}\n  ${it.nodes.slice(0, 5).map((node) => `${node.target} ${node.failureSummary}`).join('\n  ')}`);
  check(bad.length === 0, `${where}:\n${shown.join('\n')}`);
}

/** Nothing is wider than the window. */
export async function checkNarrow(page, where) {
  const wide = await page.evaluate(() => [document.documentElement, document.body, ...document.querySelectorAll('#log, #thread-log, #channel, #thread, #top')]
    .filter((it) => it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0).map((it) => `${it.id || it.tagName} ${it.scrollWidth} > ${it.clientWidth}`));
  check(wide.length === 0, `${where} scrolls sideways: ${wide}`);
}

/** Keeps a picture where `SHOTS` names a folder. */
export async function picture(page, name) {
  const folder = process.env.SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png` });
}
