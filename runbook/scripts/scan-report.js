// What a scan found: a line for each finding, the sums in a file for lib-scan.sh. What a report or a
// service says is only ever data: one line, without what a terminal or a chat would act upon.
import { writeFileSync } from "node:fs";

const LINES_MAX = 50;
const CHARS_MAX = 240;

/** One line, no control characters, not too long. */
export function plain(text) {
  const line = String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return line.length > CHARS_MAX ? `${line.slice(0, CHARS_MAX)}…` : line;
}

export class Report {
  #file;
  #sums = { high: 0, lower: 0, unknown: 0, checks: 0 };
  #first = "";
  #firstUnknown = { zh: "", en: "" };
  #lines = 0;
  #figures = [];
  #note = { zh: "", en: "" };

  constructor(file) {
    this.#file = file;
  }

  /** A check that was made, whatever it finds. */
  checked(count = 1) {
    this.#sums.checks += count;
  }

  good(zh, en) {
    this.checked();
    this.#say(`✅ ${plain(zh)} / ${plain(en)}`);
  }

  note(zh, en) {
    this.#say(`ℹ️ ${plain(zh)} / ${plain(en)}`);
  }

  /** One more thing that the closing sentence says when all is well. */
  closing(zh, en) {
    this.#note = { zh: `；${plain(zh)}`, en: `; ${plain(en)}` };
  }

  /** Found, and it blocks. */
  high(rule, place, zh, en) {
    this.#sums.high += 1;
    this.#first ||= plain(`${rule} ${place}`);
    this.#finding(`❌ high  ${rule}  ${place}  ${zh} / ${en}`);
  }

  /** Found; people should know, but it does not block. */
  lower(rule, place, zh, en) {
    this.#sums.lower += 1;
    this.#finding(`⚠️ lower  ${rule}  ${place}  ${zh} / ${en}`);
  }

  /** It could not be found out: never as good as well. */
  unknown(rule, zh, en) {
    this.#sums.unknown += 1;
    if (this.#firstUnknown.zh === "") this.#firstUnknown = { zh: plain(zh), en: plain(en) };
    this.#finding(`⛔ ${rule}  ${zh} / ${en}`);
  }

  figure(name, value, zh, en) {
    this.#figures.push([name, value, plain(zh), plain(en)].join("\t"));
  }

  #finding(line) {
    this.#lines += 1;
    if (this.#lines <= LINES_MAX) this.#say(plain(line));
  }

  #say(line) {
    console.log(line);
  }

  end() {
    if (this.#lines > LINES_MAX) this.#say(`… 还有 ${this.#lines - LINES_MAX} 条 / more`);
    const sums = Object.entries(this.#sums).map(([name, sum]) => `${name}=${sum}`);
    const words = [
      `first=${this.#first}`,
      `unknown_zh=${this.#firstUnknown.zh}`,
      `unknown_en=${this.#firstUnknown.en}`,
      `note_zh=${this.#note.zh}`,
      `note_en=${this.#note.en}`,
      ...this.#figures.map((figure) => `figure=${figure}`),
    ];
    writeFileSync(this.#file, `${[...sums, ...words].join("\n")}\n`, { mode: 0o600 });
  }
}

/** Whether an inline mark accepts a rule's finding at a line: `nosemgrep: RULE`, `hadolint ignore=RULE`. */
export function isAccepted(lines, number, mark, rule) {
  return [lines[number - 1], lines[number - 2]].some((line) => {
    const words = mark.exec(line ?? "")?.[1];
    return words !== undefined && words.split(/[\s,]+/).some((word) => word === rule);
  });
}
