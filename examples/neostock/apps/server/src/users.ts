// Gives a person a role; nobody can do so over the network.
//
//   bun run users role EMAIL user|admin     {"id":"…","email":"…","role":"admin"}
//
// Exit codes: 0 done, 1 failed, 2 called wrongly.
import { connect } from "./database.ts";

async function main(words: string[]): Promise<number> {
  const url = process.env.DATABASE_URL;
  const [verb, email, role, ...more] = words;
  if (!url || verb !== "role" || !email || !role || !["user", "admin"].includes(role) || more.length > 0) {
    console.error(url ? "用法 / usage: bun run users role EMAIL user|admin" : "缺少 DATABASE_URL / DATABASE_URL is not set");
    return 2;
  }
  const database = connect(url);
  try {
    const changed = await database.query(
      "update users set role = $2, updated_at = now() where email = lower($1) returning id, email, role",
      [email, role],
    );
    if (changed.rowCount !== 1) throw new Error(`没有这个用户 / no such user: ${email}`);
    console.log(JSON.stringify(changed.rows[0]));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    await database.end();
  }
}

process.exit(await main(process.argv.slice(2)));
