// Reads the API log or nginx's access log for analyze-logs.sh: requests, errors, latency, the manual's thresholds,
// and the same of the window before.
//   read-requests.js FACTS WINDOW
// The patterns of the log stand in REQUEST_LOG_FILES; what counts as signing in and as fetching data in SIGN_IN_PATHS
// and DATA_FETCH_PATHS.
import { Facts, Reading, callOf, momentOf, patternsOf, plain, readLines, utc, windowOf } from "./logs.js";

const SHOWN_MAX = 10;
const ROUTES_MAX = 500;
const SLOT_MS = 10_000;
// Fewer requests than this are no rate.
const REQUESTS_MIN = 20;
const SLOW_MS = 5_000;
// Latencies fall into steps of two in a hundred, from a tenth of a millisecond to an hour.
const STEP = Math.log(1.02);
const FIRST_MS = 0.1;
const STEPS = Math.ceil(Math.log(3_600_000 / FIRST_MS) / STEP);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
// address - user [time] "request" status bytes …; the time to answer, in seconds, may be the last field.
const COMBINED = /^(\S+) \S+ .*?\[(\d\d)\/(\w{3})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-)(.*)$/;
// Parts of an address that name a thing, not a kind of thing.
const ID = /^([0-9]+|[0-9a-f-]{8,}|(?=[^/]*[0-9])[A-Za-z0-9_-]{16,})$/;

const [factsFile, window] = process.argv.slice(2);
const signIn = patternsOf(process.env.SIGN_IN_PATHS);
const dataFetch = patternsOf(process.env.DATA_FETCH_PATHS);
const now = Date.now();
const length = windowOf(window);
const since = now - length;
const before = since - length;
const reading = new Reading();

