import { afterAll, expect, test } from "bun:test";
import { version } from "../../apps/server/package.json";

process.env.PORT = "0";
const { server } = await import("../../apps/server/src/index.ts");
afterAll(() => server.stop(true));

test("the server says that it is well, and which version it is", async () => {
  const answer = await fetch(server.url);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ status: "ok", version });
});

test("nothing that belongs to the real service is here", () => {
  for (const name of ["PGDATABASE", "PGHOST", "BACKUP_DIR", "RELEASES_DIR"]) {
    expect(process.env[name]).toBeUndefined();
  }
  expect(process.env.DATABASE_URL).toBe(process.env.TEST_DATABASE_URL);
});
