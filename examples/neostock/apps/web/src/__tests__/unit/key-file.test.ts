import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeyFile } from "../../key-file.ts";
import { Upstream } from "../../upstream.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "neostock-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

test("without a file there is no key", () => {
  expect(new KeyFile(null).current()).toBeNull();
  expect(new KeyFile(join(folder, "nothing")).current()).toBeNull();
});

test("a key that is replaced is read anew", () => {
  const file = join(folder, "replaced");
  const keys = new KeyFile(file);
  put(file, "nsk_one\n");
  expect(keys.current()).toBe("nsk_one");

  put(file, "nsk_two\n");

  expect(keys.current()).toBe("nsk_two");
});

test("while the file is away or empty the key before it holds", () => {
  const file = join(folder, "away");
  const keys = new KeyFile(file);
  put(file, "nsk_one\n");
  expect(keys.current()).toBe("nsk_one");

  rmSync(file);
  expect(keys.current()).toBe("nsk_one");
  put(file, "");
  expect(keys.current()).toBe("nsk_one");
  put(file, "nsk_two");
  expect(keys.current()).toBe("nsk_two");
});

test("the server is asked with the key, and nothing of a browser's that it should not see", async () => {
  const file = join(folder, "asked");
  put(file, "nsk_own");
  const seen: Headers[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      seen.push(request.headers);
      return Response.json({ result: { data: { id: "K7", name: "web" } } }, { headers: { "x-inner": "1" } });
    },
  });
  try {
    const upstream = new Upstream(server.url, new KeyFile(file));
    expect(await upstream.keyId()).toBe("K7");
    const browser = new Request("http://neostock.example/api/trpc/quotes.list", {
      headers: { host: "neostock.example", cookie: "a=b", "x-forwarded-for": "6.6.6.6" },
    });
    const answer = await upstream.forward(browser, "9.9.9.9");

    expect(seen[0]!.get("x-api-key")).toBe("nsk_own");
    // On behalf of a browser never with this application's own key.
    expect(seen[1]!.get("x-api-key")).toBeNull();
    expect(seen[1]!.get("host")).toBe("neostock.example");
    expect(seen[1]!.get("cookie")).toBe("a=b");
    expect(seen[1]!.get("x-real-ip")).toBe("9.9.9.9");
    expect(seen[1]!.get("x-forwarded-for")).toBeNull();
    expect(answer.headers.get("x-inner")).toBeNull();
  } finally {
    await server.stop(true);
  }
});

test("a key that the server does not take is no key", async () => {
  const file = join(folder, "refused");
  put(file, "nsk_old");
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("", { status: 401 }) });
  try {
    expect(await new Upstream(server.url, new KeyFile(file)).keyId()).toBeNull();
  } finally {
    await server.stop(true);
  }
});
