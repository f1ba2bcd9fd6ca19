// Keys of programs. The database holds a SHA-256 of each: a key has 256 random bits, so a slow hash
// would protect nothing more, and looking one up compares no secrets.
import type { Key } from "./access.ts";
import type { Database } from "./database.ts";

export const KEY_PATTERN = /^nsk_[A-Za-z0-9_-]{43}$/;
export const KEY_NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;
const KEY_BYTES = 32;
// `last_used_at` is for people who look for keys that nobody needs; it need not be exact.
const USED_EVERY_S = 10;

export type KeyRow = {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
  revoked_at: string | null;
};

export function newKey(): string {
  return `nsk_${Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES))).toString("base64url")}`;
}

export function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

// The key itself is answered once, here, and is nowhere afterwards.
export async function createKey(database: Database, name: string): Promise<{ id: string; key: string }> {
  const key = newKey();
  const made = await database.query<{ id: number }>(
    "insert into api_keys (name, key_sha256) values ($1, $2) returning id",
    [name, sha256(key)],
  );
  return { id: `K${made.rows[0]!.id}`, key };
}

export async function listKeys(database: Database): Promise<KeyRow[]> {
  const found = await database.query<Record<"name", string> & Record<string, Date | null> & { id: number }>(
    "select id, name, created_at, last_used_at, revoked_at from api_keys order by id",
  );
  return found.rows.map((row) => ({
    id: `K${row.id}`,
    name: row.name,
    created_at: row.created_at!.toISOString(),
    last_used_at: row.last_used_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
  }));
}

// Revoking twice is the same as once. Null where there is no such key.
export async function revokeKey(database: Database, id: string): Promise<string | null> {
  const digits = /^K([1-9][0-9]{0,14})$/.exec(id)?.[1];
  if (!digits) return null;
  const revoked = await database.query<{ revoked_at: Date }>(
    "update api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1 returning revoked_at",
    [digits],
  );
  return revoked.rows[0]?.revoked_at.toISOString() ?? null;
}

// Whose key it is, also where it was revoked: the API log names whoever still tries it. Null for one that is unknown.
export async function keyOf(database: Database, text: string): Promise<(Key & { isRevoked: boolean }) | null> {
  if (!KEY_PATTERN.test(text)) return null;
  const found = await database.query<{ id: number; name: string; is_stale: boolean; is_revoked: boolean }>(
    `select id, name, coalesce(last_used_at < now() - make_interval(secs => $2), true) as is_stale,
            revoked_at is not null as is_revoked
     from api_keys where key_sha256 = $1`,
    [sha256(text), USED_EVERY_S],
  );
  const row = found.rows[0];
  if (!row) return null;
  if (row.is_revoked) return { id: `K${row.id}`, name: row.name, isRevoked: true };
  if (row.is_stale) await database.query("update api_keys set last_used_at = now() where id = $1", [row.id]);
  return { id: `K${row.id}`, name: row.name, isRevoked: false };
}
