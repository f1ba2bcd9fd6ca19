// What a person watches, with remarks. Works before and after migration 0004, which makes rows of the
// remarks: a rollback undoes it while this code still serves.
import { z } from "zod";
import { type Database, FOREIGN_KEY_VIOLATION, hasCode, UNDEFINED_TABLE } from "./database.ts";
import { SYMBOL } from "./quotes.ts";

export const ITEMS_MAX = 100;
export const NOTES_MAX = 20;
const NOTE_CHARACTERS_MAX = 200;

// One line: before migration 0004 the remarks of an item are the lines of one text.
export const Note = z
  .string()
  .trim()
  .min(1)
  .max(NOTE_CHARACTERS_MAX)
  .regex(/^[^\p{Cc}\u2028\u2029]+$/u);

export const Item = z.object({
  symbol: SYMBOL,
  name: z.string(),
  price: z.number(),
  notes: z.array(z.string()),
  addedAt: z.iso.datetime(),
});
export type Item = z.infer<typeof Item>;

export type Added = "added" | "unknown_symbol" | "too_many_items" | "too_many_notes";

type Row = { symbol: string; name: string; price_cents: number; notes: string[] | null; added_at: Date };

const NOTES_AS_ROWS = `(select array_agg(n.note order by n.id) from watchlist_notes n
    where n.user_id = w.user_id and n.symbol = w.symbol)`;
const NOTES_AS_LINES = "string_to_array(w.note, E'\\n')";

export async function listItems(database: Database, userId: string): Promise<Item[]> {
  const found = await inShape(database, (hasRows) =>
    database.query<Row>(
      `select w.symbol, q.name, q.price_cents, ${hasRows ? NOTES_AS_ROWS : NOTES_AS_LINES} as notes, w.added_at
       from watchlist w join quotes q using (symbol) where w.user_id = $1 order by w.added_at, w.symbol`,
      [userId],
    ),
  );
  return found.rows.map((row) => ({
    symbol: row.symbol,
    name: row.name,
    price: row.price_cents / 100,
    notes: row.notes ?? [],
    addedAt: row.added_at.toISOString(),
  }));
}

// Adding what is there already adds the remark alone.
export function addItem(database: Database, userId: string, symbol: string, note: string | null): Promise<Added> {
  return inShape(database, (hasRows) => addInShape(database, userId, symbol, note, hasRows));
}

async function addInShape(
  database: Database,
  userId: string,
  symbol: string,
  note: string | null,
  hasRows: boolean,
): Promise<Added> {
  const client = await database.connect();
  try {
    await client.query("begin");
    // One at a time for a person, so that the limits hold.
    await client.query("select from users where id = $1 for update", [userId]);
    const added = await client.query(
      `insert into watchlist (user_id, symbol)
       select $1, $2 where (select count(*) from watchlist where user_id = $1 and symbol <> $2) < $3
       on conflict (user_id, symbol) do update set symbol = excluded.symbol`,
      [userId, symbol, ITEMS_MAX],
    );
    if (added.rowCount === 0) return await end(client, "too_many_items");
    if (note !== null) {
      const noted = hasRows
        ? await client.query(
            `insert into watchlist_notes (user_id, symbol, note)
             select $1, $2, $3 where (select count(*) from watchlist_notes where user_id = $1 and symbol = $2) < $4`,
            [userId, symbol, note, NOTES_MAX],
          )
        : await client.query(
            `update watchlist set note = concat_ws(E'\\n', note, $3::text)
             where user_id = $1 and symbol = $2 and coalesce(cardinality(string_to_array(note, E'\\n')), 0) < $4`,
            [userId, symbol, note, NOTES_MAX],
          );
      if (noted.rowCount === 0) return await end(client, "too_many_notes");
    }
    return await end(client, "added");
  } catch (error) {
    await client.query("rollback").catch(() => {});
    if (hasCode(error, FOREIGN_KEY_VIOLATION)) return "unknown_symbol";
    throw error;
  } finally {
    client.release();
  }
}

async function end(client: { query: (text: string) => Promise<unknown> }, added: Added): Promise<Added> {
  await client.query(added === "added" ? "commit" : "rollback");
  return added;
}

export async function removeItem(database: Database, userId: string, symbol: string): Promise<boolean> {
  const removed = await database.query("delete from watchlist where user_id = $1 and symbol = $2", [userId, symbol]);
  return removed.rowCount === 1;
}

// Whether migration 0004 is there is asked each time, because it may come and go while this runs. If it
// goes just after the answer, it is asked once more.
async function inShape<T>(database: Database, work: (hasRows: boolean) => Promise<T>): Promise<T> {
  try {
    return await work(await hasNoteRows(database));
  } catch (error) {
    if (!hasCode(error, UNDEFINED_TABLE)) throw error;
    return work(await hasNoteRows(database));
  }
}

async function hasNoteRows(database: Database): Promise<boolean> {
  const found = await database.query<{ there: boolean }>("select to_regclass('watchlist_notes') is not null as there");
  return found.rows[0]!.there;
}
