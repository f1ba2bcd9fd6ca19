import { exec, execFile, execSync, spawn } from "node:child_process";

export function history(symbol: string): void {
  // ruleid: shell-command
  exec(`grep ${symbol} quotes.csv`);
  // ruleid: shell-command
  execSync("grep " + symbol + " quotes.csv");
  // ruleid: shell-command
  spawn("grep", [symbol, "quotes.csv"], { shell: true });
  // ruleid: shell-command
  Bun.spawn(["sh", "-c", `grep ${symbol} quotes.csv`]);
  // ok: shell-command
  execFile("grep", ["--", symbol, "quotes.csv"]);
  // ok: shell-command
  Bun.spawn(["grep", "--", symbol, "quotes.csv"]);
  // ok: shell-command
  exec("uptime");
  // ok: shell-command
  /price/.exec(symbol);
}
