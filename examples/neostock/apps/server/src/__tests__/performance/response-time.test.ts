// API响应时间基准: how long one request at a time takes, by route. The pass rule stands in measure.ts.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createKey } from "../../api-keys.ts";
import { Asker, newEmail } from "../support.ts";
import { type Process, startProcess } from "./process.ts";
import { FACTORS, type Figure, judge, P99_MS_MAX, percentile, rounds, TEST_MS_MAX, timesOf, verdict } from "./measure.ts";

const ROUNDS = 5;
const REQUESTS = 100;
// A hash of a password takes its time on purpose: fewer of them.
const SIGN_INS = 20;
// A P99 up to these is never a fault: two busy cores alone may cause it. 200 ms more are above them.
const FLOOR_MS = 150;
const SIGN_IN_FLOOR_MS = 200;

let service: Process;
let person: Asker;
const email = newEmail();

beforeAll(async () => {
  service = await startProcess();
  person = new Asker(service.url);
  expect((await person.signUp(email)).status).toBe(200);
  for (const symbol of ["600519.SH", "000001.SZ"]) await person.mutate("watchlist.add", { symbol, note: "note" });
});
afterAll(() => service?.stop());

async function measure(name: string, count: number, floor: number, request: () => Promise<{ status: number }>): Promise<void> {
  const p99s = await rounds(ROUNDS, async () => {
    const times = await timesOf(count, async () => {
      expect((await request()).status).toBe(200);
    });
    return percentile(times, 0.99);
  });
  judge({ kind: "time", name, value: Math.min(...p99s), floor });
}

describe("P99 of", () => {
  test("quotes.list", async () => {
    const asker = new Asker(service.url);
    await measure("response_quotes_list_p99_ms", REQUESTS, FLOOR_MS, () => asker.query("quotes.list"));
  }, TEST_MS_MAX);

  test("quotes.get with an API key", async () => {
    const { key } = await createKey(service.database, "bench");
    const asker = new Asker(service.url, key);
    await measure("response_quotes_get_p99_ms", REQUESTS, FLOOR_MS, () => asker.query("quotes.get", { symbol: "600519.SH" }));
  }, TEST_MS_MAX);

  test("watchlist.list with a session", async () => {
    await measure("response_watchlist_p99_ms", REQUESTS, FLOOR_MS, () => person.query("watchlist.list"));
  }, TEST_MS_MAX);

  test("signing in", async () => {
    await measure("response_sign_in_p99_ms", SIGN_INS, SIGN_IN_FLOOR_MS, () => new Asker(service.url).signIn(email));
  }, TEST_MS_MAX);
});

describe("the pass rule", () => {
  const figure = (value: number): Figure => ({ kind: "time", name: "x", value, floor: FLOOR_MS });

  test("takes what two busy cores do, and not 200 ms more", () => {
    expect(verdict(figure(FLOOR_MS), 3).passes).toBe(true);
    expect(verdict(figure(203), 3).passes).toBe(false);
    expect(verdict(figure(FLOOR_MS + 1), FLOOR_MS / FACTORS.time).passes).toBe(false);
  });

  test("never takes more than the manual's 5 s", () => {
    expect(verdict(figure(P99_MS_MAX), 4_000).passes).toBe(true);
    expect(verdict(figure(P99_MS_MAX + 1), 4_000).passes).toBe(false);
  });

  test("a rate may not fall to less than its part of the baseline", () => {
    const rate = (value: number): Figure => ({ kind: "rate", name: "x", value });

    expect(verdict(rate(1_000 / FACTORS.rate), 1_000).passes).toBe(true);
    expect(verdict(rate(1_000 / FACTORS.rate - 1), 1_000).passes).toBe(false);
  });

  test("pages may not double", () => {
    const pages = (value: number): Figure => ({ kind: "pages", name: "x", value, floor: 20 });

    expect(verdict(pages(20), 3).passes).toBe(true);
    expect(verdict(pages(21), 3).passes).toBe(false);
    expect(verdict(pages(201), 100).passes).toBe(false);
  });
});
