import { expect, test } from "bun:test";
import { version as server } from "../../apps/server/package.json";
import { version as web } from "../../apps/web/package.json";

test("server and web are of one version", () => {
  expect(server).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+$/);
  expect(web).toBe(server);
});
