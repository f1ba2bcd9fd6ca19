// Older clients go on working: the API keeps what the recorded contract promises (api-contract.json,
// recorded anew by `bun run contract:record` when a promise is changed on purpose), and answers the
// requests that older clients make, byte by byte as they make them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTRPCClient, httpBatchLink, httpLink, TRPCClientError } from "@trpc/client";
import { createKey } from "../../api-keys.ts";
import { plainRoutes, procedures } from "../../description.ts";
import type { Router } from "../../router.ts";
import { Asker, type Service, startService } from "../support.ts";
import { broken, type Contract } from "./contract.ts";

const FILE = join(import.meta.dir, "api-contract.json");

function current(): Contract {
  const routes = plainRoutes().map(({ method, path, input }) => [`${method} ${path}`, { input }]);
  return { procedures: procedures(), routes: Object.fromEntries(routes) };
}

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service?.stop());

describe("the contract", () => {
  test("what was promised is kept", () => {
    if (process.env.RECORD_CONTRACT) writeFileSync(FILE, `${JSON.stringify(current(), null, 2)}\n`);
    expect(existsSync(FILE), "bun run contract:record").toBe(true);

    const recorded = JSON.parse(readFileSync(FILE, "utf8")) as Contract;

    expect(Object.keys(recorded.procedures).length).toBeGreaterThanOrEqual(8);
    expect(broken(recorded, current())).toEqual([]);
  });

  test("what is new is in it, so that it is promised from now on", () => {
    const recorded = JSON.parse(readFileSync(FILE, "utf8")) as Contract;

    expect(Object.keys(recorded.procedures).sort()).toEqual(Object.keys(current().procedures).sort());
    expect(Object.keys(recorded.routes).sort()).toEqual(Object.keys(current().routes).sort());
  });

  test.each<[string, (changed: any) => void, string]>([
    ["a procedure goes", (api) => delete api.procedures["quotes.get"], "quotes.get is gone"],
    ["a query becomes a mutation", (api) => (api.procedures["quotes.get"].type = "mutation"), "quotes.get was a query and is a mutation"],
    ["more is needed", (api) => (api.procedures["quotes.list"].need = "session"), "quotes.list needed public and needs session"],
    ["an input is demanded", (api) => api.procedures["quotes.get"].input.required.push("market"), "quotes.get demands market"],
    ["an input goes", (api) => delete api.procedures["watchlist.add"].input.properties.note, "watchlist.add does not take note any more"],
    ["an input is of another type", (api) => (api.procedures["quotes.list"].input.properties.limit.maximum = 5), "quotes.list takes another limit"],
    ["an output goes", (api) => delete api.procedures["quotes.list"].output.items.properties.price, "quotes.list[] does not answer price any more"],
    ["an output is of another type", (api) => (api.procedures["quotes.get"].output.properties.price.type = "string"), "quotes.get.price answers another type"],
    ["an output is there at times", (api) => api.procedures["quotes.get"].output.required.pop(), "quotes.get does not always answer updatedAt any more"],
    ["a route goes", (api) => delete api.routes["GET /health"], "GET /health is gone"],
  ])("it is noticed when %s", (_, change, fault) => {
    const changed = structuredClone(current());
    change(changed);

    expect(broken(current(), changed)).toEqual([fault]);
  });

  test("more than was promised is no fault", () => {
    const more: any = structuredClone(current());
    more.procedures["quotes.new"] = more.procedures["quotes.get"];
    more.procedures["quotes.list"].input.properties.market = { type: "string" };
    more.procedures["quotes.list"].output.items.properties.currency = { type: "string" };
    more.procedures["keys.whoami"].need = "public";

    expect(broken(current(), more)).toEqual([]);
  });
});

