// What the readers of logs beside this file share: read-calls.js, read-requests.js and read-errors.js. Logs are
// read as streams, a line at a time, plain or gzipped; what a line says is only ever data. No line is lost in
// silence: what cannot be read is counted. Run with bun, in this folder, by absolute paths.
//
// A reader writes its report for people to standard output and, to the file that its first argument names, facts for
// the script that calls it, TAB between their fields:
//   figure NAME VALUE ZH EN | words ZH EN | verdict good|found|unknown
// The verdict is the last line: facts without one are those of a reader that broke.
import { closeSync, createReadStream, fstatSync, openSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createGunzip } from "node:zlib";

// A longer line is counted and passed over.
export const LINE_BYTES_MAX = 65_536;
// Names of people, keys, addresses, routes that are told apart; what comes after them is counted as one.
export const NAMES_MAX = 10_000;
const FILES_MAX = 1_000;
const CHARS_MAX = 200;
// Clocks of several machines differ by this much; later than that is the future.
const AHEAD_MS = 5 * 60_000;
// While logs are rotated, names change between a look and the opening.
const LOOKS_MAX = 5;
const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WINDOW_MS_MAX = 31 * UNITS_MS.d;
// Beyond it a Date has no text.
const TIME_MS_MAX = 8.64e15;

/** One line, no control characters, not too long. */
export function plain(text, chars = CHARS_MAX) {
  const line = String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]+/gu, " ").trim();
  const letters = [...line];
  return letters.length > chars ? `${letters.slice(0, chars).join("")}…` : line;
}

/** `2h`, `1d` in milliseconds; nothing where it is no window of at most a month. */
export function windowOf(text) {
  const [, count, unit] = /^([1-9][0-9]{0,6})([smhd])$/.exec(text ?? "") ?? [];
  const ms = Number(count) * UNITS_MS[unit];
  return ms <= WINDOW_MS_MAX ? ms : undefined;
}

