import { sql } from "bun";

const COLUMNS = "symbol, price_cents";
const OLD_COLUMNS = "symbol, price";

export async function quotes(database: any, symbol: string, isNew: boolean, text: string): Promise<void> {
  // ruleid: sql-from-text
  await database.query(`select * from quotes where symbol = '${symbol}'`);
  // ruleid: sql-from-text
  await database.query("select * from quotes where symbol = '" + symbol + "'");
  // ruleid: sql-from-text
  await database.query(`select ${COLUMNS} from quotes where symbol = '${symbol}'`);
  // ruleid: sql-unsafe-text
  await sql.unsafe(text);
  // ok: sql-from-text
  await database.query("select * from quotes where symbol = $1", [symbol]);
  // ok: sql-from-text
  await database.query(`select ${isNew ? COLUMNS : OLD_COLUMNS} from quotes where symbol = $1`, [symbol]);
  // ok: sql-unsafe-text
  await sql`select * from quotes where symbol = ${symbol}`;
  // ok: sql-unsafe-text
  await sql.unsafe("vacuum");
}
