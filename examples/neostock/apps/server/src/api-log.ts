// The API log: who asked what and how it ended, one line of JSON a request. Never a body, a query or a
// secret. The file is opened anew for each write, so that rotating it by a new name needs no signal.
import { appendFileSync } from "node:fs";
import { report } from "./report.ts";

const WRITE_EVERY_MS = 100;
// Beyond it the oldest lines are given up: the disk does not take them, and memory is not for them.
const LINES_WAITING_MAX = 20_000;
// It holds people's addresses.
const FILE_MODE = 0o640;

export type ApiLine = {
  at: string;
  kind: "api";
  method: string;
  route: string;
  status: number;
  ms: number;
  actor: string;
  address: string;
};

export class ApiLog {
  private waiting: string[] = [];
  private lost = 0;
  private timer: Timer | null = null;

  constructor(private readonly file: string | null) {}

  write(line: ApiLine): void {
    if (this.waiting.length >= LINES_WAITING_MAX) {
      this.waiting.shift();
      this.lost += 1;
    }
    this.waiting.push(`${JSON.stringify(line)}\n`);
    this.timer ??= setTimeout(() => this.flush(), WRITE_EVERY_MS);
  }

  // What waits is written now; at the end of the process too.
  flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.waiting.length === 0) return;
    const text = this.waiting.join("");
    try {
      if (this.file) appendFileSync(this.file, text, { mode: FILE_MODE });
      else process.stdout.write(text);
      this.waiting = [];
    } catch (error) {
      report("the API log cannot be written", error);
      // A full disk may have room again; until then the lines wait, up to their limit.
      this.timer = setTimeout(() => this.flush(), WRITE_EVERY_MS * 50);
      return;
    }
    if (this.lost > 0) {
      report("the API log", new Error(`${this.lost} lines were lost while it could not be written`));
      this.lost = 0;
    }
  }
}