describe("tRPC's own client", () => {
  const clientOf = (headers: Record<string, string>) =>
    createTRPCClient<Router>({ links: [httpLink({ url: new URL("/api/trpc", service.url), headers })] });

  test("calls everything, with the types of this router", async () => {
    const person = new Asker(service.url);
    await person.signUp();
    const client = clientOf({ cookie: person.cookie! });

    const [first] = await client.quotes.list.query({ limit: 1 });
    const one = await client.quotes.get.query({ symbol: first!.symbol });
    await client.watchlist.add.mutate({ symbol: one.symbol, note: "from the client" });

    expect(one).toEqual(first!);
    expect((await client.watchlist.list.query()).map((item) => item.notes)).toEqual([["from the client"]]);
    expect(await client.watchlist.remove.mutate({ symbol: one.symbol })).toEqual({ removed: true });
    const { key, id } = await createKey(service.database, "client");
    expect(await clientOf({ "x-api-key": key }).keys.whoami.query()).toEqual({ id, name: "client" });
  });

  test("understands refusals", async () => {
    const client = clientOf({});

    const refused = await client.watchlist.list.query().catch((error) => error);
    const missing = await client.quotes.get.query({ symbol: "NONE" }).catch((error) => error);

    expect(refused).toBeInstanceOf(TRPCClientError);
    expect(refused.data).toMatchObject({ code: "UNAUTHORIZED", httpStatus: 401, path: "watchlist.list" });
    expect(missing.data).toMatchObject({ code: "NOT_FOUND", httpStatus: 404, path: "quotes.get" });
    expect(missing.message).toBe("没有这个代码 / no such symbol");
  });

  test("that sends several in one request is refused, not half answered", async () => {
    const client = createTRPCClient<Router>({
      links: [httpBatchLink({ url: new URL("/api/trpc", service.url) })],
    });

    const both = await Promise.allSettled([
      client.quotes.get.query({ symbol: "600519.SH" }),
      client.quotes.get.query({ symbol: "600036.SH" }),
    ]);

    expect(both.map((one) => one.status)).toEqual(["rejected", "rejected"]);
  });
});

describe("requests of older clients", () => {
  const raw = async (path: string, init?: RequestInit) => {
    const answer = await fetch(new URL(path, service.url), init);
    return { status: answer.status, text: await answer.text(), type: answer.headers.get("content-type") };
  };

  test("a query without and with input", async () => {
    const all = await raw("/api/trpc/quotes.list");
    const one = await raw("/api/trpc/quotes.get?input=%7B%22symbol%22%3A%22600519.SH%22%7D");

    expect(all.status).toBe(200);
    expect(all.text).toStartWith('{"result":{"data":[{"symbol":"000001.SZ","name":"平安银行","price":11.42,"updatedAt":"');
    expect(one.text).toStartWith('{"result":{"data":{"symbol":"600519.SH","name":"贵州茅台","price":1528,"updatedAt":"');
    expect(one.type).toBe("application/json");
  });

  test("a mutation by GET, and a query by POST, are refused", async () => {
    expect((await raw("/api/trpc/quotes.refresh")).status).toBe(405);
    const headers = { "content-type": "application/json" };
    expect((await raw("/api/trpc/quotes.list", { method: "POST", headers })).status).toBe(405);
    expect((await raw("/api/trpc/quotes.list", { method: "DELETE" })).status).toBe(405);
  });

  test("input that is no JSON, or not what is wanted, is told in one sentence", async () => {
    expect((await raw("/api/trpc/quotes.list?input=%7B")).status).toBe(400);
    const wrong = await raw("/api/trpc/quotes.list?input=%7B%22limit%22%3A0%7D");

    expect(wrong.status).toBe(400);
    expect(JSON.parse(wrong.text).error.message).toStartWith("输入无效 / invalid input: limit: ");
    expect(wrong.text).not.toContain("stack");
  });

  test("signing up and in, with the fields that Better Auth's clients read", async () => {
    const body = JSON.stringify({ email: "older@example.com", password: "correct horse battery", name: "Older" });
    const headers = { "content-type": "application/json" };

    const signedUp = await raw("/api/auth/sign-up/email", { method: "POST", body, headers });
    const { name: _, ...credentials } = JSON.parse(body);
    const signedIn = await raw("/api/auth/sign-in/email", { method: "POST", body: JSON.stringify(credentials), headers });

    for (const { status, text } of [signedUp, signedIn]) {
      expect(status).toBe(200);
      expect(JSON.parse(text)).toMatchObject({
        token: expect.any(String),
        user: { id: expect.any(String), email: "older@example.com", name: "Older", createdAt: expect.any(String) },
      });
    }
  });
});
