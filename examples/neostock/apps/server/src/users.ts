// Gives a person a role; nobody can do so over the network.
//
//   bun run users role EMAIL user|admin     {"id":"…","email":"…","role":"admin"}
//
// Exit codes: 0 done, 1 failed, 2 called wrongly, 69 the database cannot be reached.
import { connectNow, type Database, UNREACHABLE_CODE, UnreachableError } from "./database.ts";
import { readDatabaseUrl, SettingsError } from "./settings.ts";

async function main(words: string[]): Promise<number> {
  const [verb, email, role, ...more] = words;
  if (verb !== "role" || !email || !role || !["user", "admin"].includes(role) || more.length > 0) {
    console.error("用法 / usage: bun run users role EMAIL user|admin");
    return 2;
  }
  let database: Database | null = null;
  try {
    database = await connectNow(readDatabaseUrl(process.env));
    const changed = await database.query(
      "update users set role = $2, updated_at = now() where email = lower($1) returning id, email, role",
      [email, role],
    );
    if (changed.rowCount !== 1) throw new Error(`没有这个用户 / no such user: ${email}`);
    console.log(JSON.stringify(changed.rows[0]));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    if (error instanceof UnreachableError) return UNREACHABLE_CODE;
    return error instanceof SettingsError ? 2 : 1;
  } finally {
    await database?.end();
  }
}

process.exit(await main(process.argv.slice(2)));
