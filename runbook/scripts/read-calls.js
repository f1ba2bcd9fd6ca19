// Reads the API log for audit-api-calls.sh: who called what, who was refused, which keys look stolen or forgotten.
//   read-calls.js FACTS WINDOW KEYS|-
// KEYS holds what `keys list` printed, a line of JSON a key; `-` where nobody could ask. The patterns of the log
// stand in API_LOG_FILES, the limits in variables of the names below.
import { readFileSync } from "node:fs";
import { Facts, NAMES_MAX, Reading, Tally, callOf, limit, momentOf, patternsOf, plain, readLines, utc, windowOf } from "./logs.js";

const SHOWN_MAX = 10;
const FINDINGS_MAX = 50;
// Addresses that are told apart of one key.
const ADDRESSES_MAX = 1_000;
const KEYS_MAX = 10_000;
const MINUTE_MS = 60_000;
// Whoever revokes a key tries it once more, and a call may have been under way.
const GRACE_MS = MINUTE_MS;
const DENIED = [401, 403];
// What the server calls a route that it does not have.
const NO_ROUTE = "other";

const [factsFile, window, keysFile] = process.argv.slice(2);
const limits = {
  deniedAddress: limit("DENIED_ADDRESS_MAX"),
  deniedActor: limit("DENIED_ACTOR_MAX"),
  addresses: limit("KEY_ADDRESSES_MAX"),
  burst: limit("BURST_MAX"),
  noRoute: limit("UNKNOWN_ROUTE_MAX"),
};
const now = Date.now();
const since = now - windowOf(window);
const reading = new Reading();
const calls = { total: 0, denied: 0, noRoute: 0 };
const byActor = new Tally();
const byRoute = new Tally();
const byStatus = new Tally(600);
const deniedByAddress = new Tally();
const deniedByActor = new Tally();
const noRouteByAddress = new Tally();
const addressesOfKey = new Map();
const bursts = new Map();
const keys = keysFile === "-" ? undefined : keysOf(readFileSync(keysFile, "utf8"));
const revokedCalls = new Map();

/** What is known of each key; nothing of it is secret. */
function keysOf(text) {
  const found = new Map();
  for (const line of text.split("\n").filter((one) => one.startsWith("{")).slice(0, KEYS_MAX)) {
    const one = JSON.parse(line);
    found.set(String(one.id), {
      name: plain(one.name, 60),
      created: momentOf(one.created_at),
      revoked: momentOf(one.revoked_at),
      used: one.last_used_at === undefined ? undefined : (momentOf(one.last_used_at) ?? null),
    });
  }
  return found;
}

function isNew(map, name, max) {
  return !map.has(name) && map.size >= max;
}

/** The busiest minute of each; lines of several processes are out of order by less than one. */
function countBurst(actor, at) {
  const minute = Math.floor(at / MINUTE_MS);
  if (isNew(bursts, actor, NAMES_MAX)) return;
  const one = bursts.get(actor) ?? { minute, count: 0, before: 0, most: 0, when: minute };
  if (minute === one.minute + 1) one.before = one.count;
  else if (minute > one.minute) one.before = 0;
  if (minute > one.minute) {
    one.minute = minute;
    one.count = 0;
  }
  let count = 0;
  if (minute === one.minute) count = one.count += 1;
  else if (minute === one.minute - 1) count = one.before += 1;
  if (count > one.most) {
    one.most = count;
    one.when = minute;
  }
  bursts.set(actor, one);
}

function countKey(key, call) {
  if (!isNew(addressesOfKey, key, NAMES_MAX)) {
    const addresses = addressesOfKey.get(key) ?? new Set();
    if (addresses.size < ADDRESSES_MAX) addresses.add(call.address);
    addressesOfKey.set(key, addresses);
  }
  const revoked = keys?.get(key)?.revoked;
  if (revoked !== undefined && call.at > revoked) {
    const one = revokedCalls.get(key) ?? { count: 0, accepted: 0, addresses: new Set() };
    one.count += 1;
    if (call.status < 400) one.accepted += 1;
    else if (call.at - revoked <= GRACE_MS) one.count -= 1;
    if (one.addresses.size < SHOWN_MAX) one.addresses.add(call.address);
    revokedCalls.set(key, one);
  }
}

function count(call) {
  calls.total += 1;
  byActor.add(call.actor);
  byRoute.add(`${call.method} ${call.route}`);
  byStatus.add(String(call.status));
  if (DENIED.includes(call.status)) {
    calls.denied += 1;
    deniedByAddress.add(call.address);
    deniedByActor.add(call.actor);
  }
  if (call.route === NO_ROUTE) {
    calls.noRoute += 1;
    noRouteByAddress.add(call.address);
  }
  countBurst(call.actor === "anonymous" ? `anonymous@${call.address}` : call.actor, call.at);
  if (call.actor.startsWith("key:")) countKey(call.actor.slice(4), call);
}

function table(zh, en, tally) {
  if (tally.counts.size === 0) return;
  console.log(`\n${zh} / ${en}`);
  for (const [name, n] of tally.top(SHOWN_MAX)) console.log(`  ${String(n).padStart(8)}  ${name}`);
  const rest = tally.counts.size - SHOWN_MAX;
  if (rest > 0) console.log(`  … 另有 ${rest} 个 / and ${rest} more`);
  if (tally.others > 0) console.log(`  … 超过 ${NAMES_MAX} 个后不再区分：${tally.others} 次 / ${tally.others} calls of names beyond the first ${NAMES_MAX}`);
}

