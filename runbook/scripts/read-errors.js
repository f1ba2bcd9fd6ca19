// Reads the services' error logs for aggregate-errors.sh: lines of JSON and plain stack traces, grouped by what they
// have in common, with one sample each in which secrets and people are blotted out.
//   read-errors.js FACTS WINDOW
// The patterns of the logs stand in ERROR_LOG_FILES.
import { basename } from "node:path";
import { Facts, Reading, Tally, momentOf, patternsOf, plain, readLines, utc, windowOf } from "./logs.js";

const SHOWN_MAX = 20;
const GROUPS_MAX = 2_000;
const PARTS_MAX = 20;
const SAMPLE_CHARS_MAX = 300;
const SAMPLE_FRAMES_MAX = 3;
const FRAMES_MAX = 50;

// What differs from one time to the next, the longest first.
const VARIES = [
  [/\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9:]+)?/g, "<time>"],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "<id>"],
  [/[^\s"'<>]+@[^\s"'<>]+\.[a-z]+/gi, "<email>"],
  [/\b[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]+)?\b/g, "<address>"],
  [/(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])/gi, "<address>"],
  [/\b0x[0-9a-f]+\b/gi, "<hex>"],
  [/\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b/gi, "<hex>"],
  [/\b(?=\w*[0-9])(?=\w*[A-Za-z])[\w-]{12,}\b/g, "<id>"],
  [/[0-9]+(\.[0-9]+)?/g, "<n>"],
];
// What nobody needs to see to mend it. The name before a value stays.
const SECRET = [
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']*@/gi, "$1***@"],
  [/\b(nsk|sk|pk|rk|ghp|gho|ghs|xox[abprs]|eyJ)[_-]?[A-Za-z0-9._-]{8,}/g, "$1***"],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+/gi, "$1 ***"],
  [/((?:pass(?:word|wd)?|secret|token|api[-_]?key|authorization|cookie|session|credential)[\w-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&}]+)/gi, "$1***"],
  [/[^\s"'<>=:,;]+@[^\s"'<>=:,;]+\.[a-z]{2,}/gi, "***@***"],
  [/\b(?=[A-Za-z_+/-]*[0-9])(?=[0-9_+/-]*[A-Za-z])[A-Za-z0-9_+-]{24,}={0,2}/g, "***"],
];
// A line that goes on with the entry above it; a piece of source that bun shows above an error; what bun adds below it.
const CONTINUES = /^(\s+\S|Caused by|\[cause\]|Bun v\d|\})/;
const SOURCE = /^\s*(\d+ \| |\^)/;

const [factsFile, window] = process.argv.slice(2);
const now = Date.now();
const length = windowOf(window);
const since = now - length;
const before = since - length;
const reading = new Reading();
const groups = new Map();
const total = { now: 0, before: 0, others: 0 };
// The entry that lines may still belong to, and when the file last said what time it was.
let open;
let openFile;
let lastTime;

function blot(text) {
  return SECRET.reduce((rest, [pattern, by]) => rest.replace(pattern, by), text);
}

function fingerprint(message, frames) {
  const frame = frames.find((line) => !/node_modules|node:|native|<anonymous>/.test(line)) ?? frames[0] ?? "";
  const alike = (text) => VARIES.reduce((rest, [pattern, by]) => rest.replace(pattern, by), plain(text, 500));
  // Of a frame neither the release's folder nor the line counts: both change with each deploy.
  return `${alike(message)}\n${alike(frame.replace(/\S*\/(?=[^/\s]+\/[^/\s]+$)/, ""))}`;
}

function partOf(name) {
  return basename(name).replace(/-error\.log.*$/, "").replace(/\.log.*$/, "");
}

/** Where an entry ends it is counted. */
function close() {
  const entry = open;
  open = undefined;
  if (!entry || entry.at < before) return;
  const print = fingerprint(entry.message, entry.frames);
  const isNow = entry.at >= since;
  total[isNow ? "now" : "before"] += 1;
  let group = groups.get(print);
  if (!group && groups.size >= GROUPS_MAX) {
    if (isNow) total.others += 1;
    return;
  }
  group ??= { count: 0, before: 0, first: entry.at, last: entry.at, isAbout: false, parts: new Tally(PARTS_MAX) };
  groups.set(print, group);
  if (!isNow) {
    group.before += 1;
    return;
  }
  // The first and the last are those of this window.
  group.first = group.count === 0 ? entry.at : Math.min(group.first, entry.at);
  group.last = group.count === 0 ? entry.at : Math.max(group.last, entry.at);
  group.count += 1;
  group.isAbout ||= entry.isAbout;
  group.parts.add(entry.part);
  group.sample ??= [entry.message, ...entry.frames.slice(0, SAMPLE_FRAMES_MAX)].map((line) => plain(blot(line), SAMPLE_CHARS_MAX));
}

