// db:migrate applies the migrations of this version that are not applied yet. db:rollback --to=VERSION
// undoes those that VERSION, a tag or commit, does not have. Each migration is one transaction, and
// nothing else migrates meanwhile.
//
// Exit codes: 0 done, 1 failed: the sentence says at which migration, those before it stay, 2 called wrongly,
// 69 the database cannot be reached.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { UNREACHABLE_CODE, UnreachableError } from "./database.ts";
import { readDatabaseUrl, SettingsError } from "./settings.ts";

const FOLDER = join(import.meta.dir, "../db");
const NAME = /^([0-9]{4}_[a-z0-9_]+)\.up\.sql$/;
// Any number, the same for every version: who holds it migrates.
const LOCK = 4_617_230;
// A migration waits this long for a table that is in use, and then fails, rather than hold everybody up.
const TABLE_WITHIN = "10s";

export class MigrationError extends Error {}

// The migrations in a list of files, in order.
export function idsIn(files: string[]): string[] {
  return files.flatMap((file) => NAME.exec(file)?.[1] ?? []).sort();
}

// What a rollback undoes, newest first.
export function toUndo(applied: string[], kept: string[]): string[] {
  return applied.filter((id) => !kept.includes(id)).sort().reverse();
}

export async function migrate(url: string, told: (line: string) => void): Promise<void> {
  await withLock(url, async (client, applied) => {
    const here = idsIn(readdirSync(FOLDER));
    const missing = here.filter((id) => !applied.includes(id));
    for (const id of missing) {
      await runOne(client, id, "up");
      told(`已迁移 / migrated ${id}`);
    }
    if (missing.length === 0) told("没有要执行的迁移 / nothing to migrate");
  });
}

export async function rollback(url: string, version: string, told: (line: string) => void): Promise<void> {
  await undo(url, idsIn(await filesOf(version)), told);
}

// Undoes everything but what is kept.
export async function undo(url: string, kept: string[], told: (line: string) => void): Promise<void> {
  await withLock(url, async (client, applied) => {
    const ids = toUndo(applied, kept);
    // All of them can be undone, or none is.
    const lost = ids.filter((id) => !existsSync(join(FOLDER, `${id}.down.sql`)));
    if (lost.length > 0) {
      throw new MigrationError(
        `这里没有 ${lost.join(" ")} 的 .down.sql，请在执行它的版本里回滚 / no way back here: roll back from the version that made them`,
      );
    }
    for (const id of ids) {
      await runOne(client, id, "down");
      told(`已回滚 / undone ${id}`);
    }
    if (ids.length === 0) told("没有要回滚的迁移 / nothing to undo");
  });
}

// The names of the files in the folder of migrations, as a version has them.
async function filesOf(version: string): Promise<string[]> {
  const commit = await git(["rev-parse", "--verify", "--quiet", "--end-of-options", `${version}^{commit}`]);
  if (commit === null) throw new MigrationError(`无效的版本 / not a tag or commit here: ${version}`);
  const listed = await git(["ls-tree", "-z", "--name-only", commit.trim(), "--", "./"]);
  if (listed === null) throw new MigrationError(`无法读取版本的迁移 / the version's migrations cannot be read: ${version}`);
  return listed.split("\0").map((path) => path.split("/").at(-1) ?? "");
}

async function git(words: string[]): Promise<string | null> {
  const run = Bun.spawn(["git", ...words], { cwd: FOLDER, stdout: "pipe", stderr: "ignore" });
  const text = await new Response(run.stdout).text();
  return (await run.exited) === 0 ? text : null;
}

async function withLock(url: string, work: (client: Client, applied: string[]) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url, application_name: "neostock-migrations" });
  await client.connect().catch((error: Error) => {
    throw new UnreachableError(error);
  });
  try {
    await client.query("select pg_advisory_lock($1)", [LOCK]);
    await client.query(
      "create table if not exists migrations (id text primary key, applied_at timestamptz not null default now())",
    );
    await client.query("select set_config('lock_timeout', $1, false)", [TABLE_WITHIN]);
    const found = await client.query<{ id: string }>("select id from migrations order by id");
    await work(
      client,
      found.rows.map((row) => row.id),
    );
  } finally {
    await client.end();
  }
}

async function runOne(client: Client, id: string, way: "up" | "down"): Promise<void> {
  const sql = readFileSync(join(FOLDER, `${id}.${way}.sql`), "utf8");
  try {
    await client.query("begin");
    await client.query(sql);
    await client.query(
      way === "up" ? "insert into migrations (id) values ($1)" : "delete from migrations where id = $1",
      [id],
    );
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    const cause = error instanceof Error ? error.message : String(error);
    throw new MigrationError(`${id}.${way}.sql 失败，没有改动 / failed, it has changed nothing: ${cause}`);
  }
}

async function main(words: string[]): Promise<number> {
  const [verb, to, ...more] = words;
  const version = /^--to=(.+)$/.exec(to ?? "")?.[1];
  try {
    const url = readDatabaseUrl(process.env);
    if (verb === "up" && !to) await migrate(url, console.log);
    else if (verb === "down" && version && more.length === 0) await rollback(url, version, console.log);
    else {
      console.error("用法 / usage: bun run db:migrate | bun run db:rollback --to=VERSION");
      return 2;
    }
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    if (error instanceof SettingsError) return 2;
    return error instanceof UnreachableError ? UNREACHABLE_CODE : 1;
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
