// What the suites share: a scratch database, a server of their own on a free port, and somebody to ask it.
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { migrate } from "../db.ts";
import { connect, type Database } from "../database.ts";
import { serve } from "../server.ts";
import type { Settings } from "../settings.ts";

const SCRATCH_PREFIX = "neostock_test_";
// A run that was killed leaves its database behind; the next run after this time drops it.
const LEFT_S = 60 * 60;
export const PASSWORD = "correct horse battery";

// DATABASE_URL names a server on which databases may be made; the database itself is not touched.
export function databaseUrl(): string {
  const url = process.env.DATABASE_URL;
  if (url) return url;
  throw new Error(
    "缺少 DATABASE_URL：测试会在那台 PostgreSQL 上建立自己的临时数据库 / DATABASE_URL is not set: the tests make a scratch database of their own on that PostgreSQL",
  );
}

const leftToDo = new Set<() => Promise<void>>();

// The same work, done once: when it is asked for, or when a signal ends the tests before. Who asks again
// waits for it too.
export function cleanedUp(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  const once = () => {
    leftToDo.delete(once);
    done ??= work();
    return done;
  };
  leftToDo.add(once);
  return once;
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.once(signal, async () => {
    await Promise.allSettled([...leftToDo].reverse().map((work) => work()));
    process.exit(code);
  });
}

export type Scratch = { url: string; drop: () => Promise<void> };

// A new database with every migration, beside the one in DATABASE_URL.
export async function scratchDatabase(): Promise<Scratch> {
  const beside = databaseUrl();
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex");
  const name = `${SCRATCH_PREFIX}${Math.floor(Date.now() / 1_000)}_${random}`;
  await onServer(beside, async (client) => {
    await dropOld(client);
    await client.query(`create database ${name} template template0 encoding 'UTF8'`);
  });
  const drop = cleanedUp(() =>
    onServer(beside, async (client) => {
      await client.query(`drop database if exists ${name} with (force)`);
    }),
  );
  const url = new URL(beside);
  url.pathname = `/${name}`;
  try {
    await migrate(url.href, () => {});
  } catch (error) {
    await drop();
    throw error;
  }
  return { url: url.href, drop };
}

async function onServer(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function dropOld(client: Client): Promise<void> {
  const old = await client.query<{ datname: string }>(
    `select datname from pg_database where datdba = current_user::regrole
     and datname ~ '^${SCRATCH_PREFIX}[0-9]{1,12}_[0-9a-f]{12}$'
     and split_part(datname, '_', 3)::bigint < extract(epoch from now()) - $1`,
    [LEFT_S],
  );
  for (const { datname } of old.rows) {
    // Another run may be just as quick.
    await client.query(`drop database if exists ${datname} with (force)`).catch(() => {});
  }
}

export type Service = { url: URL; database: Database; databaseUrl: string; folder: string; stop: () => Promise<void> };

// A server in this process, with a database and a folder of its own.
export async function startService(more: Partial<Settings> = {}): Promise<Service> {
  const scratch = await scratchDatabase();
  const folder = await mkdtemp(join(tmpdir(), "neostock-test-"));
  const database = connect(scratch.url);
  const running = serve({
    host: "127.0.0.1",
    port: 0,
    databaseUrl: scratch.url,
    authSecret: newSecret(),
    publicUrl: new URL("http://127.0.0.1:3000"),
    quotesUrl: null,
    apiLogFile: join(folder, "api.log"),
    ...more,
  });
  const stop = cleanedUp(async () => {
    await running.stop();
    await database.end();
    await scratch.drop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { url: running.url, database, databaseUrl: scratch.url, folder, stop };
}

export function newSecret(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
}

export function newEmail(): string {
  return `${crypto.randomUUID()}@example.com`;
}

export type Answer = { status: number; body: any; headers: Headers };

// Somebody who asks the server: keeps the cookie as a browser would, or sends a key as a program would.
export class Asker {
  cookie: string | null = null;

  constructor(
    private readonly url: URL,
    readonly key: string | null = null,
  ) {}

  async get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send("GET", path, undefined, headers);
  }

  async post(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send("POST", path, JSON.stringify(body), { "content-type": "application/json", ...headers });
  }

  query(procedure: string, input?: unknown): Promise<Answer> {
    const search = input === undefined ? "" : `?input=${encodeURIComponent(JSON.stringify(input))}`;
    return this.get(`/api/trpc/${procedure}${search}`);
  }

  mutate(procedure: string, input?: unknown): Promise<Answer> {
    return this.post(`/api/trpc/${procedure}`, input);
  }

  signUp(email = newEmail(), password = PASSWORD): Promise<Answer> {
    return this.post("/api/auth/sign-up/email", { email, password });
  }

  signIn(email: string, password = PASSWORD): Promise<Answer> {
    return this.post("/api/auth/sign-in/email", { email, password });
  }

  private async send(
    method: string,
    path: string,
    body: string | undefined,
    headers: Record<string, string>,
  ): Promise<Answer> {
    const own: Record<string, string> = {};
    if (this.cookie) own.cookie = this.cookie;
    if (this.key) own["x-api-key"] = this.key;
    const answer = await fetch(new URL(path, this.url), { method, body, headers: { ...own, ...headers } });
    for (const cookie of answer.headers.getSetCookie()) {
      if (cookie.startsWith("better-auth.session_token=")) {
        const pair = cookie.split(";")[0]!;
        this.cookie = pair.endsWith("=") ? null : pair;
      }
    }
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.startsWith("application/json");
    return { status: answer.status, body: isJson ? JSON.parse(text) : text, headers: answer.headers };
  }
}

// What is found at last; the log, for one, is written a moment after the answer.
export async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + 5_000; ; ) {
    const found = look();
    if (found) return found;
    if (Date.now() > end) throw new Error("it did not come to pass within 5 s");
    await Bun.sleep(20);
  }
}

// The value of one series in what /metrics says; 0 where it is not there yet.
export function sample(text: string, series: string): number {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line ? Number(line.slice(series.length + 1)) : 0;
}
