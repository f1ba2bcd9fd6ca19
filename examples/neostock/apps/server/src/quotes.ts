// Quotes: what shares cost. Read from the database; fetched anew from the upstream that QUOTES_URL names.
import { z } from "zod";
import type { Database } from "./database.ts";

export const SYMBOL = z.string().regex(/^[A-Z0-9][A-Z0-9.]{0,11}$/);
const NAME_CHARACTERS_MAX = 80;
export const QUOTES_PAGE = 100;
const QUOTES_PAGE_MAX = 500;
const FETCH_WITHIN_MS = 5_000;
const FETCH_BYTES_MAX = 256 * 1_024;
const FETCH_QUOTES_MAX = 1_000;

export const Quote = z.object({
  symbol: SYMBOL,
  name: z.string(),
  price: z.number(),
  updatedAt: z.iso.datetime(),
});
export type Quote = z.infer<typeof Quote>;

export const Page = z
  .strictObject({
    limit: z.int().min(1).max(QUOTES_PAGE_MAX).default(QUOTES_PAGE),
    // The last symbol of the page before.
    after: SYMBOL.optional(),
  })
  .prefault({});

// What the upstream must answer. Its names are shown to people: one line, no control characters.
const Upstream = z
  .array(
    z.object({
      symbol: SYMBOL,
      name: z.string().min(1).max(NAME_CHARACTERS_MAX).regex(/^\P{Cc}+$/u),
      price: z.number().nonnegative().max(1e12),
    }),
  )
  .min(1)
  .max(FETCH_QUOTES_MAX);
export type UpstreamQuote = z.infer<typeof Upstream>[number];

type Row = { symbol: string; name: string; price_cents: number; updated_at: Date };

function quoteOf(row: Row): Quote {
  return {
    symbol: row.symbol,
    name: row.name,
    price: row.price_cents / 100,
    updatedAt: row.updated_at.toISOString(),
  };
}

export async function listQuotes(database: Database, page: z.infer<typeof Page>): Promise<Quote[]> {
  const found = await database.query<Row>(
    "select symbol, name, price_cents, updated_at from quotes where symbol > $1 order by symbol limit $2",
    [page.after ?? "", page.limit],
  );
  return found.rows.map(quoteOf);
}

export async function quote(database: Database, symbol: string): Promise<Quote | null> {
  const found = await database.query<Row>(
    "select symbol, name, price_cents, updated_at from quotes where symbol = $1",
    [symbol],
  );
  return found.rows[0] ? quoteOf(found.rows[0]) : null;
}

// Fails on anything but a good answer in time and within the limits.
export async function fetchQuotes(url: URL): Promise<UpstreamQuote[]> {
  const answer = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(FETCH_WITHIN_MS),
  });
  if (!answer.ok) {
    await answer.body?.cancel();
    throw new Error(`the upstream answered ${answer.status}`);
  }
  return Upstream.parse(JSON.parse(await textWithin(answer, FETCH_BYTES_MAX)));
}

async function textWithin(answer: Response, bytesMax: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body ?? []) {
    bytes += part.byteLength;
    if (bytes > bytesMax) throw new Error(`the upstream answered more than ${bytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

// All of them or none. Answers how many were stored.
export async function storeQuotes(database: Database, quotes: UpstreamQuote[]): Promise<number> {
  const unique = [...new Map(quotes.map((one) => [one.symbol, one])).values()];
  await database.query(
    `insert into quotes (symbol, name, price_cents, updated_at)
     select symbol, name, price_cents, now()
     from unnest($1::text[], $2::text[], $3::bigint[]) as fetched (symbol, name, price_cents)
     on conflict (symbol) do update
     set name = excluded.name, price_cents = excluded.price_cents, updated_at = excluded.updated_at`,
    [
      unique.map((one) => one.symbol),
      unique.map((one) => one.name),
      unique.map((one) => Math.round(one.price * 100)),
    ],
  );
  return unique.length;
}
