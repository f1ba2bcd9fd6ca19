import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDatabaseUrl, readSettings, SettingsError } from "../../settings.ts";

const GOOD = {
  PORT: "3001",
  DATABASE_URL: "postgres://neostock@127.0.0.1/neostock",
  BETTER_AUTH_SECRET: "x".repeat(32),
};

function faultsOf(environment: Record<string, string>): string[] {
  try {
    readSettings(environment);
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    return (error as Error).message.split("\n");
  }
  return [];
}

test("what is needed is enough", () => {
  expect(readSettings(GOOD)).toEqual({
    host: "127.0.0.1",
    port: 3001,
    databaseUrl: GOOD.DATABASE_URL,
    authSecret: GOOD.BETTER_AUTH_SECRET,
    publicUrl: new URL("http://127.0.0.1:3000"),
    quotesUrl: null,
    apiLogFile: null,
  });
});

test("every fault is told at once, in both languages, and no secret is", () => {
  const faults = faultsOf({
    PORT: "70000",
    BETTER_AUTH_SECRET: "short-and-secret",
    PUBLIC_URL: "ftp://neostock.example",
    QUOTES_URL: "quotes",
  });

  expect(faults).toEqual([
    "缺少 PORT，或不是端口 / PORT is not set or is not a port",
    "缺少 DATABASE_URL / DATABASE_URL is not set",
    "BETTER_AUTH_SECRET 至少 32 个字符 / needs at least 32 characters",
    "PUBLIC_URL 不是 http(s) 地址 / PUBLIC_URL is not an http(s) address",
    "QUOTES_URL 不是 http(s) 地址 / QUOTES_URL is not an http(s) address",
  ]);
});

test("a secret may stand in a file", () => {
  const folder = mkdtempSync(join(tmpdir(), "neostock-test-"));
  const file = join(folder, "secret");
  writeFileSync(file, `${"y".repeat(40)}\n`);
  chmodSync(file, 0o600);
  const { BETTER_AUTH_SECRET: _, ...rest } = GOOD;

  expect(readSettings({ ...rest, BETTER_AUTH_SECRET_FILE: file }).authSecret).toBe("y".repeat(40));
  expect(readDatabaseUrl({ DATABASE_URL_FILE: file })).toBe("y".repeat(40));

  rmSync(folder, { recursive: true });
  expect(faultsOf({ ...rest, BETTER_AUTH_SECRET_FILE: file })).toEqual([
    "无法读取 BETTER_AUTH_SECRET_FILE 指向的文件 / the file that BETTER_AUTH_SECRET_FILE names cannot be read",
  ]);
});
