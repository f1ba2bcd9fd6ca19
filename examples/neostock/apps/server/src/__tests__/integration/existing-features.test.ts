// What the service did before must still work: every feature once, over HTTP, with a real database.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../../package.json";
import { serve as serveWeb } from "../../../../web/src/server.ts";
import { idsIn, migrate, undo } from "../../db.ts";
import { serve } from "../../server.ts";
import { ITEMS_MAX, NOTES_MAX } from "../../watchlist.ts";
import { Asker, newSecret, sample, type Service, startService, until } from "../support.ts";

const NOTES_MIGRATION = "0004_watchlist_notes";
const MIGRATIONS = idsIn(readdirSync(join(import.meta.dir, "../../../db")));
const SERVER_FOLDER = join(import.meta.dir, "../../..");

let service: Service;
// What the upstream of quotes answers next.
let upstreamAnswer: () => Response | Promise<Response>;
const upstream = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => upstreamAnswer() });

beforeAll(async () => {
  service = await startService({ quotesUrl: upstream.url });
});
afterAll(async () => {
  await service?.stop();
  await upstream.stop(true);
});

async function signedIn(): Promise<Asker> {
  const asker = new Asker(service.url);
  expect((await asker.signUp()).status).toBe(200);
  return asker;
}

async function program(...words: string[]): Promise<{ code: number; lines: any[]; errors: string }> {
  const run = Bun.spawn([process.execPath, "run", "--silent", ...words], {
    cwd: SERVER_FOLDER,
    env: { ...process.env, DATABASE_URL: service.databaseUrl },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
  const lines = output.split("\n").filter(Boolean);
  return { code: await run.exited, lines: lines.map((line) => JSON.parse(line)), errors };
}

async function metrics(): Promise<string> {
  return (await new Asker(service.url).get("/metrics")).body;
}

describe("health and metrics", () => {
  test("the server says that it is well, and which version it is", async () => {
    const answer = await new Asker(service.url).get("/health");

    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ status: "ok", version });
  });

  test("without a database it says that it is ill, and what needs one fails without telling why", async () => {
    const alone = serve({
      host: "127.0.0.1",
      port: 0,
      databaseUrl: "postgres://nobody:hidden@127.0.0.1:1/nothing",
      authSecret: newSecret(),
      publicUrl: new URL("http://127.0.0.1:3000"),
      quotesUrl: null,
      apiLogFile: join(service.folder, "ill.log"),
    });
    try {
      const asker = new Asker(alone.url);

      const health = await asker.get("/health");
      expect(health.status).toBe(503);
      expect(health.body).toEqual({ status: "ill", version });
      const quotes = await asker.query("quotes.list");
      expect(quotes.status).toBe(500);
      expect(quotes.body.error.message).toBe("内部错误 / internal error");
      expect(JSON.stringify(quotes.body)).not.toMatch(/ECONNREFUSED|hidden|stack/);
    } finally {
      await alone.stop();
    }
  });

  test("every request is counted and timed under its route", async () => {
    const asker = new Asker(service.url);
    const series = 'http_requests_total{method="GET",route="/api/trpc/quotes.list",status="200"}';
    const count = 'http_request_duration_seconds_count{method="GET",route="/api/trpc/quotes.list"}';
    const before = await metrics();

    await asker.query("quotes.list");
    await asker.query("quotes.list", { limit: 2 });

    const after = await metrics();
    expect(sample(after, series) - sample(before, series)).toBe(2);
    expect(sample(after, count) - sample(before, count)).toBe(2);
  });

  test("addresses that are not there make no series of their own", async () => {
    const asker = new Asker(service.url);

    for (const path of ["/api/trpc/no.such", "/api/auth/delete-user", "/%00", "/metrics/x"]) {
      expect((await asker.get(path)).status, path).toBe(404);
    }

    const text = await metrics();
    expect(sample(text, 'http_requests_total{method="GET",route="other",status="404"}')).toBeGreaterThanOrEqual(4);
    expect(text).not.toContain("no.such");
  });
});

