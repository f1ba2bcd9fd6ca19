// Starts tests/e2e/service.ts with bun, tells the tests where it is, and ends it after them.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { join } from "node:path";

const START_MS_MAX = 30_000;

export default async function globalSetup(): Promise<() => Promise<void>> {
  const child = spawn("bun", [join(__dirname, "service.ts")], { stdio: ["pipe", "pipe", "inherit"] });
  const failed = once(child, "error").then(([error]) => {
    throw new Error(`无法启动 bun / bun cannot be started: ${error.message}`);
  });
  const addresses = JSON.parse(await Promise.race([firstLine(child), failed]));
  process.env.E2E_WEB_URL = addresses.web;
  process.env.E2E_SERVER_URL = addresses.server;
  process.env.E2E_OTHER_URL = addresses.other;
  return async () => {
    const ended = once(child, "exit");
    child.stdin!.end();
    await ended;
  };
}

async function firstLine(child: ChildProcess): Promise<string> {
  const timer = setTimeout(() => child.kill(), START_MS_MAX);
  const lines = createInterface({ input: child.stdout! });
  try {
    for await (const line of lines) return line;
  } finally {
    clearTimeout(timer);
    // What it says from now on nobody reads; its pipe must not fill.
    child.stdout!.resume();
  }
  throw new Error("服务没有启动，原因见上 / the service did not start, see above");
}
