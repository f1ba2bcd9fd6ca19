// 数据库查询性能: the service's own queries on tables as large as a busy service has them. Besides the time,
// what a query reads is counted: pages do not depend on how busy a machine is, and a lost index shows at
// once. The pass rule stands in measure.ts.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { keyOf, newKey, sha256 } from "../../api-keys.ts";
import { connect, type Database } from "../../database.ts";
import { listQuotes, Page, quote } from "../../quotes.ts";
import { listItems } from "../../watchlist.ts";
import { type Scratch, scratchDatabase } from "../support.ts";
import { judge, median, rounds, TEST_MS_MAX, timesOf } from "./measure.ts";

const QUOTES = 50_000;
const PEOPLE = 5_000;
const ITEMS_EACH = 20;
const KEYS = 20_000;
const ROUNDS = 3;
const QUERIES = 50;
// A median below it is never a fault of the query.
const FLOOR_MS = 20;
// An index on tables like these has three levels: a handful of pages for a row that is looked up, while
// the smallest of the tables has hundreds.
const FLOOR_PAGES = 20;

let scratch: Scratch;
let database: Database;
const key = newKey();

beforeAll(async () => {
  scratch = await scratchDatabase();
  database = connect(scratch.url);
  await database.query(
    `insert into quotes (symbol, name, price_cents)
     select 'S' || lpad(n::text, 6, '0'), 'Company ' || n, n from generate_series(1, ${QUOTES}) n`,
  );
  await database.query(
    `insert into users (id, name, email, email_verified)
     select 'U' || n, 'Person ' || n, n || '@example.com', false from generate_series(1, ${PEOPLE}) n`,
  );
  await database.query(
    `insert into watchlist (user_id, symbol, note)
     select 'U' || n, 'S' || lpad(((n * 7 + k * 13) % ${QUOTES} + 1)::text, 6, '0'), 'note ' || k
     from generate_series(1, ${PEOPLE}) n, generate_series(1, ${ITEMS_EACH}) k`,
  );
  await database.query(
    `insert into api_keys (name, key_sha256)
     select 'bench', encode(sha256(n::text::bytea), 'hex') from generate_series(1, ${KEYS}) n`,
  );
  await database.query("insert into api_keys (name, key_sha256, last_used_at) values ('bench', $1, now())", [sha256(key)]);
  await database.query("vacuum analyze");
}, 60_000);
afterAll(async () => {
  await database?.end();
  await scratch?.drop();
});

// A pool that remembers what it was asked.
function remembering(asked: { text: string; values: unknown[] }[]): Database {
  const query = (text: string, values: unknown[] = []) => {
    asked.push({ text, values });
    return database.query(text, values);
  };
  return new Proxy(database, { get: (target, name) => (name === "query" ? query : Reflect.get(target, name)) });
}

// How many pages the queries of a piece of work read, by PostgreSQL's own count.
async function pagesOf(work: (database: Database) => Promise<unknown>): Promise<number> {
  const asked: { text: string; values: unknown[] }[] = [];
  await work(remembering(asked));
  expect(asked.length).toBeGreaterThan(0);
  let pages = 0;
  for (const { text, values } of asked) {
    const explained = await database.query(`explain (analyze, buffers, timing off, format json) ${text}`, values);
    const plan = explained.rows[0]["QUERY PLAN"][0].Plan;
    pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  }
  return pages;
}

async function measure(name: string, work: (on: Database, at: number) => Promise<unknown>): Promise<void> {
  const p50s = await rounds(ROUNDS, async () =>
    median(
      await timesOf(QUERIES, async (at) => {
        await work(database, at);
      }),
    ),
  );
  const pages = await pagesOf((remembered) => work(remembered, 1));

  judge({ kind: "time", name: `database_${name}_p50_ms`, value: Math.min(...p50s), floor: FLOOR_MS });
  judge({ kind: "pages", name: `database_${name}_pages`, value: pages, floor: FLOOR_PAGES });
}

test("a page of quotes, in the middle of many", async () => {
  await measure("quotes_page", async (on, at) => {
    const after = `S${String(10_000 + at * 100).padStart(6, "0")}`;
    expect(await listQuotes(on, Page.parse({ after }))).toHaveLength(100);
  });
}, TEST_MS_MAX);

test("one quote of many", async () => {
  await measure("quote", async (on, at) => {
    expect((await quote(on, `S${String(1 + at * 991).padStart(6, "0")}`))?.price).toBe((1 + at * 991) / 100);
  });
}, TEST_MS_MAX);

test("one person's watchlist with remarks", async () => {
  await measure("watchlist", async (on, at) => {
    const items = await listItems(on, `U${1 + at * 97}`);
    expect(items).toHaveLength(ITEMS_EACH);
    expect(items.every((item) => item.notes.length === 1)).toBe(true);
  });
}, TEST_MS_MAX);

test("whose key it is", async () => {
  await measure("key", async (on) => {
    expect((await keyOf(on, key))?.name).toBe("bench");
  });
}, TEST_MS_MAX);