/** UTC, to the second. */
export function utc(ms) {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A moment out of a log, in milliseconds; nothing where it is none. */
export function momentOf(text) {
  const ms = typeof text === "string" && text.length <= 40 ? Date.parse(text) : NaN;
  return Math.abs(ms) <= TIME_MS_MAX ? ms : undefined;
}

/** How many of each name; at most so many names, the rest as one. */
export class Tally {
  #max;
  constructor(max = NAMES_MAX) {
    this.#max = max;
    this.counts = new Map();
    this.others = 0;
  }
  add(name) {
    const count = this.counts.get(name);
    if (count === undefined && this.counts.size >= this.#max) this.others += 1;
    else this.counts.set(name, (count ?? 0) + 1);
  }
  /** The greatest first; of equals by name. */
  top(shown) {
    const all = [...this.counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    return all.slice(0, shown);
  }
}

/** What was read and what was not. */
export class Reading {
  files = 0;
  older = 0;
  lines = 0;
  tooLong = 0;
  unreadable = 0;
  ahead = 0;
  unfinished = 0;
  notUtf8 = 0;
  broken = [];

  /** Whether something may be missing from what was counted. */
  get isWhole() {
    return this.broken.length === 0;
  }

  /** Whether a moment is not in the future; else it is counted as such. */
  isPast(ms, now) {
    if (ms <= now + AHEAD_MS) return true;
    this.ahead += 1;
    return false;
  }

  tell(line) {
    line(`读了 ${this.files} 个文件、${this.lines} 行（更早的文件 ${this.older} 个未读）/ ${this.files} files, ${this.lines} lines read, ${this.older} older files left`);
    const odd = [
      [this.unreadable, "无法解析", "could not be understood"],
      [this.tooLong, `超过 ${LINE_BYTES_MAX} 字节，跳过`, `longer than ${LINE_BYTES_MAX} bytes, passed over`],
      [this.ahead, "时间在未来，未计入", "from the future, not counted"],
      [this.notUtf8, "不是 UTF-8，已替换字符", "not UTF-8, read with characters replaced"],
      [this.unfinished, "正在写入，未计入", "still being written, not counted"],
    ];
    for (const [count, zh, en] of odd) if (count > 0) line(`⚠️ ${count} 行${zh} / ${count} lines ${en}`);
    for (const why of this.broken) line(`⛔ 未读完 / not read to its end: ${why}`);
  }
}

/** The files that a pattern names: `*` and `?` in the last part only. A gzipped copy beside its original is the same. */
function namesOf(pattern) {
  const folder = dirname(pattern);
  const words = basename(pattern).replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".");
  const fits = new RegExp(`^${words}$`, "s");
  let names;
  try {
    names = readdirSync(folder).filter((name) => fits.test(name));
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
  const all = new Set(names);
  return names.filter((name) => !(name.endsWith(".gz") && all.has(name.slice(0, -3)))).map((name) => join(folder, name));
}

/** Every file of the patterns, open, each once whatever it is called; the oldest first. */
function openAll(patterns, reading) {
  for (let look = 1; ; look++) {
    const names = [...new Set(patterns.flatMap(namesOf))].sort();
    if (names.length > FILES_MAX) throw new Error(`more than ${FILES_MAX} files`);
    const open = new Map();
    const broken = [];
    for (const name of names) {
      try {
        const fd = openSync(name, "r");
        const stat = fstatSync(fd, { bigint: true });
        const id = `${stat.dev}:${stat.ino}`;
        if (!stat.isFile() || open.has(id)) {
          if (!stat.isFile()) broken.push(`${name}: not a file`);
          closeSync(fd);
        } else open.set(id, { name, fd, size: Number(stat.size), mtimeMs: Number(stat.mtimeMs) });
      } catch (error) {
        broken.push(`${name}: ${error.code ?? plain(error)}`);
      }
    }
    const again = [...new Set(patterns.flatMap(namesOf))].sort();
    if (look === LOOKS_MAX || names.join("\0") === again.join("\0")) {
      reading.broken.push(...broken);
      return [...open.values()].sort((a, b) => a.mtimeMs - b.mtimeMs);
    }
    for (const { fd } of open.values()) closeSync(fd);
  }
}

/**
 * Gives every line of the files to `each(line, file)`, in order. Files that were last written before `since` are left.
 * A file is read as far as it was when it was opened, so that one which is written all the time ends.
 */
export async function readLines(patterns, since, reading, each) {
  for (const file of openAll(patterns, reading)) {
    if (file.mtimeMs < since) {
      reading.older += 1;
      closeSync(file.fd);
      continue;
    }
    reading.files += 1;
    try {
      await readFile(file, reading, each);
    } catch (error) {
      reading.broken.push(`${file.name}: ${error.code ?? plain(error)}`);
    }
  }
  reading.broken = reading.broken.map((why) => plain(why));
}

async function readFile(file, reading, each) {
  if (file.size === 0) return closeSync(file.fd);
  const raw = createReadStream(null, { fd: file.fd, start: 0, end: file.size - 1 });
  const isGzip = file.name.endsWith(".gz");
  let source = raw;
  if (isGzip) {
    source = createGunzip();
    raw.on("error", (error) => source.destroy(error));
    raw.pipe(source);
  }
  const decoder = new TextDecoder("utf-8");
  // What of a line came with earlier pieces; nothing is kept of one that is too long.
  let head = [];
  let bytes = 0;
  const take = (piece) => {
    bytes += piece.length;
    if (bytes <= LINE_BYTES_MAX) head.push(piece);
    else head = [];
  };
  const finish = () => {
    reading.lines += 1;
    if (bytes > LINE_BYTES_MAX) reading.tooLong += 1;
    else {
      const line = decoder.decode(head.length === 1 ? head[0] : Buffer.concat(head));
      if (line.includes("\uFFFD")) reading.notUtf8 += 1;
      each(line.endsWith("\r") ? line.slice(0, -1) : line, file);
    }
    head = [];
    bytes = 0;
  };
  for await (const chunk of source) {
    let from = 0;
    for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
      take(chunk.subarray(from, to));
      finish();
      from = to + 1;
    }
    if (from < chunk.length) take(chunk.subarray(from));
  }
  // The last line of a plain file has no end yet: somebody writes it. A gzipped one is finished.
  if (bytes > 0 && isGzip) finish();
  else if (bytes > 0) reading.unfinished += 1;
}

/** The patterns of a setting: one a word, or one a line where names hold blanks. */
export function patternsOf(text) {
  return (text.includes("\n") ? text.split("\n") : text.split(" ")).map((word) => word.trim()).filter(Boolean);
}

/** Where a call came from, who made it, and how it ended, out of a line of the API's log; nothing where it is none. */
export function callOf(line) {
  let one;
  try {
    one = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof one !== "object" || one === null) return undefined;
  const at = momentOf(one.at);
  const isCall = Number.isInteger(one.status) && one.status >= 100 && one.status < 600 && typeof one.route === "string";
  if (at === undefined || !isCall) return undefined;
  return {
    at,
    method: plain(one.method, 10),
    route: plain(one.route, 100),
    status: one.status,
    ms: typeof one.ms === "number" && one.ms >= 0 ? one.ms : undefined,
    actor: plain(one.actor ?? "unknown", 80),
    address: plain(one.address ?? "unknown", 60),
  };
}

/** The report's end: what the calling script makes of it. */
export class Facts {
  #lines = [];
  figure(name, value, zh, en) {
    if (Number.isFinite(value)) this.#lines.push(["figure", name, String(Math.round(value * 100) / 100), zh, en]);
  }
  words(zh, en) {
    this.#lines.push(["words", zh, en]);
  }
  write(file, verdict) {
    this.#lines.push(["verdict", verdict]);
    const text = this.#lines.map((fields) => fields.map((field) => plain(field, 300)).join("\t"));
    writeFileSync(file, `${text.join("\n")}\n`, { mode: 0o600 });
  }
}

/** A whole number from the environment. */
export function limit(name) {
  return Number.parseInt(process.env[name], 10);
}
