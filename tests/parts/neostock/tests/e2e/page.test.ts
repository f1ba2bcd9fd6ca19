import { afterAll, expect, test } from "bun:test";

process.env.PORT = "0";
const { server } = await import("../../apps/web/src/index.ts");
afterAll(() => server.stop(true));

test("a person sees NeoStock", async () => {
  const page = await fetch(server.url);
  expect(await page.text()).toContain("NeoStock");
});
