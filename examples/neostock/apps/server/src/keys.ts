// API keys by hand and for scripts: one line of JSON a key, a key itself only at its making.
//
//   bun run keys create --name web      {"id":"K1","key":"nsk_…"}
//   bun run keys list                   {"id":"K1","name":"web","created_at":"…","last_used_at":null,"revoked_at":null}
//   bun run keys revoke K1              {"id":"K1","revoked_at":"…"}
//
// Exit codes: 0 done, 1 failed, 2 called wrongly, 69 the database cannot be reached.
import { createKey, KEY_NAME_PATTERN, listKeys, revokeKey } from "./api-keys.ts";
import { connectNow, type Database, UNREACHABLE_CODE, UnreachableError } from "./database.ts";
import { readDatabaseUrl, SettingsError } from "./settings.ts";

const USAGE = "用法 / usage: bun run keys create --name NAME | list | revoke ID";

class UsageError extends Error {}

async function run(database: Database, words: string[]): Promise<unknown[]> {
  const [verb, ...rest] = words;
  if (verb === "list" && rest.length === 0) return listKeys(database);
  if (verb === "create" && rest.length === 2 && rest[0] === "--name") {
    const name = rest[1]!;
    if (!KEY_NAME_PATTERN.test(name)) {
      throw new UsageError("名称只能用小写字母、数字和连字符 / a name has lower-case letters, digits and hyphens");
    }
    return [await createKey(database, name)];
  }
  if (verb === "revoke" && rest.length === 1) {
    const revokedAt = await revokeKey(database, rest[0]!);
    if (!revokedAt) throw new Error(`没有这个密钥 / no such key: ${rest[0]}`);
    return [{ id: rest[0], revoked_at: revokedAt }];
  }
  throw new UsageError(USAGE);
}

async function main(words: string[]): Promise<number> {
  let database: Database | null = null;
  try {
    database = await connectNow(readDatabaseUrl(process.env));
    for (const line of await run(database, words)) console.log(JSON.stringify(line));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    if (error instanceof UnreachableError) return UNREACHABLE_CODE;
    return error instanceof UsageError || error instanceof SettingsError ? 2 : 1;
  } finally {
    await database?.end();
  }
}

process.exit(await main(process.argv.slice(2)));