function findings() {
  const found = [];
  const above = (tally, max, zh, en) => {
    for (const [name, n] of tally.top(NAMES_MAX)) if (n > max) found.push([zh(name, n), en(name, n)]);
  };
  for (const [key, one] of [...revokedCalls].filter(([, one]) => one.count > 0)) {
    const where = [...one.addresses].join(", ");
    if (one.accepted > 0) found.push([`已吊销的密钥 ${key} 有 ${one.accepted} 次调用被接受`, `revoked key ${key}: ${one.accepted} calls were ACCEPTED, from ${where}`]);
    else found.push([`已吊销的密钥 ${key} 仍被使用 ${one.count} 次`, `revoked key ${key} was tried ${one.count} times, from ${where}`]);
  }
  above(deniedByAddress, limits.deniedAddress, (name, n) => `地址 ${name} 被拒绝 ${n} 次`, (name, n) => `${n} calls from ${name} were refused (401, 403), the limit is ${limits.deniedAddress}`);
  const named = new Tally();
  for (const [name, n] of deniedByActor.counts) if (name !== "anonymous") named.counts.set(name, n);
  above(named, limits.deniedActor, (name, n) => `${name} 被拒绝 ${n} 次`, (name, n) => `${n} calls of ${name} were refused (401, 403), the limit is ${limits.deniedActor}`);
  for (const [key, addresses] of addressesOfKey) {
    const n = addresses.size;
    if (n > limits.addresses) found.push([`密钥 ${key} 来自 ${n} 个地址`, `key ${key} was used from ${n} addresses, the limit is ${limits.addresses}`]);
  }
  const busy = [...bursts].filter(([, one]) => one.most > limits.burst).sort(([, a], [, b]) => b.most - a.most);
  for (const [actor, one] of busy) {
    found.push([`${actor} 一分钟内调用 ${one.most} 次`, `${actor} made ${one.most} calls in the minute ${utc(one.when * MINUTE_MS)}, the limit is ${limits.burst}`]);
  }
  above(noRouteByAddress, limits.noRoute, (name, n) => `地址 ${name} 探测不存在的路由 ${n} 次`, (name, n) => `${n} calls from ${name} to routes that do not exist, the limit is ${limits.noRoute}`);
  for (const [key] of addressesOfKey) {
    if (keys && !keys.has(key)) found.push([`日志中的密钥 ${key} 不在密钥清单里`, `key ${key} is in the log, but not in the list of keys`]);
  }
  return found;
}

/** Nothing wrong by itself: a key that nobody needs is one that can go. */
function unused() {
  if (!keys) return 0;
  const never = [...keys].filter(([id, key]) => key.revoked === undefined && (key.used === undefined ? !addressesOfKey.has(id) : key.used === null));
  if (never.length > 0) {
    const names = never.slice(0, SHOWN_MAX).map(([id, key]) => `${id} (${key.name})`);
    if (never.length > SHOWN_MAX) names.push(`… ${never.length}`);
    console.log(`\nℹ️ 从未使用的有效密钥，可以吊销 / valid keys that were never used: ${names.join(", ")}`);
  }
  return never.length;
}

await readLines(patternsOf(process.env.API_LOG_FILES), since, reading, (line) => {
  const call = callOf(line);
  if (!call) reading.unreadable += 1;
  else if (reading.isPast(call.at, now) && call.at >= since) count(call);
});
console.log(`审计 ${utc(since)} 至 ${utc(now)} 的 API 调用 / API calls from ${utc(since)} to ${utc(now)}`);
reading.tell(console.log);
const found = findings();
for (const [zh, en] of found.slice(0, FINDINGS_MAX)) console.log(`❌ ${zh} / ${en}`);
if (found.length > FINDINGS_MAX) console.log(`❌ … 另有 ${found.length - FINDINGS_MAX} 处 / and ${found.length - FINDINGS_MAX} more`);
table("调用者", "callers", byActor);
table("路由", "routes", byRoute);
table("状态码", "statuses", byStatus);
table("被拒绝（401、403），按地址", "refused (401, 403), by address", deniedByAddress);
table("被拒绝（401、403），按调用者", "refused (401, 403), by caller", deniedByActor);
const neverUsed = unused();

const facts = new Facts();
facts.figure("calls", calls.total, "调用", "calls");
facts.figure("denied", calls.denied, "被拒绝", "refused");
facts.figure("findings", found.length, "异常", "findings");
facts.figure("actors", byActor.counts.size, "调用者", "callers");
facts.figure("unknown_routes", calls.noRoute, "未知路由", "calls to no route");
facts.figure("unreadable_lines", reading.unreadable + reading.tooLong + reading.ahead, "无法读取的行", "lines not understood");
if (keys) facts.figure("keys_never_used", neverUsed, "从未使用的密钥", "keys never used");
if (found.length > 0) {
  const [zh, en] = found[0];
  facts.words(`${calls.total} 次调用，${found.length} 处异常，首先：${zh}`, `${calls.total} calls, ${found.length} findings, first of all: ${en}`);
  facts.write(factsFile, "found");
} else if (!reading.isWhole || calls.total === 0) {
  const why = reading.isWhole ? ["这段时间内没有任何调用，无从判断", "there is no call in this time, nothing can be judged"] : ["日志没有读完，无从判断", "the log was not read to its end, nothing can be judged"];
  facts.words(...why);
  facts.write(factsFile, "unknown");
} else {
  facts.words(`${calls.total} 次调用，没有异常`, `${calls.total} calls, nothing unusual`);
  facts.write(factsFile, "good");
}