describe("quotes", () => {
  test("are listed by symbol, page by page", async () => {
    const asker = new Asker(service.url);

    const all = (await asker.query("quotes.list")).body.result.data;
    const first = (await asker.query("quotes.list", { limit: 2 })).body.result.data;
    const second = (await asker.query("quotes.list", { limit: 2, after: first[1].symbol })).body.result.data;

    expect(all.length).toBeGreaterThanOrEqual(6);
    expect(all.map((one: any) => one.symbol)).toEqual(all.map((one: any) => one.symbol).toSorted());
    expect([...first, ...second]).toEqual(all.slice(0, 4));
  });

  test("one is found by its symbol", async () => {
    const asker = new Asker(service.url);

    expect((await asker.query("quotes.get", { symbol: "600036.SH" })).body.result.data).toMatchObject({
      symbol: "600036.SH",
      name: "招商银行",
    });
    expect((await asker.query("quotes.get", { symbol: "NONE" })).status).toBe(404);
    expect((await asker.query("quotes.get", { symbol: "x'; drop table quotes" })).status).toBe(400);
    expect((await asker.query("quotes.get")).status).toBe(400);
  });

  test("are fetched from upstream, and the fetch is counted", async () => {
    const asker = await signedIn();
    upstreamAnswer = () =>
      Response.json([
        { symbol: "600036.SH", name: "招商银行", price: 40.01 },
        { symbol: "NEW", name: "New Company", price: 0.5 },
      ]);
    const before = sample(await metrics(), 'data_fetches_total{result="success"}');

    const answer = await asker.mutate("quotes.refresh");

    expect(answer.body.result.data).toEqual({ stored: 2 });
    expect((await asker.query("quotes.get", { symbol: "600036.SH" })).body.result.data.price).toBe(40.01);
    expect((await asker.query("quotes.get", { symbol: "NEW" })).body.result.data.price).toBe(0.5);
    expect(sample(await metrics(), 'data_fetches_total{result="success"}') - before).toBe(1);
  });

  test.each([
    ["an error", () => new Response("down", { status: 500 })],
    ["no JSON", () => new Response("<html>")],
    ["a redirect", () => Response.redirect("http://127.0.0.1:1/")],
    ["one bad quote among good ones", () => Response.json([{ symbol: "OK", name: "ok", price: 1 }, { symbol: "OK2" }])],
    ["a name with a line break", () => Response.json([{ symbol: "OK", name: "o\nk", price: 1 }])],
    ["a negative price", () => Response.json([{ symbol: "OK", name: "ok", price: -1 }])],
    ["far too much", () => new Response("x".repeat(300 * 1_024))],
  ])("an upstream that answers %s changes nothing and is counted", async (_, answer) => {
    const asker = await signedIn();
    upstreamAnswer = answer;
    const before = sample(await metrics(), 'data_fetches_total{result="failure"}');

    const refused = await asker.mutate("quotes.refresh");

    expect(refused.status).toBe(502);
    expect(refused.body.error.message).toBe("行情源没有正常回答 / the upstream did not answer well");
    expect((await asker.query("quotes.get", { symbol: "OK" })).status).toBe(404);
    expect(sample(await metrics(), 'data_fetches_total{result="failure"}') - before).toBe(1);
  });
});

