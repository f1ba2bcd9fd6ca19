import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { version as serverVersion } from "../../../package.json";
import { version as webVersion } from "../../../../web/package.json";
import { idsIn, toUndo } from "../../db.ts";

const FOLDER = join(import.meta.dir, "../../../db");

test("migrations are found by their names, in order", () => {
  const files = ["0002_b.up.sql", "0001_a.down.sql", "0001_a.up.sql", "README.md", "x.up.sql", "0003_C.up.sql"];

  expect(idsIn(files)).toEqual(["0001_a", "0002_b"]);
});

test("a rollback undoes what the other version does not have, newest first", () => {
  expect(toUndo(["0001_a", "0002_b", "0003_c"], ["0001_a"])).toEqual(["0003_c", "0002_b"]);
  expect(toUndo(["0001_a"], ["0001_a", "0002_b"])).toEqual([]);
});

test("every migration has a way back that does something", () => {
  const ids = idsIn(readdirSync(FOLDER));

  expect(ids.length).toBeGreaterThanOrEqual(3);
  for (const id of ids) {
    const down = join(FOLDER, `${id}.down.sql`);
    expect(existsSync(down), id).toBe(true);
    expect(readFileSync(down, "utf8").replace(/--.*$/gm, "").trim(), id).not.toBe("");
  }
});

test("no two migrations have the same number", () => {
  const numbers = idsIn(readdirSync(FOLDER)).map((id) => id.slice(0, 4));

  expect(new Set(numbers).size).toBe(numbers.length);
});

test("server and web are of one version", () => {
  expect(serverVersion).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+$/);
  expect(webVersion).toBe(serverVersion);
});