function begin(at, isAbout, message, frames, file) {
  close();
  open = { at, isAbout, message, frames, part: partOf(file.name) };
}

/** An entry of JSON; nothing where the line is none. */
function jsonOf(line) {
  try {
    const one = JSON.parse(line);
    const at = momentOf(one?.at ?? one?.time ?? one?.timestamp);
    if (at === undefined || typeof one.message !== "string") return undefined;
    const stack = typeof one.stack === "string" ? one.stack.split("\n") : [];
    return { at, message: one.message.split("\n")[0], frames: stack.filter((frame) => /^\s+at /.test(frame)).slice(0, FRAMES_MAX) };
  } catch {
    return undefined;
  }
}

function take(line, file) {
  if (file !== openFile) {
    close();
    openFile = file;
    lastTime = undefined;
  }
  if (line.trim() === "") return;
  const json = line.startsWith("{") ? jsonOf(line) : undefined;
  if (json) {
    if (!reading.isPast(json.at, now)) return;
    lastTime = json.at;
    begin(json.at, false, json.message, json.frames, file);
    return;
  }
  if (line.startsWith("{")) reading.unreadable += 1;
  if (SOURCE.test(line)) return;
  if (open && CONTINUES.test(line)) {
    if (open.frames.length < FRAMES_MAX && /^\s+at /.test(line)) open.frames.push(line);
    return;
  }
  // pm2 and many programs put the time before a line.
  const own = momentOf(/^\[?([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)/.exec(line)?.[1]);
  if (own !== undefined && !reading.isPast(own, now)) return;
  lastTime = own ?? lastTime;
  begin(lastTime ?? file.mtimeMs, own === undefined, line, [], file);
}

await readLines(patternsOf(process.env.ERROR_LOG_FILES), before, reading, take);
close();

console.log(`汇总 ${utc(since)} 至 ${utc(now)} 的错误 / errors from ${utc(since)} to ${utc(now)}`);
reading.tell(console.log);
const found = [...groups.values()].filter((group) => group.count > 0);
const isNew = (group) => group.before === 0;
found.sort((a, b) => Number(isNew(b)) - Number(isNew(a)) || b.count - a.count || b.last - a.last);
for (const group of found.slice(0, SHOWN_MAX)) {
  const about = group.isAbout ? "≈" : "";
  const parts = group.parts.top(PARTS_MAX).map(([name]) => name).join(", ");
  console.log(`\n${isNew(group) ? "🆕 " : ""}${group.count}×（上一时段 / before: ${group.before}）${about}${utc(group.first)} … ${about}${utc(group.last)}  ${parts}`);
  for (const line of group.sample) console.log(`    ${line}`);
}
if (found.length > SHOWN_MAX) {
  const rest = found.slice(SHOWN_MAX);
  const errors = rest.reduce((sum, group) => sum + group.count, 0);
  console.log(`\n… 另有 ${rest.length} 组、${errors} 个错误未列出 / ${rest.length} more groups with ${errors} errors are not shown`);
}
if (total.others > 0) console.log(`… 超过 ${GROUPS_MAX} 组后不再区分：${total.others} 个 / ${total.others} errors beyond the first ${GROUPS_MAX} groups`);
if (found.some((group) => group.isAbout)) console.log("\n≈ 该行没有时间，取其前一行或文件的时间 / the line has no time: it is that of the line before or of its file");

const fresh = found.filter(isNew).length;
const facts = new Facts();
facts.figure("errors", total.now, "错误", "errors");
facts.figure("errors_before", total.before, "上一时段的错误", "errors in the window before");
facts.figure("groups", found.length, "组", "groups");
facts.figure("new_groups", fresh, "新的组", "new groups");
facts.figure("unreadable_lines", reading.unreadable + reading.tooLong + reading.ahead, "无法读取的行", "lines not understood");
if (!reading.isWhole) {
  facts.words(`日志没有读完；已读部分有 ${total.now} 个错误`, `the logs were not read to their end; what was read holds ${total.now} errors`);
  facts.write(factsFile, "unknown");
} else {
  facts.words(`${total.now} 个错误，${found.length} 组，其中 ${fresh} 组是新的`, `${total.now} errors in ${found.length} groups, ${fresh} of them new`);
  facts.write(factsFile, "good");
}