describe("the watchlist", () => {
  test("holds what a person added, with remarks, until it is removed", async () => {
    const asker = await signedIn();

    await asker.mutate("watchlist.add", { symbol: "600519.SH", note: "看好" });
    await asker.mutate("watchlist.add", { symbol: "000001.SZ" });
    await asker.mutate("watchlist.add", { symbol: "600519.SH", note: "  <b>sell</b> at 1800 " });

    const items = (await asker.query("watchlist.list")).body.result.data;
    expect(items.map((one: any) => [one.symbol, one.notes])).toEqual([
      ["600519.SH", ["看好", "<b>sell</b> at 1800"]],
      ["000001.SZ", []],
    ]);
    expect((await asker.mutate("watchlist.remove", { symbol: "600519.SH" })).body.result.data).toEqual({ removed: true });
    expect((await asker.mutate("watchlist.remove", { symbol: "600519.SH" })).body.result.data).toEqual({ removed: false });
    expect((await asker.query("watchlist.list")).body.result.data).toHaveLength(1);
  });

  test("belongs to one person alone", async () => {
    const [one, other] = [await signedIn(), await signedIn()];
    await one.mutate("watchlist.add", { symbol: "600519.SH", note: "mine" });

    expect((await other.query("watchlist.list")).body.result.data).toEqual([]);
    await other.mutate("watchlist.remove", { symbol: "600519.SH" });

    expect((await one.query("watchlist.list")).body.result.data).toHaveLength(1);
  });

  test("refuses what is no symbol, no remark or no field", async () => {
    const asker = await signedIn();

    expect((await asker.mutate("watchlist.add", { symbol: "NONE" })).status).toBe(404);
    for (const input of [
      { symbol: "600519.SH", note: "two\nlines" },
      { symbol: "600519.SH", note: " " },
      { symbol: "600519.SH", note: "x".repeat(201) },
      { symbol: "600519.SH", userId: "somebody else" },
      { symbol: 1 },
    ]) {
      expect((await asker.mutate("watchlist.add", input)).status, JSON.stringify(input)).toBe(400);
    }
    expect((await asker.query("watchlist.list")).body.result.data).toEqual([]);
  });

  test("has its limits, also for many requests at once", async () => {
    const asker = await signedIn();
    await service.database.query(
      `insert into quotes (symbol, name, price_cents) select 'LIMIT' || n, 'limit', 1 from generate_series(1, $1) n`,
      [ITEMS_MAX + 5],
    );
    const add = (symbol: string, note?: string) => asker.mutate("watchlist.add", { symbol, note });

    const items = await Promise.all(Array.from({ length: ITEMS_MAX + 5 }, (_, at) => add(`LIMIT${at + 1}`)));
    const [{ symbol }] = (await asker.query("watchlist.list")).body.result.data;
    const notes = await Promise.all(Array.from({ length: NOTES_MAX + 5 }, (_, at) => add(symbol, `note ${at}`)));

    expect(items.filter((one) => one.status === 200)).toHaveLength(ITEMS_MAX);
    expect(items.filter((one) => one.status === 409)).toHaveLength(5);
    expect(notes.filter((one) => one.status === 200)).toHaveLength(NOTES_MAX);
    expect(notes.filter((one) => one.status === 409)).toHaveLength(5);
    await service.database.query("delete from quotes where symbol like 'LIMIT%'");
  });

  // A version that does not have the migration yet has nothing to undo.
  test.if(MIGRATIONS.includes(NOTES_MIGRATION))(
    "keeps every remark when its migration is undone and done again while the server runs",
    async () => {
      const asker = await signedIn();
      const add = (note: string) => asker.mutate("watchlist.add", { symbol: "600519.SH", note });
      const notes = async () => (await asker.query("watchlist.list")).body.result.data[0].notes;
      const column = async () =>
        (await service.database.query("select note from watchlist where note is not null")).rows.map((row) => row.note);
      const kept = MIGRATIONS.filter((id) => id !== NOTES_MIGRATION);
      await add("before");
      await add("before too");

      await undo(service.databaseUrl, kept, () => {});
      expect(await column()).toContain("before\nbefore too");
      expect(await notes()).toEqual(["before", "before too"]);
      await add("between");
      expect(await column()).toContain("before\nbefore too\nbetween");

      await migrate(service.databaseUrl, () => {});
      expect(await notes()).toEqual(["before", "before too", "between"]);
      // As the code before the migration writes, which may still serve.
      await service.database.query("update watchlist set note = note || E'\\nby the older code' where note like 'before%'");
      await add("after");

      expect(await notes()).toEqual(["before", "before too", "between", "by the older code", "after"]);
    },
  );
});

describe("API keys", () => {
  test("are made, listed and revoked by hand; two of one name are valid at once", async () => {
    const first = (await program("keys", "create", "--name", "web")).lines[0];
    const second = (await program("keys", "create", "--name", "web")).lines[0];
    expect(first.key).toMatch(/^nsk_/);
    for (const { id, key } of [first, second]) {
      expect((await new Asker(service.url, key).query("keys.whoami")).body.result.data).toEqual({ id, name: "web" });
    }

    const revoked = await program("keys", "revoke", first.id);

    expect(revoked).toMatchObject({ code: 0, lines: [{ id: first.id, revoked_at: expect.any(String) }] });
    expect((await new Asker(service.url, first.key).query("keys.whoami")).status).toBe(401);
    expect((await new Asker(service.url, second.key).query("keys.whoami")).status).toBe(200);
    const listed = await program("keys", "list");
    expect(listed.lines.map((one) => [one.id, one.name, one.revoked_at === null])).toEqual([
      [first.id, "web", false],
      [second.id, "web", true],
    ]);
    expect(JSON.stringify(listed.lines)).not.toMatch(/nsk_|sha256/);
  });

  test("are nowhere in the database", async () => {
    const { key } = (await program("keys", "create", "--name", "other")).lines[0];

    const rows = await service.database.query("select k::text as text from api_keys k");

    expect(JSON.stringify(rows.rows)).not.toContain(key.slice(4));
  });

  test("the program says what is wrong, in its exit code too", async () => {
    expect(await program("keys", "revoke", "K999999")).toMatchObject({ code: 1, lines: [] });
    expect((await program("keys", "revoke")).code).toBe(2);
    expect((await program("keys", "create", "--name", "Not A Name")).code).toBe(2);
    expect((await program("users", "role", "nobody@example.com", "admin")).code).toBe(1);
    expect((await program("users", "role", "nobody@example.com", "king")).code).toBe(2);
  });
});