/** How long requests took, without keeping each. */
class Latency {
  #steps = new Uint32Array(STEPS + 1);
  count = 0;
  max = 0;
  add(ms) {
    const step = ms <= FIRST_MS ? 0 : Math.ceil(Math.log(ms / FIRST_MS) / STEP);
    this.#steps[Math.min(step, STEPS)] += 1;
    this.count += 1;
    this.max = Math.max(this.max, ms);
  }
  /** At most two in a hundred above the true one. */
  quantile(share) {
    if (this.count === 0) return undefined;
    let left = Math.ceil(this.count * share);
    let step = 0;
    while ((left -= this.#steps[step]) > 0) step += 1;
    return Math.min(FIRST_MS * Math.exp(step * STEP), this.max);
  }
}

/** One window's sums. */
class Sums {
  requests = 0;
  errors = 0;
  signIns = 0;
  signInsFailed = 0;
  fetches = 0;
  fetchesFailed = 0;
  classes = new Map();
  latency = new Latency();
  add(call) {
    this.requests += 1;
    const kind = `${Math.floor(call.status / 100)}xx`;
    this.classes.set(kind, (this.classes.get(kind) ?? 0) + 1);
    if (isError(call)) this.errors += 1;
    if (call.isSignIn) this.signIns += 1;
    if (call.isSignIn && isRefused(call)) this.signInsFailed += 1;
    if (call.isFetch) this.fetches += 1;
    if (call.isFetch && isError(call)) this.fetchesFailed += 1;
    if (call.ms !== undefined) this.latency.add(call.ms);
  }
}

/** The manual's four thresholds: above `limit` for `secs`. Each counts what it is a share of, and what is bad of it. */
const thresholds = [
  { name: "error_rate", zh: "错误率", en: "error rate", limit: 0.05, secs: 60, of: () => true, bad: isError },
  { name: "response_time", zh: "P99 超过 5 秒", en: "P99 above 5 s", limit: 0.01, secs: 120, of: (call) => call.ms !== undefined, bad: (call) => call.ms > SLOW_MS },
  { name: "auth_failure", zh: "认证失败率", en: "authentication failures", limit: 0.1, secs: 30, of: (call) => call.isSignIn, bad: isRefused },
  { name: "data_fetch_failure", zh: "数据拉取失败率", en: "data fetch failures", limit: 0.2, secs: 180, of: (call) => call.isFetch, bad: isError },
].map((one) => ({ ...one, all: new Uint32Array(slots()), ill: new Uint32Array(slots()) }));

const current = new Sums();
const previous = new Sums();
const routes = new Map();
let otherRoutes = 0;

function slots() {
  return Math.ceil(length / SLOT_MS) + 1;
}

function isError(call) {
  return call.status >= 500;
}

function isRefused(call) {
  return call.status === 401 || call.status === 403;
}

/** A line of nginx's `combined`, with or without the time to answer. */
function requestOf(line) {
  const [, address, day, month, year, time, hours, minutes, request, status, rest] = COMBINED.exec(line) ?? [];
  if (address === undefined) return undefined;
  const number = MONTHS.indexOf(month) + 1;
  const at = momentOf(`${year}-${String(number).padStart(2, "0")}-${day}T${time}${hours}:${minutes}`);
  if (at === undefined || number === 0) return undefined;
  const [method, target] = request.split(" ");
  const path = (target ?? "?").split(/[?#]/)[0].split("/").map((part) => (ID.test(part) ? ":id" : part)).join("/");
  const secs = /(?:^| )(\d+\.\d+)$/.exec(rest)?.[1];
  return {
    at,
    method: plain(method, 10),
    route: plain(path, 100),
    status: Number(status),
    ms: secs === undefined ? undefined : Number(secs) * 1000,
  };
}

function count(call) {
  call.isSignIn = call.method === "POST" && signIn.some((path) => call.route.startsWith(path));
  call.isFetch = dataFetch.some((path) => call.route.startsWith(path));
  if (call.at < since) return previous.add(call);
  current.add(call);
  const slot = Math.min(Math.max(0, Math.floor((call.at - since) / SLOT_MS)), slots() - 1);
  for (const one of thresholds) {
    if (!one.of(call)) continue;
    one.all[slot] += 1;
    if (one.bad(call)) one.ill[slot] += 1;
  }
  const name = `${call.method} ${call.route}`;
  const route = routes.get(name) ?? { requests: 0, errors: 0, latency: new Latency() };
  if (route.requests === 0 && routes.size >= ROUTES_MAX) {
    otherRoutes += 1;
    return;
  }
  route.requests += 1;
  if (isError(call)) route.errors += 1;
  if (call.ms !== undefined) route.latency.add(call.ms);
  routes.set(name, route);
}

/** The stretches of `secs` in which a threshold was exceeded: the worst, and how many moments they cover. */
function breachOf(one) {
  const width = (one.secs * 1000) / SLOT_MS;
  let all = 0;
  let ill = 0;
  let stretches = 0;
  let isWithin = false;
  let worst;
  for (let slot = 0; slot < one.all.length; slot++) {
    all += one.all[slot] - (one.all[slot - width] ?? 0);
    ill += one.ill[slot] - (one.ill[slot - width] ?? 0);
    const share = all === 0 ? 0 : ill / all;
    const isAbove = all >= REQUESTS_MIN && share > one.limit;
    if (isAbove && !isWithin) stretches += 1;
    isWithin = isAbove;
    if (isAbove && share > (worst?.share ?? 0)) worst = { share, from: since + Math.max(0, slot + 1 - width) * SLOT_MS, ill, all };
  }
  return worst && { ...worst, stretches };
}

const share = (part, all) => (all === 0 ? undefined : (100 * part) / all);
const percent = (value) => (value === undefined ? "—" : `${value.toFixed(2)} %`);
const ms = (value) => (value === undefined ? "—" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

function row(zh, en, value) {
  const name = zh === en ? zh : `${zh} / ${en}`;
  console.log(`  ${name}: ${value(current)}   （上一时段 / before: ${value(previous)}）`);
}

function tellRoutes() {
  const slowest = [...routes].filter(([, one]) => one.latency.count > 0).sort(([, a], [, b]) => b.latency.quantile(0.99) - a.latency.quantile(0.99));
  if (slowest.length > 0) console.log("\n最慢的路由（P99，最慢，请求）/ slowest routes (P99, slowest, requests)");
  for (const [name, one] of slowest.slice(0, SHOWN_MAX)) {
    console.log(`  ${ms(one.latency.quantile(0.99)).padStart(9)}  ${ms(one.latency.max).padStart(9)}  ${String(one.requests).padStart(8)}  ${name}`);
  }
  const faulty = [...routes].filter(([, one]) => one.errors > 0).sort(([, a], [, b]) => b.errors - a.errors);
  if (faulty.length > 0) console.log("\n出错的路由（5xx，请求）/ routes with errors (5xx, requests)");
  for (const [name, one] of faulty.slice(0, SHOWN_MAX)) console.log(`  ${String(one.errors).padStart(8)}  ${String(one.requests).padStart(8)}  ${name}`);
  if (otherRoutes > 0) console.log(`  … 超过 ${ROUTES_MAX} 个路由后不再区分：${otherRoutes} 次 / ${otherRoutes} requests of routes beyond the first ${ROUTES_MAX}`);
}

await readLines(patternsOf(process.env.REQUEST_LOG_FILES), before, reading, (line) => {
  const call = line.startsWith("{") ? callOf(line) : requestOf(line);
  if (!call) reading.unreadable += 1;
  else if (reading.isPast(call.at, now) && call.at >= before) count(call);
});
console.log(`分析 ${utc(since)} 至 ${utc(now)} 的日志 / the log from ${utc(since)} to ${utc(now)}`);
reading.tell(console.log);
const breaches = thresholds.map((one) => ({ ...one, worst: breachOf(one) })).filter((one) => one.worst);
for (const { zh, en, limit, secs, worst } of breaches) {
  const rate = percent(100 * worst.share);
  console.log(`❌ ${zh}：${utc(worst.from)} 起 ${secs} 秒内 ${rate}（${worst.ill}/${worst.all}），阈值 ${100 * limit} %，共 ${worst.stretches} 段 / ${en}: ${rate} of ${worst.all} in the ${secs} s from ${utc(worst.from)}, the threshold is ${100 * limit} %, ${worst.stretches} stretches`);
}
for (const one of thresholds) {
  if (one.all.every((n) => n === 0)) console.log(`ℹ️ 日志中看不出：${one.zh} / the log cannot tell: ${one.en}`);
}
console.log("");
row("请求", "requests", (sums) => sums.requests);
row("错误率（5xx）", "error rate (5xx)", (sums) => percent(share(sums.errors, sums.requests)));
row("P50", "P50", (sums) => ms(sums.latency.quantile(0.5)));
row("P95", "P95", (sums) => ms(sums.latency.quantile(0.95)));
row("P99", "P99", (sums) => ms(sums.latency.quantile(0.99)));
row("认证失败", "authentication failures", (sums) => `${sums.signInsFailed}/${sums.signIns}`);
row("数据拉取失败", "data fetch failures", (sums) => `${sums.fetchesFailed}/${sums.fetches}`);
row("状态", "statuses", (sums) => [...sums.classes].sort().map(([kind, n]) => `${kind} ${n}`).join(", ") || "—");
tellRoutes();

const facts = new Facts();
facts.figure("requests", current.requests, "请求", "requests");
facts.figure("error_rate_percent", share(current.errors, current.requests), "错误率（%）", "error rate, %");
facts.figure("p50_ms", current.latency.quantile(0.5), "P50（毫秒）", "P50, ms");
facts.figure("p95_ms", current.latency.quantile(0.95), "P95（毫秒）", "P95, ms");
facts.figure("p99_ms", current.latency.quantile(0.99), "P99（毫秒）", "P99, ms");
facts.figure("auth_failure_percent", share(current.signInsFailed, current.signIns), "认证失败率（%）", "authentication failures, %");
facts.figure("data_fetch_failure_percent", share(current.fetchesFailed, current.fetches), "数据拉取失败率（%）", "data fetch failures, %");
facts.figure("unreadable_lines", reading.unreadable + reading.tooLong + reading.ahead, "无法读取的行", "lines not understood");
if (breaches.length > 0) {
  const [first] = breaches;
  const rest = breaches.length > 1 ? [`，另有 ${breaches.length - 1} 项`, ` and ${breaches.length - 1} more`] : ["", ""];
  facts.words(`超过阈值：${first.zh} ${percent(100 * first.worst.share)}${rest[0]}`, `above a threshold: ${first.en}, ${percent(100 * first.worst.share)} in the ${first.secs} s from ${utc(first.worst.from)}${rest[1]}`);
  facts.write(factsFile, "found");
} else if (!reading.isWhole || current.requests === 0) {
  const why = reading.isWhole ? ["这段时间内没有任何请求，无从判断", "there is no request in this time, nothing can be judged"] : ["日志没有读完，无从判断", "the log was not read to its end, nothing can be judged"];
  facts.words(...why);
  facts.write(factsFile, "unknown");
} else {
  const rate = percent(share(current.errors, current.requests));
  const slow = ms(current.latency.quantile(0.99));
  facts.words(`${current.requests} 个请求，错误率 ${rate}，P99 ${slow}，没有超过阈值`, `${current.requests} requests, error rate ${rate}, P99 ${slow}, below every threshold`);
  facts.write(factsFile, "good");
}