describe("the web application", () => {
  test("shows quotes by its own key, which is replaced while it runs", async () => {
    const folder = mkdtempSync(join(tmpdir(), "neostock-test-"));
    const file = join(folder, "key");
    const first = (await program("keys", "create", "--name", "web")).lines[0];
    const second = (await program("keys", "create", "--name", "web")).lines[0];
    writeFileSync(file, first.key, { mode: 0o600 });
    const web = serveWeb({ host: "127.0.0.1", port: 0, serverUrl: service.url, apiKeyFile: file });
    try {
      const asker = new Asker(web.url);
      expect((await asker.get("/")).body).toContain("贵州茅台");
      expect((await asker.get("/status")).body).toEqual({ status: "ok", version, key: first.id });

      writeFileSync(`${file}.new`, second.key, { mode: 0o600 });
      renameSync(`${file}.new`, file);
      expect((await asker.get("/status")).body).toEqual({ status: "ok", version, key: second.id });
      await program("keys", "revoke", second.id);

      expect((await asker.get("/status")).body).toEqual({ status: "ok", version, key: null });
      const page = await asker.get("/");
      expect(page.status).toBe(200);
      expect(page.body).toContain("暂时读不到行情");
    } finally {
      await web.stop();
      rmSync(folder, { recursive: true });
    }
  });

  test("passes on what a browser asks the API, and answers without a server", async () => {
    const web = serveWeb({ host: "127.0.0.1", port: 0, serverUrl: service.url, apiKeyFile: null });
    const alone = serveWeb({ host: "127.0.0.1", port: 0, serverUrl: new URL("http://127.0.0.1:1"), apiKeyFile: null });
    try {
      const asker = new Asker(web.url);
      expect((await asker.signUp()).status).toBe(200);
      expect((await asker.mutate("watchlist.add", { symbol: "600519.SH" })).status).toBe(200);
      expect((await asker.query("watchlist.list")).body.result.data).toHaveLength(1);
      expect((await asker.get("/api/../metrics")).status).toBe(404);
      expect((await asker.post("/", {})).status).toBe(405);

      expect((await new Asker(alone.url).get("/")).status).toBe(200);
      expect((await new Asker(alone.url).query("quotes.list")).status).toBe(502);
    } finally {
      await web.stop();
      await alone.stop();
    }
  });
});

describe("requests", () => {
  test("are told in the API log, with whoever asked and without what they said", async () => {
    const asker = await signedIn();
    const { key, id } = (await program("keys", "create", "--name", "log")).lines[0];
    await asker.mutate("watchlist.add", { symbol: "600519.SH", note: "a private remark" });
    await new Asker(service.url, key).get("/api/trpc/quotes.list?input=%7B%7D", { "x-real-ip": "203.0.113.7" });

    const text = await until(() => {
      const log = readFileSync(join(service.folder, "api.log"), "utf8");
      return log.includes("203.0.113.7") && log;
    });

    const lines = text.trim().split("\n").map((line) => JSON.parse(line));
    expect(lines.at(-1)).toEqual({
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      kind: "api",
      method: "GET",
      route: "/api/trpc/quotes.list",
      status: 200,
      ms: expect.any(Number),
      actor: `key:${id}`,
      address: "203.0.113.7",
    });
    expect(lines.at(-2)).toMatchObject({ route: "/api/trpc/watchlist.add", actor: expect.stringMatching(/^user:./) });
    expect(text).not.toMatch(/private remark|nsk_|battery|input=/);
  });

  test("that are too large, of another kind or by another method are refused", async () => {
    const asker = new Asker(service.url);

    expect((await asker.post("/api/auth/sign-in/email", { email: "x".repeat(70_000) })).status).toBe(413);
    const text = await asker.post("/api/auth/sign-in/email", {}, { "content-type": "text/plain" });
    expect(text.status).toBe(415);
    expect((await asker.get("/api/auth/sign-in/email")).status).toBe(405);
    expect((await asker.get("/api/auth/sign-in/email")).headers.get("allow")).toBe("POST");
    expect((await asker.post("/health")).status).toBe(405);
  });

  test("that are under way when the server is told to stop are answered first", async () => {
    const { promise: asked, resolve: isAsked } = Promise.withResolvers<void>();
    const { promise: go, resolve: letGo } = Promise.withResolvers<void>();
    upstreamAnswer = async () => {
      isAsked();
      await go;
      return Response.json([{ symbol: "LATE", name: "late", price: 1 }]);
    };
    const other = serve({
      host: "127.0.0.1",
      port: 0,
      databaseUrl: service.databaseUrl,
      authSecret: newSecret(),
      publicUrl: new URL("http://127.0.0.1:3000"),
      quotesUrl: upstream.url,
      apiLogFile: join(service.folder, "other.log"),
    });
    const { key } = (await program("keys", "create", "--name", "stop")).lines[0];
    const slow = new Asker(other.url, key).mutate("quotes.refresh");
    await asked;

    const stopped = other.stop();
    await expect(fetch(new URL("/health", other.url), { keepalive: false })).rejects.toThrow();
    letGo();

    expect((await slow).body.result.data).toEqual({ stored: 1 });
    await stopped;
    expect(readFileSync(join(service.folder, "other.log"), "utf8")).toContain("quotes.refresh");
  });
});
